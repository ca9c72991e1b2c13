"""What every request needs: a verb of the scopes, and the queues on which it is needed.

It must not know how somebody came by his grants, nor what a request does. Invariants: a request whose need is not
written down here is refused to everybody with less than all rights; whoever names a job by its id needs the verb on
that job's queue; one part that is not allowed refuses the whole request.
"""

from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol, cast, get_args

import msgspec
from msgspec import Raw, Struct

from rustqueue.auth import NOBODY, Grants, Principal
from rustqueue.gateway.ports import Done
from rustqueue.model import commands, queries, schedules
from rustqueue.model.cluster import backups
from rustqueue.model.cluster import requests as cluster
from rustqueue.model.commands import PushJobs, QueueSet
from rustqueue.model.errors import ApiError, Forbidden, Unauthorized
from rustqueue.model.jobs import FlowSummary, JobOptions
from rustqueue.model.kinds.requests import KindJobGet, KindJobList
from rustqueue.model.replies import FlowPage, QueueNames, Reply, SchedulePage, Seen
from rustqueue.model.schedules import ScheduleFields
from rustqueue.model.tokens import ScopeVerb
from rustqueue.model.webhooks.commands import WEBHOOK_VERBS
from rustqueue.model.wire import Request


class Places(Protocol):
    """Where jobs and sweeps are, as the applied state knows it."""

    def queue_of_job(self, reference: str) -> str | None: ...

    def queue_of_sweep(self, reference: str) -> str | None: ...

    def queue_of_schedule(self, name: str) -> str | None: ...


Where = Callable[[Any, Places], Iterable[str | None]]
"""The queues that a request touches. None stands for all queues."""


class Need(NamedTuple):
    verb: ScopeVerb
    where: Where


def _one_queue(request: Any, places: Places) -> Iterable[str | None]:
    return (request.queue,)


def _one_kind(request: KindJobList, places: Places) -> Iterable[str | None]:
    return (request.kind,)


def _everywhere(request: Any, places: Places) -> Iterable[str | None]:
    return (None,)


def _nowhere(request: Any, places: Places) -> Iterable[str | None]:
    """The answer is cut down to what may be seen instead."""
    return ()


def _pulled_queues(request: commands.Pull, places: Places) -> Iterable[str | None]:
    if request.queues is None:
        return (request.queue,)
    return [weighted.queue for weighted in request.queues]


def _the_job(request: Any, places: Places) -> Iterable[str | None]:
    return _queues_of((request.id,), places)


def _the_acked(request: commands.AckBatch, places: Places) -> Iterable[str | None]:
    if request.items is not None:
        return _queues_of([item.id for item in request.items], places)
    return _queues_of(request.ids or (), places)


def _the_failed(request: commands.FailBatch, places: Places) -> Iterable[str | None]:
    return _queues_of([item.id for item in request.items], places)


def _queues_of(references: Iterable[str], places: Places) -> dict[str, None]:
    """The queues of jobs, each once. A job that is not there has no queue to protect: asking finds out only that."""
    found: dict[str, None] = {}
    for reference in references:
        if reference.startswith("custom:"):
            # The queue stands in the reference, and whether it has such a job is not for everybody to know.
            found[reference.split(":", 2)[1]] = None
        else:
            queue = places.queue_of_job(reference)
            if queue is not None:
                found[queue] = None
    return found


def _the_sweep(request: Any, places: Places) -> Iterable[str | None]:
    queue = places.queue_of_sweep(request.id)
    return () if queue is None else (queue,)


def _the_schedule(request: Any, places: Places) -> Iterable[str | None]:
    """Where a schedule pushes to."""
    queue = places.queue_of_schedule(request.name)
    return () if queue is None else (queue,)


def _both_schedules(request: ScheduleFields, places: Places) -> Iterable[str | None]:
    """The new one, and the one that it replaces."""
    return (request.queue, *_the_schedule(request, places))


