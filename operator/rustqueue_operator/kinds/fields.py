"""Fields that several kinds share, with the bounds and CEL rules that the API server checks.

Invariants: every text, list and map has an upper bound, because the API server adds up what each rule could cost; no
field has a default that is written back, so that `kubectl apply` and GitOps tools never see a difference of our making.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from rustqueue.model import limits

KUBERNETES_NAME_MAX: Final = 253
LABELS_MAX: Final = 32
ITEMS_MAX: Final = 64
SECONDS_MAX: Final = limits.DURATION_MS_MAX // 1_000
LEASE_SECONDS_MAX: Final = limits.LEASE_MS_MAX // 1_000

RULES: Final = "x-kubernetes-validations"


def rule(expression: str, message: str) -> dict[str, Any]:
    return {"rule": expression, "message": message}


def fixed(*fields: str) -> list[dict[str, Any]]:
    """Rules for fields that stand once the object is there. An optional one may not come or go either."""
    return [
        rule(
            f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
            f"{field} is immutable: make a new object instead",
        )
        for field in fields
    ]


Seconds = Annotated[int, Meta(ge=0, le=SECONDS_MAX)]
PositiveSeconds = Annotated[int, Meta(ge=1, le=SECONDS_MAX)]
LeaseSeconds = Annotated[int, Meta(ge=1, le=LEASE_SECONDS_MAX)]
Count = Annotated[int, Meta(ge=0, le=limits.COUNT_MAX)]
Positive = Annotated[int, Meta(ge=1, le=limits.COUNT_MAX)]
BackendName = Annotated[str, Meta(min_length=1, max_length=limits.QUEUE_NAME_BYTES_MAX, pattern="^[A-Za-z0-9._-]+$")]
KubernetesName = Annotated[str, Meta(min_length=1, max_length=KUBERNETES_NAME_MAX)]
LabelValue = Annotated[str, Meta(max_length=256)]
Labels = Annotated[dict[str, LabelValue], Meta(max_length=LABELS_MAX)]
Time = Annotated[str, Meta(max_length=64, extra_json_schema={"format": "date-time"})]

Priority = Annotated[int, Meta(ge=limits.PRIORITY_MIN, le=limits.PRIORITY_MAX)]
Attempts = Annotated[int, Meta(ge=0, le=limits.ATTEMPTS_MAX)]
Tag = Annotated[str, Meta(min_length=1, max_length=limits.TAG_BYTES_MAX)]
Tags = Annotated[list[Tag], Meta(max_length=limits.TAGS_MAX)]
GroupId = Annotated[str, Meta(min_length=1, max_length=limits.GROUP_ID_BYTES_MAX)]

DeletionPolicy = Literal["Retain", "Delete", "DeleteIfEmpty"]
ManagementPolicy = Literal["Manage", "Observe"]
Adoption = Literal["Never", "IfIdentical", "Always"]


class ClusterRef(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The ConfigMap that a release of the chart makes for its cluster."""

    name: Annotated[KubernetesName, Meta(description="Name of the cluster's ConfigMap.")]
    namespace: Annotated[
        KubernetesName | None, Meta(description="Its namespace; left out, the one of this object.")
    ] = None


