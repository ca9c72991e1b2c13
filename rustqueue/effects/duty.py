"""What only the leader does: work that goes on between two commands, and that two leaders at once must not spoil.

A single node leads from its start to its stop. A duty proposes internal commands that name what they were planned on,
so that those of a deposed leader do not count.
"""

from typing import Protocol


class LeaderDuty(Protocol):
    """Begun and ended any number of times, in turns, on the loop. What it had on its way when it ends is void."""

    def begin(self) -> None: ...

    def end(self) -> None: ...
