"""The operator's own metrics. The only module that knows the Prometheus library."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
__all__ = ["CONTENT_TYPE", "Live", "Metric", "Metrics", "counter", "gauge"]

_BUCKETS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Live(Collector):
    """Values that are read when somebody asks. `read` answers name to (help, labels, value) rows."""

    def __init__(self, read: Callable[[], Iterator[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        return self._read()


class Metrics:
    """Counts what was done; what can be asked for is asked for at the scrape."""

    def __init__(self) -> None:
        # The time at which each counter began is a series for each series, and nobody looks at it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "rustqueue_operator_reconciles",
            "Objects that were looked at.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "rustqueue_operator_reconcile_seconds",
            "Time of one look.",
            ["kind"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._events = Counter(
            "rustqueue_operator_events",
            "What was done or found, by reason (DriftCorrected, DeletionBlocked, ...).",
            ["kind", "reason"],
            registry=self.registry,
        )
        self._certificates = Gauge(
            "rustqueue_operator_certificate_ends_timestamp_seconds",
            "When the certificate of a cluster's nodes ends; it is made anew long before.",
            ["cluster"],
            registry=self.registry,
        )
        self._first = Gauge(
            "rustqueue_operator_first_reconcile_seconds",
            "From the start of the process to the end of its first look at an object, time as a standby included.",
            registry=self.registry,
        )
        self.leader = Gauge("rustqueue_operator_leader", "1 on the replica that works.", registry=self.registry)
        self._looked = False

    def reconciled(self, kind: str, outcome: str, seconds: float) -> None:
        self._reconciles.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(seconds)
        if not self._looked:
            self._looked = True
            self._first.set(_process_age_s())

    def event(self, kind: str, reason: str) -> None:
        self._events.labels(kind, reason).inc()

    def certificate(self, cluster: str, ends_s: int) -> None:
        self._certificates.labels(cluster).set(ends_s)

    def text(self) -> bytes:
        return generate_latest(self.registry)


def counter(name: str, text: str, labels: list[str], rows: dict[tuple[str, ...], float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows.items():
        family.add_metric(list(values), value)
    return family


def gauge(name: str, text: str, labels: list[str], rows: dict[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows.items():
        family.add_metric(list(values), value)
    return family


def _process_age_s() -> float:
    """As the kernel counts it, so that starting the interpreter and loading the code are in it."""
    # The name of the program may hold blanks and brackets; the start is the 20th word after it, in ticks since boot.
    words = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(words[19]) / os.sysconf("SC_CLK_TCK")
