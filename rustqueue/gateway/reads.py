"""When what is applied here is fresh enough to be read: linearizable by default, stale with a mark when nobody leads.

It must not know what is read. Invariants: a read that is answered as fresh saw everything that was acknowledged to
anybody before it was asked; all reads of one loop turn share one question to the leader.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from rustqueue.model import limits
from rustqueue.raft.cluster.leading import ReadDone
from rustqueue.raft.links import Links
from rustqueue.raft.messages import IndexAsked, IndexGiven
from rustqueue.raft.ports import Clock

Ready = Callable[[bool], None]
"""Read now. True: nobody leads, and what is here may be old."""

OwnIndex = Callable[[ReadDone], None]
"""Asks this node's own leadership for the index that a read must see."""


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
