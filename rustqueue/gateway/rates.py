"""How many pushes a second a queue takes: soft buckets in the memory of the node that leads.

They are full after a start or an election, so a limit may be passed once then; nothing about them is in the log. It
must not know where a limit comes from. Invariants: integers only; over any stretch of time no more jobs pass than the
bucket held at its start and was filled with since, but for the last batch, which may be larger than the bucket ever is:
it passes when the bucket is full, and what it took too much is waited for afterwards.
"""

from collections.abc import Callable

from rustqueue.model import limits
from rustqueue.model.errors import Limited
from rustqueue.model.jobs import Rate
from rustqueue.raft.ports import Clock


class _Bucket:
    """`level` counts microseconds times jobs: a job takes the length of the period, each microsecond brings `count`."""

    __slots__ = ("at_us", "level", "rate")

    def __init__(self, rate: Rate, at_us: int) -> None:
        self.rate = rate
        self.at_us = at_us
        self.level = rate.count * rate.per_ms * 1_000


class PushRates:
    """The buckets of all queues that have a limit of their rate."""

    def __init__(self, clock: Clock, rate_of: Callable[[str], Rate | None]) -> None:
        self._clock = clock
        self._rate_of = rate_of
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, queue: str, jobs_count: int) -> None:
        """Take a push into account. Raises RATE_LIMITED when there is no room for it."""
        rate = self._rate_of(queue)
        if rate is not None:
            self._admit(queue, jobs_count, rate)

    def _admit(self, queue: str, jobs_count: int, rate: Rate) -> None:
        now_us = self._clock.monotonic_us()
        bucket = self._buckets.pop(queue, None)
        if bucket is None or bucket.rate != rate:
            bucket = _Bucket(rate, now_us)
        if len(self._buckets) >= limits.QUEUES_CACHED_MAX:
            self._buckets.pop(next(iter(self._buckets)))
        self._buckets[queue] = bucket
        period_us = rate.per_ms * 1_000
        bucket.level = min(rate.count * period_us, bucket.level + (now_us - bucket.at_us) * rate.count)
        bucket.at_us = now_us
        missing = min(jobs_count, rate.count) * period_us - bucket.level
        if missing > 0:
            raise _limited(rate, -(-missing // (rate.count * 1_000_000)))
        bucket.level -= jobs_count * period_us


def _limited(rate: Rate, wait_s: int) -> Limited:
    # The original's words; what the rate is stands in the details.
    error = Limited(
        "RATE_LIMITED", "Rate limit exceeded", {"field": "rate", "limit": rate.count, "per_ms": rate.per_ms}
    )
    error.retry_after_s = wait_s
    return error
