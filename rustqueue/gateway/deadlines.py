"""Deadlines of many things on one timer: thousands that wait cost nothing until one is due.

It must not know what expires. Invariants: nothing expires early; it expires at most one slot late (a slot is 10 ms, or
100 ms for deadlines ten seconds away); what was dropped is not held any longer, so that short waits with long deadlines
do not pile up.
"""

import heapq
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from rustqueue.raft.ports import Clock

_FINE_SLOT_US = 10_000
_COARSE_SLOT_US = 100_000
_FAR_US = 10_000_000

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls `expired` on the loop for each item whose time has come, in the order of their slots."""

    def __init__(self, clock: Clock, expired: Callable[[T], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._slots: dict[int, dict[T, None]] = {}
        self._slot_of: dict[T, int] = {}
        self._order: list[int] = []
        self._armed_us: int | None = None
        self._disarm: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, item: T) -> bool:
        return item in self._slot_of

    def put(self, item: T, delay_ms: int) -> None:
        """Let `item`, which has no deadline yet, expire in so many milliseconds."""
        delay_us = delay_ms * 1_000
        width_us = _FINE_SLOT_US if delay_us < _FAR_US else _COARSE_SLOT_US
        slot_us = -(-(self._clock.monotonic_us() + delay_us) // width_us) * width_us
        members = self._slots.get(slot_us)
        if members is None:
            members = self._slots[slot_us] = {}
            heapq.heappush(self._order, slot_us)
        members[item] = None
        self._slot_of[item] = slot_us
        if self._armed_us is None or slot_us < self._armed_us:
            self._arm()

    def drop(self, item: T) -> None:
        """Forget the deadline of `item`, if it has one."""
        slot_us = self._slot_of.pop(item, None)
        if slot_us is not None:
            del self._slots[slot_us][item]

    def close(self) -> None:
        """Forget everything."""
        if self._disarm is not None:
            self._disarm()
        self._slots.clear()
        self._slot_of.clear()
        self._order.clear()
        self._armed_us = self._disarm = None

    def _arm(self) -> None:
        if self._disarm is not None:
            self._disarm()
        self._armed_us = self._disarm = None
        if self._order:
            self._armed_us = self._order[0]
            delay_us = max(0, self._armed_us - self._clock.monotonic_us())
            self._disarm = self._clock.call_later(-(-delay_us // 1_000), self._fire)

    def _fire(self) -> None:
        self._armed_us = self._disarm = None
        now_us = self._clock.monotonic_us()
        while self._order and self._order[0] <= now_us:
            # Taken out before the calls: they may put and drop.
            members = self._slots.pop(heapq.heappop(self._order))
            for item in members:
                del self._slot_of[item]
            for item in members:
                self._expired(item)
        # Slots that were emptied by `drop` need no timer.
        while self._order and not self._slots[self._order[0]]:
            del self._slots[heapq.heappop(self._order)]
        if self._armed_us is None:
            self._arm()
