"""What clients do to schedules: define, delete, pause, resume, run now (contract A13, decisions A19).

It must not know when a schedule runs. Invariants: a refused command writes nothing; every change that matters to the
one who plans the runs raises the turn, so that what was planned before it does not count.
"""

from typing import Final

import msgspec
from msgspec import UNSET

from rustqueue.machine import rows as job_rows
from rustqueue.machine.schedules import rows
from rustqueue.machine.schedules.firing import push_job
from rustqueue.machine.schedules.rows import DefinitionRow, RunRow, Stored, TimetableRow
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import ownership
from rustqueue.model import limits
from rustqueue.model.errors import NotFound, ValidationFailed
from rustqueue.model.events import SchedulesChanged
from rustqueue.model.jobs import JobOptions
from rustqueue.model.replies import Done, OneSchedule, Reply, ScheduleCreated, ScheduleRan, ScheduleReplaced
from rustqueue.model.schedules import (
    ScheduleCreate,
    ScheduleDelete,
    SchedulePause,
    SchedulePut,
    ScheduleResume,
    ScheduleRun,
)
from rustqueue.model.wire import parse_time

_TIMING: Final = ("cron_expr", "every_ms", "timezone", "starts_ms")


def define(state: State, tx: Tx, command: ScheduleCreate | SchedulePut) -> Reply:
    """Create or replace. Counters, history and, where the timing is the same, the timetable go on unless `reset`."""
    before = rows.find(tx, command.name)
    ownership.require(None if before is None else before.definition.ownership, command)
    if before is None and state.meta.schedules >= limits.SCHEDULES_MAX:
        raise ValidationFailed(f"there are {limits.SCHEDULES_MAX} schedules", "name", limit=limits.SCHEDULES_MAX)
    if not state.defaults.auto_create and state.queue(tx, command.queue) is None:
        raise NotFound.queue(command.queue)
    definition = _definition(tx, before, command)
    table = _table(tx, before, definition, command)
    if before is None or (definition, table) != (before.definition, before.table):
        definition = job_rows.changed(definition, ownership=ownership.risen(definition.ownership))
        table = job_rows.changed(table, turn=tx.index, updated_at=tx.now_ms)
        rows.put_definition(tx, command.name, definition)
        rows.put_table(tx, command.name, table)
        tx.events.append(SchedulesChanged([command.name]))
    state.meta.schedules += before is None
    shown = rows.shown(Stored(command.name, definition, table))
    if isinstance(command, SchedulePut):
        return ScheduleReplaced(schedule=shown, created=before is None)
    return ScheduleCreated(schedule=shown)


def _definition(tx: Tx, before: Stored | None, command: ScheduleCreate | SchedulePut) -> DefinitionRow:
    options = command.job_options
    return DefinitionRow(
        command.queue,
        command.job_name,
        b"{}" if command.job_data is UNSET else bytes(command.job_data),
        None if options is None or options == JobOptions() else msgspec.json.encode(options),
        command.cron_expr,
        command.every_ms,
        command.timezone,
        command.jitter_ms,
        rows.missed_code(command.missed),
        rows.overlap_code(command.overlap),
        parse_time(command.starts_at, "starts_at"),
        parse_time(command.ends_at, "ends_at"),
        command.max_executions,
        tx.now_ms if before is None else before.definition.created_at,
        ownership.declared(None if before is None else before.definition.ownership, command),
    )


