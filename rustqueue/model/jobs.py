"""Jobs as clients see them: states, push options and the job object of the answers (contract A5, A9; decisions D)."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rustqueue.model import limits


class JobState(StrEnum):
    """States a client can see. `created` and `failed` of the original were never assigned and are not here."""

    WAITING = "waiting"
    DELAYED = "delayed"
    BLOCKED = "blocked"
    ACTIVE = "active"
    COMPLETED = "completed"
    DLQ = "dlq"
    CANCELLED = "cancelled"


TERMINAL_STATES = frozenset({JobState.COMPLETED, JobState.DLQ, JobState.CANCELLED})

BackoffName = Literal["fixed", "linear", "exponential", "decorrelated_jitter"]
ParentFailurePolicy = Literal["cascade", "ignore", "continue"]
PauseMode = Literal["reject", "hold", "both"]
QueueMode = Literal["normal", "reject", "hold", "both"]
Outcome = Literal["completed", "dlq", "cancelled"]

DurationMs = Annotated[int, Meta(ge=0, le=limits.DURATION_MS_MAX)]
Count = Annotated[int, Meta(ge=0, le=limits.COUNT_MAX)]
LeaseMs = Annotated[int, Meta(ge=limits.LEASE_MS_MIN, le=limits.LEASE_MS_MAX)]
Priority = Annotated[int, Meta(ge=limits.PRIORITY_MIN, le=limits.PRIORITY_MAX)]
IdText = Annotated[str, Meta(min_length=1, max_length=limits.ID_TEXT_BYTES_MAX)]
QueueText = Annotated[str, Meta(min_length=1, max_length=limits.QUEUE_NAME_BYTES_MAX)]
NameText = Annotated[str, Meta(min_length=1, max_length=limits.NAME_BYTES_MAX)]
FlowText = Annotated[str, Meta(min_length=1, max_length=limits.FLOW_ID_BYTES_MAX)]
Tag = Annotated[str, Meta(max_length=limits.TAG_BYTES_MAX)]
TraceContext = Annotated[str, Meta(max_length=limits.TRACEPARENT_BYTES_MAX)]
WorkerText = Annotated[str, Meta(max_length=limits.WORKER_ID_BYTES_MAX)]


class JobOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Push options (contract A5, decisions D). None means not given: the queue's defaults, then the node's, then A5's
    apply.
    """

    priority: Priority | None = None
    delay_ms: DurationMs | None = None
    run_at: str | None = None
    max_attempts: Annotated[int, Meta(ge=0, le=limits.ATTEMPTS_MAX)] | None = None
    backoff: BackoffName | None = None
    backoff_delay_ms: DurationMs | None = None
    max_backoff_ms: DurationMs | None = None
    ttl_ms: DurationMs | None = None
    timeout_ms: DurationMs | None = None
    lease_ms: LeaseMs | None = None
    unique_key: Annotated[str, Meta(max_length=limits.UNIQUE_KEY_BYTES_MAX)] | None = None
    tags: Annotated[list[Tag], Meta(max_length=limits.TAGS_MAX)] | None = None
    group_id: Annotated[str, Meta(max_length=limits.GROUP_ID_BYTES_MAX)] | None = None
    lifo: bool | None = None
    remove_on_complete: bool | None = None
    remove_on_fail: bool | None = None
    custom_id: Annotated[str, Meta(min_length=1, max_length=limits.CUSTOM_ID_BYTES_MAX)] | None = None
    metadata: Raw | UnsetType = UNSET
    depends_on: Annotated[list[IdText | int], Meta(max_length=limits.DEPENDS_ON_MAX)] | None = None
    flow_id: FlowText | None = None
    on_parent_failure: ParentFailurePolicy | None = None
    traceparent: TraceContext | None = None


