"""A server that plays a script, for what a healthy node never does: lost answers, broken connections, silence.

Each step takes one request and says what happens then. It knows no more of the protocols than where a request ends.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
ID = re.compile(rb'"request_id":(\d+)')
STEP_DEADLINE_S = 30.0


@dataclass(frozen=True)
class Step:
    """`answer` is sent after a request came in; `close` then ends the connection, `silent` holds it without a word."""

    answer: bytes = b""
    close: bool = False
    silent: bool = False


@dataclass
class Peer:
    port: int
    requests: list[bytes] = field(default_factory=list)
    """All requests in order of arrival, as they came."""
    connections: int = 0
    heard: threading.Event = field(default_factory=threading.Event)
    """Set by the first request."""
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when the first connection has ended."""


def line(text: bytes) -> Step:
    """A TCP answer; `%ID` becomes the id of the request, where it has one."""
    return Step(text + b"\n")


def http(status: int, body: bytes, headers: bytes = b"") -> Step:
    return Step(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers, body))


@contextmanager
def scripted_peer(*steps: Step) -> Iterator[Peer]:
    """Plays one step after the other, over as many connections as the client makes, one at a time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(STEP_DEADLINE_S)
        peer = Peer(server.getsockname()[1])
        stop = threading.Event()
        thread = threading.Thread(target=play, args=(server, peer, list(steps), stop))
        thread.start()
        try:
            yield peer
        finally:
            stop.set()
            with socket.socket() as nudge:  # Wakes a peer that waits for a connection.
                nudge.settimeout(1.0)
                nudge.connect_ex(("127.0.0.1", peer.port))
            thread.join(STEP_DEADLINE_S)


def play(server: socket.socket, peer: Peer, steps: list[Step], stop: threading.Event) -> None:
    while steps and not stop.is_set():
        connection, _ = server.accept()
        if stop.is_set():
            connection.close()
            return
        peer.connections += 1
        with connection:
            connection.settimeout(STEP_DEADLINE_S)
            converse(connection, peer, steps, stop)
        peer.hung_up.set()


def converse(connection: socket.socket, peer: Peer, steps: list[Step], stop: threading.Event) -> None:
    while steps:
        request = one_request(connection)
        if request is None:
            return
        peer.requests.append(request)
        peer.heard.set()
        step = steps.pop(0)
        if step.silent:
            stop.wait(STEP_DEADLINE_S)
            return
        found = ID.search(request)
        answer = step.answer
        if found is not None and answer.endswith(b"}\n"):
            answer = answer[:-2] + b',"request_id":' + found[1] + b"}\n"
        connection.sendall(answer)
        if step.close:
            return


def one_request(connection: socket.socket) -> bytes | None:
    """A line, or headers with as many bytes as they announce."""
    data = b""
    while True:
        received = connection.recv(65_536)
        if not received:
            return None
        data += received
        if data.startswith(b"{"):
            if data.endswith(b"\n"):
                return data
            continue
        head, end, body = data.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            return data