def _table(
    tx: Tx, before: Stored | None, definition: DefinitionRow, command: ScheduleCreate | SchedulePut
) -> TimetableRow:
    """The timetable begins anew when the timing is another one."""
    table = None if before is None else before.table
    if before is None or table is None or _timing_of(before.definition) != _timing_of(definition) or command.reset:
        anchor_ms = tx.now_ms if definition.starts_ms is None else definition.starts_ms
        # The first run of an interval may be now, that of a calendar is its next match.
        after_ms = max(tx.now_ms - (definition.every_ms is not None), (definition.starts_ms or 0) - 1)
        kept = (None, 0) if table is None or command.reset else (table.last_run_at, table.execution_count)
        table = TimetableRow(
            tx.index,
            tx.now_ms if table is None else table.updated_at,
            anchor_ms,
            after_ms,
            0 if table is None or command.reset else table.stopped,
            last_run_at=kept[0],
            execution_count=kept[1],
            last_job=None if table is None else table.last_job,
            runs=0 if table is None else table.runs,
        )
    stopped = table.stopped
    if stopped == rows.EXHAUSTED:
        stopped = 0
    if command.paused is not None:
        stopped = rows.PAUSED if command.paused else 0
    if not stopped and table.stopped:
        table = _from_now(tx, table)
    if not stopped and is_exhausted(definition, table.execution_count):
        stopped = rows.EXHAUSTED
    return job_rows.changed(table, stopped=stopped)


def _timing_of(definition: DefinitionRow) -> list[object]:
    return [getattr(definition, name) for name in _TIMING]


def _from_now(tx: Tx, table: TimetableRow) -> TimetableRow:
    """What fell into a pause is not made up."""
    return job_rows.changed(table, after_ms=max(table.after_ms, tx.now_ms))


def is_exhausted(definition: DefinitionRow, execution_count: int) -> bool:
    return definition.max_executions is not None and execution_count >= definition.max_executions


def delete(state: State, tx: Tx, command: ScheduleDelete) -> Reply:
    """An unknown name is fine (contract A4), unless the command says what it must be."""
    found = rows.find(tx, command.name)
    ownership.require(None if found is None else found.definition.ownership, command)
    if found is not None:
        rows.remove(tx, found)
        state.meta.schedules -= 1
        tx.events.append(SchedulesChanged([command.name]))
    return Done()


def pause(state: State, tx: Tx, command: SchedulePause) -> Reply:
    found = rows.existing(tx, command.name)
    if found.table.stopped != rows.PAUSED:
        found = _store(tx, found, job_rows.changed(found.table, stopped=rows.PAUSED))
    return OneSchedule(schedule=rows.shown(found))


def resume(state: State, tx: Tx, command: ScheduleResume) -> Reply:
    found = rows.existing(tx, command.name)
    if found.table.stopped:
        exhausted = is_exhausted(found.definition, found.table.execution_count)
        stopped = rows.EXHAUSTED if exhausted else 0
        if stopped != found.table.stopped:
            found = _store(tx, found, job_rows.changed(_from_now(tx, found.table), stopped=stopped))
    return OneSchedule(schedule=rows.shown(found))


def _store(tx: Tx, found: Stored, table: TimetableRow) -> Stored:
    table = job_rows.changed(table, turn=tx.index, updated_at=tx.now_ms)
    risen = ownership.risen(found.definition.ownership)
    definition = job_rows.changed(found.definition, ownership=risen)
    rows.put_definition(tx, found.name, definition)
    rows.put_table(tx, found.name, table)
    tx.events.append(SchedulesChanged([found.name]))
    return Stored(found.name, definition, table)


def run_now(state: State, tx: Tx, command: ScheduleRun) -> Reply:
    """Push the job beside the timetable, paused or not. What refuses the job refuses the command."""
    found = rows.existing(tx, command.name)
    job_id = push_job(state, tx, found.definition)
    table = found.table
    run = RunRow(tx.now_ms, rows.PUSHED, job=job_id)
    rows.add_run(tx, found.name, table.runs, run)
    count = table.execution_count + 1
    changes: dict[str, object] = {"execution_count": count, "runs": table.runs + 1}
    if not table.stopped and is_exhausted(found.definition, count):
        changes |= {"stopped": rows.EXHAUSTED, "turn": tx.index}
        tx.events.append(SchedulesChanged([found.name]))
    after = job_rows.changed(table, last_run_at=tx.now_ms, last_job=job_id, **changes)
    rows.put_table(tx, found.name, after)
    return ScheduleRan(run=rows.shown_run(table.runs, run))
