"""The status of every kind. It changes slowly: how deep a queue is belongs to the metrics, not here, and what runs or
is delivered is told as seldom as `planning.activity` says.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from rustqueue_operator.kinds.fields import ITEMS_MAX, Time

Text = Annotated[str, Meta(max_length=512)]
Fields = Annotated[list[Text], Meta(max_length=ITEMS_MAX)]
Generation = Annotated[int, Meta(ge=0)]
ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(Struct, frozen=True, kw_only=True, rename="camel"):
    """As metav1.Condition."""

    type: Annotated[str, Meta(max_length=316, description="What it is about, such as Ready.")]
    status: Annotated[ConditionStatus, Meta(description="Whether it is so.")]
    reason: Annotated[str, Meta(min_length=1, max_length=1_024, description="Why, in one word for programs.")]
    message: Annotated[str, Meta(max_length=32_768, description="Why, for people.")]
    last_transition_time: Annotated[Time, Meta(description="When its status changed last.")]
    observed_generation: Annotated[
        Generation | None, Meta(description="Generation of the object that it speaks of.")
    ] = None


class Status(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the operator saw and did last."""

    observed_generation: Annotated[
        Generation | None, Meta(description="Newest generation of the object that was seen.")
    ] = None
    conditions: Annotated[
        list[Condition],
        Meta(
            max_length=16,
            description="States of the object; Ready sums them up.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = []
    cluster: Annotated[Text | None, Meta(description="Namespace and name of the cluster's ConfigMap.")] = None
    cluster_id: Annotated[Text | None, Meta(description="Identity of the cluster itself.")] = None
    backend_name: Annotated[Text | None, Meta(description="Name in the cluster.")] = None
    owner_uid: Annotated[Text | None, Meta(description="Owner that the cluster has recorded.")] = None
    applied_hash: Annotated[Text | None, Meta(description="Digest of what was applied last.")] = None
    last_sync_time: Annotated[Time | None, Meta(description="When the cluster was changed last.")] = None
    drift: Annotated[Fields | None, Meta(description="Fields that differ and are not corrected.")] = None


class ScheduleStatus(Status, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the operator saw and did last, and the runs. Nothing of runs that are less than a minute apart."""

    last_run_time: Annotated[Time | None, Meta(description="When it ran last.")] = None
    next_run_time: Annotated[
        Time | None, Meta(description="When it runs next, as seen at the last run; absent while it is paused.")
    ] = None
    last_job_id: Annotated[Text | None, Meta(description="The job that the last run pushed.")] = field(
        default=None, name="lastJobID"
    )
    runs: Annotated[Generation | None, Meta(description="How many runs there were.")] = None


class WebhookStatus(Status, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the operator saw and did last, and how deliveries fare."""

    last_success_time: Annotated[
        Time | None, Meta(description="When a delivery succeeded last, up to an hour late.")
    ] = None
    last_failure_time: Annotated[Time | None, Meta(description="When a try failed last, up to an hour late.")] = None
    consecutive_failures: Annotated[
        Generation | None,
        Meta(description="Failed tries since the last success, rounded down to 1, 10, 100 and so on."),
    ] = None
