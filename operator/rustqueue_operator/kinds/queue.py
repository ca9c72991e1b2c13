"""`Queue`: the settings of one queue. Which mode it is in is only managed if the object says so: leaving `mode` out
leaves pausing to people and their tools.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rustqueue_operator.kinds.fields import (
    Count,
    Declared,
    JobDefaults,
    LeaseSeconds,
    Positive,
    PositiveSeconds,
    Seconds,
    milliseconds,
    options_of,
    snake,
    tidy,
)


class Rate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """At most `count` jobs in `perSeconds`."""

    count: Annotated[Positive, Meta(description="How many jobs.")]
    per_seconds: Annotated[PositiveSeconds, Meta(description="In how many seconds.")]


class QueueLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What the cluster holds producers and workers of this queue to."""

    rate: Rate | None = None
    concurrency: Annotated[Positive | None, Meta(description="Jobs of the queue that workers hold at a time.")] = None
    group_concurrency: Annotated[Positive | None, Meta(description="The same for the jobs of each group.")] = None
    max_waiting: Annotated[Count | None, Meta(description="Pushes are refused while so many jobs wait.")] = None


class Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How long and how many finished jobs are kept."""

    age_seconds: Annotated[Seconds | None, Meta(description="How long they are kept.")] = None
    count: Annotated[Count | None, Meta(description="How many are kept at most.")] = None


class Retention(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """By outcome; what is left out follows the node's configuration."""

    completed: Kept | None = None
    dlq: Kept | None = None
    cancelled: Kept | None = None


class QueueSpec(Declared, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A queue and its settings."""

    mode: Annotated[
        Literal["Normal", "Reject", "Hold", "Both"] | None,
        Meta(description="Reject refuses pushes, Hold hands nothing out, Both does both; left out, it is not managed."),
    ] = None
    defaults: Annotated[JobDefaults | None, Meta(description="Options of jobs that do not say otherwise.")] = None
    limits: QueueLimits | None = None
    retention: Retention | None = None
    lease_seconds: Annotated[
        LeaseSeconds | None, Meta(description="How long a worker may be silent before its job goes to another.")
    ] = None
    payload_schema: Annotated[
        dict[str, Any] | None,
        Meta(
            description="JSON Schema that payloads must meet.",
            extra_json_schema={"x-kubernetes-preserve-unknown-fields": True},
        ),
    ] = None


def request_body(spec: QueueSpec) -> dict[str, Any]:
    """What PUT /queues/{name} is sent."""
    limits = spec.limits or QueueLimits()
    retention = spec.retention or Retention()
    rate = limits.rate
    body = {
        "defaults": options_of(spec.defaults),
        "limits": {
            "rate": None if rate is None else {"count": rate.count, "per_ms": milliseconds(rate.per_seconds)},
            "concurrency": limits.concurrency,
            "group_concurrency": limits.group_concurrency,
            "max_waiting": limits.max_waiting,
        },
        "retention": {
            "completed": _kept(retention.completed),
            "dlq": _kept(retention.dlq),
            "cancelled": _kept(retention.cancelled),
        },
        "lease_ms": milliseconds(spec.lease_seconds),
        "mode": None if spec.mode is None else snake(spec.mode),
        "labels": spec.labels,
    }
    # A schema is the user's own document: an empty list in it may mean something.
    schema = {} if spec.payload_schema is None else {"payload_schema": spec.payload_schema}
    return {**tidy(body), **schema}


def settings_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The same shape out of the answer to GET /queues/{name}."""
    settings = dict(answer.get("settings") or {})
    schema = settings.pop("payload_schema", None)
    settings["mode"] = answer.get("mode", "normal")
    settings["labels"] = answer.get("labels")
    return {**tidy(settings), **({} if schema is None else {"payload_schema": schema})}


def _kept(kept: Kept | None) -> dict[str, Any]:
    return {} if kept is None else {"age_ms": milliseconds(kept.age_seconds), "count": kept.count}
