"""What a webhook is made of, and how it and its deliveries are shown."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from rustqueue.model import limits
from rustqueue.model.jobs import DurationMs, Owner

EventName = Literal[
    "job.pushed",
    "job.started",
    "job.progress",
    "job.completed",
    "job.failed",
    "job.dlq",
    "job.cancelled",
    "job.expired",
    "queue.paused",
    "queue.resumed",
]
UnderscoredName = Literal[
    "job_pushed",
    "job_started",
    "job_progress",
    "job_completed",
    "job_failed",
    "job_dlq",
    "job_cancelled",
    "job_expired",
    "queue_paused",
    "queue_resumed",
]
TEST_EVENT: Final = "webhook.test"

WebhookText = Annotated[str, Meta(min_length=1, max_length=limits.WEBHOOK_NAME_BYTES_MAX)]
"""The name of a webhook, or its id."""

QueuePattern = Annotated[str, Meta(min_length=1, max_length=limits.QUEUE_NAME_BYTES_MAX)]
TimeoutMs = Annotated[int, Meta(ge=limits.WEBHOOK_TIMEOUT_MS_MIN, le=limits.WEBHOOK_TIMEOUT_MS_MAX)]
Retries = Annotated[int, Meta(ge=0, le=limits.WEBHOOK_RETRIES_MAX)]
DelayMs = Annotated[int, Meta(ge=1, le=limits.WEBHOOK_DELAY_MS_MAX)]
DeliveryText = Annotated[str, Meta(max_length=64)]


class RetryRules(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """When a failed delivery is tried again: after 1, 2, 4 s and so on, at most `max_delay_ms` apart, `max_retries`
    times, and not when it would be older than `max_age_ms`. What is missing is as the node is set.
    """

    max_retries: Retries | None = None
    max_age_ms: DurationMs | None = None
    max_delay_ms: DelayMs | None = None


class DeliveryCounts(Struct, frozen=True, kw_only=True):
    """`waiting` is the outbox, `dropped` what found it full. `consecutive_failures` counts tries since a success."""

    waiting: int
    delivered: int
    failed_tries: int
    given_up: int
    given_up_kept: int
    dropped: int
    consecutive_failures: int
    last_success_at: str | None
    last_failure_at: str | None
    last_error: str | None


class WebhookInfo(Struct, frozen=True, kw_only=True):
    """A webhook as it is shown: of headers their names only, of secrets whether they are set.

    `active` is the original's word for not suspended; an empty list of events or queues means all of them.
    """

    id: str
    name: str
    url: str
    events: list[EventName]
    queues: list[str]
    active: bool
    suspended: bool
    created_at: str
    updated_at: str
    headers: list[str]
    has_secret: bool
    has_previous_secret: bool
    timeout_ms: int | None
    retry: RetryRules
    deliveries: DeliveryCounts
    labels: dict[str, str]
    owner: Owner | None
    revision: int


DeliveryState = Literal["waiting", "delivered", "failed", "given_up"]
"""`failed` is a try that another one follows; it is shown among recent tries only."""


class DeliveryInfo(Struct, frozen=True, kw_only=True):
    """A delivery, or among recent ones a try. `status` is what the receiver answered, `error` why it did not count."""

    id: str
    event: str
    queue: str | None
    job_id: str | None
    state: DeliveryState
    created_at: str
    attempts: int
    next_attempt_at: str | None
    tried_at: str | None
    duration_ms: int | None
    status: int | None
    error: str | None
