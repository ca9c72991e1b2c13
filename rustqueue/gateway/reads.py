"""When what is applied here is fresh enough to be read: linearizable by default, stale with a mark when nobody leads.

It must not know what is read. Invariants: a read that is answered as fresh saw everything that was acknowledged to
anybody before it was asked; all reads of one loop turn share one question to the leader; `done` is called once for
every read that was not cancelled.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from rustqueue.gateway.deadlines import Deadlines
from rustqueue.gateway.ports import Applied, Done, GatewayLimits, Ticket
from rustqueue.gateway.results import ResultRoom
from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Limited, Unavailable
from rustqueue.model.queries import JobResult, Read
from rustqueue.model.replies import Refused, Reply, Seen
from rustqueue.raft.cluster.leading import ReadDone
from rustqueue.raft.links import Links
from rustqueue.raft.messages import IndexAsked, IndexGiven
from rustqueue.raft.ports import Clock

Ready = Callable[[bool], None]
"""Read now. True: nobody leads, and what is here may be old."""

OwnIndex = Callable[[ReadDone], None]
"""Asks this node's own leadership for the index that a read must see."""

_GONE_MAX: Final = 64
"""So many reads that nobody waits for any more may stay in the order of those that wait, and as many again as wait."""


@dataclass(slots=True)
class _Question:
    """Reads that wait for one index."""

    number: int
    asked_us: int
    readers: list[Ready] = field(default_factory=list)


class ReadPoints:
    """Asks for read indexes and waits until they are applied here."""

    def __init__(
        self, links: Links, clock: Clock, own_index: OwnIndex, applied_index: Callable[[], int], first_number: int
    ) -> None:
        """`first_number` is a random one: answers to an earlier life of this node must not be taken for ours."""
        self._links = links
        self._clock = clock
        self.own_index = own_index
        self.on_applied: Callable[[int], None] = lambda index: None
        self._applied_index = applied_index
        self._number = first_number
        self._gathering: _Question | None = None
        self._asked: dict[int, _Question] = {}
        self._waiting: list[tuple[int, int, list[Ready]]] = []
        self._leads = False
        self._leader: str | None = None
        self._leaderless_us = clock.monotonic_us()
        self._retry_armed = False

    def leader_is(self, leader: str | None, leads_here: bool) -> None:
        if leader is None and (self._leader is not None or self._leads):
            self._leaderless_us = self._clock.monotonic_us()
        self._leads = leads_here
        self._leader = None if leads_here else leader
        if leader is not None:
            self._ask_again()

    def wait(self, ready: Ready) -> None:
        """Call as soon as a read sees everything that was acknowledged before now."""
        question = self._gathering
        if question is None:
            self._number += 1
            question = self._gathering = _Question(self._number, self._clock.monotonic_us())
            self._clock.call_soon(self._ask)
        question.readers.append(ready)

    def _ask(self) -> None:
        question, self._gathering = self._gathering, None
        assert question is not None, "a turn that asks has readers"
        self._asked[question.number] = question
        self._put(question)

    def _put(self, question: _Question) -> None:
        number = question.number
        if self._leads:
            self.own_index(lambda index: self._given(number, index))
        elif self._leader is not None:
            self._links.send(self._leader, IndexAsked(number))
        # The answer may get lost, or there is nobody to ask yet.
        self._retry_later()

    def given(self, message: IndexGiven) -> None:
        self._given(message.number, message.index if message.index >= 0 else None)

    def _given(self, number: int, index: int | None) -> None:
        question = self._asked.get(number)
        if question is None:
            return
        if index is None:
            self._retry_later()
            return
        del self._asked[number]
        if index <= self._applied_index():
            _tell(question.readers, stale=False)
        else:
            heapq.heappush(self._waiting, (index, number, question.readers))

    def applied(self, index: int) -> None:
        """An entry was applied."""
        while self._waiting and self._waiting[0][0] <= index:
            _tell(heapq.heappop(self._waiting)[2], stale=False)
        self.on_applied(index)

    def _retry_later(self) -> None:
        if not self._retry_armed:
            self._retry_armed = True
            self._clock.call_later(limits.READ_RETRY_MS, self._retry)

    def _retry(self) -> None:
        self._retry_armed = False
        self._ask_again()

    def _ask_again(self) -> None:
        """Questions whose answer may be lost are put again; those without a leader for too long are answered stale."""
        now_us = self._clock.monotonic_us()
        leaderless = not self._leads and self._leader is None
        if leaderless and now_us - self._leaderless_us >= limits.STALE_READS_AFTER_MS * 1_000:
            asked, self._asked = self._asked, {}
            for question in asked.values():
                _tell(question.readers, stale=True)
            return
        for question in list(self._asked.values()):
            self._put(question)


