"""One connection that follows events, without its socket: bytes in, events out, and what has to be said back.

It must not know a socket or a clock. Invariants: every event has its cursor; what the server refused is raised as the
same error that a call would raise; a connection that ended any other way is a `NetworkError`, which may be tried again.
"""

import base64
import os
from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from rustqueue import websocket as ws
from rustqueue.client.address import Address
from rustqueue.client.call import Call, nothing, read_answer
from rustqueue.client.errors import InvalidRequest, NetworkError, ServerFault, Unauthorized, tcp_port
from rustqueue.client.http11 import HttpParser
from rustqueue.model import limits
from rustqueue.model.queries import Health

_END_OF_HEAD: Final = b"\r\n\r\n"
_INDEX_HEADER: Final = b"x-rustqueue-index"
_MESSAGE_BYTES_MAX: Final = 65_536


class StreamEvent(Struct, frozen=True, kw_only=True):
    """Something that happened to a job or a queue.

    `event` is a name such as `job.completed`; `will_retry` belongs to `job.failed`, `progress` to `job.progress`.
    `stream.gap` says that this client has missed events: `missed` counts them, all kinds together, or is None if
    nobody knows. `cursor` is what to follow after.
    """

    event: str
    cursor: str
    queue: str = ""
    job_id: str | None = None
    timestamp: str = ""
    will_retry: bool | None = None
    progress: int | None = None
    missed: int | None = None


class Following(Struct, frozen=True):
    """What to follow: event names, queues (`*` stands for any characters), one job."""

    events: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    job_id: str | None = None

    def target(self, prefix: str, after: str | None) -> str:
        query = {
            "events": ",".join(self.events),
            "queues": ",".join(self.queues),
            "job_id": self.job_id or "",
            "after": after or "",
        }
        given = urlencode({key: value for key, value in query.items() if value}, safe=",*")
        return f"{prefix}/api/v1/events" + (f"?{given}" if given else "")


class EventSession:
    """`after` moves with every event, so that the next session goes on from there."""

    def __init__(self, address: Address, token: str | None, following: Following, after: str | None) -> None:
        if address.scheme != "http":
            raise ValueError("events come over HTTP: use the address http://HOST:PORT of the node")
        self.after = after
        self._key = base64.b64encode(os.urandom(ws.KEY_BYTES)).decode()
        self._request = _request(address, token, following.target(address.prefix, after), self._key)
        self._head: bytearray | None = bytearray()
        self._refusal: HttpParser | None = None
        self._frames = ws.FrameReader(masked=False, message_bytes_max=_MESSAGE_BYTES_MAX)
        self._event = msgspec.json.Decoder(StreamEvent)
        self._unsent: list[bytes] = [self._request]

    def take_unsent(self) -> bytes:
        """What is to be sent now: first the request, later answers to pings."""
        data, self._unsent = b"".join(self._unsent), []
        return data

    def farewell(self) -> bytes:
        """What a client sends before it goes."""
        return ws.close_frame(ws.CLOSE_NORMAL, mask=os.urandom(4))

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Raises `RustQueueError` when the server refuses, or ends the connection."""
        if self._head is not None:
            data = self._take_head(data)
        elif self._refusal is not None:
            self._refuse(data)
        try:
            messages = self._frames.feed(data)
        except ws.ProtocolViolation as fault:
            raise NetworkError(f"The server broke the protocol: {fault.reason}", sent=True) from fault
        events = []
        for message in messages:
            if message.opcode == ws.TEXT:
                event = self._decoded(message.payload)
                self.after = event.cursor
                events.append(event)
            elif message.opcode == ws.PING:
                self._unsent.append(ws.frame(ws.PONG, message.payload, os.urandom(4)))
            elif message.opcode == ws.CLOSE and not events:
                raise _closed(message)
        return events

    def _decoded(self, payload: bytes) -> StreamEvent:
        try:
            return self._event.decode(payload)
        except msgspec.MsgspecError as error:
            raise ServerFault("BAD_ANSWER", f"The server told something that is no event: {error}") from error

    def _take_head(self, data: bytes) -> bytes:
        """The rest behind the answer to the upgrade."""
        head = self._head
        assert head is not None
        head += data
        end = head.find(_END_OF_HEAD)
        if end < 0:
            if head.startswith(b"{"):
                raise tcp_port()
            if len(head) > limits.HEADER_BYTES_MAX:
                raise NetworkError("The answer has no end of its headers", sent=False)
            return b""
        self._head = None
        if not head.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 101\r")):
            self._refusal = HttpParser()
            self._refuse(bytes(head))
            return b""
        headers = dict(_header(line) for line in bytes(head[:end]).split(b"\r\n")[1:])
        if headers.get(b"sec-websocket-accept", b"").decode("latin-1") != ws.accept_of(self._key):
            raise NetworkError("The server did not agree to WebSocket", sent=False)
        if self.after is None and _INDEX_HEADER in headers:
            self.after = headers[_INDEX_HEADER].decode("latin-1")
        return bytes(head[end + len(_END_OF_HEAD) :])

    def _refuse(self, data: bytes) -> None:
        assert self._refusal is not None
        for answer in self._refusal.feed(data):
            read_answer(Call(Health(), nothing), answer, False)
            raise NetworkError("The server did not agree to WebSocket", sent=False)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()


def _request(address: Address, token: str | None, target: str, key: str) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}:{address.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    ]
    if token is not None:
        if not (token.isascii() and token.isprintable()):
            raise InvalidRequest("VALIDATION_ERROR", "'token' may only hold printable ASCII", 400, {"field": "token"})
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _closed(message: ws.Message) -> NetworkError | Unauthorized:
    if message.close_code == ws.CLOSE_POLICY:
        return Unauthorized("UNAUTHORIZED", message.close_reason or "The token opens nothing any more", 401)
    return NetworkError(f"The server ended the stream ({message.close_code} {message.close_reason})", sent=True)
