"""The verbs about webhooks: those of clients, and the node's own."""

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from rustqueue.model import limits
from rustqueue.model.requests import CursorText, Declaring, Guarded, Reading, Request, Write
from rustqueue.model.webhooks.values import (
    DeliveryText,
    EventName,
    QueuePattern,
    RetryRules,
    TimeoutMs,
    UnderscoredName,
    WebhookText,
)

EventFilter = Annotated[list[EventName | UnderscoredName], Meta(max_length=32)]
QueueFilter = Annotated[list[QueuePattern], Meta(max_length=limits.WEBHOOK_QUEUES_MAX)]
Secret = Annotated[str, Meta(min_length=1, max_length=limits.WEBHOOK_SECRET_BYTES_MAX)]
Headers = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=128)],
        Annotated[str, Meta(max_length=limits.WEBHOOK_HEADER_BYTES_MAX)],
    ],
    Meta(max_length=limits.WEBHOOK_HEADERS_MAX),
]


class _Definition(Declaring, frozen=True, kw_only=True):
    """What creating and replacing take alike."""

    url: str
    events: EventFilter = field(default_factory=list)
    queues: QueueFilter = field(default_factory=list)
    secret: Secret | UnsetType | None = UNSET
    previous_secret: Secret | UnsetType | None = UNSET
    headers: Headers | UnsetType | None = UNSET
    timeout_ms: TimeoutMs | None = None
    retry: RetryRules | None = None
    suspended: bool | None = None


class WebhookCreate(_Definition, frozen=True, kw_only=True, tag="webhook_create"):
    """Make a webhook; without a `name` its id is its name. No events or queues means all; a queue may end in `*`.
    `secret` and `headers` are never shown again.
    """

    name: WebhookText | None = None


class WebhookPut(_Definition, frozen=True, kw_only=True, tag="webhook_put"):
    """Make a webhook or replace it; what waits to be delivered stays. Secrets, headers and `suspended` that are missing
    stay as they are, null clears them.
    """

    name: WebhookText


class WebhookDelete(Guarded, frozen=True, kw_only=True, tag="webhook_delete"):
    """Delete a webhook with all that waits to be delivered. `name` is its name or its id, as everywhere."""

    name: WebhookText


class WebhookPause(Guarded, frozen=True, kw_only=True, tag="webhook_pause"):
    """Deliver nothing for a while. Events are kept, as many as the outbox holds."""

    name: WebhookText


class WebhookResume(Guarded, frozen=True, kw_only=True, tag="webhook_resume"):
    name: WebhookText


class WebhookTest(Write, frozen=True, kw_only=True, tag="webhook_test"):
    """Deliver an event `webhook.test` to this webhook alone; `webhook_deliveries` shows what became of it."""

    name: WebhookText


class WebhookResend(Write, frozen=True, kw_only=True, tag="webhook_resend"):
    """Try a delivery again that was given up, under its old id; without `delivery` all that are kept."""

    name: WebhookText
    delivery: DeliveryText | None = None


class WebhookStore(Declaring, frozen=True, kw_only=True, tag="!webhook_put"):
    """Internal: a definition as it may be logged. Secrets and headers are sealed; `header_names` can be shown."""

    name: str | None
    url: str
    is_new: bool = False
    events: list[EventName] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    secret: bytes | UnsetType | None = UNSET
    previous_secret: bytes | UnsetType | None = UNSET
    headers: bytes | UnsetType | None = UNSET
    header_names: list[str] = field(default_factory=list)
    timeout_ms: int | None = None
    retry: RetryRules | None = None
    suspended: bool | None = None


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What became of a try. It counts only if the delivery still has had so many `attempts`: two leaders harm nothing.

    `error` None means that the receiver took it. `retry_after_ms` is what the receiver asked for.
    """

    webhook: bytes
    delivery: bytes
    attempts: int
    status: int | None
    error: str | None
    took_ms: int
    retry_after_ms: int = 0


class WebhookOutcomes(Request, frozen=True, kw_only=True, tag="!webhook_outcomes"):
    """Internal: what became of deliveries, from the leader."""

    outcomes: Annotated[list[Outcome], Meta(max_length=limits.WEBHOOK_OUTCOMES_MAX)]


class WebhookList(Reading, frozen=True, kw_only=True, tag="webhook_list"):
    """All webhooks, by name."""


class WebhookGet(Reading, frozen=True, kw_only=True, tag="webhook_get"):
    name: WebhookText


class WebhookDeliveries(Reading, frozen=True, kw_only=True, tag="webhook_deliveries"):
    """`recent`: the last hundred tries, latest first. `waiting` and `given_up`: deliveries, oldest first, in pages."""

    name: WebhookText
    show: Literal["recent", "waiting", "given_up"] = "recent"
    cursor: CursorText | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.LIST_LIMIT_MAX)] = limits.LIST_LIMIT_DEFAULT


WebhookCommand = (
    WebhookStore | WebhookDelete | WebhookPause | WebhookResume | WebhookTest | WebhookResend | WebhookOutcomes
)
"""What the machine takes."""

WEBHOOK_COMMANDS: Final[tuple[type[Struct], ...]] = (
    WebhookCreate,
    WebhookPut,
    WebhookDelete,
    WebhookPause,
    WebhookResume,
    WebhookTest,
    WebhookResend,
)
WEBHOOK_VERBS: Final[tuple[type[Struct], ...]] = (*WEBHOOK_COMMANDS, WebhookList, WebhookGet, WebhookDeliveries)
"""All that a client can ask about webhooks."""
