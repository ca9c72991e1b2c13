"""Prometheus metrics: the names of contract A21 with real histograms, and what operating a durable node needs.

It must not know who tells it what. Invariants: job counters follow published events only, so that a replay counts
nothing; telling a number costs well under a microsecond; series with a queue label are bounded, the queues beyond the
bound add up under `_other`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from rustqueue.effects.histogram import Histogram
from rustqueue.model import limits
from rustqueue.model.commands import Ack, AckBatch, Command, Pull, PushJobs
from rustqueue.model.events import Event, JobsChanged, SchedulesFired
from rustqueue.model.jobs import Counts
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.schedules import RunOutcome

OTHER_QUEUES: Final = "_other"
_STATUS_CLASSES: Final = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_DEPTHS: Final = ("waiting", "active", "delayed", "dlq", "blocked")
_COUNTED: Final = {
    "pushed": "Jobs accepted.",
    "pulled": "Jobs leased to workers.",
    "completed": "Jobs completed.",
    "failed": "Failed tries of jobs.",
    "dlq": "Jobs moved to the dead letters.",
    "cancelled": "Jobs cancelled.",
    "expired": "Jobs not started within their time to live.",
}
_WEBHOOK_TEXTS: Final = {
    "delivered": "Deliveries that receivers of webhooks took.",
    "delivery_failures": "Tries of deliveries that failed.",
}
_EVENT_COUNTERS: Final = {"started": "pulled"}


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read off the node when somebody scrapes."""

    numbers: Sequence[tuple[str, str, float]]
    """Name without prefix, help, value."""
    queues: list[tuple[str, Counts]]
    rest: Counts | None
    """The queues without series of their own, together."""
    counters: Sequence[tuple[str, str, float]] = ()
    """Numbers that only grow, as `numbers`."""


