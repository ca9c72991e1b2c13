"""Accepting jobs: checks first, then rows. A batch is all or nothing.

Order of checks as in the original (contract A5): queue mode, limits, then per job unique key, custom id, dependencies.
"""

from typing import Final

from msgspec import UNSET

from rustqueue.machine import endings, flows, keys, rows
from rustqueue.machine.rows import Extras, JobRow, StateRow
from rustqueue.machine.state import QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.model import times
from rustqueue.model.commands import NewJob, PushJobs
from rustqueue.model.errors import ApiError, Conflict, Limited, NotFound, Unavailable
from rustqueue.model.events import JobsChanged
from rustqueue.model.ids import consecutive_texts
from rustqueue.model.jobs import JobOptions
from rustqueue.model.replies import Pushed, PushedBatch, Reply

DURABILITY: Final = "fsync-majority"
"""What an acknowledgement means: synced to disk on a majority of the voters, which is this node when it is alone."""

_NO_OPTIONS: Final = JobOptions()
_UNREAD: Final = PushedBatch(ids=[])
"""For batches alone: the id of a single push may be a parent's in the same transaction."""


def push(state: State, tx: Tx, command: PushJobs) -> Reply:
    queue = open_queue(state, tx, command.queue, len(command.jobs))
    if queue.push_defaults is None and all(job.options is None for job in command.jobs):
        ids = _push_plain(state, tx, queue, command.jobs)
    else:
        ids = push_rich(state, tx, queue, command.jobs, in_batch=not command.single)
    if ids:
        tx.events.append(JobsChanged("pushed", queue.name, ids))
    if tx.unread and not command.single:
        return _UNREAD
    texts = consecutive_texts(ids[0], len(ids)) if ids else []
    if not command.receipt:
        return Pushed(id=texts[0]) if command.single else PushedBatch(ids=texts)
    if command.single:
        return Pushed(id=texts[0], durability=DURABILITY, index=tx.index, term=tx.term)
    return PushedBatch(ids=texts, durability=DURABILITY, index=tx.index, term=tx.term)


def open_queue(state: State, tx: Tx, name: str, count: int, *, inner: bool = False) -> QueueState:
    """The queue to push `count` jobs to. `inner` pushes (follow-ups) pass a pause (decisions A11)."""
    queue = state.queue(tx, name)
    if queue is None:
        if not state.defaults.auto_create:
            raise NotFound.queue(name)
        return state.queue_or_new(tx, name)
    if queue.deleting or (queue.refuses_pushes and not inner):
        raise Unavailable.paused(name)
    wanted = queue.settings.limits
    if wanted is not None and wanted.max_waiting is not None and queue.counters.waiting + count > wanted.max_waiting:
        raise Limited.queue_full(name, wanted.max_waiting)
    return queue


def _push_plain(state: State, tx: Tx, queue: QueueState, jobs: list[NewJob]) -> list[bytes]:
    """The hot path: no options anywhere, so one row a job and one ready row for up to 64 of them."""
    counters = queue.counters
    count = len(jobs)
    ids: list[bytes] = list(tx.ids(count))
    defaults = state.defaults
    name, now_ms, seq = queue.name, tx.now_ms, counters.seq
    attempts, timeout_ms = defaults.max_attempts, defaults.timeout_ms
    backoff, delay_ms = rows.BACKOFFS.index(defaults.backoff), defaults.backoff_delay_ms
    encode, out = rows.encode, tx.rows
    job_rows: list[JobRow | None] = []
    for job_id, job in zip(ids, jobs, strict=True):
        row = JobRow(name, job.name, job.data, now_ms, seq, 0, attempts, timeout_ms, backoff, delay_ms)
        out[b"j" + job_id] = encode(row)
        job_rows.append(row)
        seq += 1
    queue.ready.push_fresh(tx, 0, counters.seq, ids, job_rows)
    counters.seq = seq
    counters.waiting += count
    state.touch(queue)
    return ids


def push_rich(
    state: State,
    tx: Tx,
    queue: QueueState,
    jobs: list[NewJob],
    *,
    in_batch: bool,
    creation: tuple[str, str] | None = None,
) -> list[bytes]:
    """Jobs with options; errors name the place `in_batch`. Everything is checked before the first row is written.
    `creation` is the key under which a single one of them is created, and whose key it is.
    """
    options = [_with_defaults(job.options or _NO_OPTIONS, queue.push_defaults) for job in jobs]
    _check_keys(tx, queue, options, in_batch)
    ids: list[bytes] = list(tx.ids(len(jobs)))
    families = flows.resolve_parents(state, tx, ids, options, in_batch)
    for place, job in enumerate(jobs):
        extras = _extras(options[place], families[place], creation)
        _store(state, tx, queue, ids[place], (job, options[place], families[place], extras))
    state.touch(queue)
    return ids


