"""Schedules: what clients define, what they see, and the verbs in between (contract A13, decisions A19).

When a schedule runs is arithmetic on calendars and zones and does not stand here (`rustqueue.cron`); what a run does is
the machine's.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rustqueue.model import limits
from rustqueue.model.jobs import Count, JobOptions, NameText, Owner, QueueText
from rustqueue.model.requests import CursorText, Declaring, Guarded, Reading, Request, Write

ScheduleText = Annotated[str, Meta(min_length=1, max_length=limits.SCHEDULE_NAME_BYTES_MAX)]
CronText = Annotated[str, Meta(min_length=1, max_length=limits.CRON_BYTES_MAX)]
ZoneText = Annotated[str, Meta(min_length=1, max_length=limits.ZONE_BYTES_MAX)]
EveryMs = Annotated[int, Meta(ge=1, le=limits.DURATION_MS_MAX)]
JitterMs = Annotated[int, Meta(ge=0, le=limits.SCHEDULE_JITTER_MS_MAX)]
MissedPolicy = Literal["skip", "once", "all"]
OverlapPolicy = Literal["allow", "skip"]
RunOutcome = Literal["pushed", "refused", "overlapped", "missed"]


class ScheduleFields(Declaring, frozen=True, kw_only=True):
    """What a schedule is made of. Exactly one of `cron_expr` and `every_ms` is given."""

    name: ScheduleText
    queue: QueueText
    job_name: NameText
    job_data: Raw | UnsetType = UNSET
    job_options: JobOptions | None = None
    cron_expr: CronText | None = None
    every_ms: EveryMs | None = None
    timezone: ZoneText | None = None
    jitter_ms: JitterMs = 0
    missed: MissedPolicy = "once"
    overlap: OverlapPolicy = "allow"
    starts_at: str | None = None
    ends_at: str | None = None
    max_executions: Count | None = None
    paused: bool | None = None
    reset: bool = False


class ScheduleCreate(ScheduleFields, frozen=True, kw_only=True, tag="schedule_create"):
    """Create a schedule or replace the one of that name; its counters go on unless `reset`."""


class SchedulePut(ScheduleFields, frozen=True, kw_only=True, tag="schedule_put"):
    """As `schedule_create`; the answer tells whether the schedule is new. `paused` absent keeps what is."""


class ScheduleDelete(Guarded, frozen=True, kw_only=True, tag="schedule_delete"):
    """Delete a schedule and the history of its runs. Its jobs stay."""

    name: ScheduleText


class SchedulePause(Write, frozen=True, kw_only=True, tag="schedule_pause"):
    """Run it no more until it is resumed."""

    name: ScheduleText


class ScheduleResume(Write, frozen=True, kw_only=True, tag="schedule_resume"):
    """Run it again from now on; what fell into the pause is not made up."""

    name: ScheduleText


class ScheduleRun(Write, frozen=True, kw_only=True, tag="schedule_run"):
    """Push its job now, paused or not, beside its timetable."""

    name: ScheduleText


class Firing(Struct, frozen=True, array_like=True, gc=False):
    """Ticks of one schedule that are due, as the leader saw them: they count only if nothing has changed since `turn`.

    `ticks` are to run, in order; `missed` more are not, the last of them at `missed_at`. `until` is the last of all.
    """

    name: str
    turn: int
    ticks: list[int]
    until: int
    missed: int = 0
    missed_at: int = 0
    refused: str | None = None
    """Why the job may not be pushed, when the leader found that out."""


class ScheduleFire(Request, frozen=True, kw_only=True, tag="!schedule_fire"):
    """Internal: these schedules are due. Proposed by the leader only; the reply says how many firings counted."""

    firings: list[Firing]


ScheduleCommand = ScheduleCreate | SchedulePut | ScheduleDelete | SchedulePause | ScheduleResume | ScheduleRun
"""What clients may send."""


class ScheduleGet(Reading, frozen=True, kw_only=True, tag="schedule_get"):
    """One schedule, with its next runs."""

    name: ScheduleText


class ScheduleList(Reading, frozen=True, kw_only=True, tag="schedule_list"):
    """All schedules by name, paused ones too. More than `limit`, or much payload, come in pages."""

    cursor: CursorText | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.LIST_LIMIT_MAX)] = limits.LIST_LIMIT_MAX


class ScheduleRuns(Reading, frozen=True, kw_only=True, tag="schedule_runs"):
    """What became of its latest ticks, latest first."""

    name: ScheduleText
    limit: Annotated[int, Meta(ge=1, le=limits.SCHEDULE_RUNS_MAX)] = limits.LIST_LIMIT_DEFAULT


ScheduleQuery = ScheduleGet | ScheduleList | ScheduleRuns


class Schedule(Struct, frozen=True, kw_only=True, gc=False):
    """A schedule as answers show it. Times are RFC 3339 UTC.

    Intervals are counted from `counted_from`; every tick up to `decided_until` has been dealt with, so that the next
    runs follow from what is shown here and the rules of `timezone`.
    """

    name: str
    queue: str
    job_name: str
    job_data: Raw
    job_options: JobOptions | None
    cron_expr: str | None
    every_ms: int | None
    timezone: str | None
    jitter_ms: int
    missed: MissedPolicy
    overlap: OverlapPolicy
    starts_at: str | None
    ends_at: str | None
    max_executions: int | None
    execution_count: int
    paused: bool
    last_run_at: str | None
    last_job_id: str | None
    next_run_at: str | None
    next_runs: list[str]
    counted_from: str
    decided_until: str
    created_at: str
    updated_at: str
    labels: dict[str, str]
    owner: Owner | None
    revision: int


class Run(Struct, frozen=True, kw_only=True, gc=False):
    """One line of the history. `scheduled_at` is null for a run that a client asked for; `ticks` is above 1 when one
    line stands for several missed ticks, `scheduled_at` then being the last of them.
    """

    number: int
    scheduled_at: str | None
    at: str
    outcome: RunOutcome
    job_id: str | None
    error: str | None
    ticks: int


class Timing(Struct, frozen=True, kw_only=True, gc=False):
    """What the next run depends on: only ticks behind `after_ms` count, and intervals are counted from `anchor_ms`."""

    name: str
    cron_expr: str | None
    every_ms: int | None
    timezone: str | None
    jitter_ms: int
    ends_ms: int | None
    anchor_ms: int
    after_ms: int


class Standing(Struct, frozen=True, kw_only=True, gc=False):
    """A schedule as the one sees it who makes it run. `turn` changes with every change of it."""

    timing: Timing
    turn: int
    missed: MissedPolicy
    queue: str
    job_bytes: int
