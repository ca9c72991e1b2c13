"""The load generator: closed loops over sockets, one process for each connection or many connections in one process.

Knows sockets, framing and time, and nothing about verbs: a `Script` is a generator that yields request bytes and is
sent the reply bytes, so the same script runs over a line protocol, over HTTP, alone or beside others. Invariants: one
request in flight for each connection; connections and requests are prepared before the clock starts; every wait has
an end.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import selectors
import socket
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from queue import Empty

from benchmarks.processes import ForeignCpu, tree_cpu_s

RECEIVE_BYTES = 1 << 16
SOCKET_TIMEOUT_S = 60.0
# Ten million jobs on a busy machine take the better part of an hour.
PHASE_TIMEOUT_S = 3600.0

# A script answers how many jobs it has moved.
Script = Generator[bytes, bytes, int]
Complete = Callable[[bytes], bool]


class LoadFailed(Exception):
    """A load process died, or a server answered something that the script did not expect."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one load process did: jobs moved, and when the last of them was."""

    jobs: int
    finished_ns: int


# Called before the clock starts: connects, prepares, and answers what to call when the clock starts.
Prepare = Callable[[], Callable[[], Done]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured phase: jobs per second, CPU that server and generator spent for a job, and CPU of strangers."""

    jobs: int
    seconds: float
    server_us_per_job: float
    client_us_per_job: float
    foreign_cores: float

    @property
    def jobs_per_s(self) -> float:
        return self.jobs / self.seconds


def line_complete(reply: bytes) -> bool:
    """A reply of the line protocol ends with a newline; JSON text never holds a raw one."""
    return reply.endswith(b"\n")


_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def http_complete(reply: bytes) -> bool:
    """An HTTP reply is complete when its head has ended and its body has the announced length."""
    head_end = reply.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    length = _CONTENT_LENGTH.search(reply, 0, head_end)
    return len(reply) >= head_end + 4 + (int(length[1]) if length else 0)


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), SOCKET_TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def converse(connection: socket.socket, script: Script, complete: Complete) -> int:
    """Runs one script over one blocking socket."""
    request = next(script)
    while True:
        connection.sendall(request)
        reply = connection.recv(RECEIVE_BYTES)
        while not complete(reply):
            more = connection.recv(RECEIVE_BYTES)
            if not more:
                raise LoadFailed(f"the server closed the connection after {reply[:200]!r}")
            reply += more
        try:
            request = script.send(reply)
        except StopIteration as stop:
            return int(stop.value)


def one_connection(port: int, script: Callable[[], Script], complete: Complete = line_complete) -> Prepare:
    """One process with one connection and blocking calls: the cheapest generator for batches."""

    def prepare() -> Callable[[], Done]:
        connection, conversation = connect(port), script()

        def run() -> Done:
            with connection:
                return Done(converse(connection, conversation, complete), time.monotonic_ns())

        return run

    return prepare


class _Lane:
    """One of many connections in a process: its socket, its script, and what has come of the reply."""

    __slots__ = ("connection", "reply", "script")

    def __init__(self, port: int, script: Script) -> None:
        self.connection = connect(port)
        self.script = script
        self.reply = b""


def _turn(lane: _Lane, complete: Complete) -> int | None:
    """Reads what has come on one lane; answers the jobs of a script that has ended, else None."""
    chunk = lane.connection.recv(RECEIVE_BYTES)
    if not chunk:
        raise LoadFailed(f"the server closed the connection after {lane.reply[:200]!r}")
    lane.reply += chunk
    if not complete(lane.reply):
        return None
    reply, lane.reply = lane.reply, b""
    try:
        lane.connection.sendall(lane.script.send(reply))
    except StopIteration as stop:
        return int(stop.value)
    return None


def many_connections(port: int, scripts: Sequence[Callable[[], Script]], complete: Complete = line_complete) -> Prepare:
    """One process that keeps many connections busy, one request in flight on each."""

    def prepare() -> Callable[[], Done]:
        lanes = [_Lane(port, script()) for script in scripts]

        def run() -> Done:
            jobs = 0
            with selectors.DefaultSelector() as selector:
                for lane in lanes:
                    selector.register(lane.connection, selectors.EVENT_READ, lane)
                    lane.connection.sendall(next(lane.script))
                while selector.get_map():
                    ready = selector.select(SOCKET_TIMEOUT_S)
                    if not ready:
                        raise LoadFailed(f"no reply for {SOCKET_TIMEOUT_S:.0f} s")
                    for key, _ in ready:
                        ended = _turn(key.data, complete)
                        if ended is not None:
                            jobs += ended
                            selector.unregister(key.fileobj)
            finished_ns = time.monotonic_ns()
            for lane in lanes:
                lane.connection.close()
            return Done(jobs, finished_ns)

        return run

    return prepare


def spread(port: int, scripts: Sequence[Callable[[], Script]], complete: Complete = line_complete) -> list[Prepare]:
    """Two processes share the connections, as many as the machine has cores to offer; one connection needs one."""
    shares = [scripts[::2], scripts[1::2]] if len(scripts) > 1 else [scripts]
    return [many_connections(port, share, complete) for share in shares]


# Forked children inherit prepared closures as they are. No thread runs in this program, so forking is sound here.
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class _Share:
    """What one load process reports: its clock at the start and its result, or why it failed."""

    started_ns: int
    done: Done | None
    failure: str = ""


def _run_share(prepare: Prepare, gate: Barrier, reports: multiprocessing.Queue[_Share]) -> None:
    try:
        run = prepare()
        gate.wait(PHASE_TIMEOUT_S)
        started_ns = time.monotonic_ns()
        reports.put(_Share(started_ns, run()))
    except Exception:
        reports.put(_Share(0, None, traceback.format_exc()))
        gate.abort()


def _collect(count: int, gate: Barrier, reports: multiprocessing.Queue[_Share]) -> list[tuple[int, Done]]:
    # A broken barrier is not the failure itself: the process that broke it has reported why.
    with contextlib.suppress(threading.BrokenBarrierError):
        gate.wait(PHASE_TIMEOUT_S)
    collected: list[tuple[int, Done]] = []
    while len(collected) < count:
        try:
            share = reports.get(timeout=PHASE_TIMEOUT_S)
        except Empty:
            raise LoadFailed("a load process never reported") from None
        if share.done is None:
            raise LoadFailed(share.failure)
        collected.append((share.started_ns, share.done))
    return collected


def measure(prepares: Sequence[Prepare], server_pids: Sequence[int]) -> Sample:
    """Runs each part of the load in a process of its own, all released together, and charges who spent what."""
    gate = _FORK.Barrier(len(prepares) + 1)
    reports: multiprocessing.Queue[_Share] = _FORK.Queue()
    processes = [_FORK.Process(target=_run_share, args=(prepare, gate, reports)) for prepare in prepares]
    foreign, ours_s, server_s = ForeignCpu(), tree_cpu_s([os.getpid()]), tree_cpu_s(server_pids)
    for process in processes:
        process.start()
    try:
        shares = _collect(len(processes), gate, reports)
        for process in processes:
            process.join(SOCKET_TIMEOUT_S)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            process.join()
    server_s = tree_cpu_s(server_pids) - server_s
    ours_s = tree_cpu_s([os.getpid()]) - ours_s - server_s
    jobs = sum(done.jobs for _, done in shares)
    if not jobs:
        raise LoadFailed("not one job was moved")
    seconds = (max(done.finished_ns for _, done in shares) - min(started_ns for started_ns, _ in shares)) / 1e9
    return Sample(jobs, seconds, server_s / jobs * 1e6, ours_s / jobs * 1e6, foreign.cores())
