"""Queries: what can be read. They never enter the log."""

from typing import Annotated, Literal

from msgspec import Meta

from rustqueue.model import limits
from rustqueue.model.cluster.backups import BackupRequest
from rustqueue.model.cluster.requests import ClusterRequest
from rustqueue.model.jobs import FlowText, IdText, JobState, NameText, QueueText, Tag
from rustqueue.model.kinds.requests import KindQuery
from rustqueue.model.requests import CursorText, Reading, Request
from rustqueue.model.schedules import ScheduleQuery
from rustqueue.model.webhooks.commands import WebhookDeliveries, WebhookGet, WebhookList


class Get(Reading, frozen=True, kw_only=True, tag="get"):
    id: IdText


class JobList(Reading, frozen=True, kw_only=True, tag="job_list"):
    """Newest first unless `order` is `asc`. `metadata` maps a top-level key to the text or JSON its value must have.

    A page may hold fewer than `limit` jobs and still have a `next_cursor`: one call looks at a bounded number of rows.
    """

    queue: QueueText | None = None
    state: JobState | None = None
    name: NameText | None = None
    tag: Tag | None = None
    flow_id: FlowText | None = None
    metadata: dict[str, str] | None = None
    created_after: str | None = None
    cursor: CursorText | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.LIST_LIMIT_MAX)] = limits.LIST_LIMIT_DEFAULT
    order: Literal["asc", "desc"] = "desc"


class JobParents(Reading, frozen=True, kw_only=True, tag="job_parents"):
    """States and results of the jobs that this one depends on."""

    id: IdText
    cursor: CursorText | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.LIST_LIMIT_MAX)] = limits.LIST_LIMIT_DEFAULT


class ListQueues(Reading, frozen=True, kw_only=True, tag="list_queues"):
    """All queues with a job or settings, by name."""


class QueueGet(Reading, frozen=True, kw_only=True, tag="queue_get"):
    queue: QueueText


class Stats(Reading, frozen=True, kw_only=True, tag="stats"):
    queue: QueueText


class Dlq(Reading, frozen=True, kw_only=True, tag="dlq"):
    """Dead jobs, latest first."""

    queue: QueueText
    limit: Annotated[int, Meta(ge=0, le=limits.DLQ_LIST_MAX)] = 50
    cursor: CursorText | None = None


class Flow(Reading, frozen=True, kw_only=True, tag="flow"):
    """All jobs of a flow, by creation. At most `limits.LIST_LIMIT_MAX` jobs are in one answer; `summary` counts what
    is shown.
    """

    flow_id: FlowText
    cursor: CursorText | None = None


class SweepGet(Reading, frozen=True, kw_only=True, tag="sweep_get"):
    id: IdText


class TokenList(Reading, frozen=True, kw_only=True, tag="token_list"):
    """All bearer tokens by name, without their secrets. Those of the configuration are not among them."""


class QueueScale(Reading, frozen=True, kw_only=True, tag="queue_scale"):
    """How many workers a queue needs now, each for `per_worker` jobs at once, between `min` and `max`. Delayed jobs
    count that are due within `due_within_ms`.
    """

    queue: QueueText
    per_worker: Annotated[int, Meta(ge=1, le=limits.SCALE_JOBS_MAX)] = 1
    min: Annotated[int, Meta(ge=0, le=limits.SCALE_JOBS_MAX)] = 0
    max: Annotated[int, Meta(ge=0, le=limits.SCALE_JOBS_MAX)] = limits.SCALE_JOBS_MAX
    due_within_ms: Annotated[int, Meta(ge=0, le=limits.SCALE_DUE_MS_MAX)] = 0


class JobWhy(Reading, frozen=True, kw_only=True, tag="job_why"):
    """Why a job is where it is, and when it will go on."""

    id: IdText


class JobHistory(Reading, frozen=True, kw_only=True, tag="job_history"):
    """What happened to a job: its latest attempts, and the events of its life."""

    id: IdText


class JobResult(Reading, frozen=True, kw_only=True, tag="job_result"):
    """The result of a job; `wait_ms` waits until it has ended."""

    id: IdText
    wait_ms: Annotated[int, Meta(ge=0, le=limits.WAIT_MS_MAX)] = 0


class DlqGroups(Reading, frozen=True, kw_only=True, tag="dlq_groups"):
    """Dead jobs by what killed them: errors that differ only in numbers are one group. One call looks at a bounded
    number of the latest dead jobs; the next page goes on behind them.
    """

    queue: QueueText
    cursor: CursorText | None = None


class WorkerList(Reading, frozen=True, kw_only=True, tag="worker_list"):
    """Workers that gave a `worker_id` and were seen within the last hour, by id."""

    limit: Annotated[int, Meta(ge=1, le=limits.LIST_LIMIT_MAX)] = limits.LIST_LIMIT_DEFAULT
    cursor: CursorText | None = None


class Health(Request, frozen=True, kw_only=True, tag="health"):
    """Answered by the node, not by the machine."""


class Auth(Request, frozen=True, kw_only=True, tag="auth"):
    """TCP only. On an open server any token is accepted (decisions A9)."""

    token: Annotated[str, Meta(max_length=4_096)]


WebhookQuery = WebhookList | WebhookGet | WebhookDeliveries
Query = (
    Get
    | JobList
    | JobParents
    | ListQueues
    | QueueGet
    | Stats
    | Dlq
    | Flow
    | SweepGet
    | TokenList
    | ScheduleQuery
    | QueueScale
    | JobWhy
    | JobHistory
    | JobResult
    | DlqGroups
    | WorkerList
    | WebhookQuery
)
"""Answered from the applied state by `machine.queries`."""

Read = Query | KindQuery
"""The same with what only the second system's routes ask."""

ShellQuery = Health | Auth | ClusterRequest | BackupRequest
"""Answered by the node itself."""
