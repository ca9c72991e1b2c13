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
                # Every other repeat goes round the other way, so that nobody always runs in another's wake.
                for system in systems if repeat % 2 == 0 else systems[::-1]:
                    context.rest([each.server for each in systems])
                    phases(context, result, system, str(repeat), (connections, context.jobs(jobs)))
    for connections in JOBS:
        for what in ("push", "pull+ack", "end to end"):
            shape = f"{what} x{connections}"
            ratio = result.ratio(shape, "node", "yardstick")
            result.require(f"{shape}: node / yardstick", ratio, "at least", SHARE_OF_YARDSTICK)
            # Processor time hardly depends on what else runs here, so it says on a noisy machine what jobs/s cannot.
            spent = result.ratio(f"{shape}: server CPU", "yardstick", "node")
            if spent is not None:
                result.record(f"{shape}: server CPU, yardstick / node", spent)


def phases(context: Context, result: CaseResult, system: System, series: str, size: tuple[int, int]) -> None:
    """Push, pull + ack, and end to end on a queue of its own."""
    connections, jobs = size
    share = jobs // connections
    filled, passed = f"p{connections}-{series}", f"e{connections}-{series}"
    system.declare(filled)
    system.declare(passed)
    prepared = {
        "push": system.push(filled, share // BATCH),
        "pull+ack": system.pull_and_ack(filled, share),
        "end to end": system.end_to_end(passed, share // BATCH),
    }
    for what, prepare in prepared.items():
        context.rate(result, f"{what} x{connections}", [prepare] * connections, system.server)
