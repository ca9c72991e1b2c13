"""Case `latency`: from a single push to its delivery to a waiting worker at 100 jobs/s; and what waiting costs."""

from __future__ import annotations

import contextlib
import re
import resource
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.sharedctypes import RawArray
from typing import TYPE_CHECKING

from benchmarks import verbs
from benchmarks.context import Context, say
from benchmarks.load import Done, LoadFailed, Prepare, connect
from benchmarks.peers import rabbitmq, redis
from benchmarks.processes import ForeignCpu, pause, tree_cpu_s
from benchmarks.results import CaseResult
from benchmarks.servers import Server
from benchmarks.systems import LineClient, LineSystem, System

if TYPE_CHECKING:
    from ctypes import Array, c_longlong

JOBS = 1_000
ROUNDS = 3
GAP_S = 0.01
WAITING_PULLS = 1_000
IDLE_S = 10.0
DELIVERY_MS_MAX = 2.0
RABBITMQ_FACTOR_MAX = 1.5
IDLE_PERCENT_MAX = 2.0

_STAMP = re.compile(rb'"t":(\d+)')


def run(context: Context, result: CaseResult) -> None:
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(context.starter.node())
        systems: list[System] = [LineSystem(node)]
        if context.peers:
            for peer in (rabbitmq, redis):
                context.join(result, stack, systems, peer.running(context.starter))
        for turn in range(1 if context.quick else ROUNDS):
            for system in systems:
                context.rest([each.server for each in systems])
                delivery(context, result, system, f"latency-{turn}")
    with context.starter.node() as node:
        _idle(context, result, node)
    name = "push to delivery, p50"
    result.require(f"{name}, ms", result.median("node", name), "at most", DELIVERY_MS_MAX)
    result.require(f"{name}: node / RabbitMQ", result.ratio(name, "node", "rabbitmq"), "at most", RABBITMQ_FACTOR_MAX)
    idle = result.median("node", "idle, 1,000 waiting pulls")
    result.require("CPU while 1,000 pulls wait, percent of a core", idle, "at most", IDLE_PERCENT_MAX)


def _receive(system: System, queue: str, delays_ns: Array[c_longlong]) -> Prepare:
    def prepare() -> Callable[[], Done]:
        receiver = system.receiver(queue)

        def work() -> Done:
            for position in range(len(delays_ns)):
                taken, now_ns = receiver.take(), time.monotonic_ns()
                stamp = _STAMP.search(taken)
                if stamp is None:
                    raise LoadFailed(f"job {position} never came: {taken[:200]!r}")
                delays_ns[position] = now_ns - int(stamp[1])
                receiver.acknowledge()
            return Done(len(delays_ns), time.monotonic_ns())

        return work

    return prepare


def _send(system: System, queue: str, answers_ns: Array[c_longlong]) -> Prepare:
    def prepare() -> Callable[[], Done]:
        sender = system.sender(queue)

        def work() -> Done:
            pause(0.5)  # The receiver's first wait has to be in place before the first job.
            next_s = time.monotonic()
            for position in range(len(answers_ns)):
                sent_ns = time.monotonic_ns()
                sender.send(b'{"t":%d,"to":"user@example.com","note":"%s"}' % (sent_ns, b"x" * 100))
                answers_ns[position] = time.monotonic_ns() - sent_ns
                next_s += GAP_S
                pause(next_s - time.monotonic())
            return Done(0, time.monotonic_ns())

        return work

    return prepare


def _percentile(values: Sequence[int], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] / 1e6


def delivery(context: Context, result: CaseResult, system: System, queue: str) -> None:
    system.declare(queue)
    jobs = 300 if context.quick else JOBS
    # Shared memory: the load processes write, this process reads after they have ended.
    delays_ns, answers_ns = RawArray("q", jobs), RawArray("q", jobs)
    load = [_receive(system, queue, delays_ns), _send(system, queue, answers_ns)]
    context.sample(result, load, system.server)
    name = system.server.name
    delays, answers = list(delays_ns), list(answers_ns)
    result.add(name, "push to delivery, p50", "ms", _percentile(delays, 0.5))
    result.add(name, "push to delivery, p99", "ms", _percentile(delays, 0.99))
    result.add(name, "push answered, p50", "ms", _percentile(answers, 0.5))
    result.add(name, "push answered, p99", "ms", _percentile(answers, 0.99))
    say(f"  {name:<16} delivery p50 {_percentile(delays, 0.5):.2f} ms, mean {statistics.fmean(delays) / 1e6:.2f} ms")


def _raise_file_limit(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))


def _idle(context: Context, result: CaseResult, node: Server) -> None:
    """CPU of the node while many pulls wait for a job that does not come, and that one which comes is delivered."""
    _raise_file_limit(WAITING_PULLS + 200)
    request = verbs.pull_line("idle", 1, wait_ms=30_000)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connect(node.tcp_port)) for _ in range(WAITING_PULLS)]
        for connection in waiting:
            connection.sendall(request)
        context.rest([node])
        seconds = 3.0 if context.quick else IDLE_S
        foreign, before_s = ForeignCpu(), tree_cpu_s(node.pids)
        pause(seconds)
        percent = (tree_cpu_s(node.pids) - before_s) / seconds * 100
        result.foreign_cores.append(foreign.cores())
        result.add("node", "idle, 1,000 waiting pulls", "% of a core", percent)
        say(f"  node             idle with {WAITING_PULLS:,} waiting pulls: {percent:.2f} % of a core")
        pusher = LineClient(node.tcp_port)
        pusher.call(verbs.push_batch_line("idle", 1))
        pusher.close()
        if not _somebody_got_it(waiting):
            raise LoadFailed("a job was pushed and none of the waiting pulls got it")


def _somebody_got_it(waiting: Sequence[socket.socket]) -> bool:
    with selectors.DefaultSelector() as selector:
        for connection in waiting:
            selector.register(connection, selectors.EVENT_READ)
        ready = selector.select(5.0)
        replies = [key.fileobj.recv(1 << 16) for key, _ in ready if isinstance(key.fileobj, socket.socket)]
        return any(verbs.ids_in(reply) for reply in replies)
