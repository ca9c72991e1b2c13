"""Case `single`: workers that take and acknowledge one job at a time, beside the same two statements on PostgreSQL."""

from __future__ import annotations

import contextlib

from benchmarks import verbs
from benchmarks.context import Context, say
from benchmarks.load import spread
from benchmarks.peers import postgres
from benchmarks.processes import settle
from benchmarks.results import CaseResult
from benchmarks.servers import Server

# Enough for two seconds of work at each width; the second system's own benchmark takes 2,000.
JOBS = {1: 2_000, 4: 4_000, 16: 8_000}
FACTOR = 3.0


def run(context: Context, result: CaseResult) -> None:
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(context.starter.node())
        databases: list[postgres.Database] = []
        if context.peers:
            context.join(result, stack, databases, postgres.running(context.starter))
        for repeat in range(context.repeats):
            for workers, jobs in JOBS.items():
                _dequeue(context, result, node, f"single-{repeat}", (workers, context.jobs(jobs)))
                for database in databases:
                    _two_statements(result, database, node, (workers, context.jobs(jobs)))
    for workers in JOBS:
        what = f"dequeue+ack x{workers}"
        ratio = result.ratio(what, "node", "postgresql")
        if workers == max(JOBS):
            result.require(f"{what}: node / PostgreSQL", ratio, "at least", FACTOR)
        elif ratio is not None:
            result.record(f"{what}: node / PostgreSQL", ratio)


def _dequeue(context: Context, result: CaseResult, node: Server, series: str, size: tuple[int, int]) -> None:
    workers, jobs = size
    queue = f"{series}-{workers}"
    fill = [verbs.push_batch_line(queue)] * (jobs // verbs.BATCH)
    context.sample(result, spread(node.tcp_port, [lambda: verbs.push_lines(fill, verbs.BATCH)]), node)
    context.rest([node])
    load = spread(node.tcp_port, [lambda: verbs.single_pull_and_ack(queue, jobs // workers)] * workers)
    context.rate(result, f"dequeue+ack x{workers}", load, node)


def _two_statements(result: CaseResult, database: postgres.Database, node: Server, size: tuple[int, int]) -> None:
    settle(node.pids)
    what, rate = f"dequeue+ack x{size[0]}", database.dequeue_and_succeed(*size)
    result.add(database.server.name, what, "jobs/s", rate)
    say(f"  {database.server.name:<16} {what:<28} {rate:>10,.0f} jobs/s")
