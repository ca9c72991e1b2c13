"""The time that entries are stamped with.

It must not know which clock it is given. Invariants: stamps never go back; between two stamps at least 90% and at most
110% of the monotonic time passes, so that one wrong wall clock can neither expire every lease nor freeze time.
"""

from rustqueue.model import limits


class EntryClock:
    """Follows the monotonic clock and leans towards the wall clock, at most a tenth of the time that has passed."""

    def __init__(self, last_now_ms: int, monotonic_us: int, wall_ms: int) -> None:
        # The start of a node is the election of its only voter: here, and nowhere else, time may jump forward.
        self._now_us = max(last_now_ms, wall_ms) * 1_000
        self._monotonic_us = monotonic_us

    def next(self, monotonic_us: int, wall_ms: int) -> int:
        """The stamp for an entry made at this moment."""
        self._now_us = self._at(monotonic_us, wall_ms)
        self._monotonic_us = max(self._monotonic_us, monotonic_us)
        return self._now_us // 1_000

    def peek(self, monotonic_us: int, wall_ms: int) -> int:
        """What the stamp of an entry made at this moment would be."""
        return self._at(monotonic_us, wall_ms) // 1_000

    def _at(self, monotonic_us: int, wall_ms: int) -> int:
        elapsed_us = max(0, monotonic_us - self._monotonic_us)
        free_us = self._now_us + elapsed_us
        lean_us_max = elapsed_us * limits.CLOCK_SLEW_PERCENT // 100
        return free_us + max(-lean_us_max, min(lean_us_max, wall_ms * 1_000 - free_us))
