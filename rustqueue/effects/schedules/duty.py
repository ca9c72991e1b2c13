"""Proposes due ticks of schedules while this node leads.

It must not decide what a run does: the machine does, and what is proposed counts only if the schedule is still as it
was read. Invariants: one proposal is on its way at most; a loop turn reads a bounded number of schedules, so that ten
thousand of one second do not hold up clients; what is refused for want of room is tried again.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import msgspec

from rustqueue.effects.schedules import plan
from rustqueue.model import limits
from rustqueue.model.events import Event, SchedulesChanged
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.schedules import Firing, ScheduleFire, Standing
from rustqueue.model.wire import encode_command
from rustqueue.raft.ports import Clock, Proposal

_SLEEP_MS_MAX: Final = 60_000
_RETRY_MS: Final = 1_000  # After a refusal: a full disk, too much on its way.


class ScheduleReads(Protocol):
    """Schedules as applied. Every call is bounded work on the loop."""

    def standing(self, name: str) -> Standing | None:
        """None for a schedule that is paused or gone."""
        ...

    def standings(self, after: str | None, count: int) -> Iterable[tuple[str, Standing | None]]:
        """So many schedules by name, from the one behind `after`; None beside one that is paused."""
        ...


@dataclass(frozen=True, slots=True)
class ScheduleParts:
    """`now_ms` is the time that entries are stamped with. `refusal` says why a job may not be pushed, if it may not.
    While `disk_full`, nothing is pushed at all.
    """

    clock: Clock
    now_ms: Callable[[], int]
    propose: Callable[[Proposal], None]
    reads: ScheduleReads
    refusal: Callable[[Standing], str | None] = lambda standing: None
    disk_full: Callable[[], bool] = lambda: False


class ScheduleDuty:
    """A `LeaderDuty` and a subscriber of the bus."""

    def __init__(self, parts: ScheduleParts) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._reign = 0
        self._leads = False
        self._reset()

    def _reset(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._begins: dict[str, int] = {}
        """When the next run of each schedule begins; entries of the heap that say otherwise are stale."""
        self._unread: dict[str, None] = {}
        self._read_up_to: str | None = None
        self._all_read = False
        self._on_its_way = False
        self._turn_asked = False
        self._rests_until_us = 0
        self._disarm: Callable[[], None] | None = None

    @property
    def lag_ms(self) -> int:
        """How late the most overdue run is."""
        return max(0, self._parts.now_ms() - self._heap[0][0]) if self._leads and self._heap else 0

    def begin(self) -> None:
        """Also when it leads already: what it knew and had on its way is void then."""
        self.end()
        self._leads = True
        self._ask_turn()

    def end(self) -> None:
        self._leads = False
        self._reign += 1
        self._sleep_no_more()
        self._reset()

    def on_events(self, index: int, now_ms: int, events: Sequence[Event]) -> None:
        """What an entry changed."""
        if not self._leads:
            return
        for event in events:
            if isinstance(event, SchedulesChanged):
                self._unread.update(dict.fromkeys(event.names))
                self._ask_turn()

    def _ask_turn(self) -> None:
        if not self._turn_asked:
            self._turn_asked = True
            self._clock.call_soon(partial(self._turn, self._reign))

    def _turn(self, reign: int) -> None:
        """A piece of work that does not hold up the loop."""
        if reign != self._reign:
            return
        self._turn_asked = False
        self._read()
        if not self._on_its_way and self._clock.monotonic_us() >= self._rests_until_us:
            self._propose_due()
        if self._unread or not self._all_read:
            self._ask_turn()
        elif not self._on_its_way:
            self._sleep()

    # Reading.

    def _read(self) -> None:
        for name in list(self._unread)[: limits.SCHEDULES_READ_MAX]:
            del self._unread[name]
            self._know(name, self._parts.reads.standing(name))
        if self._unread or self._all_read:
            return
        found = list(self._parts.reads.standings(self._read_up_to, limits.SCHEDULES_READ_MAX))
        for name, standing in found:
            self._know(name, standing)
        self._all_read = len(found) < limits.SCHEDULES_READ_MAX
        if found:
            self._read_up_to = found[-1][0]

    def _know(self, name: str, standing: Standing | None) -> None:
        begins = None if standing is None else plan.begins_ms(standing)
        if begins is None:
            self._begins.pop(name, None)
        elif self._begins.get(name) != begins:
            self._begins[name] = begins
            heapq.heappush(self._heap, (begins, name))
            self._compact()

    def _compact(self) -> None:
        """Schedules that are changed over and over must not fill the heap with what they once were."""
        if len(self._heap) > 2 * len(self._begins) + limits.SCHEDULES_READ_MAX:
            self._heap = [(begins, name) for name, begins in self._begins.items()]
            heapq.heapify(self._heap)

    # Proposing.

    def _propose_due(self) -> None:
        if self._parts.disk_full():
            self._rest()
            return
        firings = self._due()
        if firings:
            self._on_its_way = True
            command = ScheduleFire(firings=firings)
            answered = partial(self._answered, self._reign, [firing.name for firing in firings])
            self._parts.propose(Proposal(command, encode_command(command), answered))

    def _due(self) -> list[Firing]:
        """As many due schedules as one entry takes."""
        now_ms = self._parts.now_ms()
        firings: list[Firing] = []
        jobs_left, bytes_left = limits.SCHEDULE_FIRES_MAX, limits.SCHEDULE_FIRES_BYTES_MAX
        reads_left = limits.SCHEDULES_READ_MAX
        while self._heap and jobs_left > 0 and bytes_left > 0 and reads_left > 0:
            begins, name = self._heap[0]
            if self._begins.get(name) != begins:
                heapq.heappop(self._heap)
                continue
            if begins > now_ms:
                break
            heapq.heappop(self._heap)
            del self._begins[name]
            reads_left -= 1
            standing = self._parts.reads.standing(name)
            if standing is None:
                continue
            ticks_max = min(jobs_left, 1 + bytes_left // max(1, standing.job_bytes))
            firing = plan.firing_of(standing, now_ms, ticks_max)
            if firing is None:
                self._know(name, standing)
                continue
            firings.append(self._judged(standing, firing))
            jobs_left -= len(firing.ticks)
            bytes_left -= len(firing.ticks) * standing.job_bytes
        return firings

    def _judged(self, standing: Standing, firing: Firing) -> Firing:
        refused = self._parts.refusal(standing) if firing.ticks else None
        if refused is None:
            return firing
        return msgspec.structs.replace(firing, refused=refused)

    def _answered(self, reign: int, names: list[str], reply: Reply) -> None:
        if reign != self._reign:
            return
        self._on_its_way = False
        if isinstance(reply, Refused):
            self._rest()
        self._unread.update(dict.fromkeys(names))
        self._ask_turn()

    def _rest(self) -> None:
        self._rests_until_us = self._clock.monotonic_us() + _RETRY_MS * 1_000

    # Sleeping.

    def _sleep(self) -> None:
        """Until the next run begins. Stamped time may run a tenth faster than timers, so long sleeps are cut short."""
        self._sleep_no_more()
        if not self._heap:
            return
        wait_ms = max(0, self._heap[0][0] - self._parts.now_ms())
        if wait_ms > _RETRY_MS:
            wait_ms = max(_RETRY_MS, wait_ms * 100 // (100 + limits.CLOCK_SLEW_PERCENT))
        rest_ms = -(-(self._rests_until_us - self._clock.monotonic_us()) // 1_000)
        self._disarm = self._clock.call_later(max(1, rest_ms, min(wait_ms, _SLEEP_MS_MAX)), self._woken)

    def _woken(self) -> None:
        self._disarm = None
        self._ask_turn()

    def _sleep_no_more(self) -> None:
        if self._disarm is not None:
            self._disarm()
            self._disarm = None
