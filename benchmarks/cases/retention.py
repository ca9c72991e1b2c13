"""Case `retention`: a queue that keeps few completed jobs, in steady state: as many deletions as acknowledgements."""

from __future__ import annotations

from benchmarks import verbs
from benchmarks.context import Context, say
from benchmarks.processes import pause
from benchmarks.results import CaseResult
from benchmarks.servers import Server
from benchmarks.systems import LineSystem, counts, http_json

JOBS = 40_000
CONNECTIONS = 4
KEPT = 1_000
# The sweep runs in bounded steps, so it may be this long behind when the load ends before it counts as not keeping up.
CATCH_UP_S = 10.0


def run(context: Context, result: CaseResult) -> None:
    share = context.jobs(JOBS) // CONNECTIONS
    with context.starter.node() as node:
        settings = {"retention": {"completed": {"count": KEPT}}}
        http_json(node.http_port, "PUT", "/api/v1/queues/trimmed", settings)
        # Steady state begins when the queue holds as many completed jobs as it keeps.
        warm = [LineSystem(node).end_to_end("trimmed", 2 * KEPT // verbs.BATCH)]
        context.sample(result, warm, node)
        for _ in range(context.repeats):
            for queue, what in (("kept", "keeps all"), ("trimmed", f"keeps {KEPT:,}")):
                context.rest([node])
                load = [LineSystem(node).end_to_end(queue, share // verbs.BATCH)] * CONNECTIONS
                context.rate(result, f"end to end x{CONNECTIONS}, {what}", load, node)
                if queue == "trimmed":
                    _count_left(result, node)
        _caught_up(result, node)
    kept, trimmed = (
        result.median("node", f"end to end x{CONNECTIONS}, {what}") for what in ("keeps all", f"keeps {KEPT:,}")
    )
    if kept and trimmed:
        result.record("end to end: with retention / without", trimmed / kept)


def _completed(node: Server) -> int:
    return counts(node.http_port, "trimmed")["completed"]


def _count_left(result: CaseResult, node: Server) -> None:
    result.add("node", "completed jobs left when the load ends", "jobs", float(_completed(node)))


def _caught_up(result: CaseResult, node: Server) -> None:
    """Deletions must equal acknowledgements: soon after the load, no more than the limit may be left."""
    waited_s = 0.0
    while (left := _completed(node)) > KEPT and waited_s < CATCH_UP_S:
        pause(0.05)
        waited_s += 0.05
    result.add("node", "seconds until only the kept ones are left", "s", waited_s)
    result.require("completed jobs left after the sweep", float(left), "at most", float(KEPT))
    say(f"  node             {left:,} completed jobs left {waited_s:.2f} s after the load")
