"""The smallest AMQP 0-9-1 client that can publish with confirms and consume with acknowledgements.

Written by hand so that the client costs as little as it can: the figures then say what the broker does. For the
benchmarks on loopback only; it trusts the broker and knows one channel.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence

from benchmarks.load import LoadFailed, connect

METHOD, HEADER, BODY, END = 1, 2, 3, b"\xce"
CHANNEL = 1
BASIC_CONSUME, BASIC_CONSUME_OK = (60, 20), (60, 21)
BASIC_QOS, BASIC_QOS_OK = (60, 10), (60, 11)
BASIC_ACK, BASIC_NACK, BASIC_DELIVER, BASIC_PUBLISH = (60, 80), (60, 120), (60, 60), (60, 40)
CONFIRM_SELECT, CONFIRM_SELECT_OK = (85, 10), (85, 11)
QUEUE_DECLARE, QUEUE_DECLARE_OK = (50, 10), (50, 11)
CLOSING_CLASSES = (10, 20)
# Property flag and value that make a message persistent.
PERSISTENT = (1 << 12, 2)

MethodId = tuple[int, int]


def short_string(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def table(values: dict[str, str | int]) -> bytes:
    encoded = b""
    for key, value in values.items():
        encoded += short_string(key)
        if isinstance(value, int):
            encoded += b"l" + struct.pack(">q", value)
        else:
            encoded += b"S" + struct.pack(">I", len(value)) + value.encode()
    return struct.pack(">I", len(encoded)) + encoded


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def method(channel: int, which: MethodId, arguments: bytes = b"") -> bytes:
    return frame(METHOD, channel, struct.pack(">HH", *which) + arguments)


class Amqp:
    """One connection with one channel."""

    def __init__(self, port: int) -> None:
        self._socket = connect(port)
        self._unread = bytearray()
        self._position = 0
        self._published = 0
        self._unconfirmed: set[int] = set()
        self._delivered: list[tuple[int, bytes]] = []
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._expect((10, 10))
        login = struct.pack(">I", 12) + b"\0guest\0guest"
        start = table({}) + short_string("PLAIN") + login + short_string("en_US")
        self._socket.sendall(method(0, (10, 11), start))
        channels, frame_bytes, _ = struct.unpack_from(">HIH", self._expect((10, 30)), 4)
        tune = method(0, (10, 31), struct.pack(">HIH", channels, frame_bytes, 0))
        self._socket.sendall(tune + method(0, (10, 40), short_string("/") + short_string("") + b"\0"))
        self._expect((10, 41))
        self._call((20, 10), short_string(""), (20, 11))

    def declare(self, queue: str, arguments: dict[str, str | int]) -> None:
        """A durable queue."""
        self._call(QUEUE_DECLARE, b"\0\0" + short_string(queue) + bytes([2]) + table(arguments), QUEUE_DECLARE_OK)

    def confirm(self) -> None:
        self._call(CONFIRM_SELECT, b"\0", CONFIRM_SELECT_OK)

    def publish(self, queue: str, bodies: Sequence[bytes]) -> None:
        """Publishes all bodies as persistent messages and waits until each is confirmed."""
        head = method(CHANNEL, BASIC_PUBLISH, b"\0\0" + short_string("") + short_string(queue) + b"\0")
        out = []
        for body in bodies:
            self._published += 1
            self._unconfirmed.add(self._published)
            properties = struct.pack(">HHQHB", 60, 0, len(body), *PERSISTENT)
            out.append(head + frame(HEADER, CHANNEL, properties) + frame(BODY, CHANNEL, body))
        self._socket.sendall(b"".join(out))
        while self._unconfirmed:
            self._handle(*self._next_frame())

    def consume(self, queue: str, prefetch: int) -> None:
        self._call(BASIC_QOS, struct.pack(">IHB", 0, prefetch, 0), BASIC_QOS_OK)
        arguments = b"\0\0" + short_string(queue) + short_string("c") + b"\0" + table({})
        self._call(BASIC_CONSUME, arguments, BASIC_CONSUME_OK)

    def take(self, count: int, timeout_s: float) -> list[tuple[int, bytes]]:
        """Up to `count` deliveries (tag, body); answers early with what there is once one has come."""
        try:
            with contextlib.suppress(TimeoutError, BlockingIOError):
                self._socket.settimeout(timeout_s)
                while not self._delivered:
                    self._handle(*self._next_frame())
                # The rest of a batch is on its way already, or it is not there.
                self._socket.settimeout(0.0005)
                while len(self._delivered) < count:
                    self._handle(*self._next_frame())
        finally:
            self._socket.settimeout(60)
        taken, self._delivered = self._delivered[:count], self._delivered[count:]
        return taken

    def acknowledge_up_to(self, tag: int) -> None:
        """Acknowledges this delivery and all before it; the protocol has no answer to that."""
        self._socket.sendall(method(CHANNEL, BASIC_ACK, struct.pack(">QB", tag, 1)))

    def close(self) -> None:
        self._socket.close()

    def _call(self, which: MethodId, arguments: bytes, answer: MethodId) -> None:
        self._socket.sendall(method(CHANNEL, which, arguments))
        self._expect(answer)

    def _expect(self, wanted: MethodId) -> bytes:
        while True:
            kind, payload = self._next_frame()
            if kind == METHOD and struct.unpack_from(">HH", payload) == wanted:
                return payload
            self._handle(kind, payload)

    def _handle(self, kind: int, payload: bytes) -> None:
        if kind != METHOD:
            return  # A heartbeat; headers and bodies are read with their delivery.
        which: MethodId = struct.unpack_from(">HH", payload)
        if which == BASIC_ACK:
            tag, multiple = struct.unpack_from(">QB", payload, 4)
            if multiple:
                self._unconfirmed = {each for each in self._unconfirmed if each > tag}
            else:
                self._unconfirmed.discard(tag)
        elif which == BASIC_DELIVER:
            tag_at = 5 + payload[4]
            self._delivered.append((struct.unpack_from(">Q", payload, tag_at)[0], self._read_content()))
        elif which == BASIC_NACK or which[0] in CLOSING_CLASSES:
            raise LoadFailed(f"the broker refused: {payload[:200]!r}")

    def _read_content(self) -> bytes:
        # A delivery that has begun comes to its end soon; a short timeout in the middle would lose the frame order.
        timeout_s = self._socket.gettimeout()
        self._socket.settimeout(60)
        size = struct.unpack_from(">Q", self._next_frame()[1], 4)[0]
        body = b""
        while len(body) < size:
            body += self._next_frame()[1]
        self._socket.settimeout(timeout_s)
        return body

    def _next_frame(self) -> tuple[int, bytes]:
        self._fill(7)
        kind, _, size = struct.unpack_from(">BHI", self._unread, self._position)
        self._fill(size + 8)
        start = self._position + 7
        payload = bytes(self._unread[start : start + size])
        self._position = start + size + 1
        if self._position == len(self._unread):
            self._unread.clear()
            self._position = 0
        return kind, payload

    def _fill(self, size: int) -> None:
        while len(self._unread) - self._position < size:
            received = self._socket.recv(1 << 18)
            if not received:
                raise LoadFailed("the broker closed the connection")
            self._unread += received
