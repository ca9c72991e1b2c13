"""The verbs about jobs: each builds the call that asks for it. The clients offer them as methods of the same names."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Required, TypedDict, Unpack

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from rustqueue.client.call import Call, nothing, reader, whole
from rustqueue.client.errors import Conflict, NotFound, RustQueueError, misfit
from rustqueue.client.results import (
    Acked,
    AckedBatch,
    Failed,
    FailedBatch,
    Job,
    JobPage,
    Lease,
    ParentPage,
    Pulled,
)
from rustqueue.model import commands, queries
from rustqueue.model.jobs import BackoffName, JobItem, JobState, ParentFailurePolicy


class PushOptions(TypedDict, total=False):
    """How a job is to be run. What is not given comes from the queue's defaults, then from the node's."""

    priority: int
    delay_ms: int
    run_at: str | datetime
    max_attempts: int
    backoff: BackoffName
    backoff_delay_ms: int
    max_backoff_ms: int
    ttl_ms: int
    timeout_ms: int
    lease_ms: int
    unique_key: str
    tags: Sequence[str]
    group_id: str
    lifo: bool
    remove_on_complete: bool
    remove_on_fail: bool
    custom_id: str
    metadata: Any
    depends_on: Sequence[str | int]
    flow_id: str
    on_parent_failure: ParentFailurePolicy
    traceparent: str


class NewJob(PushOptions, total=False):
    """One job of a batch. An integer in `depends_on` is a position in the batch."""

    name: Required[str]
    data: Any


class PullOptions(TypedDict, total=False):
    """`wait_ms` waits for the first job; `lease_ms` is how long a job stays ours without a heartbeat."""

    wait_ms: int
    worker_id: str
    lease_ms: int
    with_parent_results: bool
    idempotency_key: str


class JobFilters(TypedDict, total=False):
    """All given filters must match. `metadata` maps a top-level key to the text its value must have."""

    queue: str
    state: JobState | Literal["waiting", "delayed", "blocked", "active", "completed", "dlq", "cancelled"]
    name: str
    tag: str
    flow_id: str
    metadata: dict[str, str]
    created_after: str | datetime
    limit: int
    cursor: str | None
    order: Literal["asc", "desc"]


Queues = str | Sequence[str] | Mapping[str, int]
"""One queue, several, or several with weights."""

_encode = msgspec.json.Encoder().encode


class _Id(Struct, frozen=True):
    id: str


class _Ids(Struct, frozen=True):
    ids: list[str]


class _OneJob(Struct, frozen=True):
    job: Job


class _Cancelled(Struct, frozen=True):
    status: Literal["cancelled", "cancelling"] = "cancelled"


class _Results(Struct, frozen=True):
    results: list[dict[str, Any]]


_decode_transaction = msgspec.json.Decoder(commands.Transaction).decode
_read_results = reader(_Results, lambda answer: answer.results)
_read_id = reader(_Id, lambda answer: answer.id)
_read_ids = reader(_Ids, lambda answer: answer.ids)
_read_pulled = reader(Pulled, lambda answer: answer.all)
_read_job = reader(_OneJob, lambda answer: answer.job)
_read_acked = whole(Acked)
_read_acked_batch = whole(AckedBatch)
_read_failed = whole(Failed)
_read_failed_batch = whole(FailedBatch)
_read_lease = whole(Lease)
_read_page = whole(JobPage)
_read_parents = whole(ParentPage)
_read_cancelled = reader(_Cancelled, lambda answer: answer.status)


def push(
    queue: str, name: str, data: Any = None, *, idempotency_key: str | None = None, **options: Unpack[PushOptions]
) -> Call[str]:
    """Store a job; the answer is its id. It is durable when this returns."""
    wire = options_for_wire(options) if options else {}
    request = commands.Push(queue=queue, name=name, data=Raw(_encode(data)), **wire)
    return Call(request, _read_id, key=idempotency_key, repeat="keyed")


def push_batch(queue: str, jobs: Iterable[NewJob], *, idempotency_key: str | None = None) -> Call[list[str]]:
    """Store up to 1,000 jobs, all or none; the answer has their ids in the same order."""
    request = commands.PushBatch(queue=queue, jobs=[_item(job) for job in jobs])
    return Call(request, _read_ids, key=idempotency_key, repeat="keyed")


def pull(queues: Queues, count: int = 1, **options: Unpack[PullOptions]) -> Call[list[Job]]:
    """Lease up to `count` jobs. Each must be acked or failed before its lease ends, or it runs again.

    If the answer is lost, the jobs stay leased until then. With an `idempotency_key` the pull is repeated and gets the
    same jobs; the price is that even an empty pull is written to the log.
    """
    key = options.pop("idempotency_key", None)
    if isinstance(queues, str):
        request = commands.Pull(queue=queues, count=count, **options)
    else:
        weights = queues if isinstance(queues, Mapping) else dict.fromkeys(queues, 1)
        weighted = [commands.WeightedQueue(queue, weight) for queue, weight in weights.items()]
        request = commands.Pull(queues=weighted, count=count, **options)
    return Call(request, _read_pulled, key=key, repeat="asked", wait_ms=request.wait_ms)


def ack(
    job: Job | str, result: Any = UNSET, *, attempt_token: str | None = None, cancelled: bool = False
) -> Call[Acked]:
    """Complete a pulled job. Repeating an ack that succeeded succeeds."""
    job_id, token = _identity(job, attempt_token)
    request = commands.Ack(id=job_id, result=_raw(result), attempt_token=token, cancelled=cancelled)
    return Call(request, _read_acked, refused=_already_acked)


def ack_batch(items: Iterable[Job | str | tuple[Job | str, Any]]) -> Call[AckedBatch]:
    """Complete up to 1,000 jobs; an item is a job or a job with its result. Refused items are in `results`."""
    wire = []
    for item in items:
        job, result = item if isinstance(item, tuple) else (item, UNSET)
        job_id, token = _identity(job, None)
        wire.append(commands.AckItem(id=job_id, result=_raw(result), attempt_token=token))
    return Call(commands.AckBatch(items=wire), _read_acked_batch)


def fail(
    job: Job | str, error: str = "unknown error", *, attempt_token: str | None = None, cancelled: bool = False
) -> Call[Failed]:
    """End the try of a pulled job with an error: it is tried again or goes to the dead letters."""
    job_id, token = _identity(job, attempt_token)
    request = commands.Fail(id=job_id, error=error, attempt_token=token, cancelled=cancelled)
    return Call(request, _read_failed, repeat="keyed")


def fail_batch(items: Iterable[tuple[Job | str, str]]) -> Call[FailedBatch]:
    """End the tries of up to 1,000 jobs, each with its error."""
    wire = []
    for job, error in items:
        job_id, token = _identity(job, None)
        wire.append(commands.FailItem(id=job_id, error=error, attempt_token=token))
    return Call(commands.FailBatch(items=wire), _read_failed_batch, repeat="keyed")


def progress(
    job: Job | str, progress: int, message: str | None = None, *, attempt_token: str | None = None
) -> Call[Lease]:
    """Say how far a pulled job is (0 to 100); `message` becomes a line of its log.

    The answer tells whether it shall stop and when its lease ends; only a heartbeat renews that.
    """
    job_id, token = _identity(job, attempt_token)
    request = commands.Progress(id=job_id, progress=progress, message=message, attempt_token=token)
    return Call(request, _read_lease)


def heartbeat(job: Job | str, *, attempt_token: str | None = None) -> Call[Lease]:
    """Renew the lease of a pulled job and hear whether it shall stop."""
    job_id, token = _identity(job, attempt_token)
    return Call(commands.Heartbeat(id=job_id, attempt_token=token), _read_lease)


def cancel(job_id: str, *, running: bool = False) -> Call[Literal["cancelled", "cancelling"]]:
    """Cancel a job that does not run yet; with `running` also ask a running one to stop (`cancelling`)."""
    return Call(commands.Cancel(id=job_id, running=running), _read_cancelled, refused=_already_cancelled)


def get(job_id: str) -> Call[Job | None]:
    """The job, or None if there is none. `custom:QUEUE:ID` names one by its custom id."""
    return Call(queries.Get(id=job_id), _read_job, refused=_none_if_missing)


def list_jobs(**filters: Unpack[JobFilters]) -> Call[JobPage]:
    """One page of jobs, newest first unless `order="asc"`. `iter_jobs` follows the cursors."""
    wire: dict[str, Any] = dict(filters)
    if "created_after" in wire:
        wire["created_after"] = _time_text(wire["created_after"])
    return Call(queries.JobList(**wire), _read_page)


def parents(job_id: str, *, limit: int = 50, cursor: str | None = None) -> Call[ParentPage]:
    """One page of the jobs that this one depends on, with their results. `iter_parents` follows the cursors."""
    return Call(queries.JobParents(id=job_id, limit=limit, cursor=cursor), _read_parents)


def retry(job_id: str) -> Call[None]:
    """Bring a job back from the dead letters, or a delayed retry forward to now."""
    return Call(commands.JobRetry(id=job_id), nothing)


def promote(job_id: str) -> Call[None]:
    """Make a delayed job ready now."""
    return Call(commands.JobPromote(id=job_id), nothing)


def set_priority(job_id: str, priority: int) -> Call[None]:
    """Change the priority of a job that does not run yet."""
    return Call(commands.JobPriority(id=job_id, priority=priority), nothing)


def remove(job_id: str) -> Call[None]:
    """Delete a job that does not run."""
    return Call(commands.JobRemove(id=job_id), nothing, refused=_already_removed)


def transaction(
    operations: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None
) -> Call[list[dict[str, Any]]]:
    """Do several things or none. Operations are the TCP protocol's `ack`, `fail`, `cancel`, `push` and `push_batch`:
    `{"cmd": "ack", "id": job.id, "attempt_token": job.attempt_token}`. The answer has theirs, in their order.
    """
    try:
        request = _decode_transaction(_encode({"cmd": "tx", "operations": list(operations)}))
    except msgspec.ValidationError as error:
        raise misfit(error, commands.Transaction) from error
    return Call(request, _read_results, key=idempotency_key, repeat="keyed")


def options_for_wire(options: PushOptions | NewJob) -> dict[str, Any]:
    """The options with times as text and metadata as raw JSON, ready for the vocabulary's structs."""
    wire: dict[str, Any] = dict(options)
    if "metadata" in wire:
        wire["metadata"] = Raw(_encode(wire["metadata"]))
    if "run_at" in wire:
        wire["run_at"] = _time_text(wire["run_at"])
    return wire


