"""Replies: one struct a shape of answer, encoded as they stand by both protocols. `http_status` is what HTTP answers
with.
"""

from typing import Any, ClassVar

from msgspec import UNSET, Raw, Struct, UnsetType

from rustqueue.model.errors import ApiError
from rustqueue.model.jobs import Counts, FlowSummary, Job, Owner, QueueSettings
from rustqueue.model.schedules import Run, Schedule
from rustqueue.model.tokens import TokenInfo
from rustqueue.model.webhooks.values import DeliveryInfo, WebhookInfo


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    http_status: ClassVar[int] = 200

    ok: bool = True


class ErrorBody(Struct, frozen=True, gc=False):
    code: str
    message: str
    details: dict[str, Any] | None = None


class Refused(Reply, frozen=True, kw_only=True):
    """A refusal as a value. `status` and `retry_after_s` are for HTTP; the body is the envelope of contract A3."""

    ok: bool = False
    error: ErrorBody
    status: int
    retry_after_s: int | None = None

    @classmethod
    def of(cls, error: ApiError) -> "Refused":
        body = ErrorBody(error.code, error.message, error.details)
        return cls(error=body, status=error.status, retry_after_s=error.retry_after_s)


class Seen(Reply, frozen=True, kw_only=True):
    """An answer that was not read by the usual rule, and what it was read from: entry `index` of the log. `stale` says
    that nobody led, so that others may have written more since.
    """

    reply: Reply
    index: int
    stale: bool = False


class ErrorEnvelope(Struct, frozen=True, gc=False):
    """What of a `Refused` is sent."""

    ok: bool
    error: ErrorBody
    request_id: str | int | UnsetType = UNSET


class Done(Reply, frozen=True, kw_only=True):
    """Plain success. `follow_ups_refused` names bad follow-ups of an acked job (decisions A31)."""

    follow_ups_refused: list[str] | UnsetType = UNSET


class Trimmed(Reply, frozen=True, kw_only=True):
    """Answer to the node's own `!trim`: how many jobs went, and behind which queue to go on; empty: all were seen."""

    removed: int
    after: str


class Pushed(Reply, frozen=True, kw_only=True):
    http_status: ClassVar[int] = 201

    id: str
    durability: str | UnsetType = UNSET
    index: int | UnsetType = UNSET
    term: int | UnsetType = UNSET


class PushedBatch(Reply, frozen=True, kw_only=True):
    http_status: ClassVar[int] = 201

    ids: list[str]
    durability: str | UnsetType = UNSET
    index: int | UnsetType = UNSET
    term: int | UnsetType = UNSET


class PulledOne(Reply, frozen=True, kw_only=True):
    """Answer to a pull of count 1."""

    job: Job | None


class Pulled(Reply, frozen=True, kw_only=True):
    jobs: list[Job]


class ItemResult(Struct, frozen=True, gc=False):
    """One item of a batch. For failed acks `error` says why; for fails `will_retry` and `next_attempt_at` are there."""

    id: str
    ok: bool
    error: ErrorBody | UnsetType = UNSET
    retry: bool | UnsetType = UNSET
    will_retry: bool | UnsetType = UNSET
    next_attempt_at: str | UnsetType | None = UNSET
    follow_ups_refused: list[str] | UnsetType = UNSET


class AckedBatch(Reply, frozen=True, kw_only=True):
    """`ok` is false when any item failed (contract A7); HTTP answers 200 all the same."""

    acked: int
    failed: int
    results: list[ItemResult]


class FailedJob(Reply, frozen=True, kw_only=True):
    """Both names on both protocols (decisions A7)."""

    retry: bool
    will_retry: bool
    next_attempt_at: str | None


class FailedBatch(Reply, frozen=True, kw_only=True):
    retried: int
    dead: int
    failed: int
    results: list[ItemResult]


class Leased(Reply, frozen=True, kw_only=True):
    """Answer to heartbeat and progress (decisions D)."""

    cancel_requested: bool
    drain: bool
    lease_expires_at: str


