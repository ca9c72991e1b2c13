"""The verbs about queues, dead letters, flows, sweeps and the node; methods of the same names on the clients."""

from typing import Any, Required, TypedDict, Unpack

import msgspec
from msgspec import UNSET, Raw

from rustqueue.client.call import Call, nothing, reader, whole
from rustqueue.client.calls.jobs import PushOptions, options_for_wire
from rustqueue.client.errors import InvalidRequest, NotFound, RustQueueError, misfit
from rustqueue.client.results import (
    Bulk,
    FlowPage,
    Health,
    JobPage,
    QueueInfo,
    QueueStats,
    QueueSummary,
    Sweep,
)
from rustqueue.model import commands, queries
from rustqueue.model.jobs import JobOptions, Outcome, Owner, PauseMode, QueueLimits, QueueMode, RetentionSettings


class Keep(TypedDict, total=False):
    """How long and how many finished jobs are kept."""

    age_ms: int
    count: int


class KeepByOutcome(TypedDict, total=False):
    completed: Keep
    dlq: Keep
    cancelled: Keep


class PushRate(TypedDict):
    count: int
    per_ms: int


class Caps(TypedDict, total=False):
    """What a queue takes, and how many of its jobs, and of each group, may be active at once."""

    rate: PushRate
    concurrency: int
    group_concurrency: int
    max_waiting: int


class OwnerRef(TypedDict, total=False):
    """Who declares a record: `uid` is compared, `ref` is for people."""

    uid: Required[str]
    ref: str


class Declaration(TypedDict, total=False):
    """What every declaration takes. `if_match` is the revision that the record must have (0: none yet), `if_owner` the
    uid of its owner; otherwise the call is refused with a `Conflict` and changes nothing. Labels and owner that are not
    given stay as they are.
    """

    labels: dict[str, str]
    owner: OwnerRef | None
    if_match: int
    if_owner: str


class QueueOptions(Declaration, total=False):
    """Settings of a queue. What is not given falls back to the node's defaults."""

    defaults: PushOptions
    limits: Caps
    retention: KeepByOutcome
    lease_ms: int
    payload_schema: dict[str, Any] | None
    mode: QueueMode


class DeadLetterFilter(TypedDict, total=False):
    """All given parts must match. `before` and `after` are RFC 3339 times of arrival."""

    fingerprint: str
    name: str
    error_contains: str
    before: str
    after: str


class Redrive(TypedDict, total=False):
    filter: DeadLetterFilter
    limit: int
    rate_per_s: int
    dry_run: bool


class _Queues(msgspec.Struct, frozen=True):
    queues: list[QueueSummary]


_read_queues = reader(_Queues, lambda answer: answer.queues)
_read_stats = whole(QueueStats)
_read_queue = whole(QueueInfo)
_read_bulk = whole(Bulk)
_read_page = whole(JobPage)
_read_flow = whole(FlowPage)
_read_sweep = whole(Sweep)
_read_health = whole(Health)


def queues() -> Call[list[QueueSummary]]:
    """All queues with a job or settings, by name."""
    return Call(queries.ListQueues(), _read_queues)


def stats(queue: str) -> Call[QueueStats]:
    """How many jobs of a queue are in which state."""
    return Call(queries.Stats(queue=queue), _read_stats)


def get_queue(queue: str) -> Call[QueueInfo]:
    """Settings, mode and counts of a queue."""
    return Call(queries.QueueGet(queue=queue), _read_queue)


