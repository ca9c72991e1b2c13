"""Repeats of writes: the same key and request within the window get the first answer, and nothing happens twice.

Stored are hashes, ids and small replies, never payloads: a repeated pull is rendered again from leases still valid.
Refusals are not stored. Scope: (principal, key); there is one principal until tokens have scopes.
"""

from hashlib import blake2b
from typing import Any, Final

import msgspec

from rustqueue.machine import keys, render, rows
from rustqueue.machine.rows import IdempotencyRow
from rustqueue.machine.schedules import rows as schedules
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import pull
from rustqueue.model import limits, replies
from rustqueue.model.commands import Command, NewJob, Pull, PushJobs, RunTransaction
from rustqueue.model.errors import IdempotencyMismatch
from rustqueue.model.ids import consecutive_texts, parse_id
from rustqueue.model.jobs import Job, JobOptions
from rustqueue.model.replies import OneSchedule, Pulled, PulledOne, PushedBatch, Refused, Reply
from rustqueue.model.times import to_text

_STEP_MS: Final = 10_000
_encoder: Final = msgspec.msgpack.Encoder()
_NOTHING: Final = JobOptions()
_COMPARED: Final = tuple(name for name in JobOptions.__struct_fields__ if name != "traceparent")


def digest_of(key: str) -> bytes:
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def request_hash(command: Command) -> bytes:
    """Hash of everything that was asked, but for what only correlates: a client that asks again may do so under another
    request id and in another span.
    """
    plain: Any = msgspec.structs.replace(command, request_id=None)
    if isinstance(plain, PushJobs):
        plain = _meant(plain)
    elif isinstance(plain, RunTransaction):
        operations: Any = [_meant(one) if isinstance(one, PushJobs) else one for one in plain.operations]
        plain = msgspec.structs.replace(plain, operations=operations)
    return blake2b(_encoder.encode((type(command).__name__, plain)), digest_size=16).digest()


def _meant(push: PushJobs) -> PushJobs:
    """The push, each job with the same form of options however they were spelled, flat, nested or beside other fields
    of the request.
    """
    jobs = [job if job.options is None else NewJob(job.name, job.data, _untraced(job.options)) for job in push.jobs]
    return msgspec.structs.replace(push, jobs=jobs)


def _untraced(options: JobOptions) -> JobOptions | None:
    """None for nothing but a trace: the options are then what a push without any has."""
    told = JobOptions(**{name: getattr(options, name) for name in _COMPARED})
    return None if told == _NOTHING else told


def repeated(state: State, tx: Tx, command: Command, key: str) -> Reply | None:
    """The first answer, if this key was used within the window. Raises IDEMPOTENCY_MISMATCH for another request."""
    stored = tx.get(keys.idempotency(digest_of(key)))
    if stored is None:
        return None
    row = rows.decode_idempotency(stored)
    if row.expires_at <= tx.now_ms:
        return None
    if row.request != request_hash(command):
        raise IdempotencyMismatch
    if isinstance(command, Pull):
        return _pulled_again(state, tx, row, command)
    kind: Any = getattr(replies, row.kind)
    reply: Reply = msgspec.json.decode(row.reply, type=kind)
    if isinstance(reply, OneSchedule):
        return schedules.refilled(tx, reply)
    if isinstance(reply, PushedBatch) and row.count:
        return msgspec.structs.replace(reply, ids=consecutive_texts(parse_id(reply.ids[0]) or b"", row.count))
    return reply


def _pulled_again(state: State, tx: Tx, row: IdempotencyRow, command: Pull) -> Reply:
    """The jobs of the first answer whose leases still hold."""
    jobs: list[Job] = []
    room = limits.PULL_BYTES_MAX
    for text, fence in msgspec.json.decode(row.reply, type=list[tuple[str, int]]):
        job_id = parse_id(text)
        lease = state.leases.get(job_id) if job_id is not None else None
        job_row = state.job_row(tx, job_id) if lease is not None and job_id is not None else None
        if lease is None or job_row is None or lease.fence != fence or lease.until <= tx.now_ms:
            continue
        job = render.leased_job(lease, job_row, to_text(lease.block.started_at), to_text(lease.until))
        if command.with_parent_results and job_row.extras is not None and job_row.extras.depends_on:
            room -= pull.add_parent_results(state, tx, job, job_row.extras.depends_on, room)
        jobs.append(job)
    return PulledOne(job=jobs[0] if jobs else None) if command.count == 1 else Pulled(jobs=jobs)


