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
    order = _order(command.operations)
    before = _Savepoint(state, tx, command)
    replies: dict[int, Reply] = {}
    for place in order:
        try:
            replies[place] = _one(state, tx, command.operations[place], replies)
            if tx.finished:
                endings.store_outcomes(state, tx)
        except ApiError as error:
            before.restore()
            _at(error, place)
            raise
    return TransactionDone(results=[Raw(msgspec.json.encode(replies[place])) for place in range(len(order))])


def _at(error: ApiError, place: int) -> ApiError:
    error.details = {**(error.details or {}), "operation": place}
    return error


def _order(operations: list[Operation]) -> list[int]:
    """As they are given, but a push stands behind all those that it names (decisions A4)."""
    parents = [_named(operations, place) for place in range(len(operations))]
    order: dict[int, None] = {}
    left = list(range(len(operations)))
    while left:
        later: list[int] = []
        for place in left:
            if parents[place] <= order.keys():
                order[place] = None
            else:
                later.append(place)
        if len(later) == len(left):
            raise _at(ValidationFailed("the dependencies form a cycle", "depends_on"), later[0])
        left = later
    return list(order)


def _named(operations: list[Operation], place: int) -> set[int]:
    """The pushes that a single push names by their places."""
    operation = operations[place]
    if not isinstance(operation, PushJobs) or not operation.single:
        return set()
    options = operation.jobs[0].options
    references = options.depends_on if options is not None and options.depends_on is not None else ()
    found = {reference for reference in references if isinstance(reference, int)}
    for reference in sorted(found):
        other = operations[reference] if 0 <= reference < len(operations) else None
        if reference == place:
            raise _at(ValidationFailed("a job cannot depend on itself", "depends_on"), place)
        if not isinstance(other, PushJobs) or not other.single:
            raise _at(ValidationFailed(f"operation {reference} is no push of one job", "depends_on"), place)
    return found


def _one(state: State, tx: Tx, operation: Operation, done: dict[int, Reply]) -> Reply:
    match operation:
        case PushJobs():
            return push.push(state, tx, _with_parents(operation, done) if operation.single else operation)
        case Ack():
            return attempts.ack(state, tx, operation)
        case Fail():
            return attempts.fail(state, tx, operation)
        case Cancel():
            return jobs.cancel(state, tx, operation)


def _with_parents(command: PushJobs, done: dict[int, Reply]) -> PushJobs:
    """A number in `depends_on` of a single push means the job that another operation pushes."""
    [job] = command.jobs
    references = job.options.depends_on if job.options is not None else None
    if job.options is None or references is None or all(isinstance(reference, str) for reference in references):
        return command
    named = [reference if isinstance(reference, str) else _id_at(done, reference) for reference in references]
    options = msgspec.structs.replace(job.options, depends_on=named)
    return msgspec.structs.replace(command, jobs=[NewJob(job.name, job.data, options)])


def _id_at(done: dict[int, Reply], place: int) -> str:
    reply = done[place]
    assert isinstance(reply, Pushed), "the order has seen to it"
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
