"""Clients that wait for a job to end, to read its result. Every node serves its own: what it applies tells it.

It must not know what a result is. Invariants: `done` is called once for every waiter that was not cancelled; a job that
ends between the first look and the wait is not missed, since both happen in one turn of the loop.
"""

from collections.abc import Callable, Iterable

from rustqueue.gateway.deadlines import Deadlines
from rustqueue.gateway.ports import Done
from rustqueue.model.errors import Limited
from rustqueue.model.ids import parse_id
from rustqueue.model.queries import JobResult
from rustqueue.model.replies import JobOutcome, Reply
from rustqueue.raft.ports import Clock

ENDED = frozenset({"completed", "dlq", "cancelled"})


class ResultWaiter:
    """One client that waits, and its ticket."""

    __slots__ = ("_room", "done", "job_id", "query")

    def __init__(self, room: "ResultRoom", query: JobResult, job_id: bytes, done: Done) -> None:
        self._room = room
        self.query = query
        self.job_id = job_id
        self.done = done

    def cancel(self) -> None:
        self._room.leave(self)


class ResultRoom:
    """All that wait on this node, by job. `look` answers a query now, as a reply."""

    def __init__(self, clock: Clock, look: Callable[[JobResult], Reply], waiters_max: int) -> None:
        self._look = look
        self._waiters_max = waiters_max
        self._deadlines: Deadlines[ResultWaiter] = Deadlines(clock, self._answer)
        self._by_job: dict[bytes, dict[ResultWaiter, None]] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def ask(self, query: JobResult, done: Done) -> ResultWaiter | None:
        """Answer now if the job has ended, else when it does. Raises OVERLOADED."""
        reply = self._look(query)
        ended = not isinstance(reply, JobOutcome) or reply.state in ENDED
        job_id = parse_id(reply.id) if isinstance(reply, JobOutcome) else None
        if ended or query.wait_ms == 0 or job_id is None:
            done(reply)
            return None
        if len(self._deadlines) >= self._waiters_max:
            details = {"field": "wait_ms", "limit": self._waiters_max}
            raise Limited("OVERLOADED", "Too many clients are waiting for results", details)
        waiter = ResultWaiter(self, query, job_id, done)
        self._by_job.setdefault(job_id, {})[waiter] = None
        self._deadlines.put(waiter, query.wait_ms)
        return waiter

    def ended(self, ids: Iterable[bytes]) -> None:
        """These jobs have ended."""
        for job_id in ids:
            for waiter in list(self._by_job.get(job_id, ())):
                self._answer(waiter)

    def close(self) -> None:
        """Answer everybody with what is known now."""
        for waiters in list(self._by_job.values()):
            for waiter in list(waiters):
                self._answer(waiter)

    def leave(self, waiter: ResultWaiter) -> None:
        self._deadlines.drop(waiter)
        waiters = self._by_job.get(waiter.job_id)
        if waiters is not None:
            waiters.pop(waiter, None)
            if not waiters:
                del self._by_job[waiter.job_id]

    def _answer(self, waiter: ResultWaiter) -> None:
        self.leave(waiter)
        waiter.done(self._look(waiter.query))
