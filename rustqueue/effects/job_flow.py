"""What became of jobs, counted and timed from published events: totals, by queue, and how long each step took.

It must not know how numbers are shown. Invariants: times are those of the log's stamps, so all nodes of a cluster tell
the same; queues beyond the bound share one set of counters; nothing is decoded, since ids tell when jobs were made.
"""

from collections.abc import Sequence
from typing import Final

from rustqueue.effects.histogram import Histogram
from rustqueue.model import limits
from rustqueue.model.events import Event, JobsChanged
from rustqueue.model.ids import created_ms

OTHER_QUEUES: Final = "_other"
COUNTED: Final = ("pushed", "pulled", "completed", "failed", "dlq", "cancelled", "expired")

_NAMES: Final = {name: name for name in COUNTED} | {"started": "pulled"}
_STEPS_MS: Final = (
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
    14_400_000, 86_400_000,
)  # fmt: skip
"""From a millisecond, which is what ids and stamps tell, to a day."""
_BOUNDS_US: Final = tuple(step_ms * 1_000 for step_ms in _STEPS_MS)


class JobFlow:
    """A part of the metrics; `on_events` is a subscriber of the bus."""

    def __init__(self) -> None:
        self.totals = dict.fromkeys(COUNTED, 0)
        self.by_queue: dict[str, dict[str, int]] = {}
        self.waited = Histogram(_BOUNDS_US)
        """From ready to leased, once for each lease."""
        self.took = Histogram(_BOUNDS_US)
        """From pushed to completed."""

    def on_events(self, index: int, now_ms: int, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, JobsChanged):
                name = _NAMES.get(event.event)
                if name is not None:
                    self._count(event, name)
                    if name == "pulled":
                        self._leased(event, now_ms)
                    elif name == "completed":
                        _observe_ages(self.took, event.ids, now_ms)

    def _count(self, event: JobsChanged, name: str) -> None:
        count = len(event.ids)
        self.totals[name] += count
        counts = self.by_queue.get(event.queue)
        if counts is None:
            queue = event.queue if len(self.by_queue) < limits.METRIC_QUEUES_MAX else OTHER_QUEUES
            counts = self.by_queue.setdefault(queue, dict.fromkeys(COUNTED, 0))
        counts[name] += count

    def _leased(self, event: JobsChanged, now_ms: int) -> None:
        if event.ready_ms is None:
            _observe_ages(self.waited, event.ids, now_ms)
            return
        for ready_ms in event.ready_ms:
            self.waited.observe(max(0, now_ms - ready_ms) * 1_000)


def _observe_ages(histogram: Histogram, ids: Sequence[bytes], now_ms: int) -> None:
    """How old these jobs are. Those of one push have the same time in their ids and mostly come together."""
    made, count = b"", 0
    for job_id in ids:
        if job_id[:6] == made:
            count += 1
            continue
        if count:
            histogram.observe(max(0, now_ms - created_ms(made)) * 1_000, count)
        made, count = job_id[:6], 1
    if count:
        histogram.observe(max(0, now_ms - created_ms(made)) * 1_000, count)