class JobItem(JobOptions, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One job as pushed: options flat, nested under `options`, or both as long as they agree (decisions A1)."""

    name: NameText
    data: Raw | UnsetType = UNSET
    options: JobOptions | None = None


class LogLine(Struct, frozen=True, gc=False):
    timestamp: str
    message: str


class Job(Struct, gc=False):
    """The job object of every answer. Times are RFC 3339 UTC. `attempt` counts failures, `fence` counts leases and only
    grows.

    `attempt_token` and `lease_expires_at` are there only in the answer of the pull that leased the job.
    """

    id: str
    custom_id: str | None
    name: str
    queue: str
    data: Raw
    result: Raw | None
    state: str
    progress: int | None
    logs: list[LogLine]
    priority: int
    delay_until: str | None
    created_at: str
    updated_at: str
    started_at: str | None
    completed_at: str | None
    max_attempts: int
    attempt: int
    backoff: str
    backoff_delay_ms: int
    last_error: str | None
    ttl_ms: int | None
    timeout_ms: int | None
    unique_key: str | None
    tags: list[str]
    group_id: str | None
    depends_on: list[str]
    flow_id: str | None
    lifo: bool
    remove_on_complete: bool
    remove_on_fail: bool
    worker_id: str | None
    last_heartbeat: str | None
    fence: int
    max_backoff_ms: int | None
    on_parent_failure: str
    traceparent: str | None
    attempt_token: str | UnsetType = UNSET
    lease_expires_at: str | UnsetType = UNSET
    cancel_requested: bool | UnsetType = UNSET
    parent_results: dict[str, Raw] | UnsetType = UNSET
    parent_results_truncated: bool | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET


class Counts(Struct, frozen=True):
    """Jobs of one queue by state. `failed` is always 0, as in the original; cancelled jobs are not counted there
    either (A4).
    """

    waiting: int = 0
    active: int = 0
    delayed: int = 0
    completed: int = 0
    failed: int = 0
    dlq: int = 0
    blocked: int = 0


class FlowSummary(Struct, frozen=True):
    """Contract A4: delayed and cancelled jobs count only in `total`."""

    total: int = 0
    waiting: int = 0
    active: int = 0
    blocked: int = 0
    completed: int = 0
    failed: int = 0
    dlq: int = 0


class Retention(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long and how many finished jobs of one outcome are kept. None: the node's default."""

    age_ms: DurationMs | None = None
    count: Count | None = None


class RetentionSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    completed: Retention | None = None
    dlq: Retention | None = None
    cancelled: Retention | None = None


class Rate(Struct, frozen=True, forbid_unknown_fields=True):
    """So many jobs in so many milliseconds, all at once if there were none before."""

    count: Annotated[int, Meta(ge=1, le=limits.RATE_COUNT_MAX)]
    per_ms: Annotated[int, Meta(ge=1, le=limits.RATE_PER_MS_MAX)]


class QueueLimits(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`rate` and `max_waiting`: pushes beyond them are refused with 429 RATE_LIMITED. `concurrency` and
    `group_concurrency`: how many jobs of the queue, and of each `group_id`, may be active; pulls get fewer jobs.
    """

    rate: Rate | None = None
    concurrency: Annotated[int, Meta(ge=1, le=limits.COUNT_MAX)] | None = None
    group_concurrency: Annotated[int, Meta(ge=1, le=limits.COUNT_MAX)] | None = None
    max_waiting: Count | None = None


LabelKey = Annotated[
    str,
    Meta(
        max_length=limits.LABEL_KEY_BYTES_MAX,
        pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?\Z",
        description=f"a text of 1 to {limits.LABEL_KEY_BYTES_MAX} ASCII letters, digits, '.', '_', '/' and '-' that"
        " begins and ends with a letter or digit",
    ),
]
Labels = Annotated[
    dict[LabelKey, Annotated[str, Meta(max_length=limits.LABEL_VALUE_BYTES_MAX)]], Meta(max_length=limits.LABELS_MAX)
]
OwnerUid = Annotated[str, Meta(min_length=1, max_length=limits.OWNER_UID_BYTES_MAX)]


class Owner(Struct, frozen=True, forbid_unknown_fields=True):
    """Who declared a queue, schedule or webhook: `uid` is compared, `ref` is for people."""

    uid: OwnerUid
    ref: Annotated[str, Meta(max_length=limits.OWNER_REF_BYTES_MAX)] = ""


class QueueSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Settings of one queue (decisions D). None and missing keys fall back to the node's defaults."""

    defaults: JobOptions | None = None
    limits: QueueLimits | None = None
    retention: RetentionSettings | None = None
    lease_ms: LeaseMs | None = None
    payload_schema: Raw | UnsetType = UNSET
    mode: QueueMode = "normal"


class NodeDefaults(Struct, frozen=True):
    """The replicated copy of the configuration that apply depends on: `jobs.*`, `retention.*`, `queues.auto_create`,
    and how webhooks are tried again.
    """

    max_attempts: int = 3
    backoff: BackoffName = "exponential"
    backoff_delay_ms: int = 1_000
    timeout_ms: int | None = 300_000
    lease_ms: int = limits.LEASE_MS_DEFAULT
    dag_depth: int = limits.DAG_DEPTH_DEFAULT
    completed_age_ms: int | None = 604_800_000
    completed_count: int | None = 1_000_000
    dlq_age_ms: int | None = 7_776_000_000
    dlq_count: int | None = None
    cancelled_age_ms: int | None = 604_800_000
    cancelled_count: int | None = 1_000_000
    auto_create: bool = True
    webhook_max_retries: int = 3
    webhook_retry_base_ms: int = 1_000
