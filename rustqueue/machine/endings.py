"""How jobs end: completed, dead, cancelled or erased, and what that does to those that depend on them.

A parent is settled in the same entry that ends it, up to a bounded number of children; the rest follows in the next
entries. The machine reaches a child only through `_settle`, so that a child in another group could later be reached by
an outbox row (beyond-one-group plan).
"""

from typing import Final

from rustqueue.machine import flows, keys, retention, rows
from rustqueue.machine.ready.groups import group_of
from rustqueue.machine.rows import Extras, JobRow, StateRow
from rustqueue.machine.state import Lease, QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.model import limits
from rustqueue.model.events import JobsChanged
from rustqueue.model.ids import id_text

_CASCADE: Final = 0
_CONTINUE: Final = 2
_PARENTS_A_UNIT: Final = 16
_ENDED: Final = {rows.DLQ: "moved to DLQ", rows.CANCELLED: "was cancelled or removed"}

Known = tuple[bytes, JobRow, StateRow | None]
"""A job as loaded: id, row, state row."""


def outcome_ordinal(tx: Tx, row_is_indexed: bool) -> int:
    """Jobs with further rows (custom id, flow, key, earlier tries) stand in blocks of their own: only those are read
    when they go.
    """
    return tx.ordinal * 2 + row_is_indexed


def is_indexed(extras: Extras) -> bool:
    """Whether a job has rows that stay until it is removed, beside its own."""
    return extras.custom_id is not None or extras.flow_id is not None or extras.creation is not None


def store_outcomes(state: State, tx: Tx) -> None:
    """Write and count the outcome blocks of the command being applied.

    The first byte of a block says whether its jobs have index rows.
    """
    for (name, code, ordinal), ids in tx.finished.items():
        queue = state.existing(tx, name)
        key = keys.outcome(queue.part, code, tx.now_ms, tx.index, ordinal)
        stored = tx.rows.get(key) or bytes((ordinal & 1,))
        tx.rows[key] = stored + b"".join(ids)
        count_finished(state, tx, queue, code, len(ids))
    tx.finished.clear()


def finish(state: State, tx: Tx, job: tuple[bytes, JobRow], row: StateRow) -> None:
    """Write a finished job (`row.state` says how). Its ready, parked or lease rows are already gone."""
    job_id, job_row = job
    queue = state.existing(tx, job_row.queue)
    extras = job_row.extras
    ordinal = outcome_ordinal(tx, row.history or (extras is not None and is_indexed(extras)))
    tx.rows[keys.state(job_id)] = rows.encode(rows.changed(row, index=tx.index, ordinal=ordinal, until=tx.now_ms))
    add_outcome(tx, queue.name, row.state, ordinal, job_id)
    if extras is not None:
        if extras.unique_key is not None:
            tx.rows[keys.unique(queue.part, extras.unique_key)] = None
        flows.release(state, tx, extras.depends_on)


def add_outcome(tx: Tx, queue: str, code: int, ordinal: int, job_id: bytes) -> None:
    """The job stands in an outcome block, and is counted, when the command ends (`store_outcomes`)."""
    block = tx.finished.get((queue, code, ordinal))
    if block is None:
        tx.finished[queue, code, ordinal] = [job_id]
    else:
        block.append(job_id)


def count_finished(state: State, tx: Tx, queue: QueueState, code: int, count: int) -> None:
    counters = queue.counters
    if code == rows.COMPLETED:
        counters.completed += count
    elif code == rows.DLQ:
        counters.dlq += count
    else:
        counters.cancelled += count
    state.touch(queue)
    retention.plan(state, tx, queue, code)


def withdraw(state: State, tx: Tx, job: Known, queue: QueueState) -> None:
    """Take an unfinished, unleased job out of where it waits. Its state row is the caller's to write."""
    job_id, row, state_row = job
    counters = queue.counters
    code = rows.WAITING if state_row is None else state_row.state
    if code == rows.WAITING:
        group = group_of(row)
        if group is None:
            queue.ready.remove(tx, row.priority, ready_order(row), job_id)
        else:
            queue.groups.remove(tx, group, row.priority, ready_order(row), job_id)
        counters.waiting -= 1
    elif code == rows.DELAYED:
        tx.rows[keys.parked(queue.part, keys.DELAYED_INDEX, job_id)] = None
        counters.delayed -= 1
    else:
        tx.rows[keys.parked(queue.part, keys.BLOCKED_INDEX, job_id)] = None
        for parent in row.extras.depends_on if row.extras is not None else ():
            tx.rows[keys.edge(parent, job_id)] = None
        counters.blocked -= 1
    state.touch(queue)


