"""The verbs about schedules; methods of the same names on the clients."""

from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Unpack

import msgspec
from msgspec import Raw, Struct, field

from rustqueue.client.call import Call, nothing, reader, whole
from rustqueue.client.calls.jobs import PushOptions, options_for_wire
from rustqueue.client.calls.queues import Declaration
from rustqueue.client.errors import misfit
from rustqueue.model import schedules
from rustqueue.model.jobs import JobOptions, Owner
from rustqueue.model.schedules import MissedPolicy, OverlapPolicy

_NULL = Raw(b"null")


class ScheduleOptions(Declaration, total=False):
    """When it runs: exactly one of `cron_expr` and `every_ms`; how its job is pushed: `job_options`.

    `missed` says what becomes of runs that nobody could start in time, `overlap` whether runs may overlap.
    `reset` starts the counters anew; `paused` left out keeps what is.
    """

    cron_expr: str
    every_ms: int
    timezone: str
    jitter_ms: int
    missed: MissedPolicy
    overlap: OverlapPolicy
    starts_at: str | datetime
    ends_at: str | datetime
    max_executions: int
    job_options: PushOptions
    paused: bool
    reset: bool


class Schedule(Struct, dict=True, kw_only=True):
    """A schedule as the node tells it. Times are RFC 3339 text in UTC."""

    name: str
    queue: str
    job_name: str
    raw_job_data: Raw = field(name="job_data", default=_NULL)
    job_options: JobOptions | None = None
    cron_expr: str | None = None
    every_ms: int | None = None
    timezone: str | None = None
    jitter_ms: int = 0
    missed: str = "once"
    overlap: str = "allow"
    starts_at: str | None = None
    ends_at: str | None = None
    max_executions: int | None = None
    execution_count: int = 0
    paused: bool = False
    last_run_at: str | None = None
    last_job_id: str | None = None
    next_run_at: str | None = None
    next_runs: list[str] = []
    counted_from: str | None = None
    decided_until: str | None = None
    created_at: str = ""
    updated_at: str = ""
    labels: dict[str, str] = {}
    owner: Owner | None = None
    revision: int = 0

    def __repr__(self) -> str:
        return f"Schedule(name={self.name!r}, queue={self.queue!r}, next_run_at={self.next_run_at!r})"

    @cached_property
    def job_data(self) -> Any:
        """The payload that its jobs get."""
        return msgspec.json.decode(self.raw_job_data)


class ScheduleRun(Struct, frozen=True, kw_only=True):
    """One line of the history: `outcome` is `pushed`, `refused`, `overlapped` or `missed`. `scheduled_at` is None for a
    run that somebody asked for; `ticks` counts the missed runs that the line stands for.
    """

    number: int
    at: str
    outcome: str
    scheduled_at: str | None = None
    job_id: str | None = None
    error: str | None = None
    ticks: int = 1


class SchedulePage(Struct, frozen=True):
    schedules: list[Schedule]
    next_cursor: str | None = None


class _One(Struct, frozen=True):
    schedule: Schedule


class _Runs(Struct, frozen=True):
    runs: list[ScheduleRun]


class _Ran(Struct, frozen=True):
    run: ScheduleRun


_read_one = reader(_One, lambda answer: answer.schedule)
_read_runs = reader(_Runs, lambda answer: answer.runs)
_read_ran = reader(_Ran, lambda answer: answer.run)
_read_page = whole(SchedulePage)


def create_schedule(
    name: str, queue: str, job_name: str, job_data: Any = None, **options: Unpack[ScheduleOptions]
) -> Call[Schedule]:
    """Create a schedule or replace the one of that name; its counters go on unless `reset`."""
    return _defined(schedules.ScheduleCreate, {"name": name, "queue": queue, "job_name": job_name}, job_data, options)


def put_schedule(
    name: str, queue: str, job_name: str, job_data: Any = None, **options: Unpack[ScheduleOptions]
) -> Call[Schedule]:
    """As `create_schedule`, by the verb that programs use which declare what there shall be."""
    return _defined(schedules.SchedulePut, {"name": name, "queue": queue, "job_name": job_name}, job_data, options)


def _defined(
    kind: type[schedules.ScheduleCreate | schedules.SchedulePut],
    fields: dict[str, Any],
    job_data: Any,
    options: ScheduleOptions,
) -> Call[Schedule]:
    given: dict[str, Any] = {name: _time(value) for name, value in options.items()}
    try:
        if given.get("job_options") is not None:
            given["job_options"] = JobOptions(**options_for_wire(given["job_options"]))
        if "owner" in given:
            given["owner"] = msgspec.convert(given["owner"], Owner | None)
        request = kind(**fields, job_data=Raw(msgspec.json.encode(job_data)), **given)
    except (msgspec.ValidationError, TypeError) as error:
        raise misfit(error) from error
    again: Literal["free", "keyed"] = "free" if request.if_match is None and not request.reset else "keyed"
    return Call(request, _read_one, repeat=again)


def _time(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def get_schedule(name: str) -> Call[Schedule]:
    """One schedule, with its next runs."""
    return Call(schedules.ScheduleGet(name=name), _read_one)


def list_schedules(*, limit: int = 1_000, cursor: str | None = None) -> Call[SchedulePage]:
    """One page of schedules by name."""
    return Call(schedules.ScheduleList(limit=limit, cursor=cursor), _read_page)


def delete_schedule(name: str, *, if_match: int | None = None, if_owner: str | None = None) -> Call[None]:
    """Delete a schedule and its history. One that is not there is fine."""
    request = schedules.ScheduleDelete(name=name, if_match=if_match, if_owner=if_owner)
    return Call(request, nothing, repeat="free" if if_match is None else "keyed")


def pause_schedule(name: str) -> Call[Schedule]:
    """Run it no more until it is resumed."""
    return Call(schedules.SchedulePause(name=name), _read_one)


def resume_schedule(name: str) -> Call[Schedule]:
    """Run it again from now on; what fell into the pause is not made up."""
    return Call(schedules.ScheduleResume(name=name), _read_one)


def run_schedule(name: str) -> Call[ScheduleRun]:
    """Push its job now, paused or not, beside its timetable."""
    return Call(schedules.ScheduleRun(name=name), _read_ran, repeat="keyed")


def schedule_runs(name: str, *, limit: int = 50) -> Call[list[ScheduleRun]]:
    """What became of its latest ticks, latest first."""
    return Call(schedules.ScheduleRuns(name=name, limit=limit), _read_runs)
