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
        self._owed: dict[str, int] = {}
        """Jobs that were let through while nobody here could know whether there is a limit."""
        self.is_behind: Callable[[], bool] = lambda: False
        """Whether others may have applied what this node has not: its client may know of a limit that we do not."""

    def admit(self, queue: str, jobs_count: int) -> None:
        """Take a push into account. Raises RATE_LIMITED when there is no room for it."""
        rate = self._rate_of(queue)
        if rate is None and self.is_behind():
            if len(self._owed) < limits.QUEUES_CACHED_MAX:
                self._owed[queue] = self._owed.get(queue, 0) + jobs_count
            return
        if self._owed:
            self._settle()
        if rate is not None:
            self._admit(queue, jobs_count, rate)

    def _settle(self) -> None:
        """What was let through counts now if there was a limit."""
        owed, self._owed = self._owed, {}
        for queue, jobs_count in owed.items():
            rate = self._rate_of(queue)
            if rate is not None:
                self._bucket(queue, rate).level -= jobs_count * rate.per_ms * 1_000
            elif self.is_behind():
                self._owed[queue] = jobs_count

    def _admit(self, queue: str, jobs_count: int, rate: Rate) -> None:
        bucket, period_us = self._bucket(queue, rate), rate.per_ms * 1_000
        missing = min(jobs_count, rate.count) * period_us - bucket.level
        if missing > 0:
            raise _limited(rate, -(-missing // (rate.count * 1_000_000)))
        bucket.level -= jobs_count * period_us

    def _bucket(self, queue: str, rate: Rate) -> _Bucket:
        """The bucket as it is now."""
        now_us = self._clock.monotonic_us()
        bucket = self._buckets.pop(queue, None)
        if bucket is None or bucket.rate != rate:
            bucket = _Bucket(rate, now_us)
        if len(self._buckets) >= limits.QUEUES_CACHED_MAX:
            self._buckets.pop(next(iter(self._buckets)))
        self._buckets[queue] = bucket
        full = rate.count * rate.per_ms * 1_000
        bucket.level = min(full, bucket.level + (now_us - bucket.at_us) * rate.count)
        bucket.at_us = now_us
        return bucket


def _limited(rate: Rate, wait_s: int) -> Limited:
    # The original's words; what the rate is stands in the details.
    error = Limited(
        "RATE_LIMITED", "Rate limit exceeded", {"field": "rate", "limit": rate.count, "per_ms": rate.per_ms}
    )
    error.retry_after_s = wait_s
    return error