def keep_attempt(tx: Tx, job_id: bytes, row: StateRow) -> StateRow:
    """Remember the try that left this state row, since another one follows; gives the row that says so."""
    stored = tx.get(keys.history(job_id)) if row.history else None
    earlier = [] if stored is None else rows.decode_history(stored).attempts
    kept = [*earlier[1 - limits.HISTORY_ATTEMPTS_MAX :], rows.last_attempt(row)]
    tx.rows[keys.history(job_id)] = rows.encode(rows.HistoryRow(kept))
    return rows.changed(row, history=True)


def work_of(row: JobRow) -> int:
    """What taking a job away costs a budget: one, and more for a job with very many parents."""
    return 1 if row.extras is None else 1 + len(row.extras.depends_on) // _PARENTS_A_UNIT


def ready_order(row: JobRow) -> int:
    """Place inside a priority: the sequence number, or before everybody for LIFO."""
    return -row.seq - 1 if row.extras is not None and row.extras.lifo else row.seq


def make_ready(state: State, tx: Tx, queue: QueueState, job_id: bytes, row: JobRow) -> None:
    """Put a job back among the ready ones at its old place. Its state row is the caller's to write."""
    group = group_of(row)
    if group is None:
        queue.ready.push_single(tx, row.priority, ready_order(row), job_id)
    else:
        queue.groups.put(tx, group, row.priority, ready_order(row), job_id)
    queue.counters.waiting += 1
    state.touch(queue)


def park(state: State, tx: Tx, queue: QueueState, job_id: bytes, row: StateRow) -> None:
    """Delay a job until `row.until`."""
    if row.until is None:
        raise AssertionError("a delayed job has a time")
    tx.rows[keys.state(job_id)] = rows.encode(row)
    tx.rows[keys.parked(queue.part, keys.DELAYED_INDEX, job_id)] = b""
    state.put_due(tx, row.until, keys.DUE_READY, job_id)
    queue.counters.delayed += 1
    state.touch(queue)


def bury(state: State, tx: Tx, job: Known, error: str, *, expired: bool = False) -> None:
    """Send a job that waits to the DLQ. Its children are the caller's to settle."""
    job_id, row, state_row = job
    queue = state.existing(tx, row.queue)
    withdraw(state, tx, job, queue)
    before = state_row or StateRow(rows.WAITING, 0, 0, row.created_at)
    finish(state, tx, (job_id, row), rows.changed(before, state=rows.DLQ, updated_at=tx.now_ms, last_error=error))
    if expired:
        tx.events.append(JobsChanged("expired", queue.name, [job_id]))
    else:
        tx.events.append(JobsChanged("failed", queue.name, [job_id]))
    tx.events.append(JobsChanged("dlq", queue.name, [job_id]))


def erase(state: State, tx: Tx, job: Known) -> None:
    """Delete everything kept of a job that is in no ready, parked, lease or outcome row any more.

    A completed parent's result stays, in a row of its own, as long as it has dependants (decisions A13).
    """
    job_id, row, state_row = job
    code = rows.WAITING if state_row is None else state_row.state
    part = keys.queue_part(row.queue)
    extras = row.extras
    if state.meta.parents and code == rows.COMPLETED and tx.get(keys.dependants(job_id)) is not None:
        result = None if state_row is None else state_row.result
        tx.rows[keys.kept_result(job_id)] = result or b"null"
    tx.rows[keys.job(job_id)] = None
    tx.rows[keys.state(job_id)] = None
    if state_row is not None and state_row.history:
        tx.rows[keys.history(job_id)] = None
    if extras is None:
        return
    if extras.custom_id is not None:
        tx.rows[keys.custom(part, extras.custom_id)] = None
    if extras.flow_id is not None:
        tx.rows[keys.flow(extras.flow_id, job_id)] = None
    if extras.creation is not None:
        tx.rows[keys.creation(*extras.creation)] = None
    if code not in rows.FINISHED:
        if extras.unique_key is not None:
            tx.rows[keys.unique(part, extras.unique_key)] = None
        flows.release(state, tx, extras.depends_on)


