"""What calls return. Values chosen by users (`data`, `result`, `metadata`) are decoded when they are first looked at.

Every field but the identifying ones has a default, so that a client reads the answers of older and newer nodes.
"""

from functools import cached_property
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from rustqueue.model.jobs import Counts, FlowSummary, LogLine, Owner, QueueSettings
from rustqueue.model.tokens import Scope

_NULL = Raw(b"null")  # The decoder knows no `Raw | None`; null is decoded like any other value.


class Job(Struct, dict=True, kw_only=True):
    """A job as the node tells it. Times are RFC 3339 text in UTC.

    `attempt` counts failures so far, `fence` counts leases and only grows: use it to guard the job's own side effects.
    `attempt_token` is there on a pulled job and is sent back by ack, fail, progress and heartbeat.
    """

    id: str
    name: str
    queue: str
    state: str
    custom_id: str | None = None
    raw_data: Raw = field(name="data", default=_NULL)
    raw_result: Raw = field(name="result", default=_NULL)
    raw_metadata: Raw = field(name="metadata", default=_NULL)
    progress: int | None = None
    logs: list[LogLine] = []
    priority: int = 0
    delay_until: str | None = None
    created_at: str = ""
    updated_at: str = ""
    started_at: str | None = None
    completed_at: str | None = None
    max_attempts: int = 3
    attempt: int = 0
    backoff: str = "exponential"
    backoff_delay_ms: int = 1_000
    max_backoff_ms: int | None = None
    last_error: str | None = None
    ttl_ms: int | None = None
    timeout_ms: int | None = None
    unique_key: str | None = None
    tags: list[str] = []
    group_id: str | None = None
    depends_on: list[str] = []
    flow_id: str | None = None
    on_parent_failure: str = "cascade"
    lifo: bool = False
    remove_on_complete: bool = False
    remove_on_fail: bool = False
    worker_id: str | None = None
    last_heartbeat: str | None = None
    fence: int = 0
    traceparent: str | None = None
    attempt_token: str | None = None
    lease_expires_at: str | None = None
    cancel_requested: bool = False
    raw_parent_results: dict[str, Raw] = field(name="parent_results", default_factory=dict)
    parent_results_truncated: bool = False

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, name={self.name!r}, queue={self.queue!r}, state={self.state!r})"

    @cached_property
    def data(self) -> Any:
        """The payload it was pushed with."""
        return msgspec.json.decode(self.raw_data)

    @cached_property
    def result(self) -> Any:
        """What it was acknowledged with, None before."""
        return msgspec.json.decode(self.raw_result)

    @cached_property
    def metadata(self) -> Any:
        """What was given as `metadata`, None if nothing was."""
        return msgspec.json.decode(self.raw_metadata)

    @cached_property
    def parent_results(self) -> dict[str, Any]:
        """Results of the jobs it depends on, by job id (pulls with `with_parent_results`)."""
        return {key: msgspec.json.decode(value) for key, value in self.raw_parent_results.items()}


class Pulled(Struct, frozen=True):
    """Both shapes of a pull's answer: `job` for a count of one, `jobs` for any other."""

    job: Job | None = None
    jobs: list[Job] = []

    @property
    def all(self) -> list[Job]:
        return self.jobs if self.job is None else [self.job]


class Acked(Struct, frozen=True):
    """`follow_ups_refused` names follow-ups of the job that could not be pushed."""

    follow_ups_refused: list[str] = []


class Problem(Struct, frozen=True):
    """Why an item of a batch, or a whole request, was refused."""

    code: str
    message: str
    details: dict[str, Any] | None = None


class ItemResult(Struct, frozen=True):
    """One item of a batch: `error` if it was refused; for fails whether and when the job is tried again."""

    id: str
    ok: bool
    error: Problem | None = None
    will_retry: bool | None = None
    next_attempt_at: str | None = None
    follow_ups_refused: list[str] = []


class AckedBatch(Struct, frozen=True):
    acked: int
    failed: int
    results: list[ItemResult] = []


class Failed(Struct, frozen=True):
    """After a failed try: whether and when the job is tried again."""

    will_retry: bool
    next_attempt_at: str | None = None


class FailedBatch(Struct, frozen=True):
    """`retried` and `dead` count jobs, `failed` counts items that were refused."""

    retried: int
    dead: int
    failed: int
    results: list[ItemResult] = []


class Lease(Struct, frozen=True):
    """Answer to heartbeat and progress. `drain`: the worker shall finish what it has and take nothing more."""

    cancel_requested: bool = False
    drain: bool = False
    lease_expires_at: str | None = None


class Bulk(Struct, frozen=True):
    """Answer of the bulk verbs; `sweep` names the sweep that goes on with the rest."""

    matched: int = 0
    moved: int = 0
    sweep: str | None = None


class Sweep(Struct, frozen=True):
    id: str
    state: str
    matched: int = 0
    moved: int = 0


class JobPage(Struct, frozen=True):
    """A page may hold fewer jobs than asked for and still have a `next_cursor`."""

    jobs: list[Job]
    next_cursor: str | None = None


class Parent(Struct, dict=True, kw_only=True):
    """A job that another one depends on. `state` is `removed` for one that is gone."""

    id: str
    state: str
    raw_result: Raw = field(name="result", default=_NULL)

    def __repr__(self) -> str:
        return f"Parent(id={self.id!r}, state={self.state!r})"

    @cached_property
    def result(self) -> Any:
        """What it was acknowledged with, None before."""
        return msgspec.json.decode(self.raw_result)


class ParentPage(Struct, frozen=True):
    parents: list[Parent]
    next_cursor: str | None = None


class Declared(Struct, frozen=True, kw_only=True):
    """What every declared record shows. `revision` grows with each change; give it as `if_match` to change what you
    have seen and nothing else.
    """

    labels: dict[str, str] = {}
    owner: Owner | None = None
    revision: int = 0


class QueueSummary(Declared, frozen=True):
    name: str
    counts: Counts = Counts()
    mode: str = "normal"


class QueueStats(Struct, frozen=True):
    counts: Counts
    mode: str = "normal"


class QueueInfo(Declared, frozen=True):
    name: str
    counts: Counts = Counts()
    settings: QueueSettings = QueueSettings()
    mode: str = "normal"


class FlowPage(Struct, frozen=True):
    flow_id: str
    jobs: list[Job]
    summary: FlowSummary = FlowSummary()
    next_cursor: str | None = None


class Health(Struct, frozen=True):
    status: str
    version: str = ""
    uptime_seconds: int = 0
    role: str = ""
    leader: str | None = None
    term: int = 0
    applied: int = 0
    lag: int = 0


class NewToken(Struct, frozen=True):
    """A bearer token just made. `token` is shown here only."""

    id: str
    token: str

    def __repr__(self) -> str:
        return f"NewToken(id={self.id!r})"


class Token(Struct, frozen=True):
    """A bearer token as it is listed."""

    id: str
    name: str
    scopes: list[Scope] = []
    created_at: str = ""
    expires_at: str | None = None
