"""Commands: everything that can change state. One frozen struct a verb, tagged by `cmd` with the name TCP uses.

The names are those of contract A7 and decisions D. The same struct decodes a TCP line, is filled from an HTTP request
and is what the log entry's JSON decodes into. `Push` and `PushBatch` are the wire forms; `wire` turns both into
`PushJobs`, the one form that the machine knows.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rustqueue.model import limits
from rustqueue.model.jobs import (
    Count,
    DurationMs,
    IdText,
    JobItem,
    JobOptions,
    LeaseMs,
    NodeDefaults,
    Outcome,
    PauseMode,
    Priority,
    QueueLimits,
    QueueMode,
    QueueText,
    RetentionSettings,
    WorkerText,
)
from rustqueue.model.kinds.requests import JobCreate as JobCreate
from rustqueue.model.requests import Declaring, Guarded
from rustqueue.model.requests import IdempotencyKey as IdempotencyKey
from rustqueue.model.requests import Request as Request
from rustqueue.model.requests import RequestId as RequestId
from rustqueue.model.requests import Write as Write
from rustqueue.model.schedules import ScheduleCommand, ScheduleFire
from rustqueue.model.tokens import TokenCreate as TokenCreate
from rustqueue.model.tokens import TokenDelete as TokenDelete
from rustqueue.model.tokens import TokenPut as TokenPut
from rustqueue.model.webhooks.commands import (
    WebhookCreate,
    WebhookDelete,
    WebhookOutcomes,
    WebhookPause,
    WebhookPut,
    WebhookResend,
    WebhookResume,
    WebhookStore,
    WebhookTest,
)

AttemptToken = Annotated[str, Meta(max_length=limits.ATTEMPT_TOKEN_BYTES_MAX)]
ErrorText = Annotated[str, Meta(max_length=limits.ERROR_BYTES_MAX)]


class Push(
    JobItem,
    frozen=True,
    kw_only=True,
    tag_field="cmd",
    tag="push",
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """Push one job; its options stand flat, under `options`, or both ways as long as they agree."""

    # The fields of `Write` stand here again, since a struct cannot have two bases with fields.
    queue: QueueText
    receipt: bool = False
    idempotency_key: IdempotencyKey | None = None
    request_id: RequestId | None = None


class PushBatch(Write, frozen=True, kw_only=True, tag="push_batch"):
    queue: QueueText
    jobs: Annotated[list[JobItem], Meta(max_length=limits.BATCH_JOBS_MAX)]
    receipt: bool = False


class NewJob(Struct, frozen=True, gc=False):
    """A job to be, normalised: `options` is None when none was given; nested options are already merged into it."""

    name: str
    data: bytes
    options: JobOptions | None


class Creation(Struct, frozen=True, gc=False):
    """What makes a push one of the second system: it is answered with the whole job, and `key` names that job as long
    as it is there. `scope` says whose key it is.
    """

    max_attempts: int | None
    key: str | None
    scope: str
    traceparent: str | None = None


class PushJobs(Struct, frozen=True, gc=False):
    """Both pushes, checked and normalised. `single` decides the shape of the answer."""

    queue: str
    jobs: list[NewJob]
    single: bool
    receipt: bool = False
    idempotency_key: str | None = None
    request_id: str | int | None = None
    creation: Creation | None = None


class WeightedQueue(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    queue: QueueText
    weight: Annotated[int, Meta(ge=1, le=limits.PULL_WEIGHT_MAX)] = 1


class Pull(Write, frozen=True, kw_only=True, tag="pull"):
    """Lease up to `count` jobs of `queue`, or of several `queues` by weight; `wait_ms` waits for the first one."""

    queue: QueueText | None = None
    queues: Annotated[list[WeightedQueue], Meta(min_length=1, max_length=limits.PULL_QUEUES_MAX)] | None = None
    count: Annotated[int, Meta(ge=0, le=limits.PULL_COUNT_MAX)] = 1
    wait_ms: Annotated[int, Meta(ge=0, le=limits.WAIT_MS_MAX)] = 0
    worker_id: WorkerText | None = None
    lease_ms: LeaseMs | None = None
    with_parent_results: bool = False


class Ack(Write, frozen=True, kw_only=True, tag="ack"):
    """Complete a leased job. `cancelled` ends it as cancelled after a cancel request (decisions A12)."""

    id: IdText
    result: Raw | UnsetType = UNSET
    attempt_token: AttemptToken | None = None
    cancelled: bool = False


class AckItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    id: IdText
    result: Raw | UnsetType = UNSET
    attempt_token: AttemptToken | None = None
    cancelled: bool = False


class AckBatch(Write, frozen=True, kw_only=True, tag="ack_batch"):
    items: Annotated[list[AckItem], Meta(max_length=limits.BATCH_JOBS_MAX)] | None = None
    ids: Annotated[list[IdText], Meta(max_length=limits.BATCH_JOBS_MAX)] | None = None


class Fail(Write, frozen=True, kw_only=True, tag="fail"):
    id: IdText
    error: ErrorText = "unknown error"
    attempt_token: AttemptToken | None = None
    cancelled: bool = False


class FailItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    id: IdText
    error: ErrorText = "unknown error"
    attempt_token: AttemptToken | None = None
    cancelled: bool = False


class FailBatch(Write, frozen=True, kw_only=True, tag="fail_batch"):
    items: Annotated[list[FailItem], Meta(max_length=limits.BATCH_JOBS_MAX)]


class Cancel(Write, frozen=True, kw_only=True, tag="cancel"):
    """Cancel a job that does not run; with `running` also ask a running one to stop (202, decisions A12)."""

    id: IdText
    running: bool = False


class Progress(Write, frozen=True, kw_only=True, tag="progress"):
    """0 to 255 is taken, above 100 counts as 100 (contract A4); `message` becomes a log line."""

    id: IdText
    progress: Annotated[int, Meta(ge=0, le=255)]
    message: Annotated[str, Meta(max_length=limits.MESSAGE_BYTES_MAX)] | None = None
    attempt_token: AttemptToken | None = None


class Heartbeat(Write, frozen=True, kw_only=True, tag="heartbeat"):
    id: IdText
    attempt_token: AttemptToken | None = None


class JobRetry(Write, frozen=True, kw_only=True, tag="job_retry"):
    """Bring a job back from the DLQ, or a delayed retry forward to now. Attempts start at 0, the fence goes on."""

    id: IdText


class JobPromote(Write, frozen=True, kw_only=True, tag="job_promote"):
    """Make a delayed job ready now."""

    id: IdText


class JobPriority(Write, frozen=True, kw_only=True, tag="job_priority"):
    id: IdText
    priority: Priority


class JobRemove(Write, frozen=True, kw_only=True, tag="job_remove"):
    """Delete a job that does not run, finished or not, with all that is kept of it."""

    id: IdText


class QueuePause(Write, frozen=True, kw_only=True, tag="queue_pause"):
    """`reject` refuses pushes (the original's pause), `hold` keeps accepting and stops pulls, `both` does both."""

    queue: QueueText
    mode: PauseMode = "reject"


class QueueResume(Write, frozen=True, kw_only=True, tag="queue_resume"):
    queue: QueueText


class QueueSet(Declaring, frozen=True, kw_only=True, tag="queue_settings"):
    """Replace all settings of a queue; creates it. A missing `mode` keeps the present one."""

    queue: QueueText
    defaults: JobOptions | None = None
    limits: QueueLimits | None = None
    retention: RetentionSettings | None = None
    lease_ms: LeaseMs | None = None
    payload_schema: Raw | UnsetType = UNSET
    mode: QueueMode | None = None


class QueueDelete(Guarded, frozen=True, kw_only=True, tag="queue_delete"):
    """Refused while jobs are there, unless `force`: then a sweep removes them and the queue, and pushes are refused
    meanwhile.
    """

    queue: QueueText
    force: bool = False


class QueueDrain(Write, frozen=True, kw_only=True, tag="queue_drain"):
    """Remove all waiting and delayed jobs."""

    queue: QueueText


class QueueClean(Write, frozen=True, kw_only=True, tag="queue_clean"):
    """Remove finished jobs of one state that ended more than `older_than_ms` ago, oldest first, at most `limit`."""

    queue: QueueText
    state: Outcome
    older_than_ms: DurationMs = 0
    limit: Count | None = None


class DlqFilter(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """All given parts must match. `before` and `after` are RFC 3339 times of arrival in the DLQ."""

    fingerprint: Annotated[str, Meta(max_length=64)] | None = None
    name: str | None = None
    error_contains: Annotated[str, Meta(max_length=1_024)] | None = None
    before: str | None = None
    after: str | None = None


class DlqRetry(Write, frozen=True, kw_only=True, tag="dlq_retry"):
    queue: QueueText
    filter: DlqFilter | None = None
    limit: Count | None = None
    rate_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    dry_run: bool = False


class DlqPurge(Write, frozen=True, kw_only=True, tag="dlq_purge"):
    queue: QueueText


class WorkerDrain(Write, frozen=True, kw_only=True, tag="worker_drain"):
    """Ask a worker to finish what it has and take nothing more: it gets no jobs from now on, and learns of it from its
    next heartbeat or progress. `drain` false takes it back.
    """

    worker_id: Annotated[str, Meta(min_length=1, max_length=limits.WORKER_ID_BYTES_MAX)]
    drain: bool = True


class Transaction(Write, frozen=True, kw_only=True, tag="tx"):
    """Acks, fails, cancels and pushes that are all done, or none; each as it would be asked alone. A number in
    `depends_on` of a `push` means the job that the `push` at that place makes, before this one or after it.
    """

    operations: Annotated[
        list[Push | PushBatch | Ack | Fail | Cancel], Meta(min_length=1, max_length=limits.TX_OPERATIONS_MAX)
    ]


class RunTransaction(Struct, frozen=True, gc=False, tag_field="cmd", tag="tx"):
    """A transaction, checked and normalised."""

    operations: "list[Operation]"
    idempotency_key: str | None = None
    request_id: str | int | None = None


class SweepCancel(Write, frozen=True, kw_only=True, tag="sweep_cancel"):
    id: IdText


class Tick(Request, frozen=True, kw_only=True, tag="!tick"):
    """Internal: time has passed and something is due. Proposed by the leader only."""


class Configure(Request, frozen=True, kw_only=True, tag="!configure"):
    """Internal: the node's configuration that apply depends on, proposed at start when it differs from the replicated
    one.
    """

    defaults: NodeDefaults


class Trim(Request, frozen=True, kw_only=True, tag="!trim"):
    """Internal: the disk fills up, so some of the oldest completed jobs go, those of the queues behind `after`."""

    after: str = ""


class MemberRecord(Struct, frozen=True, array_like=True, gc=False):
    """A member of the cluster; `address` is where its peer port answers. A learner does not vote yet."""

    id: str
    address: str
    voter: bool


class Members(Request, frozen=True, kw_only=True, tag="!members"):
    """Internal: who belongs to the cluster from this entry on. Alone in its entry."""

    members: list[MemberRecord]


class FeatureLevel(Request, frozen=True, kw_only=True, tag="!feature_level"):
    """Internal: from this entry on, whatever belongs to this level may be proposed. `version` is the program that
    proposed it, for the message of one that is too old.
    """

    level: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    version: Annotated[str, Meta(max_length=64)]


PlainCommand = (
    Pull
    | Ack
    | AckBatch
    | Fail
    | FailBatch
    | Cancel
    | Progress
    | Heartbeat
    | JobRetry
    | JobPromote
    | JobPriority
    | JobRemove
    | QueuePause
    | QueueResume
    | QueueSet
    | QueueDelete
    | QueueDrain
    | QueueClean
    | DlqRetry
    | DlqPurge
    | SweepCancel
    | WorkerDrain
    | TokenDelete
    | ScheduleCommand
    | WebhookDelete
    | WebhookPause
    | WebhookResume
    | WebhookTest
    | WebhookResend
)
"""What the machine takes as a client sends it."""

SecretCommand = TokenCreate | WebhookCreate | WebhookPut
"""What holds or makes a secret: the gateway turns it into an internal command before it is proposed."""

Operation = PushJobs | Ack | Fail | Cancel
"""What a transaction may do."""

WireCommand = Push | PushBatch | Transaction | PlainCommand
"""What a client may send that is logged as it stands."""

LogForm = JobCreate
"""What only the log says so: it becomes a command when it is read, and no client can say it."""

InternalCommand = (
    Tick | Configure | Trim | Members | FeatureLevel | TokenPut | ScheduleFire | WebhookStore | WebhookOutcomes
)
"""What only a node may propose; undecodable from outside."""

Command = PushJobs | RunTransaction | PlainCommand | InternalCommand
"""What the machine applies."""
