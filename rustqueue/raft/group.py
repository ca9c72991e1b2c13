"""How long a group commit waits for company, for who would rather have fewer syncs than quick answers.

It must not know what is proposed. Invariants: with no wait set nothing is ever held up; a command is held up for the
wait at most, counted from the first of its group, and the rest of a millisecond.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
