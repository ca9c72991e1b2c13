"""Case `depth`: what waiting jobs cost in memory, in the price of a pull, and in the time of a restart."""

from __future__ import annotations

import contextlib
import signal
import time

from benchmarks import verbs
from benchmarks.context import Context, say
from benchmarks.load import LoadFailed, one_connection
from benchmarks.processes import memory_mb
from benchmarks.results import CaseResult
from benchmarks.servers import Node, Server
from benchmarks.systems import LineClient, counts

SHALLOW = 1_000
DEEP = 1_000_000
HUGE = 10_000_000
QUICK = 40_000
FILLERS = 4
ROUNDS = 10
CYCLES = 20
QUEUE = "deep"
# Memory in MB and restart in seconds for each depth, and how much dearer a pull may be than at the shallow depth.
BOUNDS = {DEEP: (300.0, 5.0), HUGE: (1_000.0, 15.0)}
PULL_FACTOR_MAX = 1.2


def run(context: Context, result: CaseResult) -> None:
    depths = [SHALLOW, QUICK if context.quick else DEEP, *([HUGE] if context.huge else [])]
    with contextlib.ExitStack() as stack:
        nodes = [(depth, stack.enter_context(context.starter.node_to_restart())) for depth in depths]
        for depth, node in nodes:
            _fill(context, result, node, depth)
        _pulls(context, result, nodes)
        for depth, node in nodes:
            _restarts(result, node, depth)
    for depth in depths[1:]:
        ratio = _over_shallow(result, depth)
        result.require(f"pull of 50 at {depth:,} waiting / at {SHALLOW:,}", ratio, "at most", PULL_FACTOR_MAX)
        rss_max_mb, restart_max_s = BOUNDS.get(depth, BOUNDS[DEEP])
        subject = _subject(depth)
        result.require(f"RSS at {depth:,} waiting, MB", result.median(subject, "RSS, filled"), "at most", rss_max_mb)
        for how in ("SIGTERM", "SIGKILL"):
            ready_s = result.median(subject, f"ready after {how}")
            result.require(f"ready after {how} at {depth:,} waiting, s", ready_s, "at most", restart_max_s)


def _subject(depth: int) -> str:
    return f"node, {depth:,}"


def _over_shallow(result: CaseResult, depth: int) -> float | None:
    deep, shallow = (result.median(_subject(each), "pull of 50") for each in (depth, SHALLOW))
    return deep / shallow if deep and shallow else None


def _fill(context: Context, result: CaseResult, node: Node, depth: int) -> None:
    subject = _subject(depth)
    result.add(subject, "ready, empty", "s", node.start())
    server, request = node.server(), verbs.push_batch_line(QUEUE)
    fillers = min(FILLERS, depth // verbs.BATCH)
    batches = depth // verbs.BATCH // fillers
    push = one_connection(server.tcp_port, lambda: verbs.push_batches(request, batches))
    sample = context.sample(result, [push] * fillers, server)
    result.add(subject, "filled", "jobs/s", sample.jobs_per_s)
    _memory(result, server, depth, "filled")
    say(f"  {subject:<16} filled at {sample.jobs_per_s:,.0f} jobs/s")


def _memory(result: CaseResult, server: Server, depth: int, when: str) -> None:
    now_mb, peak_mb = memory_mb(server.pids[0])
    result.add(_subject(depth), f"RSS, {when}", "MB", now_mb)
    result.add(_subject(depth), f"peak RSS, {when}", "MB", peak_mb)


def _pulls(context: Context, result: CaseResult, nodes: list[tuple[int, Node]]) -> None:
    """Times pulls at all depths in turn; what is pulled is acknowledged and replaced, so the depth stays."""
    push = verbs.push_batch_line(QUEUE)
    pull = verbs.pull_line(QUEUE)
    with contextlib.ExitStack() as stack:
        clients = [
            (depth, stack.enter_context(contextlib.closing(LineClient(node.server().tcp_port))))
            for depth, node in nodes
        ]
        for _ in range(2 if context.quick else ROUNDS):
            context.wait_for_quiet()
            for depth, client in clients:
                for _ in range(CYCLES):
                    started_s = time.monotonic()
                    reply = client.call(pull)
                    elapsed_ms = (time.monotonic() - started_s) * 1e3
                    client.call(verbs.ack_batch_line(verbs.ids_in(reply)))
                    client.call(push)
                    result.add(_subject(depth), "pull of 50", "ms", elapsed_ms)


def _restarts(result: CaseResult, node: Node, depth: int) -> None:
    subject = _subject(depth)
    for how in (signal.SIGTERM, signal.SIGKILL):
        result.add(subject, f"end by {how.name}", "s", node.end(how))
        ready_s = node.start()
        result.add(subject, f"ready after {how.name}", "s", ready_s)
        waiting = counts(node.server().http_port, QUEUE)["waiting"]
        if waiting != depth:
            raise LoadFailed(f"{waiting:,} jobs wait after {how.name} instead of {depth:,}")
        client = LineClient(node.server().tcp_port)
        started_s = time.monotonic()
        reply = client.call(verbs.pull_line(QUEUE))
        result.add(subject, f"first pull after {how.name}", "ms", (time.monotonic() - started_s) * 1e3)
        client.call(verbs.ack_batch_line(verbs.ids_in(reply)))
        client.call(verbs.push_batch_line(QUEUE))
        client.close()
        _memory(result, node.server(), depth, f"after {how.name}")
        say(f"  {subject:<16} ready {ready_s:.2f} s after {how.name}")
    node.end()
