"""Case `rich`: batches whose jobs carry metadata, a priority, a unique key and a dependency, beside plain ones.

The first job of each batch is the parent of the other 49, named by its place in the batch. So a batch waits for one
job, and every other acknowledged parent makes 49 jobs ready.
"""

from __future__ import annotations

import json

from benchmarks import verbs
from benchmarks.context import Context
from benchmarks.load import Prepare, one_connection
from benchmarks.results import CaseResult
from benchmarks.servers import Server

JOBS = {1: 20_000, 4: 40_000}
METADATA = {"tenant": "acme", "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "region": "eu-1"}


def run(context: Context, result: CaseResult) -> None:
    with context.starter.node() as node:
        for repeat in range(context.repeats):
            for connections, full in JOBS.items():
                for kind in ("plain", "rich"):
                    context.rest([node])
                    _phases(context, result, node, (kind, repeat), (connections, context.jobs(full)))
    for connections in JOBS:
        for what in ("push", "pull+ack"):
            plain, rich = (result.median("node", f"{kind} {what} x{connections}") for kind in ("plain", "rich"))
            if plain and rich:
                result.record(f"{what} x{connections}: rich / plain", rich / plain)


def _rich_line(queue: str, run_name: str, batch: int) -> bytes:
    jobs: list[dict[str, object]] = [
        {
            "name": "n",
            "data": verbs.PAYLOAD,
            "metadata": METADATA,
            "priority": place % 5,
            "unique_key": f"{run_name}-{batch}-{place}",
            **({"depends_on": [0]} if place else {}),
        }
        for place in range(verbs.BATCH)
    ]
    return json.dumps({"cmd": "push_batch", "queue": queue, "jobs": jobs}, separators=(",", ":")).encode() + b"\n"


def _phases(context: Context, result: CaseResult, node: Server, series: tuple[str, int], size: tuple[int, int]) -> None:
    (kind, repeat), (connections, jobs) = series, size
    queue, share = f"{kind}-{connections}-{repeat}", jobs // connections
    batches = share // verbs.BATCH

    def pushing(lane: int) -> Prepare:
        if kind == "plain":
            requests = [verbs.push_batch_line(queue)] * batches
        else:
            requests = [_rich_line(queue, f"{repeat}-{lane}", batch) for batch in range(batches)]
        return one_connection(node.tcp_port, lambda: verbs.push_lines(requests, verbs.BATCH))

    pushes = [pushing(lane) for lane in range(connections)]
    context.rate(result, f"{kind} push x{connections}", pushes, node)
    pulls = [one_connection(node.tcp_port, lambda: verbs.pull_and_ack_waiting(queue, share))] * connections
    context.rate(result, f"{kind} pull+ack x{connections}", pulls, node)
