"""What happened to a job, told from its rows: the attempts that were kept, the one that runs or ended it, and the
events of its life.
"""

from rustqueue.machine import keys, rows
from rustqueue.machine.kv import View
from rustqueue.machine.rows import AttemptRow, StateRow
from rustqueue.machine.state import Lease, State
from rustqueue.model.replies import History, PastAttempt, PastEvent
from rustqueue.model.times import to_text


def history(state: State, view: View, reference: str) -> History:
    job_id, row, state_row = state.load(view, reference)
    lease = state.leases.get(job_id)
    stored = view.get(keys.history(job_id))
    attempts = [] if stored is None else rows.decode_history(stored).attempts
    if lease is None and state_row is not None and state_row.token is not None:
        attempts = [*attempts, rows.last_attempt(state_row)]
    told = [_told(attempt) for attempt in attempts]
    if lease is not None:
        told.append(_running(lease))
    return History(attempts=told, events=_events(to_text(row.created_at), told, state_row if lease is None else None))


def _told(attempt: AttemptRow) -> PastAttempt:
    return PastAttempt(
        attempt.fence,
        attempt.worker_id,
        to_text(attempt.started_at),
        to_text(attempt.ended_at),
        rows.ATTEMPT_OUTCOMES[attempt.outcome],
        attempt.error,
    )


def _running(lease: Lease) -> PastAttempt:
    return PastAttempt(lease.fence, lease.block.worker_id, to_text(lease.block.started_at), None, None, None)


def _events(pushed_at: str, attempts: list[PastAttempt], ended: StateRow | None) -> list[PastEvent]:
    events = [PastEvent(pushed_at, "pushed", "client")]
    for attempt in attempts:
        if attempt.started_at is not None:
            events.append(PastEvent(attempt.started_at, "started", "worker"))
        if attempt.ended_at is not None and attempt.outcome is not None:
            by_time = attempt.outcome in ("stalled", "timed_out")
            event = "failed" if by_time else attempt.outcome
            events.append(PastEvent(attempt.ended_at, event, "node" if by_time else "worker"))
    if ended is not None and ended.state in rows.FINISHED:
        at = to_text(ended.until or 0)
        if ended.state == rows.DLQ:
            events.append(PastEvent(at, "dlq", "node"))
        elif ended.token is None:
            events.append(PastEvent(at, rows.STATE_NAMES[ended.state], "client"))
    return events