class SecretKeyRef(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A key of a Secret in the same namespace; the Secret must carry the label rustqueue.io/use: "true"."""

    name: Annotated[KubernetesName, Meta(description="Name of the Secret.")]
    key: Annotated[
        str, Meta(min_length=1, max_length=KUBERNETES_NAME_MAX, description="Key in it whose value is used.")
    ]


class Declared(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What every kind has: where the object lives, what it is called there, and what the operator may do with it."""

    cluster_ref: Annotated[
        ClusterRef | None,
        Meta(description="The cluster; left out, the one of this namespace, else the operator's default. Immutable."),
    ] = None
    name: Annotated[
        BackendName | None, Meta(description="Name in the cluster; left out, metadata.name. Immutable.")
    ] = None
    labels: Annotated[Labels | None, Meta(description="Labels that the cluster keeps with it.")] = None
    deletion_policy: Annotated[
        DeletionPolicy | None,
        Meta(description="What deleting this object does in the cluster; left out, DeleteIfEmpty."),
    ] = None
    management_policy: Annotated[
        ManagementPolicy | None,
        Meta(description="Observe only reports differences and changes nothing; left out, Manage."),
    ] = None
    adopt: Annotated[
        Adoption | None,
        Meta(description="Whether something that is there already is taken over; left out, IfIdentical."),
    ] = None


class Backoff(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The pause between two tries of a job."""

    type: Annotated[
        Literal["Fixed", "Linear", "Exponential", "DecorrelatedJitter"] | None,
        Meta(description="How the pause grows from try to try."),
    ] = None
    delay_seconds: Annotated[Seconds | None, Meta(description="The first pause.")] = None
    max_delay_seconds: Annotated[Seconds | None, Meta(description="No pause is longer.")] = None


class JobDefaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Options of a job, as far as they make sense for many jobs."""

    priority: Annotated[Priority | None, Meta(description="Higher ones are pulled first.")] = None
    max_attempts: Annotated[Attempts | None, Meta(description="Tries before the job is dead.")] = None
    backoff: Backoff | None = None
    delay_seconds: Annotated[Seconds | None, Meta(description="How long the job waits before its first try.")] = None
    timeout_seconds: Annotated[Seconds | None, Meta(description="How long one try may take; 0 for no limit.")] = None
    ttl_seconds: Annotated[Seconds | None, Meta(description="A job that was not started within this time is dead.")] = (
        None
    )
    lease_seconds: Annotated[
        LeaseSeconds | None, Meta(description="How long its worker may be silent before the job goes to another.")
    ] = None
    tags: Annotated[Tags | None, Meta(description="Words by which jobs are found.")] = None
    group_id: Annotated[GroupId | None, Meta(description="Groups take turns; limits.groupConcurrency bounds each.")] = (
        None
    )
    last_in_first_out: Annotated[
        bool | None, Meta(description="Of jobs with the same priority the newest is pulled first.")
    ] = None
    remove_on_complete: Annotated[bool | None, Meta(description="A job that completed is not kept.")] = None
    remove_on_fail: Annotated[bool | None, Meta(description="A job that is dead is not kept.")] = None
    on_parent_failure: Annotated[
        Literal["Cascade", "Ignore", "Continue"] | None,
        Meta(
            description="When a job that this one waits for fails: Cascade, it is dead too; Ignore, it waits for the"
            " others only; Continue, it is ready at once. Left out, Cascade."
        ),
    ] = None


def milliseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1_000


def snake(word: str) -> str:
    """`DecorrelatedJitter` as the API spells it."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in word).lstrip("_")


def options_of(defaults: JobDefaults | None) -> dict[str, Any]:
    """The push options of the API."""
    if defaults is None:
        return {}
    backoff = defaults.backoff or Backoff()
    return {
        "priority": defaults.priority,
        "max_attempts": defaults.max_attempts,
        "backoff": None if backoff.type is None else snake(backoff.type),
        "backoff_delay_ms": milliseconds(backoff.delay_seconds),
        "max_backoff_ms": milliseconds(backoff.max_delay_seconds),
        "delay_ms": milliseconds(defaults.delay_seconds),
        "timeout_ms": milliseconds(defaults.timeout_seconds),
        "ttl_ms": milliseconds(defaults.ttl_seconds),
        "lease_ms": milliseconds(defaults.lease_seconds),
        "tags": defaults.tags,
        "group_id": defaults.group_id,
        "lifo": defaults.last_in_first_out,
        "remove_on_complete": defaults.remove_on_complete,
        "remove_on_fail": defaults.remove_on_fail,
        "on_parent_failure": None if defaults.on_parent_failure is None else snake(defaults.on_parent_failure),
    }


def same_time(text: str) -> str:
    """One spelling of a moment, whatever its zone and fraction. What is no time is left to the cluster to refuse."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment.tzinfo is not None else text


def tidy(value: Any) -> Any:
    """Without the keys that say nothing, so that what was left out and what is null compare equal."""
    if not isinstance(value, dict):
        return value
    kept = {key: tidy(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item is not None and item != {} and item != []}
