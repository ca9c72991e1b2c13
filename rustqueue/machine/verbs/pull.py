"""Leasing ready jobs: one lease block and one due row for all jobs of a pull that share a lease time."""

from hashlib import blake2b

from msgspec import Raw

from rustqueue.machine import endings, keys, render, rows, workers
from rustqueue.machine.ready import Ready, Turns
from rustqueue.machine.rows import JobRow, LeaseBlockRow, StateRow
from rustqueue.machine.state import LeaseBlock, QueueState, State, new_lease
from rustqueue.machine.tx import Tx
from rustqueue.model import limits
from rustqueue.model.commands import Pull
from rustqueue.model.events import JobsChanged
from rustqueue.model.ids import id_text
from rustqueue.model.jobs import Job
from rustqueue.model.replies import Pulled, PulledOne, Reply
from rustqueue.model.times import to_text

_LEASE_STEP_MS = 500
"""Lease ends are looked at in steps, so that many pulls share a tick. A lease ends late by at most this, never early.
"""


_Taken = tuple[bytes, JobRow, StateRow | None]
"""A job that is taken: id, row, what earlier attempts left. A plain tuple, since each pulled job makes one."""


def pull(state: State, tx: Tx, command: Pull) -> Reply:
    if command.worker_id and workers.is_draining(state, command.worker_id, tx.now_ms):
        return PulledOne(job=None) if command.count == 1 else Pulled(jobs=[])
    jobs: list[Job] = []
    room = _Room(command.count, min(limits.PULL_BYTES_MAX, tx.reply_room))
    for name in _queue_order(tx, command):
        if room.jobs == 0:
            break
        queue = state.queue(tx, name)
        if queue is not None and not queue.holds_pulls and queue.counters.waiting:
            jobs += _pull_within(state, tx, queue, command, room)
    tx.reply_room -= room.given - room.bytes
    if command.count == 1:
        return PulledOne(job=jobs[0] if jobs else None)
    return Pulled(jobs=jobs)


class _Room:
    """What a pull may still take."""

    __slots__ = ("bytes", "given", "jobs")

    def __init__(self, jobs: int, payload_bytes: int) -> None:
        self.jobs = jobs
        self.bytes = self.given = payload_bytes


def _queue_order(tx: Tx, command: Pull) -> list[str]:
    """The queues to look at: by weighted draw, so that over many pulls each is first as often as its weight says."""
    if command.queue is not None:
        return [command.queue]
    left = {weighted.queue: weighted.weight for weighted in command.queues or ()}
    order: list[str] = []
    while left:
        point = tx.draw("queues", len(order), sum(left.values()))
        for name, weight in left.items():
            if point < weight:
                order.append(name)
                break
            point -= weight
        del left[order[-1]]
    return order


def _pull_within(state: State, tx: Tx, queue: QueueState, command: Pull, room: _Room) -> list[Job]:
    """What the queue's limit of active jobs leaves of a pull."""
    wanted, cap = room.jobs, queue.concurrency
    if cap is not None:
        room.jobs = max(0, min(wanted, cap - queue.counters.active))
    over = wanted - room.jobs
    take = _pull_in_turns if queue.counters.grouped else _pull_from
    leased = take(state, tx, queue, command, room) if room.jobs else []
    room.jobs += over
    return leased


def _pull_in_turns(state: State, tx: Tx, queue: QueueState, command: Pull, room: _Room) -> list[Job]:
    """A queue with groups: one job after the other, since each changes whose turn it is."""
    turns = Turns(tx, queue.groups, queue.ready, queue.counters)
    full = room.bytes < limits.PULL_BYTES_MAX
    live: list[_Taken] = []
    while len(live) < room.jobs and (entry := turns.show()) is not None:
        item = _taken(tx, entry)
        job_id, row, _ = item
        if row.extras is not None and _is_expired(tx, item):
            endings.bury(state, tx, item, "expired", expired=True)
            endings.parent_ended(state, tx, job_id, rows.DLQ)
            continue
        if room.bytes < len(row.data) and (live or full):
            room.jobs = len(live)
            break
        room.bytes -= len(row.data)
        turns.take()
        live.append(item)
    queue.counters.waiting -= len(live)
    state.touch(queue)
    room.jobs -= len(live)
    return _lease(state, tx, queue, command, live)


def _taken(tx: Tx, entry: Ready) -> _Taken:
    row = entry.row or rows.decode_job(_present(tx.get(keys.job(entry.id))))
    stored = tx.get(keys.state(entry.id)) if entry.block is None else None
    return entry.id, row, None if stored is None else rows.decode_state(stored)


def _pull_from(state: State, tx: Tx, queue: QueueState, command: Pull, room: _Room) -> list[Job]:
    leased: list[Job] = []
    while room.jobs and queue.counters.waiting:
        taken, looked = _choose(tx, queue, room)
        if not looked:
            break
        queue.ready.take(tx, looked)
        live = []
        for item in taken:
            if item[1].extras is not None and _is_expired(tx, item):
                _expire(state, tx, queue, item)
            else:
                live.append(item)
        queue.counters.waiting -= len(live)
        leased += _lease(state, tx, queue, command, live)
        room.jobs -= len(live)
        state.touch(queue)
        if len(taken) == len(live):
            break
    return leased


def _choose(tx: Tx, queue: QueueState, room: _Room) -> tuple[list[_Taken], int]:
    """The next jobs that fit, with their rows; at least one unless an earlier queue filled the answer."""
    taken: list[_Taken] = []
    full = room.bytes < limits.PULL_BYTES_MAX  # Not the first queue or pull to fill an answer of this entry.
    for entry in queue.ready.peek(tx, room.jobs):
        row = entry.row
        item = _taken(tx, entry) if row is None or entry.block is None else (entry.id, row, None)
        size_bytes = len(item[1].data)
        if room.bytes < size_bytes and (taken or full):
            room.jobs = len(taken)
            break
        room.bytes -= size_bytes
        taken.append(item)
    return taken, len(taken)


