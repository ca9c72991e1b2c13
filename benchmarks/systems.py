"""One shape of batch load and of delivery for every system, so that all are asked the same and in turn.

A `System` is a running server plus the calls that make load for it. Line-protocol servers are here; the peers bring
their own in `benchmarks.peers`.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, Protocol

from benchmarks import verbs
from benchmarks.load import LoadFailed, Prepare, connect, line_complete, one_connection
from benchmarks.servers import Server


class Receiver(Protocol):
    """A waiting worker: one job at a time."""

    def take(self) -> bytes:
        """Waits for the next job and answers bytes that hold its payload; empty when none has come for a while."""

    def acknowledge(self) -> None:
        """Acknowledges the job taken last, at the latest with the next `take`."""


class Sender(Protocol):
    """A producer of single jobs."""

    def send(self, payload: bytes) -> None:
        """Sends one job and waits until it is acknowledged."""


class System(Protocol):
    """What the batch and delivery cases need of a queue system."""

    @property
    def server(self) -> Server: ...

    def declare(self, queue: str) -> None:
        """Makes a queue where that is needed."""

    def push(self, queue: str, batches: int) -> Prepare: ...

    def pull_and_ack(self, queue: str, jobs: int) -> Prepare: ...

    def end_to_end(self, queue: str, batches: int) -> Prepare: ...

    def sender(self, queue: str) -> Sender: ...

    def receiver(self, queue: str) -> Receiver: ...


class LineClient:
    """A blocking connection of the line protocol for the cases that look at single replies."""

    def __init__(self, port: int) -> None:
        self._connection = connect(port)

    def call(self, request: bytes, lines: int = 1) -> bytes:
        """Sends one or more requests at once and answers all their reply lines."""
        self._connection.sendall(request)
        reply = b""
        while not (line_complete(reply) and reply.count(b"\n") == lines):
            more = self._connection.recv(1 << 16)
            if not more:
                raise ConnectionError("the server closed the connection")
            reply += more
        return verbs.expect_ok(reply)

    def close(self) -> None:
        self._connection.close()


def http_json(port: int, method: str, path: str, body: object = None) -> dict[str, Any]:
    """One request to the node's HTTP port, for settings and for counts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        response = connection.getresponse()
        text = response.read()
        if response.status not in (200, 201):
            raise LoadFailed(f"{method} {path}: {response.status} {text[:300]!r}")
        answer: dict[str, Any] = json.loads(text)
        return answer
    finally:
        connection.close()


def counts(port: int, queue: str) -> dict[str, int]:
    """How many jobs of a queue are in which state."""
    answer: dict[str, int] = http_json(port, "GET", f"/api/v1/queues/{queue}/stats")["counts"]
    return answer


class _LineSender:
    def __init__(self, port: int, queue: str) -> None:
        self._client = LineClient(port)
        self._head = f'{{"cmd":"push","queue":"{queue}","name":"n","data":'.encode()

    def send(self, payload: bytes) -> None:
        self._client.call(self._head + payload + b"}\n")


class _LineReceiver:
    def __init__(self, port: int, queue: str) -> None:
        self._client = LineClient(port)
        self._pull = verbs.pull_line(queue, 1, wait_ms=5_000)
        self._ids: list[bytes] = []
        self._ack = b""

    def take(self) -> bytes:
        # Like every peer here, it does not wait for the answer to its acknowledgement before it asks for the next job.
        reply = self._client.call(self._ack + self._pull, 2 if self._ack else 1)
        self._ids, self._ack = verbs.ids_in(reply), b""
        return reply if self._ids else b""

    def acknowledge(self) -> None:
        self._ack = b'{"cmd":"ack","id":"' + self._ids[0] + b'"}\n'


class LineSystem:
    """The node or the yardstick over newline JSON."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def declare(self, queue: str) -> None:
        """Queues come into being with their first job."""

    def push(self, queue: str, batches: int) -> Prepare:
        request = verbs.push_batch_line(queue)
        return one_connection(self.server.tcp_port, lambda: verbs.push_batches(request, batches))

    def pull_and_ack(self, queue: str, jobs: int) -> Prepare:
        return one_connection(self.server.tcp_port, lambda: verbs.pull_and_ack(queue, jobs))

    def end_to_end(self, queue: str, batches: int) -> Prepare:
        return one_connection(self.server.tcp_port, lambda: verbs.end_to_end(queue, batches))

    def end_to_end_unawaited(self, queue: str, batches: int) -> Prepare:
        """As RabbitMQ's load: it waits for the push and for the jobs, not for the acknowledgement."""
        return one_connection(self.server.tcp_port, lambda: verbs.end_to_end_unawaited(queue, batches))

    def end_to_end_pipelined(self, queue: str, batches: int) -> Prepare:
        """As a client that wants throughput: it waits once a batch, for the jobs."""
        return one_connection(self.server.tcp_port, lambda: verbs.end_to_end_pipelined(queue, batches))

    def sender(self, queue: str) -> Sender:
        return _LineSender(self.server.tcp_port, queue)

    def receiver(self, queue: str) -> Receiver:
        return _LineReceiver(self.server.tcp_port, queue)
