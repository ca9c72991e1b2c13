"""The verbs that look into things: reasons, histories, results, scaling, dead letters by cause, workers."""

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from rustqueue.client.call import Call, nothing, whole
from rustqueue.model import commands, queries
from rustqueue.model.replies import DeadGroup, PastAttempt, PastEvent, Reason, WorkerState


class Scale(Struct, frozen=True):
    """What a queue has to do, and how many workers that takes. `oldest_age_ms`: how long its oldest job has waited."""

    ready: int
    running: int
    due: int
    desired: int
    oldest_age_ms: int = 0


class Why(Struct, frozen=True):
    """What a job waits for. `position` counts from 1 among the ready jobs of its queue or group."""

    state: str
    reasons: list[Reason]
    position: int | None = None
    expected_start: str | None = None


class History(Struct, frozen=True):
    """The latest attempts of a job and the events of its life, oldest first."""

    attempts: list[PastAttempt]
    events: list[PastEvent]


class Outcome(Struct, frozen=True):
    """How a job ended; `state` is another one if it has not."""

    id: str
    state: str
    raw_result: Raw = field(name="result", default=Raw(b"null"))
    last_error: str | None = None

    @property
    def result(self) -> Any:
        """What it was acknowledged with."""
        return msgspec.json.decode(self.raw_result)


class DeadGroups(Struct, frozen=True):
    """Dead jobs by fingerprint, made from the latest `looked_at` of them."""

    groups: list[DeadGroup]
    looked_at: int = 0
    next_cursor: str | None = None


class WorkerPage(Struct, frozen=True):
    workers: list[WorkerState]
    next_cursor: str | None = None


_read_scale = whole(Scale)
_read_why = whole(Why)
_read_history = whole(History)
_read_outcome = whole(Outcome)
_read_groups = whole(DeadGroups)
_read_workers = whole(WorkerPage)


def scale(
    queue: str, *, per_worker: int = 1, min: int = 0, max: int = 1_000_000, due_within_ms: int = 0
) -> Call[Scale]:
    """How many workers a queue needs now, each for `per_worker` jobs at once."""
    request = queries.QueueScale(queue=queue, per_worker=per_worker, min=min, max=max, due_within_ms=due_within_ms)
    return Call(request, _read_scale)


def why(job_id: str) -> Call[Why]:
    """Why a job is where it is."""
    return Call(queries.JobWhy(id=job_id), _read_why)


def history(job_id: str) -> Call[History]:
    """What happened to a job."""
    return Call(queries.JobHistory(id=job_id), _read_history)


def result(job_id: str, *, wait_ms: int = 0) -> Call[Outcome]:
    """The result of a job; with `wait_ms` as soon as it has ended, or with another state when the time is over."""
    return Call(queries.JobResult(id=job_id, wait_ms=wait_ms), _read_outcome, wait_ms=wait_ms)


def dlq_groups(queue: str, *, cursor: str | None = None) -> Call[DeadGroups]:
    """One page of dead jobs by what killed them; a fingerprint is a filter of `retry_dlq`."""
    return Call(queries.DlqGroups(queue=queue, cursor=cursor), _read_groups)


def workers(*, limit: int = 50, cursor: str | None = None) -> Call[WorkerPage]:
    """One page of the workers seen within the last hour, by id."""
    return Call(queries.WorkerList(limit=limit, cursor=cursor), _read_workers)


def drain_worker(worker_id: str, *, drain: bool = True) -> Call[None]:
    """Ask a worker to finish what it has and take nothing more, or take that back."""
    return Call(commands.WorkerDrain(worker_id=worker_id, drain=drain), nothing)
