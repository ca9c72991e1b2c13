"""Time passing: the only thing that moves jobs without a client. A bounded number of due rows a tick (design 4.3).

Rows made stale by something else are skipped when due. What the budget leaves stays due, and the next tick follows at
once.
"""

from collections.abc import Iterator
from typing import Final

from rustqueue.machine import endings, idempotency, keys, retention, rows, workers
from rustqueue.machine.kv import Row
from rustqueue.machine.state import LeaseBlock, QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import attempts, jobs, pull, sweeps
from rustqueue.model import limits
from rustqueue.model.commands import Tick
from rustqueue.model.replies import Done, Reply

_SCAN_ROWS: Final = 256
_OUTCOME_ROWS: Final = 64


def tick(state: State, tx: Tx, command: Tick) -> Reply:
    budget = limits.TICK_ROWS_MAX
    start = keys.due_from(state.due_floor)
    end = keys.due_from(tx.now_ms + 1)
    while budget > 0:
        found = tx.scan(start, end, min(_SCAN_ROWS, budget))
        for key, _ in found:
            tx.rows[key] = None
            at_ms, kind, reference = keys.due_parts(key)
            state.due_floor = max(state.due_floor, at_ms)
            budget -= 1 + _happen(state, tx, at_ms, kind, reference)
            start = key + b"\0"
            if budget <= 0:
                break
        if len(found) < _SCAN_ROWS and budget > 0:
            break
    _look_ahead(state, tx)
    return Done()


def _look_ahead(state: State, tx: Tx) -> None:
    """Know when the next tick has work. Everything before the first row that is left is gone."""
    ahead = tx.scan(keys.due_from(state.due_floor), keys.DUE_END, 1)
    state.due_known = keys.due_parts(ahead[0][0])[0] if ahead else None


def _happen(state: State, tx: Tx, at_ms: int, kind: int, reference: bytes) -> int:
    """One due row; returns the work beyond the usual that it took, for the budget."""
    match kind:
        case keys.DUE_LEASE:
            return _leases_end(state, tx, b"a" + reference)
        case keys.DUE_READY:
            return _delay_over(state, tx, at_ms, reference)
        case keys.DUE_TTL:
            return _expire(state, tx, reference)
        case keys.DUE_RETENTION:
            return _forget_old(state, tx, at_ms, reference)
        case keys.DUE_IDEMPOTENCY:
            return _forget_keys(state, tx)
        case keys.DUE_WORKER:
            workers.lapse(state, tx, reference)
            return 0
        case keys.DUE_SWEEP:
            return sweeps.advance(state, tx, reference)
        case _:
            return endings.settle(state, tx, reference[:16], reference[16], limits.CHILDREN_SETTLED_AT_ONCE_MAX)


def _leases_end(state: State, tx: Tx, block_key: bytes) -> int:
    """The earliest lease of a pull may have ended: fail what ended, and look again when the next one does."""
    stored = tx.get(block_key)
    if stored is None:
        return 0
    ids = rows.decode_lease_block(stored).ids
    next_ms: int | None = None
    block: LeaseBlock | None = None
    work = 0
    for at in range(0, len(ids), 16):
        lease = state.leases.get(ids[at : at + 16])
        if lease is None or lease.block.key != block_key:
            continue
        if lease.ends_at > tx.now_ms:
            block = lease.block
            next_ms = lease.ends_at if next_ms is None else min(next_ms, lease.ends_at)
            continue
        work += 1
        timed_out = lease.times_out_at is not None and lease.times_out_at <= tx.now_ms
        attempts.fail_lease(state, tx, lease, attempts.TIMED_OUT if timed_out else attempts.STALLED)
    if next_ms is not None and block is not None:
        state.put_due(tx, pull.in_steps(next_ms, block.lease_ms), keys.DUE_LEASE, block_key[1:])
    return work


def _delay_over(state: State, tx: Tx, at_ms: int, job_id: bytes) -> int:
    state_row, row = state.state_row(tx, job_id), state.job_row(tx, job_id)
    if row is None or state_row is None or state_row.state != rows.DELAYED or state_row.until != at_ms:
        return 0
    if job_id in state.leases:
        return 0
    jobs.bring_forward(state, tx, (job_id, row, state_row), state.existing(tx, row.queue))
    return 1


def _expire(state: State, tx: Tx, job_id: bytes) -> int:
    """Time to live is over: only a job that was never started goes (decisions A16)."""
    state_row, row = state.state_row(tx, job_id), state.job_row(tx, job_id)
    if row is None or job_id in state.leases:
        return 0
    if state_row is not None and (state_row.fence > 0 or state_row.state in rows.FINISHED):
        return 0
    endings.bury(state, tx, (job_id, row, state_row), "expired", expired=True)
    endings.parent_ended(state, tx, job_id, rows.DLQ)
    return 1


def _forget_keys(state: State, tx: Tx) -> int:
    state.meta.keys_due = 0
    gone = idempotency.evict(state, tx, limits.TICK_ROWS_MAX // 2)
    oldest = idempotency.next_expiry(state, tx)
    if oldest is not None:
        idempotency.plan(state, tx, max(oldest, tx.now_ms))
    return gone


def _forget_old(state: State, tx: Tx, at_ms: int, reference: bytes) -> int:
    """Retention of one outcome of one queue: remove from the front, a bounded number of jobs."""
    code = reference[-1]
    queue = state.queue(tx, reference[:-2].decode("ascii"))
    if queue is None or not retention.take_due(queue, code, at_ms):
        return 0
    state.touch(queue)
    endings.store_outcomes(state, tx)
    left = limits.SWEEP_JOBS_MAX
    for key, value in outcome_blocks(tx, queue, code):
        ended_ms, present = keys.outcome_at(key), (len(value) - 1) // 16
        if ended_ms < tx.now_ms:
            queue.outcome_floor[code] = key
        count = min(retention.excess(state, tx, queue, code, ended_ms), present, left)
        if count > 0:
            remove_first(state, tx, queue, (key, value), count)
            left -= count
        if count < present:
            retention.plan(state, tx, queue, code, ended_ms)
            break
    return limits.SWEEP_JOBS_MAX - left


def outcome_blocks(tx: Tx, queue: QueueState, code: int) -> Iterator[Row]:
    """Outcome blocks, oldest first, a few at a time: each scan looks through all rows of the entry."""
    prefix = keys.outcome_prefix(queue.part, code)
    start = max(prefix, queue.outcome_floor.get(code, b""))
    while found := tx.scan(start, keys.after(prefix), _OUTCOME_ROWS):
        yield from found
        start = found[-1][0] + b"\0"


def remove_first(state: State, tx: Tx, queue: QueueState, block: tuple[bytes, bytes], count: int) -> None:
    """Remove the first `count` jobs of an outcome block; jobs without index rows need no look at their records."""
    key, value = block
    code = key[len(queue.part) + 1]
    ids = [value[at : at + 16] for at in range(1, 1 + 16 * count, 16)]
    if value[0] == 0 and state.meta.parents == 0:
        out = tx.rows
        for job_id in ids:
            out[b"j" + job_id] = None
            out[b"s" + job_id] = None
    else:
        for job_id in ids:
            row = state.job_row(tx, job_id)
            if row is None:
                raise AssertionError("an outcome block names a job without a record")
            endings.erase(state, tx, (job_id, row, state.state_row(tx, job_id)))
    rest = value[1 + 16 * count :]
    tx.rows[key] = value[:1] + rest if rest else None
    endings.uncount_finished(state, queue, code, count)