class Cancelled(Reply, frozen=True, kw_only=True):
    pass


class Cancelling(Reply, frozen=True, kw_only=True):
    http_status: ClassVar[int] = 202

    status: str = "cancelling"


class BulkDone(Reply, frozen=True, kw_only=True):
    """`sweep` names the sweep that does the rest; HTTP answers 202 then."""

    matched: int
    moved: int
    sweep: str | None


class SweepState(Reply, frozen=True, kw_only=True):
    id: str
    state: str
    matched: int
    moved: int


class OneJob(Reply, frozen=True, kw_only=True):
    job: Job


class JobPage(Reply, frozen=True, kw_only=True):
    jobs: list[Job]
    next_cursor: str | None


class ParentState(Struct, frozen=True, gc=False):
    """`state` is `removed` for a parent that is gone; a result kept for its dependants is still shown."""

    id: str
    state: str
    result: Raw | None


class ParentPage(Reply, frozen=True, kw_only=True):
    parents: list[ParentState]
    next_cursor: str | None


class TransactionDone(Reply, frozen=True, kw_only=True):
    """The answers of the operations, in their order."""

    results: list[Raw]


class Scale(Reply, frozen=True, kw_only=True):
    """What a scaler needs (decisions D). `oldest_age_ms` is 0 when nothing waits."""

    ready: int
    running: int
    due: int
    desired: int
    oldest_age_ms: int


class Reason(Struct, frozen=True, gc=False):
    """`code` is stable; further keys name what it is about."""

    code: str
    message: str
    details: dict[str, Any] | UnsetType = UNSET


class Why(Reply, frozen=True, kw_only=True):
    """`position` counts from 1 among the ready jobs of its queue, or of its group; null beyond what is counted."""

    state: str
    reasons: list[Reason]
    position: int | None
    expected_start: str | None


class PastAttempt(Struct, frozen=True, gc=False):
    """One try. `outcome` is null while it runs."""

    attempt: int
    worker_id: str | None
    started_at: str | None
    ended_at: str | None
    outcome: str | None
    error: str | None


class PastEvent(Struct, frozen=True, gc=False):
    """`actor` is `client`, `worker`, or `node` for what time alone did."""

    at: str
    event: str
    actor: str


class History(Reply, frozen=True, kw_only=True):
    """Oldest first. Of a job with very many tries the latest are kept."""

    attempts: list[PastAttempt]
    events: list[PastEvent]


class JobOutcome(Reply, frozen=True, kw_only=True):
    """`result` is null while `state` is none of an ended job; `last_error` is there when it died."""

    id: str
    state: str
    result: Raw | None
    last_error: str | None


class DeadGroup(Struct, frozen=True, gc=False):
    """Dead jobs of one fingerprint: how many, the latest error as it stood, and between which times they died."""

    fingerprint: str
    count: int
    error: str
    first_at: str
    last_at: str


class DeadGroups(Reply, frozen=True, kw_only=True):
    """`looked_at` is how many dead jobs these groups were made from."""

    groups: list[DeadGroup]
    looked_at: int
    next_cursor: str | None


class WorkerState(Struct, frozen=True, gc=False):
    worker_id: str
    queues: list[str]
    leases: int
    oldest_lease_age_ms: int
    last_seen: str
    draining: bool


class WorkerPage(Reply, frozen=True, kw_only=True):
    workers: list[WorkerState]
    next_cursor: str | None


class QueueSummary(Struct, frozen=True):
    name: str
    counts: Counts
    mode: str
    labels: dict[str, str]
    owner: Owner | None
    revision: int


class QueueNames(Reply, frozen=True, kw_only=True):
    queues: list[QueueSummary]


class QueueStats(Reply, frozen=True, kw_only=True):
    counts: Counts
    mode: str


class Declared(Reply, frozen=True, kw_only=True):
    """What every record that can be declared shows: `revision` grows with each change, 0 for one never declared."""

    labels: dict[str, str] = {}
    owner: Owner | None = None
    revision: int = 0


