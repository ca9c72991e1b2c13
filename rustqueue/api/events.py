"""Events over WebSocket (contract A16): the handshake, then one client that is told and has little to say.

It must not know where events come from, nor what they mean. Invariants: nothing is told before origin and token were
checked; a client that takes nothing or answers no ping is cut; a token that has lost its rights ends the stream within
one ping.
"""

import asyncio
import base64
import binascii
import re
import socket
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

import msgspec
from aiohttp import hdrs
from aiohttp.http import RawRequestMessage

from rustqueue import websocket as ws
from rustqueue.api.compose import compose
from rustqueue.api.connection import NEVER
from rustqueue.api.ports import HttpOptions, Place
from rustqueue.api.refusals import ForeignOrigin, UpgradeRequired
from rustqueue.api.routes import Route
from rustqueue.auth import Principal
from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Forbidden, ValidationFailed
from rustqueue.model.events import Cursor, event_named
from rustqueue.model.ids import parse_id

PROTOCOL: Final = "rustqueue.events"
"""What the server agrees to when a client names protocols."""
TOKEN_PROTOCOL: Final = "rustqueue.bearer."
"""Before the token in base64url: a browser can set no header, but it can name protocols. Not in the target, which logs
and histories keep."""

_PATTERN: Final = re.compile(r"[A-Za-z0-9._*-]{1,256}", re.ASCII)


class Wanted(msgspec.Struct, frozen=True, tag_field="cmd", tag="events", omit_defaults=True):
    """The query, as texts."""

    events: str | None = None
    queues: str | None = None
    job_id: str | None = None
    after: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """The query, understood."""

    events: frozenset[str] | None
    queues: tuple[str, ...] | None
    job_id: bytes | None
    after: Cursor | None


def asked_of(route: Route, query: str) -> Asked:
    """Raises `ValidationFailed`."""
    wanted = msgspec.json.decode(compose(route, {}, query, None, b""), type=Wanted)
    events = queues = job_id = after = None
    if wanted.events is not None:
        named = [event_named(text) for text in wanted.events.split(",")]
        if None in named:
            raise ValidationFailed("'events' names an event that there is not", "events")
        events = frozenset(cast("list[str]", named))
    if wanted.queues is not None:
        queues = tuple(wanted.queues.split(","))
        if len(queues) > limits.EVENT_FILTERS_MAX:
            limit = limits.EVENT_FILTERS_MAX
            raise ValidationFailed(f"'queues' names more than {limit} queues", "queues", limit=limit)
        if not all(_PATTERN.fullmatch(pattern) for pattern in queues):
            raise ValidationFailed("'queues' holds something that is neither a queue's name nor a pattern", "queues")
    if wanted.job_id is not None:
        job_id = parse_id(wanted.job_id)
        if job_id is None:
            raise ValidationFailed("'job_id' is not a UUID", "job_id")
    if wanted.after is not None:
        after = Cursor.parse(wanted.after)
        if after is None:
            raise ValidationFailed("'after' is neither INDEX nor INDEX-ORDINAL", "after")
    return Asked(events, queues, job_id, after)


def credentials_of(headers: Mapping[str, str]) -> str | None:
    """The value of `Authorization`, or what a browser has put among the protocols instead."""
    given = headers.get(hdrs.AUTHORIZATION)
    if given is not None:
        return given
    for name in _protocols(headers):
        if name.startswith(TOKEN_PROTOCOL):
            text = name.removeprefix(TOKEN_PROTOCOL)
            try:
                token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8")
            except (binascii.Error, ValueError):
                raise ValidationFailed("the bearer protocol holds no base64url", "sec-websocket-protocol") from None
            return f"Bearer {token}"
    return None


def check_reader(principal: Principal) -> None:
    """Raises `ApiError` for somebody who may read no queue at all, or whose token is good no longer."""
    if not principal.grants().allows_somewhere("read"):
        raise Forbidden("read", None)


def accepted(message: RawRequestMessage, allows_origin: Callable[[str], bool]) -> str:
    """The headers that agree to the upgrade. Raises `ApiError`."""
    headers = message.headers
    if not message.upgrade or headers.get(hdrs.UPGRADE, "").lower() != "websocket":
        raise UpgradeRequired("This route speaks WebSocket: send an upgrade")
    if headers.get(hdrs.SEC_WEBSOCKET_VERSION) != "13":
        raise UpgradeRequired("Only version 13 of WebSocket is spoken here")
    accept = ws.accept_of(headers.get(hdrs.SEC_WEBSOCKET_KEY, ""))
    if accept is None:
        raise ValidationFailed("'Sec-WebSocket-Key' is not sixteen bytes in base64", "sec-websocket-key")
    _check_origin(headers, allows_origin)
    chosen = f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n" if PROTOCOL in _protocols(headers) else ""
    return f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{chosen}"