def _present(value: bytes | None) -> bytes:
    if value is None:
        raise AssertionError("a ready job has no record")
    return value


def _is_expired(tx: Tx, item: _Taken) -> bool:
    """Only a job that was never started can expire (decisions A16)."""
    _, row, before = item
    ttl_ms = row.extras.ttl_ms if row.extras is not None else None
    started = before is not None and before.fence > 0
    return ttl_ms is not None and not started and row.created_at + ttl_ms <= tx.now_ms


def _expire(state: State, tx: Tx, queue: QueueState, item: _Taken) -> None:
    """A job whose time to live is over when its turn comes is not leased, even before the tick that would find it."""
    job_id, row, _ = item
    queue.ready.push_single(tx, row.priority, endings.ready_order(row), job_id)
    endings.bury(state, tx, item, "expired", expired=True)
    endings.parent_ended(state, tx, job_id, rows.DLQ)


def _lease(state: State, tx: Tx, queue: QueueState, command: Pull, items: list[_Taken]) -> list[Job]:
    """Lease all `items`, grouped by the length of their leases."""
    if not items:
        return []
    usual = command.lease_ms or queue.settings.lease_ms or state.defaults.lease_ms
    ids = [job_id for job_id, _, _ in items]
    queue.counters.active += len(items)
    tx.events.append(JobsChanged("started", queue.name, ids, ready_ms=_ready_ms(items)))
    if command.lease_ms is not None or not [row for _, row, _ in items if row.extras is not None]:
        return _lease_block(state, tx, command, usual, items)
    groups: dict[int, list[_Taken]] = {}
    for item in items:
        extras = item[1].extras
        own = None if extras is None else extras.lease_ms
        groups.setdefault(own or usual, []).append(item)
    if len(groups) == 1:
        return _lease_block(state, tx, command, next(iter(groups)), items)
    jobs: dict[str, Job] = {}
    for lease_ms, group in groups.items():
        leased = _lease_block(state, tx, command, lease_ms, group)
        jobs.update((job.id, job) for job in leased)
    return [] if tx.unread else [jobs[id_text(job_id)] for job_id in ids]


def _ready_ms(items: list[_Taken]) -> list[int] | None:
    """Since when each job was ready; None if all were from the start, as nearly always: then their ids tell it."""
    for _, _, before in items:
        if before is not None:
            break
    else:
        return None
    return [row.created_at if before is None else before.updated_at for _, row, before in items]


def _lease_block(state: State, tx: Tx, command: Pull, lease_ms: int, items: list[_Taken]) -> list[Job]:
    now_ms = tx.now_ms
    number = tx.number()
    key = keys.lease_block(tx.index, number)
    block = LeaseBlock(key, now_ms, lease_ms, command.worker_id, _token(tx, number))
    started, expires = to_text(now_ms), to_text(now_ms + lease_ms)
    jobs: list[Job] = []
    fences: list[int] = []
    room = min(limits.PULL_BYTES_MAX, tx.reply_room)
    ends_at = now_ms + lease_ms
    for job_id, row, before in items:
        fence = 1 if before is None else before.fence + 1
        lease = new_lease(job_id, row, before, fence, block)
        state.leases[job_id] = lease
        fences.append(fence)
        block.ids.append(job_id)
        if lease.times_out_at is not None and lease.times_out_at < ends_at:
            ends_at = lease.times_out_at
        if tx.unread:
            continue
        job = render.leased_job(lease, row, started, expires)
        if command.with_parent_results and row.extras is not None and row.extras.depends_on:
            room -= add_parent_results(state, tx, job, row.extras.depends_on, room)
        jobs.append(job)
    block.open = len(items)
    block.queue = items[0][1].queue
    if block.worker_id:
        workers.leased(state, tx, block.worker_id, block)
    plain = None if fences.count(1) == len(fences) else fences
    tx.rows[key] = rows.encode(
        LeaseBlockRow(now_ms, lease_ms, command.worker_id, block.token, b"".join(block.ids), plain)
    )
    state.put_due(tx, in_steps(ends_at, lease_ms), keys.DUE_LEASE, key[1:])
    return jobs


def in_steps(at_ms: int, lease_ms: int) -> int:
    """The step at or after a time; short leases have finer steps."""
    step = _LEASE_STEP_MS if lease_ms >= 5 * _LEASE_STEP_MS else 50
    return at_ms + -at_ms % step


def _token(tx: Tx, number: int) -> str:
    return blake2b(b"%b lease %d" % (tx.seed, number), digest_size=9).hexdigest()


def add_parent_results(state: State, tx: Tx, job: Job, parents: list[bytes], room: int) -> int:
    """Results of the parents by id, as many as fit; returns how much room they take."""
    found: dict[str, Raw] = {}
    room = min(room, limits.PARENT_RESULTS_BYTES_MAX)
    used = 0
    for parent in parents[: limits.PARENT_RESULTS_MAX]:
        result = parent_result(state, tx, parent)
        if used + 40 + len(result) > room:
            break
        used += 40 + len(result)
        found[id_text(parent)] = Raw(result)
    job.parent_results = found
    job.parent_results_truncated = len(found) < len(parents)
    return used


def parent_result(state: State, tx: Tx, parent: bytes) -> bytes:
    """A parent's result as JSON text: from its state row, or kept for its dependants, else null."""
    row = state.state_row(tx, parent)
    if row is not None:
        return row.result or b"null"
    return tx.get(keys.kept_result(parent)) or b"null"
