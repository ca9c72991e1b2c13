"""How many workers a queue needs: what is ready, runs and is due soon, and for how long the oldest has waited."""

from rustqueue.machine import keys, rows
from rustqueue.machine.kv import View
from rustqueue.machine.reads.oldest import oldest_ready_ms
from rustqueue.machine.state import State
from rustqueue.model import limits
from rustqueue.model.queries import QueueScale
from rustqueue.model.replies import Scale


def scale(state: State, view: View, query: QueueScale) -> Scale:
    """A queue that does not exist has nothing to do."""
    queue = state.queue(view, query.queue)
    if queue is None:
        return Scale(ready=0, running=0, due=0, desired=query.min, oldest_age_ms=0)
    held = queue.holds_pulls
    ready = 0 if held else queue.counters.waiting - queue.counters.held
    due = 0 if held else _due_soon(state, view, query)
    running = queue.counters.active
    wanted, cap = ready + running + due, queue.concurrency
    if cap is not None:
        wanted = max(running, min(wanted, cap))
    desired = max(query.min, min(query.max, -(-wanted // query.per_worker)))
    oldest_ms = None if held else oldest_ready_ms(state, view, queue.name)
    age_ms = 0 if oldest_ms is None else max(0, state.meta.now_ms - oldest_ms)
    return Scale(ready=ready, running=running, due=due, desired=desired, oldest_age_ms=age_ms)


def _due_soon(state: State, view: View, query: QueueScale) -> int:
    """Delayed jobs of the queue that are due in time, among as many due rows as one read may look at."""
    if query.due_within_ms == 0:
        return 0
    end = keys.due_from(state.meta.now_ms + query.due_within_ms + 1)
    found = view.scan(keys.due_from(state.due_floor), end, limits.LIST_SCANNED_MAX)
    ids = [key[10:] for key, _ in found if key[9] == keys.DUE_READY]
    count = 0
    for job_id in ids:
        row, state_row = state.job_row(view, job_id), state.state_row(view, job_id)
        delayed = state_row is not None and state_row.state == rows.DELAYED
        count += delayed and row is not None and row.queue == query.queue
    return count
