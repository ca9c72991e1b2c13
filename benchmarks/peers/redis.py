"""Redis streams with the append-only file synced at every write: the nearest thing to a durable queue that it has.

XADD pushes, XREADGROUP pulls, XACK and XDEL acknowledge. The client is a few lines of its protocol, written by hand so
that it costs as little as it can.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.load import Done, LoadFailed, Prepare, connect
from benchmarks.peers import PeerMissing, find_program
from benchmarks.processes import StartFailed, accepts
from benchmarks.processes import running as running_process
from benchmarks.servers import Server, Starter
from benchmarks.systems import Receiver, Sender
from benchmarks.verbs import BATCH, PAYLOAD_BYTES
from rustqueue.demo.ports import free_port

GROUP = b"g"

# A reply as the protocol has it: bytes, integers, nothing, and lists of those.
Value = Any


def command(*words: bytes) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def removal(queue: str, ids: Sequence[bytes]) -> list[bytes]:
    """The commands that acknowledge entries."""
    return [command(b"XACK", queue.encode(), GROUP, *ids), command(b"XDEL", queue.encode(), *ids)]


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._socket = connect(port)
        self._reader = self._socket.makefile("rb", 1 << 16)
        self._name = b"%d" % os.getpid()

    def call(self, *commands: bytes) -> list[Value]:
        """Sends all commands at once and answers their replies."""
        self._socket.sendall(b"".join(commands))
        return [self._read() for _ in commands]

    def add(self, queue: str, bodies: Sequence[bytes]) -> None:
        self.call(*[command(b"XADD", queue.encode(), b"*", b"d", body) for body in bodies])

    def take(self, queue: str, count: int, *wait: bytes, before: Sequence[bytes] = ()) -> list[tuple[bytes, bytes]]:
        """Entries (id, body); waits only if told to. `before` are commands that go out in the same breath."""
        words = [b"XREADGROUP", b"GROUP", GROUP, self._name, b"COUNT", b"%d" % count, *wait, b"STREAMS"]
        streams = self.call(*before, command(*words, queue.encode(), b">"))[-1]
        if streams is None:
            return []
        ((_, entries),) = streams  # One stream was asked for.
        return [(entry_id, fields[1]) for entry_id, fields in entries]

    def remove(self, queue: str, ids: Sequence[bytes]) -> None:
        self.call(*removal(queue, ids))

    def _read(self) -> Value:
        head = self._reader.readline()
        if not head:
            raise LoadFailed("Redis closed the connection")
        kind, text = head[:1], head[1:-2]
        if kind == b"-":
            raise LoadFailed(f"Redis refused: {text!r}")
        if kind == b":":
            return int(text)
        if kind == b"+":
            return text
        size = int(text)
        if size < 0:
            return None
        if kind == b"$":
            return self._reader.read(size + 2)[:-2]
        return [self._read() for _ in range(size)]


class _Sender:
    def __init__(self, port: int, queue: str) -> None:
        self._client, self._queue = Client(port), queue

    def send(self, payload: bytes) -> None:
        self._client.add(self._queue, [payload])


class _Receiver:
    def __init__(self, port: int, queue: str) -> None:
        self._client, self._queue, self._id = Client(port), queue, b""
        self._acknowledged: list[bytes] = []

    def take(self) -> bytes:
        before, self._acknowledged = self._acknowledged, []
        for entry_id, body in self._client.take(self._queue, 1, b"BLOCK", b"5000", before=before):
            self._id = entry_id
            return body
        return b""

    def acknowledge(self) -> None:
        self._acknowledged = removal(self._queue, [self._id])


class RedisStreams:
    """A running Redis."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def declare(self, queue: str) -> None:
        Client(self.server.tcp_port).call(command(b"XGROUP", b"CREATE", queue.encode(), GROUP, b"0", b"MKSTREAM"))

    def push(self, queue: str, batches: int) -> Prepare:
        def prepare() -> Callable[[], Done]:
            client = Client(self.server.tcp_port)

            def work() -> Done:
                for _ in range(batches):
                    client.add(queue, [PAYLOAD_BYTES] * BATCH)
                return Done(batches * BATCH, time.monotonic_ns())

            return work

        return prepare

    def pull_and_ack(self, queue: str, jobs: int) -> Prepare:
        return self._moving(queue, jobs // BATCH, pushes=False)

    def end_to_end(self, queue: str, batches: int) -> Prepare:
        return self._moving(queue, batches, pushes=True)

    def _moving(self, queue: str, batches: int, pushes: bool) -> Prepare:
        def prepare() -> Callable[[], Done]:
            client = Client(self.server.tcp_port)

            def work() -> Done:
                moved = 0
                for _ in range(batches):
                    if pushes:
                        client.add(queue, [PAYLOAD_BYTES] * BATCH)
                    if taken := client.take(queue, BATCH):
                        client.remove(queue, [entry_id for entry_id, _ in taken])
                        moved += len(taken)
                return Done(moved, time.monotonic_ns())

            return work

        return prepare

    def sender(self, queue: str) -> Sender:
        return _Sender(self.server.tcp_port, queue)

    def receiver(self, queue: str) -> Receiver:
        return _Receiver(self.server.tcp_port, queue)


@contextlib.contextmanager
def running(starter: Starter) -> Iterator[RedisStreams]:
    program, folder, port = find_program("redis-server"), starter.fresh_folder("redis"), free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    durable = ["--appendonly", "yes", "--appendfsync", "always"]
    try:
        with running_process([program, *options, *durable], folder, lambda: accepts(port)) as process:
            yield RedisStreams(Server("redis streams", port, 0, (process.pid,)))
    except StartFailed as error:
        raise PeerMissing(f"Redis did not start: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
