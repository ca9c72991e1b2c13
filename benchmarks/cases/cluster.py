"""Case `cluster`: three nodes on this machine, beside RabbitMQ's quorum queues on three nodes.

Batches over the line protocol at 1, 4 and 8 connections to the leader, and to a follower, which forwards them; at one
connection also without waiting for acknowledgements, and with all requests of a batch in one write. Then single jobs
to a waiting worker. Besides jobs a second it says what a job costs the leader and a follower in processor time: three
nodes, their peers and the load share the cores of one machine, so that is the steadier figure.
"""

from __future__ import annotations

import contextlib

from benchmarks import clusters
from benchmarks.cases import latency
from benchmarks.clusters import Cluster
from benchmarks.context import Context
from benchmarks.peers import PeerMissing, rabbitmq_cluster
from benchmarks.results import CaseResult
from benchmarks.systems import LineSystem, System
from benchmarks.verbs import BATCH

JOBS = {1: 12_000, 4: 32_000, 8: 48_000}
PUSH_BESIDE_RABBITMQ = 1.5
END_TO_END_BESIDE_RABBITMQ = 1.0
DELIVERY_BESIDE_RABBITMQ = 1.5
LATENCY_ROUNDS = 3
UNAWAITED, PIPELINED = "end to end, ack not awaited", "end to end, pipelined"
NODE, FORWARDED, PEER = "node x3", "via follower", "rabbitmq x3"


def run(context: Context, result: CaseResult) -> None:
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(clusters.running(context.starter))
        leader = ours.leader()
        follower = next(member for member in ours.members if member is not leader)
        systems: list[System] = [LineSystem(ours.through(leader, NODE)), LineSystem(ours.through(follower, FORWARDED))]
        if context.peers:
            try:
                systems.append(stack.enter_context(rabbitmq_cluster.running(context.starter)))
            except PeerMissing as missing:
                result.skipped.append(str(missing))
        for repeat in range(context.repeats):
            for connections, jobs in JOBS.items():
                for system in systems if repeat % 2 == 0 else systems[::-1]:
                    context.rest([each.server for each in systems])
                    _phases(context, result, ours, system, (str(repeat), connections, context.jobs(jobs)))
        for turn in range(1 if context.quick else LATENCY_ROUNDS):
            for system in systems:
                context.rest([each.server for each in systems])
                latency.delivery(context, result, system, f"latency-{turn}")
        if ours.leader() is not leader:
            result.notes.append("the leader changed during the run: some figures are of forwarded commands")
    _compare(result)


def _compare(result: CaseResult) -> None:
    for connections in JOBS:
        bounds = {"push": PUSH_BESIDE_RABBITMQ, "end to end": END_TO_END_BESIDE_RABBITMQ}
        for what, bound in bounds.items():
            ratio = result.ratio(f"{what} x{connections}", NODE, PEER)
            result.require(f"{what} x{connections}: node / RabbitMQ", ratio, "at least", bound)
    theirs = result.median(PEER, "end to end x1")
    for what in (UNAWAITED, PIPELINED):
        # RabbitMQ's load waits for fewer things as well: jobs come unasked, and its protocol has no answer to an
        # acknowledgement.
        ours = result.median(NODE, f"{what} x1")
        if ours is not None and theirs is not None:
            result.record(f"{what} x1: node / RabbitMQ end to end", ours / theirs)
    ratio = result.ratio("push to delivery, p50", NODE, PEER)
    result.require("push to delivery, p50: node / RabbitMQ", ratio, "at most", DELIVERY_BESIDE_RABBITMQ)


def _phases(context: Context, result: CaseResult, ours: Cluster, system: System, size: tuple[str, int, int]) -> None:
    """Push, pull + ack, and end to end on a queue of its own."""
    series, connections, jobs = size
    share, name = jobs // connections, system.server.name
    mark = name.replace(" ", "-")
    filled, passed = f"p{connections}-{series}-{mark}", f"e{connections}-{series}-{mark}"
    system.declare(filled)
    system.declare(passed)
    phases = {
        "push": system.push(filled, share // BATCH),
        "pull+ack": system.pull_and_ack(filled, share),
        "end to end": system.end_to_end(passed, share // BATCH),
    }
    if connections == 1 and isinstance(system, LineSystem):
        phases[UNAWAITED] = system.end_to_end_unawaited(passed, share // BATCH)
        phases[PIPELINED] = system.end_to_end_pipelined(passed, share // BATCH)
    for what, prepare in phases.items():
        figure = f"{what} x{connections}"
        before = ours.cpu_s()
        context.rate(result, figure, [prepare] * connections, system.server)
        after = ours.cpu_s()
        if name != PEER:
            for role, spent_s in after.items():
                result.add(name, f"{figure}: CPU of {role}", "µs/job", (spent_s - before[role]) / jobs * 1e6)
