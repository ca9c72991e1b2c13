"""The same queue, naively: lists and dicts, no rows, no windows. Slow, short, and easy to believe.

It knows queues, leases, retries, dependencies, expiry and keys; times are whole half seconds, so that no rounding of
lease ends shows. Verbs answer the error code that a client must see, or what was done.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

ACTIVE, WAITING, DELAYED, BLOCKED = "active", "waiting", "delayed", "blocked"
COMPLETED, DLQ, CANCELLED, GONE = "completed", "dlq", "cancelled", "JOB_NOT_FOUND"
FINISHED = (COMPLETED, DLQ, CANCELLED, GONE)
MOVES = {
    WAITING: (ACTIVE, CANCELLED, DLQ, GONE),
    DELAYED: (WAITING, CANCELLED, DLQ, GONE),
    BLOCKED: (WAITING, CANCELLED, DLQ, GONE),
    ACTIVE: (COMPLETED, WAITING, DELAYED, DLQ, CANCELLED, GONE),
    COMPLETED: (GONE,),
    DLQ: (WAITING, GONE),
    CANCELLED: (GONE,),
}


@dataclass
class RefJob:
    id: str
    queue: str
    seq: int
    created_ms: int
    state: str = WAITING
    priority: int = 0
    lifo: bool = False
    delay_ms: int = 0
    ttl_ms: int | None = None
    timeout_ms: int | None = None
    max_attempts: int = 3
    backoff_ms: int = 1_000
    unique_key: str | None = None
    remove_on_complete: bool = False
    remove_on_fail: bool = False
    policy: str = "cascade"
    parents: list[str] = field(default_factory=list)
    pending: set[str] = field(default_factory=set)
    attempt: int = 0
    fence: int = 0
    until_ms: int = 0
    started_ms: int = 0
    lease_ms: int = 0
    ended_ms: int = 0
    token: str | None = None

    def move(self, state: str) -> None:
        assert state in MOVES[self.state], f"{self.state} to {state}"
        self.state = state


class Reference:
    """All queues. `now_ms` is moved by `wait` alone."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.jobs: dict[str, RefJob] = {}
        self.modes: dict[str, str] = {}
        self._seq = 0

    def counts(self, queue: str) -> dict[str, int]:
        states = [job.state for job in self.jobs.values() if job.queue == queue]
        shown = (WAITING, ACTIVE, DELAYED, COMPLETED, DLQ, BLOCKED)
        return {state: states.count(state) for state in shown if state in states}

    def refuses(self, queue: str, unique_key: str | None, parents: list[str]) -> str | None:
        if self.modes.get(queue) in ("reject", "both"):
            return "QUEUE_PAUSED"
        if unique_key is not None and self._holder(queue, unique_key):
            return "DUPLICATE_KEY"
        bad = (DLQ, CANCELLED, GONE)
        return "VALIDATION_ERROR" if any(self.jobs[parent].state in bad for parent in parents) else None

    def _holder(self, queue: str, unique_key: str) -> bool:
        held = (job for job in self.jobs.values() if job.state not in FINISHED)
        return any((job.queue, job.unique_key) == (queue, unique_key) for job in held)

    def push(self, job: RefJob) -> None:
        job.seq, job.created_ms = self._next_seq(), self.now_ms
        job.pending = {parent for parent in job.parents if self.jobs[parent].state != COMPLETED}
        if job.pending:
            job.state = BLOCKED
        elif job.delay_ms:
            job.state, job.until_ms = DELAYED, self.now_ms + job.delay_ms
        self.jobs[job.id] = job

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def pull(self, queue: str, count: int, lease_ms: int) -> list[str]:
        """Ids in order. An expired job whose turn comes goes to the DLQ, and its children may be ready at once."""
        leased: list[str] = []
        while self.modes.get(queue) not in ("hold", "both") and len(leased) < count:
            waiting = sorted((job for job in self._in(queue, WAITING)), key=_turn)[: count - len(leased)]
            for job in [job for job in waiting if self._expired(job)]:
                self._end(job, DLQ)
            live = [job for job in waiting if job.state == WAITING]
            for job in live:
                job.move(ACTIVE)
                job.fence += 1
                job.started_ms, job.lease_ms, job.until_ms = self.now_ms, lease_ms, self.now_ms + lease_ms
            leased += [job.id for job in live]
            if len(live) == len(waiting):
                break
        return leased

    def _in(self, queue: str, state: str) -> Iterator[RefJob]:
        return (job for job in self.jobs.values() if (job.queue, job.state) == (queue, state))

    def _expired(self, job: RefJob) -> bool:
        return job.ttl_ms is not None and job.fence == 0 and job.created_ms + job.ttl_ms <= self.now_ms

    def speak(self, verb: str, job: RefJob, token: str | None) -> str:
        """ack, fail or heartbeat: "ok", "again" for a repeated ack, or an error code."""
        if job.state == GONE:
            return "JOB_NOT_FOUND"
        if job.state != ACTIVE:
            if token is None:
                return "INVALID_STATE"
            if token != job.token or job.state != COMPLETED or job.ended_ms + 600_000 <= self.now_ms:
                return "STALE_ATTEMPT"
            return "again" if verb == "ack" else "INVALID_STATE"
        if token is not None and (token != job.token or job.until_ms <= self.now_ms):
            return "STALE_ATTEMPT"
        if verb == "heartbeat":
            job.until_ms = max(job.until_ms, self.now_ms + job.lease_ms)
        elif verb == "ack":
            self._end(job, COMPLETED)
            if job.remove_on_complete:
                job.move(GONE)
        else:
            self._fail(job)
        return "ok"

    def _fail(self, job: RefJob) -> None:
        job.attempt += 1
        if job.attempt >= job.max_attempts:
            self._end(job, DLQ)
            if job.remove_on_fail:
                job.move(GONE)
        elif job.backoff_ms == 0:
            job.move(WAITING)
        else:
            job.move(DELAYED)
            job.until_ms = self.now_ms + job.backoff_ms

    def _end(self, job: RefJob, state: str) -> None:
        """A job ends, and its children learn of it."""
        job.move(state)
        job.ended_ms = self.now_ms
        job.pending.clear()
        for child in self.jobs.values():
            if child.state != BLOCKED or job.id not in child.pending:
                continue
            child.pending.discard(job.id)
            if state != COMPLETED and child.policy == "cascade":
                self._end(child, DLQ)
            elif not child.pending or (state != COMPLETED and child.policy == "continue"):
                child.pending.clear()
                child.move(WAITING)

    def cancel(self, job: RefJob) -> str:
        if job.state not in (WAITING, DELAYED, BLOCKED):
            return "JOB_NOT_FOUND" if job.state == GONE else "INVALID_STATE"
        self._end(job, CANCELLED)
        return "ok"

    def remove(self, job: RefJob) -> str:
        if job.state in (GONE, ACTIVE):
            return "JOB_NOT_FOUND" if job.state == GONE else "INVALID_STATE"
        if job.state not in FINISHED:
            self._end(job, GONE)
        else:
            job.move(GONE)
        return "ok"

    def retry(self, job: RefJob, *, promote: bool = False) -> str:
        if job.state == DELAYED:
            job.move(WAITING)
            return "ok"
        if job.state != DLQ or promote:
            return "JOB_NOT_FOUND" if job.state == GONE else "INVALID_STATE"
        if job.unique_key is not None and self._holder(job.queue, job.unique_key):
            return "DUPLICATE_KEY"
        job.move(WAITING)
        job.attempt, job.seq, job.ttl_ms = 0, self._next_seq(), None
        return "ok"

    def prioritise(self, job: RefJob, priority: int) -> str:
        if job.state in FINISHED:
            return "JOB_NOT_FOUND" if job.state == GONE else "INVALID_STATE"
        job.priority = priority
        return "ok"

    def drain(self, queue: str) -> None:
        """Ready jobs go first, then delayed ones; what the removal of a parent lets free is not looked for again."""
        for state in (WAITING, DELAYED):
            for job in list(self._in(queue, state)):
                self.remove(job)

    def wait(self, after_ms: int) -> None:
        """Time passes: at each moment leases end, then delays, then times to live."""
        end_ms = self.now_ms + after_ms
        while (next_ms := min(self._due(), default=end_ms + 1)) <= end_ms:
            self.now_ms = max(self.now_ms, next_ms)
            for job in [job for job in self.jobs.values() if job.state == ACTIVE and _ends_ms(job) <= self.now_ms]:
                self._fail(job)
            for job in [job for job in self.jobs.values() if job.state == DELAYED and job.until_ms <= self.now_ms]:
                job.move(WAITING)
            for job in list(self.jobs.values()):
                if job.state in (WAITING, DELAYED, BLOCKED) and self._expired(job):
                    self._end(job, DLQ)
        self.now_ms = end_ms

    def _due(self) -> Iterator[int]:
        for job in self.jobs.values():
            if job.state == ACTIVE:
                yield _ends_ms(job)
            elif job.state == DELAYED:
                yield job.until_ms
            if job.state in (WAITING, DELAYED, BLOCKED) and job.ttl_ms is not None and job.fence == 0:
                yield job.created_ms + job.ttl_ms


def _turn(job: RefJob) -> tuple[int, int]:
    return -job.priority, -job.seq if job.lifo else job.seq


def _ends_ms(job: RefJob) -> int:
    return job.until_ms if job.timeout_ms is None else min(job.until_ms, job.started_ms + job.timeout_ms)
