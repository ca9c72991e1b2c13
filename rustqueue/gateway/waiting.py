"""Pulls that wait for a job: who stands in which queue's line, and whose turn it is.

It must not know the log: it names the waiters whose pull is to be proposed, and is told the reply. Invariants:
- a line is first come, first served; a waiter on several queues stands in each; one whose pull came back empty goes on
  waiting at its old place;
- the pulls on their way for a queue ask for no more jobs than it is known to have, give or take one pull;
- a waiter costs nothing while nothing happens to its queues;
- no job stays ready while somebody waits for it: lines are looked at again after every event that makes jobs ready and
  after every pull that brought something, since then less was promised than thought.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import NamedTuple

from rustqueue.gateway.deadlines import Deadlines
from rustqueue.gateway.ports import Done, Ticket
from rustqueue.model.commands import Command, NewJob, Pull, PushJobs
from rustqueue.model.errors import ApiError, Limited
from rustqueue.model.replies import Pulled, PulledOne, Reply
from rustqueue.raft.ports import Clock


class Stand(Enum):
    """Where a waiter is."""

    ASKING = auto()  # Its pull is on the way through the log.
    WAITING = auto()
    GONE = auto()  # Answered or cancelled.


class Asker(NamedTuple):
    """What is special about who pulls. `placed`: a client of another node, told where its pull stands in the log.
    `refusal`: asked before the pull goes out again, why the one who waits may not have a job any more.
    """

    placed: Callable[[int, int, int], None] | None = None
    refusal: Callable[[], ApiError | None] | None = None


NOBODY_SPECIAL = Asker()


class Waiter:
    """One waiting pull, and the ticket that its client holds."""

    __slots__ = ("_room", "asker", "done", "elsewhere", "pull", "queues", "raw", "stand", "taken_for", "until_us")

    def __init__(self, room: "WaitingRoom", pull: Pull, raw: bytes, done: Done) -> None:
        self._room = room
        self.pull = pull
        self.raw = raw
        self.done = done
        self.queues = queues_of(pull)
        self.stand = Stand.ASKING
        self.until_us = 0
        self.asker = NOBODY_SPECIAL
        self.elsewhere: Ticket | None = None
        """Its wait at the leader, when that came to be another node."""
        self.taken_for: str | None = None
        """The queue whose job its pull on the way is meant for."""

    def cancel(self) -> None:
        if self.elsewhere is not None:
            self.elsewhere.cancel()
        else:
            self._room.leave(self)


class WaitingRoom:
    """The lines of all queues."""

    def __init__(
        self, clock: Clock, ready_count: Callable[[str], int], ask: Callable[[Waiter], None], waiters_max: int
    ) -> None:
        self._clock = clock
        self._ready_count = ready_count
        self._ask = ask
        self._waiters_max = waiters_max
        self._deadlines: Deadlines[Waiter] = Deadlines(clock, self._out_of_time)
        self._lines: dict[str, OrderedDict[Waiter, None]] = {}
        self._promised: dict[str, int] = {}
        self._woken: dict[str, None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._deadlines)

    def enter(self, pull: Pull, raw: bytes, done: Done) -> Waiter:
        """A new waiter, whose pull is taken to be on its way until `wait` or `answered` is called."""
        if len(self._deadlines) >= self._waiters_max:
            details = {"field": "wait_ms", "limit": self._waiters_max}
            raise Limited("OVERLOADED", "Too many pulls are waiting for jobs", details)
        waiter = Waiter(self, pull, raw, done)
        waiter.until_us = self._clock.monotonic_us() + pull.wait_ms * 1_000
        self._deadlines.put(waiter, pull.wait_ms)
        return waiter

    def wait(self, waiter: Waiter) -> None:
        """Put a waiter that found nothing into its lines."""
        waiter.stand = Stand.WAITING
        for queue in waiter.queues:
            line = self._lines.get(queue)
            if line is None:
                line = self._lines[queue] = OrderedDict()
            # One that came back empty stands there still, and keeps its place.
            line[waiter] = None

    def rest(self, waiter: Waiter) -> None:
        """Let a waiter wait for nothing but its time: it shall get no job."""
        waiter.stand = Stand.WAITING

    def dismiss(self, waiter: Waiter) -> None:
        """Answer a waiter whose turn has come, and who shall get no job any more; the next one has its turn."""
        self._break_promise(waiter)
        if waiter.stand is not Stand.GONE:
            self._answer(waiter, nothing_for(waiter.pull))
        self._wake(waiter.queues)

    def has_free_job(self, queues: Iterable[str]) -> bool:
        """Whether any of the queues has a ready job that is not promised to a waiter's pull on its way."""
        promised = self._promised
        return any(self._ready_count(queue) > promised.get(queue, 0) for queue in queues)

    def turns(self, commands: Iterable[Command]) -> list[Waiter]:
        """The waiters whose pulls belong into the same entry as these commands. They are taken to be on their way."""
        lines = self._lines
        if not lines:
            return []
        jobs_by_queue: dict[str, int] = {}
        for command in commands:
            if isinstance(command, PushJobs) and command.queue in lines:
                ready_jobs = sum(map(_is_ready_at_once, command.jobs))
                jobs_by_queue[command.queue] = jobs_by_queue.get(command.queue, 0) + ready_jobs
        return [waiter for queue, jobs_count in jobs_by_queue.items() for waiter in self._take(queue, jobs_count)]

    def woken(self, queue: str) -> None:
        """Something may have become ready in the queue. The line is looked at when the replies of this turn are out."""
        if queue in self._lines:
            if not self._woken:
                self._clock.call_soon(self._look)
            self._woken[queue] = None

    def answered(self, waiter: Waiter, reply: Reply) -> None:
        """The pull of a waiter came back from the log."""
        self._break_promise(waiter)
        waits_on = is_empty(reply) and not self._closed and waiter in self._deadlines
        if waits_on and waiter.pull.idempotency_key is not None and self.has_free_job(waiter.queues):
            # The repeat of a pull whose leases have ended: it would come back empty for ever, and hold up the line.
            waits_on = False
        if waits_on and waiter.stand is not Stand.GONE:
            is_new = waiter not in self._lines.get(waiter.queues[0], ())
            self.wait(waiter)
            if is_new and self.has_free_job(waiter.queues):
                # What came behind its pull in the same entry was told before it stood in a line.
                self._wake(waiter.queues)
            return
        if waiter.stand is not Stand.GONE:
            self._answer(waiter, reply)
        self._wake(waiter.queues)

    def leave(self, waiter: Waiter) -> None:
        """The client has gone."""
        if waiter.stand is not Stand.GONE:
            self._forget(waiter)

    def close(self) -> None:
        """Answer all that wait; from now on nobody waits."""
        self._closed = True
        for waiter in self.standing():
            self._answer(waiter, nothing_for(waiter.pull))

    def standing(self) -> Iterable[Waiter]:
        """Those whose pull is not on its way."""
        lines = [waiter for line in self._lines.values() for waiter in line if waiter.stand is Stand.WAITING]
        return dict.fromkeys(lines)

    def _wake(self, queues: Iterable[str]) -> None:
        for queue in queues:
            self.woken(queue)

    def _look(self) -> None:
        woken, self._woken = self._woken, {}
        for queue in woken:
            free_count = self._ready_count(queue) - self._promised.get(queue, 0)
            for waiter in list(self._take(queue, free_count)):
                self._ask(waiter)

    def _take(self, queue: str, jobs_count: int) -> Iterator[Waiter]:
        """Waiters of the queue in their order, until they ask for as many jobs; each is promised its jobs."""
        if jobs_count <= 0:
            return
        for waiter in self._lines.get(queue, ()):
            if waiter.stand is not Stand.WAITING:
                continue
            waiter.stand = Stand.ASKING
            waiter.taken_for = queue
            self._promised[queue] = self._promised.get(queue, 0) + waiter.pull.count
            yield waiter
            jobs_count -= waiter.pull.count
            if jobs_count <= 0:
                return

    def _break_promise(self, waiter: Waiter) -> None:
        queue, waiter.taken_for = waiter.taken_for, None
        if queue is None:
            return
        rest = self._promised[queue] - waiter.pull.count
        if rest:
            self._promised[queue] = rest
        else:
            del self._promised[queue]

    def _out_of_time(self, waiter: Waiter) -> None:
        # One whose pull is on its way is answered by its reply, empty or not.
        if waiter.stand is Stand.WAITING:
            self._answer(waiter, nothing_for(waiter.pull))

    def _answer(self, waiter: Waiter, reply: Reply) -> None:
        self._forget(waiter)
        waiter.done(reply)

    def _forget(self, waiter: Waiter) -> None:
        waiter.stand = Stand.GONE
        self._deadlines.drop(waiter)
        for queue in waiter.queues:
            line = self._lines.get(queue)
            if line is not None:
                line.pop(waiter, None)
                if not line:
                    del self._lines[queue]


def queues_of(pull: Pull) -> tuple[str, ...]:
    if pull.queue is not None:
        return (pull.queue,)
    return tuple(weighted.queue for weighted in pull.queues or ())


def nothing_for(pull: Pull) -> Reply:
    """The answer to a pull that found no job."""
    return PulledOne(job=None) if pull.count == 1 else Pulled(jobs=[])


def is_empty(reply: Reply) -> bool:
    if isinstance(reply, PulledOne):
        return reply.job is None
    return isinstance(reply, Pulled) and not reply.jobs


def _is_ready_at_once(job: NewJob) -> bool:
    options = job.options
    return options is None or not (options.delay_ms or options.run_at or options.depends_on)
