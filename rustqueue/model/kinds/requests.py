"""What the second system's routes ask, and how the log spells it."""

from typing import Annotated

from msgspec import Meta, Raw

from rustqueue.model import limits
from rustqueue.model.jobs import IdText, QueueText, TraceContext
from rustqueue.model.kinds.values import Status
from rustqueue.model.requests import IdempotencyKey, Reading, Request


class JobCreate(Request, frozen=True, kw_only=True, tag="!job_create"):
    """How the log spells a job that was created by its kind. `scope` says whose key `key` is: two clients with tokens
    of their own may choose the same one by chance. `traceparent` is the header of that name.
    """

    kind: QueueText
    payload: Raw
    max_attempts: Annotated[int, Meta(ge=1, le=limits.ATTEMPTS_MAX)] | None = None
    key: IdempotencyKey | None = None
    scope: str = ""
    traceparent: TraceContext | None = None


class KindJobGet(Reading, frozen=True, kw_only=True, tag="!kind_job_get"):
    id: IdText


class KindJobList(Reading, frozen=True, kw_only=True, tag="!kind_job_list"):
    """Newest first. One call looks at a bounded number of rows; the answer says if that was not enough."""

    kind: QueueText | None = None
    status: Status | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.KIND_LIST_MAX)] = limits.LIST_LIMIT_DEFAULT
    offset: Annotated[int, Meta(ge=0, le=limits.COUNT_MAX)] = 0


KindQuery = KindJobGet | KindJobList
