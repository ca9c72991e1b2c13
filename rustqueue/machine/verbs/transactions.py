"""Several acks, fails, cancels and pushes in one: all are done, or none is.

Rows of an entry can be dropped; what is in memory cannot, so it is put back: queues that were touched are forgotten and
read again from the rows before, leases that were ended are given back. Invariant: after a refusal rows and memory are
what they were, and the reply names the operation.
"""

from typing import Final

import msgspec
from msgspec import Raw

from rustqueue.machine import endings
from rustqueue.machine.rows import LiveRow
from rustqueue.machine.state import Lease, State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import attempts, jobs, push
from rustqueue.model.commands import Ack, Cancel, Fail, NewJob, Operation, PushJobs, RunTransaction
from rustqueue.model.errors import ApiError, ValidationFailed
from rustqueue.model.replies import Pushed, Reply, TransactionDone

_META: Final = ("parents", "keys", "keys_due", "queues")


def prepare(state: State, tx: Tx) -> None:
    """Before a transaction: what earlier commands of the entry did to counters must stand in rows, to be read again."""
    state.store_touched(tx)


def run(state: State, tx: Tx, command: RunTransaction) -> Reply:
    before = _Savepoint(state, tx, command)
    replies: list[Reply] = []
    for place, operation in enumerate(command.operations):
        try:
            replies.append(_one(state, tx, operation, replies))
            if tx.finished:
                endings.store_outcomes(state, tx)
        except ApiError as error:
            before.restore()
            error.details = {**(error.details or {}), "operation": place}
            raise
    return TransactionDone(results=[Raw(msgspec.json.encode(reply)) for reply in replies])


def _one(state: State, tx: Tx, operation: Operation, earlier: list[Reply]) -> Reply:
    match operation:
        case PushJobs():
            return push.push(state, tx, _with_parents(operation, earlier) if operation.single else operation)
        case Ack():
            return attempts.ack(state, tx, operation)
        case Fail():
            return attempts.fail(state, tx, operation)
        case Cancel():
            return jobs.cancel(state, tx, operation)


def _with_parents(command: PushJobs, earlier: list[Reply]) -> PushJobs:
    """A number in `depends_on` of a single push means the job that an earlier operation has pushed."""
    [job] = command.jobs
    references = job.options.depends_on if job.options is not None else None
    if job.options is None or references is None or all(isinstance(reference, str) for reference in references):
        return command
    named = [reference if isinstance(reference, str) else _id_at(earlier, reference) for reference in references]
    options = msgspec.structs.replace(job.options, depends_on=named)
    return msgspec.structs.replace(command, jobs=[NewJob(job.name, job.data, options)])


def _id_at(earlier: list[Reply], place: int) -> str:
    reply = earlier[place] if 0 <= place < len(earlier) else None
    if not isinstance(reply, Pushed):
        raise ValidationFailed(f"operation {place} is no push before this one", "depends_on")
    return reply.id


class _Savepoint:
    """Everything that has to be put back."""

    def __init__(self, state: State, tx: Tx, command: RunTransaction) -> None:
        self._state = state
        self._tx = tx
        self._mark = tx.mark()
        self._meta = {name: getattr(state.meta, name) for name in _META}
        self._leases: list[tuple[Lease, int, LiveRow | None]] = []
        for operation in command.operations:
            if not isinstance(operation, PushJobs):
                self._keep_lease(operation.id)

    def _keep_lease(self, reference: str) -> None:
        try:
            lease = self._state.leases.get(self._state.resolve(self._tx, reference))
        except ApiError:
            return  # The operation will find out.
        if lease is not None:
            self._leases.append((lease, lease.block.open, lease.live))

    def restore(self) -> None:
        state, tx = self._state, self._tx
        tx.back_to(self._mark)
        for name, value in self._meta.items():
            setattr(state.meta, name, value)
        for queue in state.touched:
            queue.dirty = False
            state.forget_queue(queue.name)
        state.touched.clear()
        for lease, open_count, live in self._leases:
            lease.live = live
            lease.block.open = open_count
            state.leases[lease.id] = lease
            worker = state.workers.get(lease.block.worker_id) if lease.block.worker_id else None
            if worker is not None:
                worker.blocks[lease.block.key] = lease.block
