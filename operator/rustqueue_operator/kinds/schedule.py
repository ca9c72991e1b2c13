"""`Schedule`: jobs that are pushed at times. Where the meaning is that of a CronJob, so is the name of the field.

Whether it is suspended is only managed if the object says so: a schedule is also paused when it has had its runs.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rustqueue.model import limits
from rustqueue_operator.kinds.fields import (
    BackendName,
    Declared,
    JobDefaults,
    Positive,
    PositiveSeconds,
    Seconds,
    Time,
    milliseconds,
    options_of,
    same_time,
    snake,
    tidy,
)

Cron = Annotated[str, Meta(min_length=1, max_length=256)]
Zone = Annotated[str, Meta(min_length=1, max_length=64)]


class JobTemplate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The job that each run pushes."""

    name: Annotated[str, Meta(min_length=1, max_length=limits.NAME_BYTES_MAX, description="Name of the job.")]
    data: Annotated[
        Any,
        Meta(description="Payload, any JSON value.", extra_json_schema={"x-kubernetes-preserve-unknown-fields": True}),
    ] = None
    options: JobDefaults | None = None


class ScheduleSpec(Declared, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """When and what to push: exactly one of cron and everySeconds."""

    queue: Annotated[BackendName, Meta(description="Name of the queue in the cluster.")]
    job_template: JobTemplate
    cron: Annotated[Cron | None, Meta(description="Five fields, or six with seconds first, or as @daily.")] = None
    every_seconds: Annotated[PositiveSeconds | None, Meta(description="Time from one run to the next.")] = None
    time_zone: Annotated[Zone | None, Meta(description="IANA name; left out, UTC. Only with cron.")] = None
    suspend: Annotated[bool | None, Meta(description="Left out, pausing is not managed.")] = None
    jitter_seconds: Annotated[Seconds | None, Meta(description="Spreads runs over so many seconds.")] = None
    overlap_policy: Annotated[
        Literal["Allow", "Forbid"] | None,
        Meta(description="Forbid skips a run while the job of the last one is not finished; left out, Allow."),
    ] = None
    missed_run_policy: Annotated[
        Literal["Skip", "Once", "All"] | None,
        Meta(description="What happens to runs that nobody was there for; left out, Once."),
    ] = None
    start_time: Annotated[Time | None, Meta(description="There is no run before it.")] = None
    end_time: Annotated[Time | None, Meta(description="There is no run after it.")] = None
    max_runs: Annotated[Positive | None, Meta(description="After so many runs it is paused.")] = None


_OVERLAPS = {"Allow": "allow", "Forbid": "skip"}
_WRITTEN = (
    "queue",
    "job_name",
    "job_data",
    "job_options",
    "cron_expr",
    "every_ms",
    "timezone",
    "jitter_ms",
    "overlap",
    "missed",
    "starts_at",
    "ends_at",
    "max_executions",
    "paused",
    "labels",
)
# What the API answers where nothing was said.
_DEFAULTS = {"overlap": "allow", "missed": "once", "jitter_ms": 0, "timezone": "UTC"}
_TIMES = ("starts_at", "ends_at")
_RUNS = ("every_ms", "cron_expr", "last_run_at", "next_run_at", "next_runs", "last_job_id", "execution_count")


def request_body(spec: ScheduleSpec) -> dict[str, Any]:
    """What PUT /schedules/{name} is sent."""
    body = {
        "queue": spec.queue,
        "job_name": spec.job_template.name,
        "job_options": options_of(spec.job_template.options),
        "cron_expr": spec.cron,
        "every_ms": milliseconds(spec.every_seconds),
        "timezone": spec.time_zone,
        "jitter_ms": milliseconds(spec.jitter_seconds),
        "overlap": None if spec.overlap_policy is None else _OVERLAPS[spec.overlap_policy],
        "missed": None if spec.missed_run_policy is None else snake(spec.missed_run_policy),
        "starts_at": spec.start_time,
        "ends_at": spec.end_time,
        "max_executions": spec.max_runs,
        "paused": spec.suspend,
        "labels": spec.labels,
    }
    return _usual({**body, "job_data": spec.job_template.data})


def settings_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The same shape out of the answer to GET /schedules/{name}."""
    schedule = answer.get("schedule") or {}
    return _usual({key: schedule.get(key) for key in _WRITTEN})


def activity_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Its runs, in the words of the API."""
    schedule = answer.get("schedule") or {}
    return {key: schedule.get(key) for key in _RUNS}


def _usual(body: dict[str, Any]) -> dict[str, Any]:
    """Without what is the default anyway. The payload stays as it is: an empty list in it is a value."""
    data = body.get("job_data")
    body = {**body, **{key: same_time(body[key]) for key in _TIMES if body.get(key) is not None}}
    kept = tidy({key: value for key, value in body.items() if key != "job_data"})
    kept = {key: value for key, value in kept.items() if key not in _DEFAULTS or value != _DEFAULTS[key]}
    return kept if data in (None, {}) else {**kept, "job_data": data}