def _tell(readers: list[Ready], stale: bool) -> None:
    for ready in readers:
        ready(stale)


@dataclass(slots=True, eq=False)
class _Read:
    """One read on its way, and its ticket."""

    query: Read
    done: Done
    room: Deadlines["_Read"]
    waits: Ticket | None = None
    gone: bool = False

    def cancel(self) -> None:
        self.gone = True
        self.room.drop(self)
        if self.waits is not None:
            self.waits.cancel()


class Reader:
    """Answers queries, each as fresh as it asks to be."""

    def __init__(self, applied: Applied, clock: Clock, rules: GatewayLimits) -> None:
        self._applied = applied
        self._rules = rules
        self._points: ReadPoints | None = None
        self._closed = False
        self._early: Deadlines[_Read] = Deadlines(clock, self._too_early)
        self._awaited: list[tuple[int, int, _Read]] = []
        self._count = 0
        self.results = ResultRoom(clock, self._look, rules.waiting_pulls_max)

    def join(self, points: ReadPoints) -> None:
        """This node belongs to a cluster: others may know more than it does."""
        self._points = points
        points.on_applied = self.applied

    def ask(self, query: Read, done: Done) -> Ticket | None:
        """Raises `ApiError` for what is refused at once. A ticket means that the read may wait for long."""
        if query.min_index > self._applied.applied_index:
            return self._await_index(query, done)
        if self._points is None and query.consistency == "linearizable" and not _waits(query):
            done(self._applied.answer(query))
            return None
        read = _Read(query, done, self._early)
        self._begin(read)
        return read if _waits(query) else None

    def applied(self, index: int) -> None:
        """An entry was applied here."""
        while self._awaited and self._awaited[0][0] <= index:
            read = heapq.heappop(self._awaited)[2]
            if read in self._early:
                self._early.drop(read)
                self._begin(read)

    def close(self) -> None:
        """Answer everybody who waits."""
        self._closed = True
        for _, _, read in self._awaited:
            if read in self._early:
                self._too_early(read)
        self._awaited.clear()
        self._early.close()
        self.results.close()

    def _await_index(self, query: Read, done: Done) -> Ticket:
        if self._closed:
            raise Unavailable.stopping()
        if len(self._early) >= self._rules.waiting_pulls_max:
            details = {"field": "min_index", "limit": self._rules.waiting_pulls_max}
            raise Limited("OVERLOADED", "Too many reads are waiting for entries of the log", details)
        if len(self._awaited) > 2 * len(self._early) + _GONE_MAX:
            # In one go, so that it costs a read no more than its own place, however many went.
            self._awaited = [waiting for waiting in self._awaited if waiting[2] in self._early]
            heapq.heapify(self._awaited)
        read = _Read(query, done, self._early)
        self._count += 1
        heapq.heappush(self._awaited, (query.min_index, self._count, read))
        self._early.put(read, self._rules.command_deadline_ms)
        return read

    def _too_early(self, read: _Read) -> None:
        """The entry did not come in time."""
        read.gone = True
        read.done(Refused.of(Unavailable.behind(read.query.min_index, self._applied.applied_index)))

    def _begin(self, read: _Read) -> None:
        if read.query.consistency == "local":
            read.done = partial(self._marked, read.done, False)
            self._answer(read, False)
        elif self._points is None:
            self._answer(read, False)
        else:
            self._points.wait(partial(self._answer, read))

    def _answer(self, read: _Read, stale: bool) -> None:
        if read.gone:
            return
        done = partial(self._marked, read.done, True) if stale else read.done
        query = read.query
        if not (isinstance(query, JobResult) and query.wait_ms):
            done(self._look(query))
        elif self._closed:
            done(Refused.of(Unavailable.stopping()))
        else:
            # Any node can wait, since any node learns when the job ends; only the first look had to be a fresh one.
            try:
                read.waits = self.results.ask(query, done)
            except ApiError as error:
                done(Refused.of(error))

    def _marked(self, done: Done, stale: bool, reply: Reply) -> None:
        done(Seen(ok=reply.ok, reply=reply, index=self._applied.applied_index, stale=stale))

    def _look(self, query: Read) -> Reply:
        try:
            return self._applied.answer(query)
        except ApiError as error:
            return Refused.of(error)


def _waits(query: Read) -> bool:
    return isinstance(query, JobResult) and query.wait_ms > 0