NEEDS: Final[dict[type[Struct], Need]] = {
    commands.PushJobs: Need("push", _one_queue),
    commands.Pull: Need("pull", _pulled_queues),
    commands.Ack: Need("pull", _the_job),
    commands.AckBatch: Need("pull", _the_acked),
    commands.Fail: Need("pull", _the_job),
    commands.FailBatch: Need("pull", _the_failed),
    commands.Progress: Need("pull", _the_job),
    commands.Heartbeat: Need("pull", _the_job),
    commands.Cancel: Need("admin", _the_job),
    commands.JobRetry: Need("admin", _the_job),
    commands.JobPromote: Need("admin", _the_job),
    commands.JobPriority: Need("admin", _the_job),
    commands.JobRemove: Need("admin", _the_job),
    commands.QueuePause: Need("admin", _one_queue),
    commands.QueueResume: Need("admin", _one_queue),
    commands.QueueSet: Need("admin", _one_queue),
    commands.QueueDelete: Need("admin", _one_queue),
    commands.QueueDrain: Need("admin", _one_queue),
    commands.QueueClean: Need("admin", _one_queue),
    commands.DlqRetry: Need("admin", _one_queue),
    commands.DlqPurge: Need("admin", _one_queue),
    commands.SweepCancel: Need("admin", _the_sweep),
    schedules.ScheduleCreate: Need("admin", _both_schedules),
    schedules.SchedulePut: Need("admin", _both_schedules),
    schedules.ScheduleDelete: Need("admin", _the_schedule),
    schedules.SchedulePause: Need("admin", _the_schedule),
    schedules.ScheduleResume: Need("admin", _the_schedule),
    schedules.ScheduleRun: Need("admin", _the_schedule),
    schedules.ScheduleGet: Need("read", _the_schedule),
    schedules.ScheduleList: Need("read", _nowhere),
    schedules.ScheduleRuns: Need("read", _the_schedule),
    commands.RunTransaction: Need("push", _nowhere),  # Each of its operations needs its own; see `check`.
    commands.WorkerDrain: Need("admin", _everywhere),
    commands.TokenCreate: Need("admin", _everywhere),
    commands.TokenDelete: Need("admin", _everywhere),
    # A webhook hears of many queues, and its URL may hold a secret: it is for those who may do everything.
    **{kind: Need("admin", _everywhere) for kind in WEBHOOK_VERBS},
    cluster.ClusterGet: Need("read", _everywhere),
    cluster.MemberAdd: Need("admin", _everywhere),
    cluster.MemberRemove: Need("admin", _everywhere),
    cluster.MemberReplace: Need("admin", _everywhere),
    cluster.ClusterTransfer: Need("admin", _everywhere),
    backups.BackupCreate: Need("admin", _everywhere),
    backups.BackupRead: Need("admin", _everywhere),
    backups.BackupDelete: Need("admin", _everywhere),
    queries.Get: Need("read", _the_job),
    queries.JobList: Need("read", _one_queue),
    queries.JobParents: Need("read", _the_job),
    queries.ListQueues: Need("read", _nowhere),
    queries.QueueGet: Need("read", _one_queue),
    queries.Stats: Need("read", _one_queue),
    queries.Dlq: Need("read", _one_queue),
    queries.Flow: Need("read", _nowhere),
    queries.SweepGet: Need("read", _the_sweep),
    queries.QueueScale: Need("read", _one_queue),
    queries.JobWhy: Need("read", _the_job),
    queries.JobHistory: Need("read", _the_job),
    queries.JobResult: Need("read", _the_job),
    queries.DlqGroups: Need("read", _one_queue),
    queries.WorkerList: Need("read", _everywhere),
    queries.TokenList: Need("admin", _everywhere),
}
"""Whoever adds a verb adds its need here; a test compares the two. A job list without a queue is one of all queues."""


KIND_NEEDS: Final[dict[type[Struct], Need]] = {
    KindJobGet: Need("read", _the_job),
    KindJobList: Need("read", _one_kind),
}
"""What only the second system's routes ask; they create jobs by a push and cancel them as everybody does."""


AUDITED: Final = frozenset(
    kind
    for kind, need in NEEDS.items()
    if need.verb == "admin" and need.where is not _the_job and kind not in get_args(queries.Query)
)
"""What administrators do to queues and to the node. What is done to single jobs stands in their history."""


def check(principal: Principal, request: Request, places: Places) -> Grants | None:
    """Raise unless `principal` may ask this. Gives the grants of one whose answers must be cut down, else None."""
    kind = type(request)
    if kind is queries.Health:
        return None
    if principal is NOBODY:
        raise Unauthorized("Authentication required: send an 'auth' command or a bearer token first")
    grants = principal.grants()
    if grants.is_full:
        return None
    if kind is commands.RunTransaction:
        for operation in cast("commands.RunTransaction", request).operations:
            check(principal, operation, places)
        return grants
    need = NEEDS.get(kind) or KIND_NEEDS.get(kind)
    if need is None:
        raise Forbidden("admin", None)
    require = grants.require
    for queue in need.where(request, places):
        require(need.verb, queue)
    if need.where is _nowhere and not grants.allows_somewhere(need.verb):
        raise Forbidden(need.verb, None)
    _check_inside(grants, request, places)
    return grants


def _check_inside(grants: Grants, request: Request, places: Places) -> None:
    """Queues that a request reaches through what it carries."""
    kind = type(request)
    if kind is PushJobs:
        _check_pushed(grants, cast("PushJobs", request), places)
    elif kind is QueueSet:
        _check_defaults(grants, cast("QueueSet", request), places)
    elif isinstance(request, ScheduleFields) and request.job_options is not None:
        _check_reach(grants, request.queue, request.job_options, places)


