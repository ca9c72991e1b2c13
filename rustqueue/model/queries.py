"""Queries: what can be read. They never enter the log."""

from typing import Annotated, Literal

from msgspec import Meta

from rustqueue.model import limits
from rustqueue.model.jobs import FlowText, IdText, JobState, NameText, QueueText, Tag
from rustqueue.model.requests import Request
from rustqueue.model.schedules import ScheduleQuery


class Get(Request, frozen=True, kw_only=True, tag="get"):
    id: IdText


class JobList(Request, frozen=True, kw_only=True, tag="job_list"):
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
    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.LIST_LIMIT_MAX)] = limits.LIST_LIMIT_DEFAULT
    order: Literal["asc", "desc"] = "desc"


class JobParents(Request, frozen=True, kw_only=True, tag="job_parents"):
    """States and results of the jobs that this one depends on."""

    id: IdText
    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.LIST_LIMIT_MAX)] = limits.LIST_LIMIT_DEFAULT


class ListQueues(Request, frozen=True, kw_only=True, tag="list_queues"):
    """All queues with a job or settings, by name."""


class QueueGet(Request, frozen=True, kw_only=True, tag="queue_get"):
    queue: QueueText


class Stats(Request, frozen=True, kw_only=True, tag="stats"):
    queue: QueueText


class Dlq(Request, frozen=True, kw_only=True, tag="dlq"):
    """Dead jobs, latest first."""

    queue: QueueText
    limit: Annotated[int, Meta(ge=0, le=limits.DLQ_LIST_MAX)] = 50
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class Flow(Request, frozen=True, kw_only=True, tag="flow"):
    """All jobs of a flow, by creation. At most `limits.LIST_LIMIT_MAX` jobs are in one answer; `summary` counts what
    is shown.
    """

    flow_id: FlowText
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class SweepGet(Request, frozen=True, kw_only=True, tag="sweep_get"):
    id: IdText


class TokenList(Request, frozen=True, kw_only=True, tag="token_list"):
    """All bearer tokens by name, without their secrets. Those of the configuration are not among them."""


class Health(Request, frozen=True, kw_only=True, tag="health"):
    """Answered by the node, not by the machine."""


class Auth(Request, frozen=True, kw_only=True, tag="auth"):
    """TCP only. On an open server any token is accepted (decisions A9)."""

    token: Annotated[str, Meta(max_length=4_096)]


Query = Get | JobList | JobParents | ListQueues | QueueGet | Stats | Dlq | Flow | SweepGet | TokenList | ScheduleQuery
"""Answered from the applied state by `machine.queries`."""

ShellQuery = Health | Auth
