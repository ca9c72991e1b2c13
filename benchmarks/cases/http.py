"""Case `http`: batches by HTTP, and the original's single-job HTTP shape."""

from __future__ import annotations

import contextlib
import json

from benchmarks import verbs
from benchmarks.context import Context
from benchmarks.load import LoadFailed, Prepare, Script, http_complete, one_connection
from benchmarks.peers import original
from benchmarks.results import CaseResult
from benchmarks.servers import Server

BATCH_JOBS = {1: 20_000, 4: 40_000}
SINGLE_JOBS = 2_000
SINGLE_REPEATS = 3
PUSHES_PER_S = 20_000.0


def run(context: Context, result: CaseResult) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(context.starter.node())]
        if context.peers:
            for store in original.STORES:
                context.join(result, stack, servers, original.running(context.starter, store))
        for repeat in range(context.repeats):
            for connections, jobs in BATCH_JOBS.items():
                context.rest(servers)
                _batches(context, result, servers[0], f"b{repeat}-{connections}", (connections, context.jobs(jobs)))
        for _ in range(min(context.repeats, SINGLE_REPEATS)):
            for server in list(servers):
                context.rest(servers)
                if not _singles(context, result, server):
                    servers.remove(server)
    best = max(result.median("node", f"batch push x{connections}") or 0.0 for connections in BATCH_JOBS)
    result.require("batch pushes/s, better of the widths", best, "at least", PUSHES_PER_S)
    for what in ("single produce", "single consume", "single end to end"):
        result.require(
            f"{what}: node / redb with fsync", result.ratio(what, "node", original.NAMES[0]), "at least", 1.0
        )


def _batches(context: Context, result: CaseResult, server: Server, queue: str, size: tuple[int, int]) -> None:
    """Batch pushes to the node only: the original's stores are compared in the `script` case."""
    connections, jobs = size
    body = json.dumps([{"name": "n", "data": verbs.PAYLOAD}] * verbs.BATCH).encode()
    request = verbs.http_request("POST", f"/api/v1/queues/{queue}/jobs", body)
    requests = jobs // connections // verbs.BATCH
    push = one_connection(server.http_port, lambda: verbs.http_pushes(request, requests, verbs.BATCH), http_complete)
    context.rate(result, f"batch push x{connections}", [push] * connections, server)


def _single_pushes(queue: str, jobs: int) -> Script:
    for number in range(jobs):
        verbs.expect_success((yield verbs.http_push_job(queue, number)))
    return jobs


def _singles(context: Context, result: CaseResult, server: Server) -> bool:
    """One job for each request, one connection that stays open; says whether the server lived through it."""
    port, jobs, queue = server.http_port, context.jobs(SINGLE_JOBS), "bench"
    phases: dict[str, Prepare] = {
        "single produce": one_connection(port, lambda: _single_pushes(queue, jobs), http_complete),
        "single consume": one_connection(port, lambda: verbs.http_pull_and_ack(queue, jobs), http_complete),
        "single end to end": one_connection(port, lambda: verbs.http_end_to_end(queue, jobs), http_complete),
    }
    try:
        for what, prepare in phases.items():
            context.rate(result, what, [prepare], server)
    except LoadFailed as error:
        original.left_early(result, server, error)
        return False
    return True
