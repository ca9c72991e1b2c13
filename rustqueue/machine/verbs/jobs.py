"""What clients do to single jobs beside working on them: cancel, retry, promote, change priority, remove."""

from rustqueue.machine import endings, keys, rows, transitions
from rustqueue.machine.endings import Known
from rustqueue.machine.rows import StateRow
from rustqueue.machine.state import QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import attempts
from rustqueue.model.commands import Cancel, JobPriority, JobPromote, JobRemove, JobRetry
from rustqueue.model.errors import Conflict
from rustqueue.model.events import JobsChanged
from rustqueue.model.replies import Cancelled, Cancelling, Done, Reply


def cancel(state: State, tx: Tx, command: Cancel) -> Reply:
    """A running job is only asked to stop, and only if the request says so (decisions A12)."""
    job = state.load(tx, command.id)
    lease = state.leases.get(job[0])
    if lease is not None and command.running:
        attempts.request_cancel(tx, lease)
        return Cancelling()
    transitions.require(state.code_of(job[0], job[2]), "cancel")
    cancel_waiting(state, tx, job)
    return Cancelled()


def cancel_waiting(state: State, tx: Tx, job: Known) -> None:
    """Cancel a job that waits, is delayed or blocked; its children learn of it."""
    job_id, row, state_row = job
    queue = state.existing(tx, row.queue)
    endings.withdraw(state, tx, job, queue)
    before = state_row or StateRow(rows.WAITING, 0, 0, row.created_at)
    endings.finish(state, tx, (job_id, row), rows.changed(before, state=rows.CANCELLED, updated_at=tx.now_ms))
    endings.parent_ended(state, tx, job_id, rows.CANCELLED)
    tx.events.append(JobsChanged("cancelled", queue.name, [job_id]))


def retry(state: State, tx: Tx, command: JobRetry) -> Reply:
    """From the DLQ: attempts start at 0, the sequence number is new. A delayed retry: comes forward, nothing else."""
    job = state.load(tx, command.id)
    code = state.code_of(job[0], job[2])
    transitions.require(code, "retry")
    queue = state.existing(tx, job[1].queue)
    if code == rows.DELAYED:
        bring_forward(state, tx, job, queue)
    else:
        revive(state, tx, job, queue)
    return Done()


def bring_forward(state: State, tx: Tx, job: Known, queue: QueueState) -> None:
    """A delayed job becomes ready now, at its old place."""
    job_id, row, state_row = job
    if state_row is None:
        raise AssertionError("a delayed job has a state row")
    endings.withdraw(state, tx, job, queue)
    ready = rows.changed(state_row, state=rows.WAITING, until=None, updated_at=tx.now_ms)
    tx.rows[keys.state(job_id)] = rows.encode(ready)
    endings.make_ready(state, tx, queue, job_id, row)
    tx.events.append(JobsChanged("ready", queue.name, [job_id]))


def revive(state: State, tx: Tx, job: Known, queue: QueueState) -> None:
    """A dead job becomes ready again. Its unique key must be free; raises DUPLICATE_KEY before anything is written."""
    job_id, row, state_row = job
    if state_row is None:
        raise AssertionError("a dead job has a state row")
    extras = row.extras
    if extras is not None and extras.unique_key is not None:
        key = keys.unique(queue.part, extras.unique_key)
        if tx.get(key) is not None:
            raise Conflict.duplicate(extras.unique_key)
        tx.rows[key] = job_id
    endings.leave_outcome(state, tx, queue, job_id, state_row)
    if state_row.token is not None:
        state_row = endings.keep_attempt(tx, job_id, state_row)
    counters = queue.counters
    row = rows.changed(row, seq=counters.seq)
    if extras is not None:
        # The parents have ended, and forgotten this child. The time to live counts from the push: it would be over.
        row = rows.changed(row, extras=rows.changed(extras, depends_on=[], ttl_ms=None))
    counters.seq += 1
    tx.rows[keys.job(job_id)] = rows.encode(row)
    ready = StateRow(
        rows.WAITING,
        0,
        state_row.fence,
        tx.now_ms,
        last_error=state_row.last_error,
        trace=state_row.trace,
        history=state_row.history,
    )
    tx.rows[keys.state(job_id)] = rows.encode(ready)
    endings.make_ready(state, tx, queue, job_id, row)
    tx.events.append(JobsChanged("ready", queue.name, [job_id]))


def promote(state: State, tx: Tx, command: JobPromote) -> Reply:
    job = state.load(tx, command.id)
    transitions.require(state.code_of(job[0], job[2]), "promote")
    bring_forward(state, tx, job, state.existing(tx, job[1].queue))
    return Done()


def prioritise(state: State, tx: Tx, command: JobPriority) -> Reply:
    """The job moves among the ready ones at once; an active job keeps the new priority for its next try."""
    job_id, row, state_row = job = state.load(tx, command.id)
    code = state.code_of(job_id, state_row)
    transitions.require(code, "prioritise")
    queue = state.existing(tx, row.queue)
    changed = rows.changed(row, priority=command.priority)
    if code == rows.WAITING:
        endings.withdraw(state, tx, job, queue)
        before = state_row or StateRow(rows.WAITING, 0, 0, row.created_at)
        tx.rows[keys.state(job_id)] = rows.encode(rows.changed(before, updated_at=tx.now_ms))
        endings.make_ready(state, tx, queue, job_id, changed)
    tx.rows[keys.job(job_id)] = rows.encode(changed)
    return Done()


def remove(state: State, tx: Tx, command: JobRemove) -> Reply:
    job = state.load(tx, command.id)
    transitions.require(state.code_of(job[0], job[2]), "remove")
    remove_idle(state, tx, job)
    return Done()


def remove_idle(state: State, tx: Tx, job: Known) -> None:
    """Remove a job that does not run. Children of an unfinished one settle as if it was cancelled (decisions A13)."""
    job_id, row, state_row = job
    queue = state.existing(tx, row.queue)
    if state_row is not None and state_row.state in rows.FINISHED:
        endings.leave_outcome(state, tx, queue, job_id, state_row)
        endings.erase(state, tx, job)
        return
    endings.withdraw(state, tx, job, queue)
    endings.erase(state, tx, job)
    endings.parent_ended(state, tx, job_id, rows.CANCELLED)