class QueueInfo(Declared, frozen=True, kw_only=True):
    name: str
    counts: Counts
    settings: QueueSettings
    mode: str


class QueueReplaced(QueueInfo, frozen=True, kw_only=True):
    """Answer to a PUT: 201 for a new record, 200 for a replaced one (decisions F)."""

    created: bool


class FlowPage(Reply, frozen=True, kw_only=True):
    flow_id: str
    jobs: list[Job]
    summary: FlowSummary
    next_cursor: str | None


class TokenCreated(Reply, frozen=True, kw_only=True):
    """`token` is there only in the answer to the one who made it, and nowhere else ever."""

    http_status: ClassVar[int] = 201

    id: str
    token: str | UnsetType = UNSET


class TokenPage(Reply, frozen=True, kw_only=True):
    tokens: list[TokenInfo]


class OneSchedule(Reply, frozen=True, kw_only=True):
    schedule: Schedule


class ScheduleCreated(OneSchedule, frozen=True, kw_only=True):
    """Answer to a POST, which is 201 for a replaced schedule too (contract A4)."""

    http_status: ClassVar[int] = 201


class ScheduleReplaced(OneSchedule, frozen=True, kw_only=True):
    """Answer to a PUT: 201 for a new record, 200 for a replaced one (decisions F)."""

    created: bool


class OneWebhook(Reply, frozen=True, kw_only=True):
    webhook: WebhookInfo


class WebhookStored(OneWebhook, frozen=True, kw_only=True):
    """Answer to creating or replacing: 201 for a new record, 200 for a replaced one (decisions F)."""

    created: bool


class SchedulePage(Reply, frozen=True, kw_only=True):
    schedules: list[Schedule]
    next_cursor: str | None


class ScheduleRunPage(Reply, frozen=True, kw_only=True):
    runs: list[Run]


class ScheduleRan(Reply, frozen=True, kw_only=True):
    run: Run


class Fired(Reply, frozen=True, kw_only=True):
    """Answer to the node's own `!schedule_fire`: how many firings counted."""

    fired: int


class WebhookPage(Reply, frozen=True, kw_only=True):
    webhooks: list[WebhookInfo]


class DeliveryPage(Reply, frozen=True, kw_only=True):
    deliveries: list[DeliveryInfo]
    next_cursor: str | None


class WebhookTested(Reply, frozen=True, kw_only=True):
    """`delivery` is the id that the receiver sees as `webhook-id`."""

    http_status: ClassVar[int] = 202

    delivery: str


class WebhookResent(Reply, frozen=True, kw_only=True):
    """How many deliveries are tried again, and how many are left given up."""

    moved: int
    left: int


class WebhookSettled(Reply, frozen=True, kw_only=True):
    """Answer to the node's own outcomes, one each: when the next try is due in ms since 1970; 0 for a delivery that is
    over or gone; -1 for one that has had other tries meanwhile.
    """

    results: list[int]


class HealthInfo(Reply, frozen=True, kw_only=True):
    """Contract A4 and decisions A20."""

    status: str
    version: str
    uptime_seconds: int
    role: str
    leader: str | None
    term: int
    applied: int
    lag: int


def status_of(reply: Reply) -> int:
    """HTTP status of any reply."""
    if isinstance(reply, Refused):
        return reply.status
    if isinstance(reply, Seen):
        return status_of(reply.reply)
    if isinstance(reply, BulkDone):
        return 202 if reply.sweep is not None else 200
    if isinstance(reply, QueueReplaced | ScheduleReplaced | WebhookStored):
        return 201 if reply.created else 200
    return reply.http_status


def waits_for_retry(reply: Reply) -> int | None:
    """Seconds of `Retry-After`, or None."""
    if isinstance(reply, Seen):
        return waits_for_retry(reply.reply)
    return reply.retry_after_s if isinstance(reply, Refused) else None
