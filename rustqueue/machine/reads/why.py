"""Why a job is not done yet: what it waits for, its place in the line, and when time alone lets it go on."""

from typing import Any

from msgspec import UNSET

from rustqueue.machine import keys, rows
from rustqueue.machine.endings import ready_order
from rustqueue.machine.kv import View
from rustqueue.machine.ready.groups import group_of
from rustqueue.machine.rows import JobRow, StateRow
from rustqueue.machine.state import Lease, QueueState, State
from rustqueue.model import limits
from rustqueue.model.ids import id_text
from rustqueue.model.replies import Reason, Why
from rustqueue.model.times import to_text


def why(state: State, view: View, reference: str) -> Why:
    job_id, row, state_row = state.load(view, reference)
    code = state.code_of(job_id, state_row)
    queue = state.existing(view, row.queue)
    position: int | None = None
    expected: str | None = None
    if code == rows.WAITING:
        reasons = _not_pulled(view, queue, row)
        position = _position(view, queue, row)
    elif code == rows.DELAYED and state_row is not None:
        expected = to_text(state_row.until or 0)
        retried = state_row.attempt > 0
        reasons = [
            _reason("RETRY_BACKOFF", f"It failed and is tried again at {expected}", last_error=state_row.last_error)
            if retried
            else _reason("DELAYED", f"It is delayed until {expected}")
        ]
    elif code == rows.BLOCKED:
        reasons = [_parents(state, view, job_id, row, state_row)]
    elif code == rows.ACTIVE:
        reasons = [_running(state.leases[job_id])]
    else:
        reasons = [_ended(code, state_row)]
    return Why(state=rows.STATE_NAMES[code], reasons=reasons, position=position, expected_start=expected)


def _reason(code: str, message: str, **details: Any) -> Reason:
    return Reason(code, message, details or UNSET)


def _not_pulled(view: View, queue: QueueState, row: JobRow) -> list[Reason]:
    """Everything that keeps a ready job from being pulled; if nothing does, it waits for a worker."""
    reasons = []
    if queue.holds_pulls:
        reasons.append(_reason("QUEUE_HELD", f"Pulls from queue '{queue.name}' are held", mode=queue.mode))
    cap, active = queue.concurrency, queue.counters.active
    if cap is not None and active >= cap:
        reasons.append(_reason("QUEUE_FULL", f"Queue '{queue.name}' runs {active} jobs, its limit", limit=cap))
    group, most = group_of(row), queue.groups.limit
    stored = None if group is None else view.get(keys.group(queue.part, group))
    running = 0 if stored is None else rows.decode_group(stored).active
    if most is not None and running >= most:
        reasons.append(_reason("GROUP_FULL", f"Group '{group}' runs {running} jobs, its limit", limit=most))
    return reasons or [_reason("READY", "It is ready and waits for a worker to pull it")]


def _position(view: View, queue: QueueState, row: JobRow) -> int | None:
    """Its place among the ready jobs of its queue, or of its group; None if too many rows stand before it."""
    group = group_of(row)
    part = queue.part if group is None else keys.group_part(queue.part, group)
    own = keys.lane(row.priority, ready_order(row))
    before = 1
    blocks = view.scan(b"f" + part, b"f" + part + own, limits.WHY_ROWS_MAX)
    singles = view.scan(b"w" + part, b"w" + part + own, limits.WHY_ROWS_MAX)
    if len(blocks) == limits.WHY_ROWS_MAX or len(singles) == limits.WHY_ROWS_MAX:
        return None
    for key, value in blocks:
        lane = key[-keys.LANE_BYTES :][:4]
        orders = [int.from_bytes(value[at : at + 8], "big") for at in range(0, len(value), 24)]
        before += len(orders) if lane < own[:4] else sum(order < ready_order(row) for order in orders)
    return before + len(singles)


def _parents(state: State, view: View, job_id: bytes, row: JobRow, state_row: StateRow | None) -> Reason:
    waits_for = [
        id_text(parent)
        for parent in (row.extras.depends_on if row.extras is not None else [])[: limits.DEPENDS_ON_MAX]
        if view.get(keys.edge(parent, job_id)) is not None
    ]
    pending = state_row.pending if state_row is not None else len(waits_for)
    text = f"It waits for {pending} of the jobs that it depends on"
    return _reason("WAITS_FOR_PARENTS", text, pending=pending, parents=waits_for[: limits.WHY_PARENTS_MAX])


def _running(lease: Lease) -> Reason:
    text = f"It runs; its lease ends at {to_text(lease.until)} unless it is renewed"
    requested = lease.live is not None and lease.live.cancel_requested
    return _reason("RUNNING", text, worker_id=lease.block.worker_id, cancel_requested=requested)


def _ended(code: int, state_row: StateRow | None) -> Reason:
    at = to_text(state_row.until or 0) if state_row is not None else ""
    if code == rows.COMPLETED:
        return _reason("COMPLETED", f"It was completed at {at}")
    if code == rows.CANCELLED:
        return _reason("CANCELLED", f"It was cancelled at {at}")
    error = state_row.last_error if state_row is not None else None
    return _reason("DEAD", f"It is in the dead letters since {at}; a retry brings it back", last_error=error)