def put_queue(queue: str, **settings: Unpack[QueueOptions]) -> Call[QueueInfo]:
    """Replace all settings of a queue; creates it. A missing `mode` keeps the present one."""
    unknown = sorted(settings.keys() - QueueOptions.__annotations__.keys() - Declaration.__annotations__.keys())
    if unknown:
        raise InvalidRequest("VALIDATION_ERROR", f"{unknown[0]!r} is no setting of a queue", 400)
    defaults, schema = settings.get("defaults"), settings.get("payload_schema")
    try:
        request = commands.QueueSet(
            queue=queue,
            defaults=JobOptions(**options_for_wire(defaults)) if defaults is not None else None,
            limits=msgspec.convert(settings.get("limits"), QueueLimits | None),
            retention=msgspec.convert(settings.get("retention"), RetentionSettings | None),
            lease_ms=settings.get("lease_ms"),
            payload_schema=UNSET if schema is None else Raw(msgspec.json.encode(schema)),
            mode=settings.get("mode"),
            labels=settings.get("labels", UNSET),
            owner=msgspec.convert(settings["owner"], Owner | None) if "owner" in settings else UNSET,
            if_match=settings.get("if_match"),
            if_owner=settings.get("if_owner"),
        )
    except msgspec.ValidationError as error:
        raise misfit(error) from error
    return Call(request, _read_queue, repeat="free" if request.if_match is None else "keyed")


def pause(queue: str, mode: PauseMode = "reject") -> Call[None]:
    """`reject` refuses pushes, `hold` accepts them and hands nothing out, `both` does both."""
    return Call(commands.QueuePause(queue=queue, mode=mode), nothing)


def resume(queue: str) -> Call[None]:
    """End a pause of any mode."""
    return Call(commands.QueueResume(queue=queue), nothing)


def drain(queue: str) -> Call[Bulk]:
    """Remove all waiting and delayed jobs."""
    return Call(commands.QueueDrain(queue=queue), _read_bulk)


def clean(queue: str, state: Outcome, *, older_than_ms: int = 0, limit: int | None = None) -> Call[Bulk]:
    """Remove finished jobs of one state, oldest first."""
    request = commands.QueueClean(queue=queue, state=state, older_than_ms=older_than_ms, limit=limit)
    return Call(request, _read_bulk, repeat="free" if limit is None else "keyed")


def delete_queue(
    queue: str, *, force: bool = False, if_match: int | None = None, if_owner: str | None = None
) -> Call[Bulk]:
    """Delete a queue; with `force` also one that still holds jobs."""
    request = commands.QueueDelete(queue=queue, force=force, if_match=if_match, if_owner=if_owner)
    return Call(request, _read_bulk, refused=_already_deleted)


def dlq(queue: str, *, limit: int = 50, cursor: str | None = None) -> Call[JobPage]:
    """One page of dead jobs, latest first."""
    return Call(queries.Dlq(queue=queue, limit=limit, cursor=cursor), _read_page)


def retry_dlq(queue: str, **redrive: Unpack[Redrive]) -> Call[Bulk]:
    """Bring dead jobs back, all or those that match; `dry_run` only counts them."""
    wanted = redrive.get("filter")
    request = commands.DlqRetry(
        queue=queue,
        filter=commands.DlqFilter(**wanted) if wanted is not None else None,
        limit=redrive.get("limit"),
        rate_per_s=redrive.get("rate_per_s"),
        dry_run=redrive.get("dry_run", False),
    )
    return Call(request, _read_bulk, repeat="free" if request.limit is None else "keyed")


def purge_dlq(queue: str) -> Call[Bulk]:
    """Delete all dead jobs of a queue."""
    return Call(commands.DlqPurge(queue=queue), _read_bulk)


def flow(flow_id: str, *, cursor: str | None = None) -> Call[FlowPage]:
    """The jobs of a flow, oldest first, and how many are in which state."""
    return Call(queries.Flow(flow_id=flow_id, cursor=cursor), _read_flow)


def sweep(sweep_id: str) -> Call[Sweep]:
    """How far a bulk verb is."""
    return Call(queries.SweepGet(id=sweep_id), _read_sweep)


def cancel_sweep(sweep_id: str) -> Call[None]:
    """Stop a bulk verb; what it did stays done."""
    return Call(commands.SweepCancel(id=sweep_id), nothing)


def health() -> Call[Health]:
    """Whether the node serves, its version and its part in the cluster."""
    return Call(queries.Health(), _read_health)


def _already_deleted(error: RustQueueError, resent: bool) -> Bulk:
    if not (resent and isinstance(error, NotFound)):
        raise error
    return Bulk()
