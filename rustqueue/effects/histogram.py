"""A histogram that costs half a microsecond to observe: plain integers, rendered only when somebody scrapes.

It must not know what is measured, nor the text format. prometheus-client's own takes a lock and floats for each value,
which on the hot path would be a tenth of the budget of a command.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

LATENCY_BOUNDS_US: Final = (
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
)  # fmt: skip


class Histogram:
    """Counts of microseconds in buckets. `observe` may be called by one thread at a time."""

    __slots__ = ("_bounds_us", "_counts", "_sum_us")

    def __init__(self, bounds_us: Sequence[int] = LATENCY_BOUNDS_US) -> None:
        self._bounds_us = bounds_us
        self._counts = [0] * (len(bounds_us) + 1)
        self._sum_us = 0

    def observe(self, value_us: int, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds_us, value_us)] += times
        self._sum_us += value_us * times

    @property
    def sum_s(self) -> float:
        return self._sum_us / 1e6

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound in seconds, `+Inf` last."""
        total = 0
        buckets = []
        for bound_us, count in zip(self._bounds_us, self._counts, strict=False):
            total += count
            buckets.append((str(bound_us / 1e6), float(total)))
        return [*buckets, ("+Inf", float(total + self._counts[-1]))]
