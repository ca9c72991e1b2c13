"""What followers of events cost a push: times of single pushes without any, with stalled ones, with reading ones.

`python -m benchmarks.followers [--stalled N] [--reading N] [--pushes N]`. The node is a process of its own with default
settings. A stalled follower opens its WebSocket and never reads; before the measure enough events are told to fill its
buffers. All three measures are of one run, so compare them with each other only.
"""

import argparse
import os
import resource
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Server, Starter
from rustqueue.client import Client

_UPGRADE = (
    b"GET /api/v1/events HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_FILL_EVENTS = 40_000
_BATCH = 1_000
_QUIET_LOOK_S = 0.5
_QUIET_LOOKS = 5


@dataclass(frozen=True)
class PushTimes:
    """Times of single pushes, and what one cost the node's processor."""

    cpu_us: float
    median_ms: float
    p99_ms: float
    worst_ms: float

    def __str__(self) -> str:
        wall = f"median {self.median_ms:7.2f} ms   p99 {self.p99_ms:7.2f} ms   worst {self.worst_ms:7.2f} ms"
        return f"{self.cpu_us:6.0f} us CPU   {wall}"


@dataclass(frozen=True)
class Outcome:
    alone: PushTimes
    stalled: PushTimes
    reading: PushTimes


def measure(server: Server, client: Client, pushes: int) -> PushTimes:
    times = []
    busy_before_s = busy_s(server)
    for _ in range(pushes):
        started = time.perf_counter()
        client.push("followed", "n", {"x": 1})
        times.append((time.perf_counter() - started) * 1_000)
    ranked = sorted(times)
    cpu_us = (busy_s(server) - busy_before_s) / pushes * 1e6
    return PushTimes(cpu_us, statistics.median(ranked), ranked[len(ranked) * 99 // 100], ranked[-1])


def followers(server: Server, count: int) -> list[socket.socket]:
    """Connected followers that have read nothing but the answer to their upgrade."""
    found = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.http_port), 10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.sendall(_UPGRADE)
        answer = connection.recv(1_024)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise SystemExit(f"a follower was answered {answer[:200]!r}")
        found.append(connection)
    return found


class Readers:
    """Reads whatever comes to many sockets, in a thread."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.received_bytes = 0
        self._selector = selectors.DefaultSelector()
        for connection in sockets:
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            for key, _ in self._selector.select(0.1):
                self.received_bytes += len(key.fileobj.recv(65_536))  # type: ignore[union-attr]  # All are sockets.


def until_quiet(server: Server) -> None:
    """Return when the node has nothing to do: then every buffer is full. One look may fall on a stalled machine."""
    before, quiet_count = busy_s(server), 0
    while quiet_count < _QUIET_LOOKS:
        threading.Event().wait(_QUIET_LOOK_S)
        now = busy_s(server)
        quiet_count = quiet_count + 1 if now - before < _QUIET_LOOK_S / 10 else 0
        before = now


def busy_s(server: Server) -> float:
    """Processor time of the node so far."""
    fields = Path(f"/proc/{server.pids[0]}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(server: Server, stalled: int, reading: int, pushes: int) -> Outcome:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with Client(f"tcp://127.0.0.1:{server.tcp_port}", idempotency="off") as client:
        measure(server, client, pushes // 4)
        alone = measure(server, client, pushes)
        sleepers = followers(server, stalled)
        print(f"{stalled} followers are there", file=sys.stderr)
        for _ in range(_FILL_EVENTS // _BATCH):
            client.push_batch("filling", [{"name": "n"}] * _BATCH)
        until_quiet(server)
        with_stalled = measure(server, client, pushes)
        for connection in sleepers:
            connection.close()
        awake = followers(server, reading)
        readers = Readers(awake)
        try:
            with_reading = measure(server, client, pushes)
        finally:
            readers.stop()
            for connection in awake:
                connection.close()
    return Outcome(alone, with_stalled, with_reading)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stalled", type=int, default=5_000)
    parser.add_argument("--reading", type=int, default=100)
    parser.add_argument("--pushes", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Starter(Path(folder), checkout=True).node() as server:
        found = run(server, options.stalled, options.reading, options.pushes)
    print(f"no follower             {found.alone}")
    print(f"{options.stalled:5} that do not read  {found.stalled}")
    print(f"{options.reading:5} that read         {found.reading}")


if __name__ == "__main__":
    main()
