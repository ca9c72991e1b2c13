"""Prometheus metrics: the names of contract A21 with real histograms, and what operating a durable node needs.

It must not know who tells it what. Invariants: job counters follow published events only, so that a replay counts
nothing; telling a number costs well under a microsecond; series with a queue label are bounded, the queues beyond the
bound add up under `_other`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, get_args

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from rustqueue.effects import queue_series
from rustqueue.effects.histogram import Histogram
from rustqueue.effects.job_flow import OTHER_QUEUES, JobFlow
from rustqueue.model import limits
from rustqueue.model.commands import Ack, AckBatch, Command, Pull, PushJobs
from rustqueue.model.events import Event, SchedulesFired
from rustqueue.model.jobs import Counts
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.schedules import RunOutcome

_STATUS_CLASSES: Final = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
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


class Labelled(NamedTuple):
    """One name with a series for each value of one label."""

    name: str
    text: str
    label: str
    values: Mapping[str, float | Histogram]


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
    labelled: Sequence[Labelled] = ()
    """Gauges and histograms with a label of few values."""
    oldest_ms: Mapping[str, int] = field(default_factory=dict)
    """When the oldest ready job of a queue was pushed, where one is ready and known."""
    now_ms: int = 0


class Metrics:
    """All numbers of one node. `read_gauges` is called for each scrape."""

    def __init__(self, version: str, read_gauges: Callable[[], Gauges]) -> None:
        self._version = version
        self._read_gauges = read_gauges
        self._flow = JobFlow()
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
        self._gauges: Gauges = Gauges((), [], None)
        self._registry = CollectorRegistry()
        self._registry.register(_NodeCollector(self._collect))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    # What is told.

    def on_events(self, index: int, now_ms: int, events: Sequence[Event]) -> None:
        """A subscriber of the bus."""
        self._flow.on_events(index, now_ms, events)
        for event in events:
            if isinstance(event, SchedulesFired):
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
        self._gauges = self._read_gauges()
        return generate_latest(self._registry) + "".join(self._queue_lines()).encode()

    def _queue_lines(self) -> Iterator[str]:
        gauges = self._gauges
        yield from queue_series.depth_lines(gauges.queues, gauges.rest)
        yield from queue_series.oldest_lines(gauges.queues, gauges.oldest_ms, gauges.now_ms)
        yield from queue_series.flow_lines(self._flow.by_queue)

    def _collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily("rustqueue_build", "The program that answers.")
        info.add_metric([], {"version": self._version})
        yield info
        for name, text in _COUNTED.items():
            yield CounterMetricFamily(f"rustqueue_jobs_{name}", text, value=self._flow.totals[name])
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
        fired = "Ticks of schedules that pushed a job."
        yield CounterMetricFamily("rustqueue_schedules_fired", fired, value=self._ticks["pushed"])
        tick = "rustqueue_scheduler_tick_duration_seconds"
        yield GaugeMetricFamily(tick, "Applying the last due work.", value=self._tick_us / 1e6)
        for name, text, histogram in (
            ("push", "From proposal to reply of a push, single or batch.", self._push),
            ("pull", "From proposal to reply of a pull that went through the log.", self._pull),
            ("ack", "From proposal to reply of an ack, single or batch.", self._ack),
            ("journal_sync", "Writing and syncing one log entry.", self.journal_sync),
            ("webhook_delivery", "Calls of receivers of webhooks.", self._webhook_calls),
        ):
            yield _histogram(f"{name}_duration_seconds", text, histogram)
        yield _histogram("job_wait_seconds", "From ready to leased, for each lease of a job.", self._flow.waited)
        yield _histogram("job_total_seconds", "From pushed to completed.", self._flow.took)
        http = ("http_request_duration_seconds", "HTTP requests from head to answer.", "method", self._request_times)
        yield from _labelled(Labelled(*http))
        yield from self._collect_gauges()

    def _collect_gauges(self) -> Iterator[Metric]:
        for name, text, value in self._gauges.numbers:
            yield GaugeMetricFamily(f"rustqueue_{name}", text, value=value)
        for name, text, value in self._gauges.counters:
            yield CounterMetricFamily(f"rustqueue_{name}", text, value=value)
        for given in self._gauges.labelled:
            yield from _labelled(given)


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(f"rustqueue_{name}", text)
    family.add_metric([], histogram.buckets(), histogram.sum_s)
    return family


def _labelled(given: Labelled) -> Iterator[Metric]:
    """Nothing before the first value, as in the original."""
    name, labels = f"rustqueue_{given.name}", [given.label]
    gauges = GaugeMetricFamily(name, given.text, labels=labels)
    histograms = HistogramMetricFamily(name, given.text, labels=labels)
    for label, value in sorted(given.values.items()):
        if isinstance(value, Histogram):
            histograms.add_metric([label], value.buckets(), value.sum_s)
        else:
            gauges.add_metric([label], value)
    return (family for family in (gauges, histograms) if family.samples)


class _NodeCollector(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect_now = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect_now()
