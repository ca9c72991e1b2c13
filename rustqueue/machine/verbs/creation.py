"""Jobs created by their kind, as the second system does it: one at a time, answered whole, and found again by a key.

A push like any other otherwise. The key stands in a row of its own until the job is removed; the window of idempotency
keys covers a job that goes sooner.
"""

from rustqueue.machine import idempotency, keys
from rustqueue.machine.reads import kinds
from rustqueue.machine.state import QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import push
from rustqueue.model.commands import Creation, NewJob, PushJobs
from rustqueue.model.errors import Conflict
from rustqueue.model.events import JobsChanged
from rustqueue.model.ids import id_text
from rustqueue.model.jobs import JobOptions
from rustqueue.model.kinds.replies import KindJobCreated
from rustqueue.model.kinds.values import BACKOFF_DELAY_MS_DEFAULT, MAX_ATTEMPTS_DEFAULT
from rustqueue.model.replies import Reply

_NO_DEFAULTS = JobOptions()


def create(state: State, tx: Tx, command: PushJobs) -> Reply:
    """A known key is answered with its job, whatever else the request says (decisions F)."""
    wanted, [job] = command.creation, command.jobs
    if wanted is None:
        raise AssertionError("a plain push is not created")
    if wanted.key is not None:
        present = tx.get(keys.creation(wanted.scope, wanted.key))
        if present is not None:
            return KindJobCreated(job=kinds.known(state, tx, present), created=False)
        gone = idempotency.created_before(tx, wanted.scope, wanted.key)
        if gone is not None:
            raise Conflict.removed(id_text(gone))
    queue = _queue(state, tx, command.queue)
    new = NewJob(job.name, job.data, _options(wanted, queue.push_defaults or _NO_DEFAULTS))
    identity = None if wanted.key is None else (wanted.scope, wanted.key)
    [job_id] = push.push_rich(state, tx, queue, [new], in_batch=False, creation=identity)
    if identity is not None:
        tx.rows[keys.creation(*identity)] = job_id
        idempotency.remember_creation(state, tx, *identity, job_id)
    tx.events.append(JobsChanged("pushed", queue.name, [job_id]))
    return KindJobCreated(job=kinds.known(state, tx, job_id), created=True)


def _queue(state: State, tx: Tx, name: str) -> QueueState:
    """The door lets known kinds through only: one that ships with the node needs no declaration."""
    if state.queue(tx, name) is None:
        return state.queue_or_new(tx, name)
    return push.open_queue(state, tx, name, 1)


def _options(wanted: Creation, defaults: JobOptions) -> JobOptions:
    """What the queue's defaults do not say is as the second system has it, not as the node's jobs have it."""
    jittered = defaults.backoff is None
    own_delay_ms = BACKOFF_DELAY_MS_DEFAULT if jittered and defaults.backoff_delay_ms is None else None
    max_attempts = wanted.max_attempts
    if max_attempts is None and defaults.max_attempts is None:
        max_attempts = MAX_ATTEMPTS_DEFAULT
    return JobOptions(
        max_attempts=max_attempts,
        backoff="decorrelated_jitter" if jittered else None,
        backoff_delay_ms=own_delay_ms,
        traceparent=wanted.traceparent,
    )
