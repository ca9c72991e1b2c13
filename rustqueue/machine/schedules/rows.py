"""The rows of schedules, how they are read and written, and what clients see of them.

A definition can be large and is written when a client changes it; the timetable row beside it is small and written with
every run. It must not decide anything.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from rustqueue.machine import keys
from rustqueue.machine.kv import View
from rustqueue.machine.rows import Ownership
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import ownership
from rustqueue.model import limits
from rustqueue.model.commands import NewJob
from rustqueue.model.errors import NotFound
from rustqueue.model.ids import id_text
from rustqueue.model.jobs import JobOptions
from rustqueue.model.replies import OneSchedule
from rustqueue.model.schedules import MissedPolicy, OverlapPolicy, Run, RunOutcome, Schedule, Standing, Timing
from rustqueue.model.times import to_text

PAUSED: Final = 1
EXHAUSTED: Final = 2
"""Paused because `max_executions` was reached; a larger bound brings it back."""

OUTCOMES: Final[tuple[RunOutcome, ...]] = ("pushed", "refused", "overlapped", "missed")
PUSHED: Final = 0
REFUSED: Final = 1
OVERLAPPED: Final = 2
MISSED: Final = 3
_MISSED: Final[tuple[MissedPolicy, ...]] = ("skip", "once", "all")
_OVERLAP: Final[tuple[OverlapPolicy, ...]] = ("allow", "skip")


class DefinitionRow(Struct, array_like=True, frozen=True):
    """A schedule as its client defined it. `job_options` is JSON text; policies are places in their lists."""

    queue: str
    job_name: str
    job_data: bytes
    job_options: bytes | None
    cron_expr: str | None
    every_ms: int | None
    timezone: str | None
    jitter_ms: int
    missed: int
    overlap: int
    starts_ms: int | None
    ends_ms: int | None
    max_executions: int | None
    created_at: int
    ownership: Ownership = Ownership()


class TimetableRow(Struct, array_like=True, gc=False, frozen=True):
    """What became of it. `turn` is the entry of the last change, so that a firing planned before it does not count.

    `runs` counts the lines of history ever written; `stopped` says whether and why it does not run.
    """

    turn: int
    updated_at: int
    anchor_ms: int
    after_ms: int
    stopped: int = 0
    execution_count: int = 0
    last_run_at: int | None = None
    last_job: bytes | None = None
    runs: int = 0


class RunRow(Struct, array_like=True, gc=False, frozen=True):
    """One line of history."""

    at: int
    outcome: int
    tick: int | None = None
    job: bytes | None = None
    error: str | None = None
    ticks: int = 1


class Stored(NamedTuple):
    """Both rows of a schedule."""

    name: str
    definition: DefinitionRow
    table: TimetableRow


_encode = msgspec.msgpack.Encoder().encode
_decode_definition = msgspec.msgpack.Decoder(DefinitionRow).decode
_decode_table = msgspec.msgpack.Decoder(TimetableRow).decode
_decode_run = msgspec.msgpack.Decoder(RunRow).decode
_decode_options = msgspec.json.Decoder(JobOptions).decode


def find(view: View, name: str) -> Stored | None:
    """A schedule by name."""
    part = keys.schedule_part(name)
    definition, table = view.get_many([keys.schedule(part), keys.timetable(part)])
    if definition is None or table is None:
        return None
    return Stored(name, _decode_definition(definition), _decode_table(table))


def existing(view: View, name: str) -> Stored:
    found = find(view, name)
    if found is None:
        raise NotFound.schedule(name)
    return found


def after(view: View, name: str | None, count: int) -> Iterator[Stored]:
    """Schedules by name, from the one behind `name`. They come with their payloads, so few are read at once."""
    start = keys.SCHEDULES if name is None else keys.schedule(keys.schedule_part(name)) + b"\0"
    while count > 0:
        found = view.scan(start, keys.after(keys.SCHEDULES), min(count, _READ_AT_ONCE))
        tables = view.get_many([keys.timetable(key[2:]) for key, _ in found])
        for (key, definition), table in zip(found, tables, strict=True):
            assert table is not None, "a schedule has both rows"
            yield Stored(key[2:-1].decode("utf-8"), _decode_definition(definition), _decode_table(table))
        if len(found) < min(count, _READ_AT_ONCE):
            return
        count -= len(found)
        start = found[-1][0] + b"\0"


_READ_AT_ONCE: Final = 16


def put_definition(tx: Tx, name: str, row: DefinitionRow) -> None:
    tx.rows[keys.schedule(keys.schedule_part(name))] = _encode(row)


def put_table(tx: Tx, name: str, row: TimetableRow) -> None:
    tx.rows[keys.timetable(keys.schedule_part(name))] = _encode(row)


def add_run(tx: Tx, name: str, number: int, row: RunRow) -> None:
    """Write line `number` of the history; the oldest gives way."""
    part = keys.schedule_part(name)
    tx.rows[keys.schedule_run(part, number)] = _encode(row)
    if number >= limits.SCHEDULE_RUNS_MAX:
        tx.rows[keys.schedule_run(part, number - limits.SCHEDULE_RUNS_MAX)] = None


def remove(tx: Tx, stored: Stored) -> None:
    part = keys.schedule_part(stored.name)
    tx.rows[keys.schedule(part)] = tx.rows[keys.timetable(part)] = None
    for number in range(max(0, stored.table.runs - limits.SCHEDULE_RUNS_MAX), stored.table.runs):
        tx.rows[keys.schedule_run(part, number)] = None


def latest_runs(view: View, name: str, limit: int) -> list[Run]:
    """The latest lines of history, latest first."""
    prefix = keys.schedule_runs(keys.schedule_part(name))
    found = view.scan(prefix, prefix + b"\xff" * 9, limit, reverse=True)
    return [_run(int.from_bytes(key[-8:], "big"), _decode_run(value)) for key, value in found]


# What others see.


def shown_run(number: int, row: RunRow) -> Run:
    return _run(number, row)


def _run(number: int, row: RunRow) -> Run:
    return Run(
        number=number + 1,
        scheduled_at=_time(row.tick),
        at=to_text(row.at),
        outcome=OUTCOMES[row.outcome],
        job_id=None if row.job is None else id_text(row.job),
        error=row.error,
        ticks=row.ticks,
    )


def options_of(definition: DefinitionRow) -> JobOptions | None:
    return None if definition.job_options is None else _decode_options(definition.job_options)


def job_of(definition: DefinitionRow) -> NewJob:
    """The job that every run pushes."""
    return NewJob(definition.job_name, definition.job_data, options_of(definition))


def shown(stored: Stored) -> Schedule:
    """As answers show it; the next runs are filled in by whoever knows calendars."""
    definition, table = stored.definition, stored.table
    return Schedule(
        name=stored.name,
        queue=definition.queue,
        job_name=definition.job_name,
        job_data=Raw(definition.job_data),
        job_options=options_of(definition),
        cron_expr=definition.cron_expr,
        every_ms=definition.every_ms,
        timezone=definition.timezone,
        jitter_ms=definition.jitter_ms,
        missed=_MISSED[definition.missed],
        overlap=_OVERLAP[definition.overlap],
        starts_at=_time(definition.starts_ms),
        ends_at=_time(definition.ends_ms),
        max_executions=definition.max_executions,
        execution_count=table.execution_count,
        paused=table.stopped != 0,
        last_run_at=_time(table.last_run_at),
        last_job_id=None if table.last_job is None else id_text(table.last_job),
        next_run_at=None,
        next_runs=[],
        counted_from=to_text(table.anchor_ms),
        decided_until=to_text(table.after_ms),
        created_at=to_text(definition.created_at),
        updated_at=to_text(table.updated_at),
        **ownership.shown(definition.ownership),
    )


_ReplyT = TypeVar("_ReplyT", bound=OneSchedule)


def emptied(reply: _ReplyT) -> _ReplyT:
    """A reply without its payload, to be remembered."""
    schedule = msgspec.structs.replace(reply.schedule, job_data=Raw(b"null"), job_options=None)
    return msgspec.structs.replace(reply, schedule=schedule)


def refilled(view: View, reply: _ReplyT) -> _ReplyT:
    """The same reply again, with the payload that the schedule has now."""
    found = find(view, reply.schedule.name)
    if found is None:
        return reply
    data, options = Raw(found.definition.job_data), options_of(found.definition)
    schedule = msgspec.structs.replace(reply.schedule, job_data=data, job_options=options)
    return msgspec.structs.replace(reply, schedule=schedule)


def standing(stored: Stored) -> Standing | None:
    """What makes it run, None for one that is paused."""
    definition, table = stored.definition, stored.table
    if table.stopped:
        return None
    timing = Timing(
        name=stored.name,
        cron_expr=definition.cron_expr,
        every_ms=definition.every_ms,
        timezone=definition.timezone,
        jitter_ms=definition.jitter_ms,
        ends_ms=definition.ends_ms,
        anchor_ms=table.anchor_ms,
        after_ms=table.after_ms,
    )
    return Standing(
        timing=timing,
        turn=table.turn,
        missed=_MISSED[definition.missed],
        queue=definition.queue,
        job_bytes=len(definition.job_data) + len(definition.job_options or b""),
    )


def missed_code(policy: MissedPolicy) -> int:
    return _MISSED.index(policy)


def overlap_code(policy: OverlapPolicy) -> int:
    return _OVERLAP.index(policy)


def forbids_overlap(definition: DefinitionRow) -> bool:
    return _OVERLAP[definition.overlap] == "skip"


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else to_text(at_ms)