def _check_pushed(grants: Grants, request: PushJobs, places: Places) -> None:
    for job in request.jobs:
        if job.options is not None:
            _check_reach(grants, request.queue, job.options, places)


def _check_defaults(grants: Grants, request: QueueSet, places: Places) -> None:
    if request.defaults is not None:
        _check_reach(grants, request.queue, request.defaults, places)


class _FollowUp(Struct):
    queue: str = ""
    options: JobOptions | None = None


class _Metadata(Struct):
    follow_ups: list[_FollowUp] = []


_metadata: Final = msgspec.json.Decoder(_Metadata)


def _check_reach(grants: Grants, queue: str, options: JobOptions, places: Places) -> None:
    """A job reaches beyond its queue: it is given its parents' results, and what follows it is pushed elsewhere."""
    parents = [parent for parent in options.depends_on or () if isinstance(parent, str)]
    for its_queue in _queues_of(parents, places):
        if its_queue != queue:
            grants.require("read", its_queue)
    if not isinstance(options.metadata, Raw) or b"follow_ups" not in bytes(options.metadata):
        return
    try:
        follow_ups = _metadata.decode(options.metadata).follow_ups
    except msgspec.MsgspecError:
        # Some of them may be good all the same, and would be pushed: who may push everywhere may push these.
        grants.require("push", None)
        return
    for follow_up in follow_ups:
        grants.require("push", follow_up.queue)
        if follow_up.options is not None:
            _check_reach(grants, follow_up.queue, follow_up.options, places)


# Answers that tell of several queues.


def cut_down(request: Request, grants: Grants, done: Done) -> Done:
    """Where the reply goes, by way of what leaves out the queues that may not be read."""
    if isinstance(request, queries.ListQueues | queries.Flow | schedules.ScheduleList):
        return partial(_land, done, grants)
    return done


def _land(done: Done, grants: Grants, reply: Reply) -> None:
    if isinstance(reply, Seen):
        _land(lambda seen: done(msgspec.structs.replace(reply, reply=seen)), grants, reply.reply)
        return
    if isinstance(reply, QueueNames):
        shown = [summary for summary in reply.queues if grants.allows("read", summary.name)]
        reply = msgspec.structs.replace(reply, queues=shown)
    elif isinstance(reply, SchedulePage):
        kept = [schedule for schedule in reply.schedules if grants.allows("read", schedule.queue)]
        reply = msgspec.structs.replace(reply, schedules=kept)
    elif isinstance(reply, FlowPage):
        reply = _flow_of(reply, grants)
    done(reply)


def _flow_of(page: FlowPage, grants: Grants) -> FlowPage:
    jobs = [job for job in page.jobs if grants.allows("read", job.queue)]
    if len(jobs) == len(page.jobs):
        return page
    counted = {
        name: sum(job.state == name for job in jobs) for name in FlowSummary.__struct_fields__ if name != "total"
    }
    return msgspec.structs.replace(page, jobs=jobs, summary=FlowSummary(total=len(jobs), **counted))


# Idempotency keys.


def with_own_key(tenant: str, request: Request, raw: bytes) -> tuple[Request, bytes]:
    """The request under a key that no other principal can use: two of them may choose the same one by chance.

    The key in the text is overruled by a second one behind it: the log takes the last of two, and the door, where two
    would be refused, has let the text through already.
    """
    key = cast("str", getattr(request, "idempotency_key", None))
    digest = blake2b(f"{tenant}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    own = msgspec.structs.replace(request, idempotency_key=digest)
    return own, raw.rstrip()[:-1] + b',"idempotency_key":"%b"}' % digest.encode("ascii")


# Clusters, where this node may be behind.


class _Noticing:
    """Places that remember whether they were asked for something that is not there."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.missed = False

    def queue_of_job(self, reference: str) -> str | None:
        return self._noticed(self._places.queue_of_job(reference))

    def queue_of_sweep(self, reference: str) -> str | None:
        return self._noticed(self._places.queue_of_sweep(reference))

    def queue_of_schedule(self, name: str) -> str | None:
        return self._noticed(self._places.queue_of_schedule(name))

    def _noticed(self, queue: str | None) -> str | None:
        self.missed = self.missed or queue is None
        return queue


def is_unsure(principal: Principal, request: Request, places: Places) -> bool:
    """Whether `principal` may ask this only as long as something that this node does not know is not there at all."""
    noticing = _Noticing(places)
    try:
        grants = check(principal, request, noticing)
    except ApiError:
        return False
    return grants is not None and noticing.missed


# Requests that wait.


def refusal(principal: Principal, request: Request, places: Places) -> ApiError | None:
    """Why `principal` may not ask this any more: his token may be gone since."""
    try:
        check(principal, request, places)
    except ApiError as error:
        return error
    return None
