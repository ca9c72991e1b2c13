"""Case `retention`: a queue that keeps few completed jobs, in steady state: as many deletions as acknowledgements."""

from __future__ import annotations

import time

from benchmarks import verbs
from benchmarks.context import Context, say
from benchmarks.load import LoadFailed
from benchmarks.processes import pause
from benchmarks.results import CaseResult
from benchmarks.servers import Server
from benchmarks.systems import LineSystem, counts, http_json

JOBS = 80_000
CONNECTIONS = 4
KEPT = 1_000
# Removal by count works in steps of a tenth of a second, so the last of them may be outstanding when the load ends.
DELETED_PERCENT_MIN = 90.0
CATCH_UP_S = 15.0
LOAD = f"end to end x{CONNECTIONS}"
KEEPS_ALL, TRIMMED = f"{LOAD}, keeps all", f"{LOAD}, keeps {KEPT:,}"
DELETED = "deleted while as many were acknowledged"


def run(context: Context, result: CaseResult) -> None:
    batches = context.jobs(JOBS) // CONNECTIONS // verbs.BATCH
    with context.starter.node() as node:
        settings = {"retention": {"completed": {"count": KEPT}}}
        http_json(node.http_port, "PUT", "/api/v1/queues/trimmed", settings)
        # Steady state begins when the queue holds as many completed jobs as it keeps.
        warm = [LineSystem(node).end_to_end("trimmed", 2 * KEPT // verbs.BATCH)]
        context.sample(result, warm, node)
        _catch_up(result, node)
        for _ in range(context.repeats):
            context.rest([node])
            context.rate(result, KEEPS_ALL, [LineSystem(node).end_to_end("kept", batches)] * CONNECTIONS, node)
            context.rest([node])
            before = _completed(node)
            context.rate(result, TRIMMED, [LineSystem(node).end_to_end("trimmed", batches)] * CONNECTIONS, node)
            acknowledged, left = batches * CONNECTIONS * verbs.BATCH, _completed(node)
            result.add("node", DELETED, "%", (acknowledged - (left - before)) / acknowledged * 100)
            _catch_up(result, node)
    deleted = result.median("node", DELETED)
    result.require("deletions / acknowledgements under load, %", deleted, "at least", DELETED_PERCENT_MIN)
    kept, trimmed = result.median("node", KEEPS_ALL), result.median("node", TRIMMED)
    if kept and trimmed:
        result.record("end to end: with retention / without", trimmed / kept)


def _completed(node: Server) -> int:
    return counts(node.http_port, "trimmed")["completed"]


def _catch_up(result: CaseResult, node: Server) -> None:
    """Waits until no more than the kept jobs are left: soon after the load, or the queue would grow without end."""
    started_s = time.monotonic()
    while (left := _completed(node)) > KEPT:
        if time.monotonic() - started_s > CATCH_UP_S:
            raise LoadFailed(f"{left:,} completed jobs are still there {CATCH_UP_S:.0f} s after the load")
        pause(0.02)
    waited_s = time.monotonic() - started_s
    result.add("node", "time until only the kept ones were left", "s", waited_s)
    say(f"  node             only the kept jobs were left {waited_s:.2f} s after the load")
