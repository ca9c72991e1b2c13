"""How long finished jobs are kept: by age and by count, per queue and outcome (decisions A18).

Finished jobs of one outcome stand in blocks ordered by time of ending, so both rules eat from the front. A due row
wakes a tick; each tick removes a bounded number of jobs.
"""

from typing import Final

from rustqueue.machine import keys, rows
from rustqueue.machine.state import QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.model import limits
from rustqueue.model.jobs import NodeDefaults

_COUNT_STEP_MS: Final = 100  # Removal by count waits for the next tenth of a second, so that single acks share ticks.
_AGE_STEP_MS: Final = 1_000


def rule(state: State, queue: QueueState, code: int) -> tuple[int | None, int | None]:
    """Age in ms and count kept for one outcome; None: without end."""
    settings = queue.settings.retention
    base = rule_of(state.defaults, code)
    if settings is None:
        return base
    own = {rows.COMPLETED: settings.completed, rows.DLQ: settings.dlq, rows.CANCELLED: settings.cancelled}[code]
    if own is None:
        return base
    return (own.age_ms if own.age_ms is not None else base[0], own.count if own.count is not None else base[1])


def rule_of(defaults: NodeDefaults, code: int) -> tuple[int | None, int | None]:
    """The node's own rule."""
    if code == rows.COMPLETED:
        return defaults.completed_age_ms, defaults.completed_count
    if code == rows.DLQ:
        return defaults.dlq_age_ms, defaults.dlq_count
    return defaults.cancelled_age_ms, defaults.cancelled_count


def kept(queue: QueueState, code: int) -> int:
    counters = queue.counters
    if code == rows.COMPLETED:
        return counters.completed
    return counters.dlq if code == rows.DLQ else counters.cancelled


def planned(queue: QueueState, code: int) -> int:
    """When the queue's next removal of this outcome is due; 0 if none is planned."""
    counters = queue.counters
    if code == rows.COMPLETED:
        return counters.completed_due
    return counters.dlq_due if code == rows.DLQ else counters.cancelled_due


def _set_planned(queue: QueueState, code: int, at_ms: int) -> None:
    counters = queue.counters
    if code == rows.COMPLETED:
        counters.completed_due = at_ms
    elif code == rows.DLQ:
        counters.dlq_due = at_ms
    else:
        counters.cancelled_due = at_ms


def plan(state: State, tx: Tx, queue: QueueState, code: int, oldest_ms: int | None = None) -> None:
    """See to it that a tick comes when the oldest job of this outcome must go. Cheap: called for every ending."""
    present = planned(queue, code)
    age_ms, count = rule(state, queue, code)
    wanted = 0
    excess_count = 0 if count is None else kept(queue, code) - count
    if excess_count > 0:
        # A tick's worth of jobs goes at once, so that removal keeps up with any rate of endings.
        wait_ms = _COUNT_STEP_MS - tx.now_ms % _COUNT_STEP_MS if excess_count < limits.SWEEP_JOBS_MAX else 0
        wanted = tx.now_ms + wait_ms
    elif age_ms is not None and present == 0:
        at_ms = (tx.now_ms if oldest_ms is None else oldest_ms) + age_ms
        # What should have gone before now is due now: a due row in the past would stand before where ticks look.
        wanted = max(at_ms + _AGE_STEP_MS - at_ms % _AGE_STEP_MS, tx.now_ms)
    if wanted and (present == 0 or wanted < present):
        _set_planned(queue, code, wanted)
        state.put_due(tx, wanted, keys.DUE_RETENTION, queue.part + bytes((code,)))
        state.touch(queue)


def replan(state: State, tx: Tx, queue: QueueState) -> None:
    """The settings changed: plan anew for all outcomes."""
    for code in rows.FINISHED:
        oldest = _oldest(tx, queue, code)
        if oldest is not None:
            _set_planned(queue, code, 0)
            plan(state, tx, queue, code, keys.outcome_at(oldest))


def _oldest(tx: Tx, queue: QueueState, code: int) -> bytes | None:
    prefix = keys.outcome_prefix(queue.part, code)
    found = tx.scan(prefix, keys.after(prefix), 1)
    return found[0][0] if found else None


def excess(state: State, tx: Tx, queue: QueueState, code: int, ended_ms: int) -> int:
    """How many jobs of a block that ended at `ended_ms` must go now."""
    age_ms, count = rule(state, queue, code)
    if age_ms is not None and ended_ms + age_ms <= tx.now_ms:
        return kept(queue, code)
    return max(0, kept(queue, code) - count) if count is not None else 0


def take_due(queue: QueueState, code: int, at_ms: int) -> bool:
    """True if the due row is the planned one; the plan is then used up."""
    if planned(queue, code) != at_ms:
        return False
    _set_planned(queue, code, 0)
    return True
