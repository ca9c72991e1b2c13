"""Depths of all queues for a scrape: the first thousand fresh, the sum of the rest a scrape old; and the oldest jobs.

It must not know how they are shown. Invariant: one call or turn looks at a bounded number of queues, because it runs
on the event loop and there may be a hundred thousand.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from rustqueue.model import limits
from rustqueue.model.jobs import Counts

_TURN_MS = 10  # Between two looks at a thousand queues of the rest: a tenth of the loop at most.


class QueueDepths:
    """`queue_counts` goes over all queues by name and may be left and taken up again at any time."""

    def __init__(
        self,
        queue_counts: Callable[[], Iterable[tuple[str, Counts]]],
        call_later: Callable[[int, Callable[[], None]], object],
    ) -> None:
        self._queue_counts = queue_counts
        self._call_later = call_later
        self._left: Iterator[tuple[str, Counts]] | None = None
        self._sum = Counts()
        self._rest: Counts | None = None

    def read(self) -> tuple[list[tuple[str, Counts]], Counts | None]:
        """The first queues by name, and the sum of the others if there are more."""
        queues = iter(self._queue_counts())
        first = list(islice(queues, limits.METRIC_QUEUES_MAX))
        if len(first) < limits.METRIC_QUEUES_MAX:
            self._rest = None
        elif self._left is None:
            self._left, self._sum = queues, Counts()
            self._call_later(_TURN_MS, self._add_more)
        return first, self._rest

    def _add_more(self) -> None:
        assert self._left is not None, "a turn is asked for only while queues are left"
        chunk = [counts for _, counts in islice(self._left, limits.METRIC_QUEUES_MAX)]
        self._sum = _total([self._sum, *chunk])
        if len(chunk) == limits.METRIC_QUEUES_MAX:
            self._call_later(_TURN_MS, self._add_more)
            return
        self._left = None
        self._rest = self._sum if self._sum != Counts() else None


class OldestJobs:
    """When the oldest ready job of each queue was pushed: of a few queues at once, of others a few turns later."""

    def __init__(
        self, oldest_ms: Callable[[str], int | None], call_later: Callable[[int, Callable[[], None]], object]
    ) -> None:
        self._oldest_ms = oldest_ms
        self._call_later = call_later
        self._left: Iterator[str] | None = None
        self._known: dict[str, int] = {}

    def read(self, queues: Sequence[str]) -> dict[str, int]:
        """By queue. One that was not looked at yet is not there; beyond the first, what is told may be a scrape old."""
        if self._left is None:
            self._left = iter(queues)
            self._look()
        wanted = set(queues)
        self._known = {queue: at_ms for queue, at_ms in self._known.items() if queue in wanted}
        return self._known

    def _look(self) -> None:
        assert self._left is not None, "a turn is asked for only while queues are left"
        looked = list(islice(self._left, limits.METRIC_OLDEST_A_TURN))
        for queue in looked:
            at_ms = self._oldest_ms(queue)
            if at_ms is None:
                self._known.pop(queue, None)
            else:
                self._known[queue] = at_ms
        if len(looked) < limits.METRIC_OLDEST_A_TURN:
            self._left = None
        else:
            self._call_later(_TURN_MS, self._look)


def _total(parts: list[Counts]) -> Counts:
    return Counts(
        waiting=sum(part.waiting for part in parts),
        active=sum(part.active for part in parts),
        delayed=sum(part.delayed for part in parts),
        completed=sum(part.completed for part in parts),
        dlq=sum(part.dlq for part in parts),
        blocked=sum(part.blocked for part in parts),
    )