def _item(job: NewJob) -> JobItem:
    data = Raw(_encode(job.get("data")))
    if len(job) == 2 and "data" in job:  # The common batch has names and payloads only; the rest costs a copy.
        return JobItem(name=job["name"], data=data)
    return JobItem(**{**options_for_wire(job), "data": data})


def _time_text(at: str | datetime) -> str:
    if isinstance(at, str):
        return at
    if at.tzinfo is None:
        raise ValueError("a time without a time zone is ambiguous: use datetime.now(UTC) or another aware time")
    return at.isoformat()


def _identity(job: Job | str, attempt_token: str | None) -> tuple[str, str | None]:
    return (job, attempt_token) if isinstance(job, str) else (job.id, attempt_token or job.attempt_token)


def _raw(value: Any) -> Raw | UnsetType:
    return UNSET if value is UNSET else Raw(_encode(value))


def _state_in(error: RustQueueError) -> object:
    return (error.details or {}).get("state") if isinstance(error, Conflict) else None


def _none_if_missing(error: RustQueueError, resent: bool) -> None:
    if not isinstance(error, NotFound):
        raise error


def _already_acked(error: RustQueueError, resent: bool) -> Acked:
    # A leased job cannot be removed, so one that is gone was completed with `remove_on_complete`.
    if not (resent and (isinstance(error, NotFound) or _state_in(error) == "completed")):
        raise error
    return Acked()


def _already_cancelled(error: RustQueueError, resent: bool) -> Literal["cancelled"]:
    if not (resent and _state_in(error) == "cancelled"):
        raise error
    return "cancelled"


def _already_removed(error: RustQueueError, resent: bool) -> None:
    if not (resent and isinstance(error, NotFound)):
        raise error