def _check_origin(headers: Mapping[str, str], allows_origin: Callable[[str], bool]) -> None:
    """A page of another site would be told what its visitor may see. Programs send no origin."""
    origin = headers.get(hdrs.ORIGIN)
    if origin is None or allows_origin(origin):
        return
    host = headers.get(hdrs.HOST, "").lower()
    if origin.lower() not in (f"http://{host}", f"https://{host}"):
        raise ForeignOrigin


def _protocols(headers: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]


class Keeper(Protocol):
    """The shell as a client of the stream sees it."""

    def now_s(self) -> float: ...

    def closed(self, connection: "EventClient") -> None: ...


class EventClient(asyncio.Protocol):
    """One WebSocket. `readmit` raises `ApiError` once the client may not listen any more."""

    def __init__(self, keeper: Keeper, options: HttpOptions, readmit: Callable[[], object]) -> None:
        self._keeper = keeper
        self._options = options
        self._readmit = readmit
        self._reader = ws.FrameReader(masked=True, message_bytes_max=limits.EVENT_MESSAGE_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._writing_paused = False
        self._closing = False
        self._heard = True
        self.place: Place | None = None
        self.deadline_s = NEVER
        self.write_deadline_s = NEVER

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # Left to itself the system would keep megabytes for each client that does not read.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.EVENT_CLIENT_BYTES)
        self._wait(self._options.event_ping_ms)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        self.deadline_s = self.write_deadline_s = NEVER
        self._leave()
        self._keeper.closed(self)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            messages = self._reader.feed(data)
        except ws.ProtocolViolation as fault:
            self._close(fault.code, fault.reason)
            if self._transport is not None:
                self._transport.close()
            return
        for message in messages:
            self._take(message)

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.write_deadline_s = self._keeper.now_s() + self._options.write_timeout_ms / 1000
        if self.place is not None:
            self.place.sleep()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.write_deadline_s = NEVER
        if self.place is not None:
            self.place.wake()

    # What it says and hears.

    def follow(self, place: Place) -> None:
        """Its place in the stream; the client may be gone already."""
        self.place = place
        if self._transport is None or self._closing:
            self._leave()
        elif self._writing_paused:
            place.sleep()

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._closing:
            self._transport.write(data)

    def _take(self, message: ws.Message) -> None:
        """Pings are answered, a close is returned; what a client tells is not asked for, and only proves its life."""
        if self._transport is None:
            return
        if message.opcode == ws.PING and not self._writing_paused:
            self.send(ws.frame(ws.PONG, message.payload))
        elif message.opcode == ws.CLOSE:
            code = message.close_code
            self._close(ws.CLOSE_NORMAL if code == ws.CLOSE_NO_CODE else code, "")
            self._transport.close()

    def _close(self, code: int, reason: str) -> None:
        """Say goodbye once; the other end has a moment to say so too."""
        if self._closing:
            return
        self._leave()
        self.send(ws.close_frame(code, reason))
        self._closing = True
        self._wait(self._options.linger_timeout_ms)

    def _leave(self) -> None:
        place, self.place = self.place, None
        if place is not None:
            place.leave()

    def _wait(self, timeout_ms: int) -> None:
        self.deadline_s = self._keeper.now_s() + timeout_ms / 1000

    # What the shell does to it.

    def expire(self, now_s: float) -> None:
        """Called when a deadline is over: cut who is silent or takes nothing, ping the others."""
        if self._transport is None:
            return
        if now_s >= self.write_deadline_s or self._closing or not self._heard:
            self._transport.abort()
            return
        try:
            self._readmit()
        except ApiError as error:
            self._close(ws.CLOSE_POLICY, error.message)
            return
        self._heard = False
        self._wait(self._options.event_ping_ms)
        if not self._writing_paused:
            self.send(ws.frame(ws.PING, b""))

    def wind_down(self) -> None:
        """The node stops."""
        self._close(ws.CLOSE_GOING_AWAY, "the node is shutting down")

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