def remember(state: State, tx: Tx, command: Command, key: str, reply: Reply) -> None:
    """Keep a success. An empty pull is not kept: the log would not have it either."""
    if isinstance(reply, Refused):
        return
    count = 0
    if isinstance(reply, PulledOne | Pulled):
        jobs = reply.jobs if isinstance(reply, Pulled) else [reply.job] if reply.job is not None else []
        if not jobs:
            return
        text = msgspec.json.encode([(job.id, job.fence) for job in jobs])
    elif isinstance(reply, PushedBatch) and reply.ids:
        count = len(reply.ids)
        text = msgspec.json.encode(msgspec.structs.replace(reply, ids=reply.ids[:1]))
    elif isinstance(reply, OneSchedule):
        text = msgspec.json.encode(schedules.emptied(reply))
    else:
        text = msgspec.json.encode(reply)
    _keep(state, tx, digest_of(key), IdempotencyRow(0, request_hash(command), type(reply).__name__, text, count))


def _keep(state: State, tx: Tx, digest: bytes, row: IdempotencyRow) -> None:
    """Store a row for as long as the window is."""
    stored = tx.get(keys.idempotency(digest))
    if stored is not None:
        _forget(state, tx, digest, rows.decode_idempotency(stored).expires_at)
    if state.meta.keys >= limits.IDEMPOTENCY_KEYS_MAX:
        evict(state, tx, 1, any_age=True)
    expires_at = tx.now_ms + limits.IDEMPOTENCY_WINDOW_MS
    tx.rows[keys.idempotency(digest)] = rows.encode(rows.changed(row, expires_at=expires_at))
    tx.rows[keys.idempotency_expiry(expires_at, digest)] = b""
    state.meta.keys += 1
    plan(state, tx, expires_at)


_CREATED: Final = "created"
"""Begins what is hashed for keys of creation, and stands for their kind of reply: they are apart from all others."""


def _creation_digest(scope: str, key: str) -> bytes:
    return digest_of(f"{_CREATED}\0{scope}\0{key}")


def remember_creation(state: State, tx: Tx, scope: str, key: str, job_id: bytes) -> None:
    """Keep the key for the window, in case its job is removed before that is over."""
    _keep(state, tx, _creation_digest(scope, key), IdempotencyRow(0, b"", _CREATED, job_id))


def created_before(tx: Tx, scope: str, key: str) -> bytes | None:
    """The job that was created under this key within the window. It may be gone."""
    stored = tx.get(keys.idempotency(_creation_digest(scope, key)))
    row = None if stored is None else rows.decode_idempotency(stored)
    return row.reply if row is not None and row.expires_at > tx.now_ms else None


def plan(state: State, tx: Tx, expires_at: int) -> None:
    """One due row serves all keys: it stands at the oldest expiry, in steps."""
    if state.meta.keys_due == 0:
        state.meta.keys_due = expires_at + _STEP_MS - expires_at % _STEP_MS
        state.put_due(tx, state.meta.keys_due, keys.DUE_IDEMPOTENCY, b"")


def evict(state: State, tx: Tx, budget: int, *, any_age: bool = False) -> int:
    """Forget the oldest keys: those that lapsed, or whatever is oldest. Returns how many went."""
    end = b"l" if any_age else keys.idempotency_expiry(tx.now_ms + 1, b"")
    found = tx.scan(keys.idempotency_expiry(state.keys_floor, b""), end, budget)
    for key, _ in found:
        expires_at = int.from_bytes(key[1:9], "big")
        _forget(state, tx, key[9:], expires_at)
        state.keys_floor = max(state.keys_floor, expires_at)
    return len(found)


def _forget(state: State, tx: Tx, digest: bytes, expires_at: int) -> None:
    tx.rows[keys.idempotency(digest)] = None
    tx.rows[keys.idempotency_expiry(expires_at, digest)] = None
    state.meta.keys -= 1


def next_expiry(state: State, tx: Tx) -> int | None:
    found = tx.scan(keys.idempotency_expiry(state.keys_floor, b""), b"l", 1)
    return int.from_bytes(found[0][0][1:9], "big") if found else None