class Metrics:
    """All numbers of one node. `read_gauges` is called for each scrape."""

    def __init__(self, version: str, read_gauges: Callable[[], Gauges]) -> None:
        self._version = version
        self._read_gauges = read_gauges
        self._jobs = dict.fromkeys(_COUNTED, 0)
        self._push, self._pull, self._ack = Histogram(), Histogram(), Histogram()
        self._by_command: dict[type, Histogram] = {
            PushJobs: self._push,
            Pull: self._pull,
            Ack: self._ack,
            AckBatch: self._ack,
        }
        self._rejected: dict[str, int] = {}
        self._ticks = dict.fromkeys(get_args(RunOutcome), 0)
        self._tick_us = 0
        self._requests: dict[tuple[str, str], int] = {}
        self._request_times: dict[str, Histogram] = {}
        self.journal_sync = Histogram()
        self._webhook_calls = Histogram()
        self._webhooks = {"delivered": 0, "delivery_failures": 0}
        self._numbers: Sequence[tuple[str, str, float]] = ()
        self._counters: Sequence[tuple[str, str, float]] = ()
        self._registry = CollectorRegistry()
        self._registry.register(_NodeCollector(self._collect))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    # What is told.

    def on_events(self, index: int, now_ms: int, events: Sequence[Event]) -> None:
        """A subscriber of the bus."""
        jobs = self._jobs
        for event in events:
            if isinstance(event, JobsChanged):
                name = _EVENT_COUNTERS.get(event.event, event.event)
                if name in jobs:
                    jobs[name] += len(event.ids)
            elif isinstance(event, SchedulesFired):
                for outcome, count in event.ticks.items():
                    self._ticks[outcome] += count

    def command_answered(self, command: Command, reply: Reply, took_us: int) -> None:
        """A command came back from the log."""
        if isinstance(reply, Refused) and reply.error.code == "RATE_LIMITED" and isinstance(command, PushJobs):
            rejected = self._rejected
            queue = command.queue
            if queue not in rejected and len(rejected) >= limits.METRIC_QUEUES_MAX:
                queue = OTHER_QUEUES
            rejected[queue] = rejected.get(queue, 0) + 1
            return  # It may have been refused at the door: then it took no time.
        histogram = self._by_command.get(type(command))
        if histogram is not None:
            histogram.observe(took_us)

    def webhook_tried(self, succeeded: bool, took_us: int) -> None:
        """A receiver of a webhook was called by this node."""
        self._webhooks["delivered" if succeeded else "delivery_failures"] += 1
        self._webhook_calls.observe(took_us)

    def tick_applied(self, took_us: int) -> None:
        """Due work was done."""
        self._tick_us = took_us

    def request_answered(self, method: str, status: int, seconds: float) -> None:
        """An HTTP request was answered. `method` must come from a bounded set."""
        key = (method, _STATUS_CLASSES.get(status // 100, "other"))
        self._requests[key] = self._requests.get(key, 0) + 1
        histogram = self._request_times.get(method)
        if histogram is None:
            histogram = self._request_times[method] = Histogram()
        histogram.observe(int(seconds * 1e6))

    # What is shown.

    def text(self) -> bytes:
        """The exposition text, format 0.0.4."""
        gauges = self._read_gauges()
        self._numbers, self._counters = gauges.numbers, gauges.counters
        return generate_latest(self._registry) + _queue_lines(gauges.queues, gauges.rest)

    def _collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily("rustqueue_build", "The program that answers.")
        info.add_metric([], {"version": self._version})
        yield info
        for name, text in _COUNTED.items():
            yield CounterMetricFamily(f"rustqueue_jobs_{name}", text, value=self._jobs[name])
        for name, count in self._webhooks.items():
            yield CounterMetricFamily(f"rustqueue_webhooks_{name}", _WEBHOOK_TEXTS[name], value=count)
        requests = CounterMetricFamily(
            "rustqueue_http_requests", "HTTP requests answered.", labels=["method", "status_class"]
        )
        for (method, status_class), count in sorted(self._requests.items()):
            requests.add_metric([method, status_class], count)
        yield requests
        rejected = CounterMetricFamily(
            "rustqueue_rate_limit_rejected", "Pushes refused by a limit of their queue.", labels=["queue"]
        )
        for queue, count in sorted(self._rejected.items()):
            rejected.add_metric([queue], count)
        yield rejected
        ticks = CounterMetricFamily("rustqueue_schedule_ticks", "Ticks of schedules by outcome.", labels=["outcome"])
        for outcome, count in self._ticks.items():
            ticks.add_metric([outcome], count)
        yield ticks
        tick = "rustqueue_scheduler_tick_duration_seconds"
        yield GaugeMetricFamily(tick, "Applying the last due work.", value=self._tick_us / 1e6)
        for name, text, histogram in (
            ("push", "From proposal to reply of a push, single or batch.", self._push),
            ("pull", "From proposal to reply of a pull that went through the log.", self._pull),
            ("ack", "From proposal to reply of an ack, single or batch.", self._ack),
            ("journal_sync", "Writing and syncing one log entry.", self.journal_sync),
            ("webhook_delivery", "Calls of receivers of webhooks.", self._webhook_calls),
        ):
            family = HistogramMetricFamily(f"rustqueue_{name}_duration_seconds", text)
            family.add_metric([], histogram.buckets(), histogram.sum_s)
            yield family
        family = HistogramMetricFamily(
            "rustqueue_http_request_duration_seconds", "HTTP requests from head to answer.", labels=["method"]
        )
        for method, histogram in sorted(self._request_times.items()):
            family.add_metric([method], histogram.buckets(), histogram.sum_s)
        yield family
        for name, text, value in self._numbers:
            yield GaugeMetricFamily(f"rustqueue_{name}", text, value=value)
        for name, text, value in self._counters:
            yield CounterMetricFamily(f"rustqueue_{name}", text, value=value)


class _NodeCollector(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect_now = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect_now()


def _queue_lines(queues: list[tuple[str, Counts]], rest: Counts | None) -> bytes:
    """Depths by queue. Written here because the library needs 16 ms of the loop for a thousand queues, this three.

    Queue names need no escaping: they are letters, digits, `-`, `_` and `.`.
    """
    shown = queues if rest is None else [*queues, (OTHER_QUEUES, rest)]
    text = []
    for depth in _DEPTHS:
        name = f"rustqueue_queue_{depth}_jobs"
        text.append(f"# HELP {name} Jobs of the queue in state {depth}.\n# TYPE {name} gauge\n")
        text += [f'{name}{{queue="{queue}"}} {getattr(counts, depth)}\n' for queue, counts in shown]
    return "".join(text).encode()
