"""The table of all cases: a name, what it measures, and what runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.cases import cluster, cost, depth, http, latency, retention, rich, script, single, tcp
from benchmarks.context import Context
from benchmarks.results import CaseResult


@dataclass(frozen=True, slots=True)
class Case:
    """One case; its text is the headline of its table. `asked` cases run only when they are named."""

    name: str
    about: str
    run: Callable[[Context, CaseResult], None]
    asked: bool = False


CASES = (
    Case("tcp", "batches of 50 over TCP, the node and the yardstick in turn", tcp.run),
    Case("script", "the original's own script: one connection, batch 50, 5,000 jobs, ten times over", script.run),
    Case("http", "batches and single jobs over HTTP", http.run),
    Case("single", "workers that dequeue and acknowledge one job at a time", single.run),
    Case("latency", "push to delivery at 100 jobs/s, and what 1,000 waiting pulls cost", latency.run),
    Case("depth", "memory, price of a pull and time of a restart with many jobs waiting", depth.run),
    Case("verbs", "server CPU for a job, verb by verb", cost.run),
    Case("rich", "metadata, priority, unique key and a dependency on every job", rich.run),
    Case("retention", "deletions equal acknowledgements", retention.run),
    Case("cluster", "three nodes on this machine, a majority synced", cluster.run, asked=True),
)
