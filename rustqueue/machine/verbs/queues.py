"""What clients do to queues: pause, resume, settings, delete. Everything that can be set is stored and replicated."""

from typing import Final

import msgspec
from msgspec import UNSET, Raw

from rustqueue.machine import keys, retention, rows
from rustqueue.machine.rows import CountersRow, Ownership, QueueRow, SweepRow
from rustqueue.machine.state import QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import ownership, sweeps
from rustqueue.model.commands import QueueDelete, QueuePause, QueueResume, QueueSet
from rustqueue.model.errors import Conflict
from rustqueue.model.events import QueueChanged
from rustqueue.model.ids import id_text
from rustqueue.model.jobs import Counts, QueueSettings
from rustqueue.model.replies import BulkDone, Done, QueueReplaced, Reply

_NULL: Final = Raw(b"null")


def counts(counters: CountersRow) -> Counts:
    return Counts(
        waiting=counters.waiting,
        active=counters.active,
        delayed=counters.delayed,
        completed=counters.completed,
        failed=0,
        dlq=counters.dlq,
        blocked=counters.blocked,
    )


def settings_of(row: QueueRow) -> QueueSettings:
    return msgspec.json.decode(row.settings, type=QueueSettings)


def pause(state: State, tx: Tx, command: QueuePause) -> Reply:
    """Always succeeds, any name (contract A4): the mode of a queue can be set before its first job."""
    queue = state.queue_or_new(tx, command.queue)
    _store(tx, queue, msgspec.structs.replace(queue.settings, mode=command.mode))
    state.touch(queue)
    tx.events.append(QueueChanged("paused", queue.name))
    return Done()


def resume(state: State, tx: Tx, command: QueueResume) -> Reply:
    queue = state.queue(tx, command.queue)
    if queue is not None and queue.mode != "normal":
        _store(tx, queue, msgspec.structs.replace(queue.settings, mode="normal"))
        tx.events.append(QueueChanged("resumed", queue.name))
    return Done()


def configure(state: State, tx: Tx, command: QueueSet) -> Reply:
    """Replace all settings; a missing mode keeps the present one."""
    queue = state.queue_or_new(tx, command.queue)
    if queue.deleting:
        raise Conflict("INVALID_STATE", f"Queue '{queue.name}' is being deleted", {"field": "queue"})
    created = queue.row is None
    present = None if queue.row is None else queue.row.ownership
    ownership.require(present, command)
    before, pullable, group_limit = queue.mode, queue.pullable, queue.groups.limit
    settings = QueueSettings(
        defaults=command.defaults,
        limits=command.limits,
        retention=command.retention,
        lease_ms=command.lease_ms,
        payload_schema=UNSET if command.payload_schema == _NULL else command.payload_schema,
        mode=command.mode or queue.settings.mode,
    )
    _store(tx, queue, settings, ownership.declared(present, command))
    state.touch(queue)
    if queue.groups.limit != group_limit:
        queue.groups.limit_changed(tx)
    retention.replan(state, tx, queue)
    if before != queue.mode:
        tx.events.append(QueueChanged("resumed" if queue.mode == "normal" else "paused", queue.name))
    elif queue.pullable > pullable and not queue.is_capped:
        tx.events.append(QueueChanged("freed", queue.name))
    return QueueReplaced(
        name=queue.name,
        counts=counts(queue.counters),
        settings=queue.settings,
        mode=queue.mode,
        created=created,
        **shown(queue),
    )


def shown(queue: QueueState) -> ownership.Shown:
    """Owner, labels and revision of a queue; one that was never declared has revision 0."""
    return ownership.shown(None if queue.row is None else queue.row.ownership)


def _store(tx: Tx, queue: QueueState, settings: QueueSettings, owned: Ownership | None = None) -> None:
    """Write the settings row, at the next revision unless it is there already as it shall be."""
    before = queue.row or QueueRow(b"", tx.now_ms)
    row = rows.changed(before, settings=msgspec.json.encode(settings), ownership=owned or before.ownership)
    if row != before:
        row = rows.changed(row, ownership=ownership.risen(row.ownership))
        tx.rows[keys.settings(queue.part)] = rows.encode(row)
        queue.set_row(row)


def delete(state: State, tx: Tx, command: QueueDelete) -> Reply:
    """Refuse while jobs are there, unless forced; then a sweep takes them and pushes are refused meanwhile."""
    queue = state.existing(tx, command.queue)
    if queue.deleting:
        raise Conflict("INVALID_STATE", f"Queue '{queue.name}' is being deleted", {"field": "queue"})
    ownership.require(Ownership() if queue.row is None else queue.row.ownership, command)
    held = queue.jobs
    if held and not command.force:
        details = msgspec.to_builtins(counts(queue.counters))
        raise Conflict("QUEUE_NOT_EMPTY", f"Queue '{queue.name}' still holds {held} jobs", {"counts": details})
    sweep_id = tx.ids(1)[0]
    before = queue.row or QueueRow(msgspec.json.encode(QueueSettings()), tx.now_ms)
    row = rows.changed(before, deleting=sweep_id)
    tx.rows[keys.settings(queue.part)] = rows.encode(row)
    queue.set_row(row)
    sweep = SweepRow("delete", queue.name, "running", 0, 0, b"", cutoff_ms=tx.now_ms)
    sweep = sweeps.step(state, tx, sweep, sweeps.step_size(sweep))
    if sweep.state == "done":
        return BulkDone(matched=sweep.matched, moved=sweep.moved, sweep=None)
    sweeps.keep(state, tx, sweep_id, sweep)
    return BulkDone(matched=sweep.matched, moved=sweep.moved, sweep=id_text(sweep_id))
