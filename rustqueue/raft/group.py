"""How long an entry waits for company: as long as was asked for, or, in a cluster, while many are asking.

It must not know what is proposed. Invariants: with no wait set, `GroupWait` holds nothing up; a command is held up for
the wait at most, counted from the first of its group, and the rest of a millisecond; while few ask, nobody waits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rustqueue.model import limits
from rustqueue.raft.ports import Clock


@dataclass(frozen=True, slots=True)
class GroupRules:
    """An entry is begun so long after its first command came, or as soon as so many wait. 0 ms: at once."""

    wait_ms: int = 0
    commands: int = 100


class GroupWait:
    """Asked whether the next entry may begin; calls `wake` when one that may not yet may."""

    def __init__(self, clock: Clock, rules: GroupRules, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._rules = rules
        self._wake = wake
        self._ends_us = 0
        self._armed = False
        self.waits = rules.wait_ms > 0

    def opened(self) -> None:
        """The first command of a group came."""
        self._ends_us = self._clock.monotonic_us() + self._rules.wait_ms * 1_000

    def over(self, commands_count: int) -> bool:
        """Whether a group of so many has waited enough."""
        left_us = self._ends_us - self._clock.monotonic_us()
        if not self.waits or commands_count >= self._rules.commands or left_us <= 0:
            return True
        if not self._armed:
            self._armed = True
            self._clock.call_later(-(-left_us // 1_000), self._ring)
        return False

    def _ring(self) -> None:
        self._armed = False
        self._wake()


_MANY: Final = 4
"""While fewer ask at once, what company saves is not worth the wait."""


class Company:
    """Asked whether enough commands have come for an entry; calls `wake` when those that came have waited enough.

    In a cluster an entry costs about as much with one command in it as with eight: three syncs, a round trip, a dozen
    wake-ups. Clients that were answered together ask again together, so it pays to wait for three quarters of them.
    """

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._asking = 1
        """How many commands were on their way or waiting at once, lately."""
        self._held = self._armed = self._has_waited = False

    def is_there(self, waiting: int, on_their_way: int) -> bool:
        """Whether an entry shall be begun over `waiting` commands, while so many others are not applied yet."""
        if self._asking < _MANY or 4 * waiting >= 3 * self._asking or self._has_waited:
            self._asking = max(waiting + on_their_way, self._asking - self._asking // 8 - 1, 1)
            self._held = self._has_waited = False
            return True
        self._held = True
        if not self._armed:
            self._armed = True
            self._clock.call_later(limits.COMPANY_WAIT_MS, self._ring)
        return False

    def _ring(self) -> None:
        self._armed = False
        if self._held:
            self._has_waited = True
            self._wake()