def _with_defaults(options: JobOptions, defaults: JobOptions | None) -> JobOptions:
    if defaults is None:
        return options
    values = {}
    for name in JobOptions.__struct_fields__:
        own = getattr(options, name)
        values[name] = getattr(defaults, name) if own is None or own is UNSET else own
    return JobOptions(**values)


def _check_keys(tx: Tx, queue: QueueState, options: list[JobOptions], in_batch: bool) -> None:
    seen: set[tuple[str, str]] = set()
    for place, option in enumerate(options):
        if option.unique_key is not None:
            taken = ("unique_key", option.unique_key) in seen
            if taken or tx.get(keys.unique(queue.part, option.unique_key)) is not None:
                raise _at(Conflict.duplicate(option.unique_key), place, in_batch)
            seen.add(("unique_key", option.unique_key))
        if option.custom_id is not None:
            taken = ("custom_id", option.custom_id) in seen
            if taken or tx.get(keys.custom(queue.part, option.custom_id)) is not None:
                raise _at(Conflict.duplicate(option.custom_id, "custom_id"), place, in_batch)
            seen.add(("custom_id", option.custom_id))


def _at(error: ApiError, place: int, in_batch: bool) -> ApiError:
    if in_batch:
        error.details = {**(error.details or {}), "index": place}
    return error


def _store(
    state: State,
    tx: Tx,
    queue: QueueState,
    job_id: bytes,
    parts: tuple[NewJob, JobOptions, flows.Family, Extras | None],
) -> None:
    job, options, family, extras = parts
    counters, defaults = queue.counters, state.defaults
    seq = counters.seq
    counters.seq += 1
    priority = options.priority or 0
    row = JobRow(
        queue.name,
        job.name,
        job.data,
        tx.now_ms,
        seq,
        priority,
        options.max_attempts if options.max_attempts is not None else defaults.max_attempts,
        options.timeout_ms if options.timeout_ms is not None else defaults.timeout_ms,
        rows.BACKOFFS.index(options.backoff or defaults.backoff),
        options.backoff_delay_ms if options.backoff_delay_ms is not None else defaults.backoff_delay_ms,
        extras,
    )
    tx.rows[keys.job(job_id)] = rows.encode(row)
    _index(tx, queue, job_id, options)
    flows.attach(state, tx, job_id, family)
    if options.ttl_ms is not None:
        state.put_due(tx, tx.now_ms + options.ttl_ms, keys.DUE_TTL, job_id)
    at_ms = _starts_at(tx, options)
    if family.open:
        pending = len(family.open)
        tx.rows[keys.state(job_id)] = rows.encode(StateRow(rows.BLOCKED, 0, 0, tx.now_ms, pending=pending))
        tx.rows[keys.parked(queue.part, keys.BLOCKED_INDEX, job_id)] = b""
        counters.blocked += 1
    elif at_ms is not None:
        endings.park(state, tx, queue, job_id, StateRow(rows.DELAYED, 0, 0, tx.now_ms, until=at_ms))
    elif options.lifo:
        tx.rows[keys.state(job_id)] = rows.encode(StateRow(rows.WAITING, 0, 0, tx.now_ms))
        endings.make_ready(state, tx, queue, job_id, row)
    else:
        if options.group_id:
            queue.groups.push(tx, options.group_id, row, job_id)
        else:
            queue.ready.push_fresh(tx, priority, seq, [job_id], [row])
        counters.waiting += 1


def _starts_at(tx: Tx, options: JobOptions) -> int | None:
    """When a delayed job becomes ready; None for at once (`delay_ms` 0 and times in the past too, decisions A30)."""
    if options.run_at is not None:
        at_ms = times.from_text(options.run_at)
        if at_ms is None:
            raise AssertionError("run_at was checked at the door")
        return at_ms if at_ms > tx.now_ms else None
    return tx.now_ms + options.delay_ms if options.delay_ms else None


def _extras(options: JobOptions, family: flows.Family, creation: tuple[str, str] | None) -> Extras | None:
    metadata = None if options.metadata is UNSET else bytes(options.metadata)
    extras = Extras(
        options.max_backoff_ms,
        options.ttl_ms,
        options.lease_ms,
        options.unique_key,
        options.tags or [],
        options.group_id,
        options.lifo or False,
        options.remove_on_complete or False,
        options.remove_on_fail or False,
        options.custom_id,
        metadata,
        family.parents,
        options.flow_id,
        rows.POLICIES.index(options.on_parent_failure or "cascade"),
        options.traceparent,
        family.depth,
        creation,
    )
    return None if extras == _PLAIN else extras


def _index(tx: Tx, queue: QueueState, job_id: bytes, options: JobOptions) -> None:
    if options.unique_key is not None:
        tx.rows[keys.unique(queue.part, options.unique_key)] = job_id
    if options.custom_id is not None:
        tx.rows[keys.custom(queue.part, options.custom_id)] = job_id
    if options.flow_id is not None:
        tx.rows[keys.flow(options.flow_id, job_id)] = b""


_PLAIN: Final = Extras()