def leave_outcome(state: State, tx: Tx, queue: QueueState, job_id: bytes, row: StateRow) -> None:
    """Take a finished job out of its outcome block and counter. It may have ended in this very command."""
    store_outcomes(state, tx)
    key = keys.outcome(queue.part, row.state, row.until or 0, row.index, row.ordinal)
    stored = tx.get(key)
    if stored is None:
        raise AssertionError("a finished job stands in no outcome block")
    place = next(at for at in range(1, len(stored), 16) if stored[at : at + 16] == job_id)
    rest = stored[:place] + stored[place + 16 :]
    tx.rows[key] = rest if len(rest) > 1 else None
    uncount_finished(state, queue, row.state, 1)


def uncount_finished(state: State, queue: QueueState, code: int, count: int) -> None:
    counters = queue.counters
    if code == rows.COMPLETED:
        counters.completed -= count
    elif code == rows.DLQ:
        counters.dlq -= count
    else:
        counters.cancelled -= count
    state.touch(queue)


def end_lease(state: State, tx: Tx, lease: Lease) -> None:
    """The job is no longer leased; counters and state row are the caller's."""
    del state.leases[lease.id]
    block = lease.block
    block.open -= 1
    if block.open == 0:
        tx.rows[block.key] = None
        worker = state.workers.get(block.worker_id) if block.worker_id else None
        if worker is not None:
            worker.blocks.pop(block.key, None)
    if lease.live is not None:
        tx.rows[keys.live(lease.id)] = None
    if lease.extras is not None and lease.extras.group_id:
        queue = state.existing(tx, lease.queue)
        queue.groups.ended(tx, lease.extras.group_id)
        state.touch(queue)


def parent_ended(state: State, tx: Tx, parent: bytes, outcome: int) -> None:
    """Settle the children of a job that completed, died, was cancelled or was removed unfinished (as cancelled)."""
    if state.meta.parents == 0 or tx.get(keys.dependants(parent)) is None:
        return
    settle(state, tx, parent, outcome, max(0, limits.CHILDREN_SETTLED_AT_ONCE_MAX - tx.settled))


def settle(state: State, tx: Tx, parent: bytes, outcome: int, budget: int) -> int:
    """Settle up to `budget` children of one ended parent and of what dies with it; returns how much of it was used.

    What the budget leaves is done by the next tick, by a due row for each parent. A child of very many parents counts
    for more than one, since its edges go too.
    """
    endings = [(parent, outcome)]
    used = 0
    while endings:
        job_id, code = endings.pop()
        prefix = keys.edge(job_id, b"")
        for key, _ in tx.scan(prefix, prefix + b"\xff" * 17, max(0, budget - used) + 1):
            if used >= budget:
                state.put_due(tx, tx.now_ms, keys.DUE_SETTLE, job_id + bytes((code,)))
                break
            tx.rows[key] = None
            dies, work = _settle(state, tx, key[17:], job_id, code)
            used += work
            if dies:
                endings.append((key[17:], rows.DLQ))
    tx.settled += used
    return used


def _settle(state: State, tx: Tx, child: bytes, parent: bytes, outcome: int) -> tuple[bool, int]:
    """One child learns that one parent ended. Returns whether the child dies of it, and the work it made."""
    state_row, row = state.state_row(tx, child), state.job_row(tx, child)
    if row is None or state_row is None or state_row.state != rows.BLOCKED:
        raise AssertionError("an edge leads to a job that is not blocked")
    extras = row.extras
    policy = extras.policy if extras is not None else _CASCADE
    work = work_of(row)
    if outcome != rows.COMPLETED and policy == _CASCADE:
        bury(state, tx, (child, row, state_row), f"parent job '{id_text(parent)}' {_ENDED[outcome]}")
        return True, work
    pending = 0 if outcome != rows.COMPLETED and policy == _CONTINUE else state_row.pending - 1
    if pending > 0:
        tx.rows[keys.state(child)] = rows.encode(rows.changed(state_row, pending=pending))
        return False, work
    queue = state.existing(tx, row.queue)
    withdraw(state, tx, (child, row, state_row), queue)
    tx.rows[keys.state(child)] = rows.encode(
        rows.changed(state_row, state=rows.WAITING, pending=0, updated_at=tx.now_ms)
    )
    make_ready(state, tx, queue, child, row)
    tx.events.append(JobsChanged("ready", queue.name, [child]))
    return False, work
