"""Case `tcp`: batches over the line protocol at 1, 4 and 8 connections, the node beside the yardstick."""

from __future__ import annotations

import contextlib

from benchmarks.context import Context
from benchmarks.peers import rabbitmq, redis
from benchmarks.results import CaseResult
from benchmarks.systems import LineSystem, System
from benchmarks.verbs import BATCH

# Long enough for a second or so of work at each width, so that one group commit more or less does not show.
JOBS = {1: 24_000, 4: 60_000, 8: 80_000}
SHARE_OF_YARDSTICK = 0.6


def run(context: Context, result: CaseResult) -> None:
    with contextlib.ExitStack() as stack:
        systems: list[System] = [
            LineSystem(stack.enter_context(context.starter.node())),
            LineSystem(stack.enter_context(context.starter.yardstick())),
        ]
        if context.peers:
            for peer in (rabbitmq, redis):
                context.join(result, stack, systems, peer.running(context.starter))
        for repeat in range(context.repeats):
            for connections, jobs in JOBS.items():
                for turn, system in enumerate(systems if repeat % 2 == 0 else systems[::-1]):
                    others = [other for other in systems if other is not system]
                    _phases(context, result, [system, *others], f"{repeat}-{turn}", (connections, context.jobs(jobs)))
    for connections in JOBS:
        for what in ("push", "pull+ack", "end to end"):
            shape = f"{what} x{connections}"
            result.require(
                f"{shape}: node / yardstick", result.ratio(shape, "node", "yardstick"), "at least", SHARE_OF_YARDSTICK
            )


def _phases(context: Context, result: CaseResult, systems: list[System], run_name: str, size: tuple[int, int]) -> None:
    """Push, pull + ack and end to end on the first of the systems; the rest only have to be at rest."""
    system, (connections, jobs) = systems[0], size
    servers = [each.server for each in systems]
    share = jobs // connections
    filled, passed = f"p{connections}-{run_name}", f"e{connections}-{run_name}"
    system.declare(filled)
    system.declare(passed)
    context.rate(result, f"push x{connections}", [system.push(filled, share // BATCH)] * connections, servers)
    context.rate(result, f"pull+ack x{connections}", [system.pull_and_ack(filled, share)] * connections, servers)
    context.rate(
        result, f"end to end x{connections}", [system.end_to_end(passed, share // BATCH)] * connections, servers
    )
