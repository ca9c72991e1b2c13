"""The three kinds beside each other: what differs between them stands here, and everything else treats them alike."""

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from rustqueue_operator.kinds import queue, schedule, webhook
from rustqueue_operator.kinds.fields import Declared, fixed, rule
from rustqueue_operator.kinds.status import ScheduleStatus, Status, WebhookStatus

GROUP: Final = "rustqueue.io"
VERSION: Final = "v1alpha1"
CATEGORY: Final = "rustqueue"

KindName = Literal["Queue", "Schedule", "Webhook"]


class Column(NamedTuple):
    """A column of `kubectl get`; priority 1 stands only in the wide form."""

    name: str
    path: str
    type: Literal["string", "date", "integer"] = "string"
    priority: int = 0


class Kind(NamedTuple):
    """`request_body` takes the spec and the object's namespace and says what to send, `comparable` what the cluster has
    to show then; `settings_of` reads that out of the API's answer, `activity_of` what it does. `cleared` has to be sent
    where it would stay.
    """

    name: KindName
    plural: str
    short_name: str
    spec: type[Declared]
    status: type[Status]
    rules: list[dict[str, Any]]
    columns: list[Column]
    request_body: Callable[[Any, str], dict[str, Any]]
    comparable: Callable[[Any, str], dict[str, Any]]
    cleared: dict[str, Any]
    settings_of: Callable[[dict[str, Any]], dict[str, Any]]
    activity_of: Callable[[dict[str, Any]], dict[str, Any]]
    record_key: str | None
    """The key of the API's answer that holds labels, owner and revision; None: the answer itself does."""


def condition(type_: str, field: str) -> str:
    return f".status.conditions[?(@.type=='{type_}')].{field}"


_FIRST: Final = [Column("Cluster", ".status.cluster")]
_LAST: Final = [
    Column("Ready", condition("Ready", "status")),
    Column("Reason", condition("Ready", "reason")),
    Column("Paused", condition("Paused", "status")),
    Column("Age", ".metadata.creationTimestamp", "date"),
    Column("Name", ".status.backendName", priority=1),
    Column("Last sync", ".status.lastSyncTime", "date", priority=1),
    Column("Message", condition("Ready", "message"), priority=1),
]
_IDENTITY: Final = fixed("clusterRef", "name")

QUEUE: Final = Kind(
    "Queue",
    "queues",
    "rq",
    queue.QueueSpec,
    Status,
    _IDENTITY,
    [*_FIRST, *_LAST],
    lambda spec, _: queue.request_body(spec),
    lambda spec, _: queue.request_body(spec),
    {"labels": {}},
    queue.settings_of,
    lambda _: {},
    None,
)
SCHEDULE: Final = Kind(
    "Schedule",
    "schedules",
    "rqs",
    schedule.ScheduleSpec,
    ScheduleStatus,
    [
        *_IDENTITY,
        rule("has(self.cron) != has(self.everySeconds)", "exactly one of cron and everySeconds is needed"),
        # Which fields there may be is the cluster's to say; how many there are is told by `kubectl apply` already.
        rule(
            r"!has(self.cron) || self.cron.matches(r'^\s*(@[A-Za-z]+|\S+(\s+\S+){4,5})\s*$')",
            "cron needs five fields, or six with seconds first, or one word as @daily",
        ),
        rule("!has(self.timeZone) || has(self.cron)", "timeZone needs cron"),
        rule(
            "!has(self.startTime) || !has(self.endTime) || timestamp(self.startTime) < timestamp(self.endTime)",
            "startTime must be before endTime",
        ),
    ],
    [
        *_FIRST,
        Column("Queue", ".spec.queue"),
        Column("Cron", ".spec.cron"),
        Column("Every", ".spec.everySeconds", "integer"),
        Column("Last run", ".status.lastRunTime", "date"),
        *_LAST,
        Column("Next run", ".status.nextRunTime", priority=1),
        Column("Runs", ".status.runs", "integer", priority=1),
    ],
    lambda spec, _: schedule.request_body(spec),
    lambda spec, _: schedule.request_body(spec),
    {"labels": {}},
    schedule.settings_of,
    schedule.activity_of,
    "schedule",
)
WEBHOOK: Final = Kind(
    "Webhook",
    "webhooks",
    "rqw",
    webhook.WebhookSpec,
    WebhookStatus,
    [
        *_IDENTITY,
        rule("has(self.url) != has(self.serviceRef)", "exactly one of url and serviceRef is needed"),
        rule("!has(self.previousSecretKeyRef) || has(self.secretKeyRef)", "previousSecretKeyRef needs secretKeyRef"),
    ],
    [
        *_FIRST,
        Column("URL", ".spec.url"),
        Column("Failures", ".status.consecutiveFailures", "integer"),
        *_LAST,
        Column("Last success", ".status.lastSuccessTime", "date", priority=1),
        Column("Last failure", ".status.lastFailureTime", "date", priority=1),
    ],
    webhook.request_body,
    webhook.comparable,
    {"labels": {}, **webhook.CLEARED},
    webhook.settings_of,
    webhook.activity_of,
    "webhook",
)
KINDS: Final[dict[KindName, Kind]] = {kind.name: kind for kind in (QUEUE, SCHEDULE, WEBHOOK)}
