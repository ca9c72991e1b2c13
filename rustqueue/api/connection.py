"""One HTTP client: its bytes in, its answers out, in order, within deadlines.

Purpose: what aiohttp's own protocol class leaves to a proxy in front: absolute deadlines for headers, bodies and
unread answers, refusals in our envelope, and one call back for an answer instead of two tasks a request (decision
0006). Parsing is aiohttp's. It must not know routes or replies: the `Handler` turns a request into an answer.

Invariants: requests of a connection are handled one after another in the order they came; `Exchange.answer` writes at
most once; after the transport is gone nothing is written and a waiting request is cancelled.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final, Protocol, cast

from aiohttp import hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader

from rustqueue.api.answers import CONTINUE
from rustqueue.api.ports import HttpOptions, Ticket
from rustqueue.api.refusals import HeadersTooLarge, TargetTooLarge, TooSlow
from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Limited, ParseError, TooLarge

PIECE_BYTES: Final = 16_384  # Parsed at once: a parsed request is a hundred times the size of a short one's text.
PIPELINED_BYTES_MAX: Final = 65_536  # Received while a request is handled; beyond that the client has to wait.
NEVER: Final = math.inf


class Phase(Enum):
    """What the connection waits for, which decides what its deadline means."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    HANDLER = auto()
    LINGER = auto()  # Refused with bytes of the request still coming: read and forget, so that the answer arrives.


class Exchange:
    """One request and the way its answer takes."""

    __slots__ = ("body", "connection", "job_id", "message", "must_close", "request_id", "started_s", "ticket")

    def __init__(self, connection: "Connection", message: RawRequestMessage, body: bytes) -> None:
        self.connection = connection
        self.message = message
        self.body = body
        self.must_close = bool(message.should_close or message.upgrade)
        self.ticket: Ticket | None = None
        self.request_id = ""
        self.started_s = 0.0
        self.job_id: str | None = None
        """What the path names, "" for nothing, when the second system's routes are asked; None on all others."""

    @property
    def is_open(self) -> bool:
        """False once it was answered or its client is gone."""
        return self.connection.exchange is self

    def hand_over(self, head: bytes, protocol: asyncio.Protocol) -> None:
        """Answer, and leave the socket to another protocol."""
        self.connection.hand_over(self, head, protocol)

    def answer(self, head: bytes, body: bytes) -> None:
        self.connection.finish(self, head, body)


class Handler(Protocol):
    """The shell as a connection sees it."""

    options: HttpOptions
    flow: "Unpaused"
    half_bodies_bytes: int
    """What all connections together hold of bodies that are not whole yet."""

    def now_s(self) -> float: ...

    def opened(self, connection: "Connection") -> ApiError | None:
        """Why there is no room for it, if there is none."""
        ...

    def closed(self, connection: "Connection") -> None: ...

    def rests(self, connection: "Connection", *, idle: bool) -> None:
        """The connection became idle, or busy with a request whose head is known."""
        ...

    def handle(self, exchange: Exchange) -> None:
        """Answer the exchange, now or later."""
        ...

    def refuse(self, connection: "Connection", error: ApiError) -> bytes:
        """The whole answer to something that is no request."""
        ...


class Unpaused(BaseProtocol):
    """The flow control that aiohttp's parser expects. The connection takes what was read at once, so that nothing of
    it ever fills up; that bodies stay small is checked there.
    """

    __slots__ = ()

    def pause_reading(self) -> None:
        return

    def resume_reading(self, resume_parser: bool = True) -> None:
        return


class Connection(asyncio.Protocol):
    """The bytes of one client."""

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = handler
        self._parser = HttpRequestParser(
            handler.flow,
            loop,
            limits.BODY_BYTES_MAX,
            max_line_size=limits.TARGET_BYTES_MAX,
            max_field_size=limits.HEADER_BYTES_MAX,
            auto_decompress=False,
        )
        self._transport: asyncio.Transport | None = None
        self._received = b""  # Not yet parsed, from `_parsed_bytes` on.
        self._parsed_bytes = 0
        self._queue: deque[tuple[RawRequestMessage, StreamReader]] = deque()
        self._fault: ApiError | None = None
        self._body = bytearray()
        self._half_body_bytes = 0  # This connection's part of the handler's sum.
        self._head_bytes = 0
        self._heads_may_be_long = False  # Never in doubt while all that came at once was shorter than that.
        self._reading_paused = False
        self._writing_paused = False
        self._ended = False
        self._upgraded = False
        self._behind_upgrade = b""
        self._in_next = False
        self.phase = Phase.IDLE
        self.deadline_s = NEVER
        self.write_deadline_s = NEVER
        self.exchange: Exchange | None = None
        self.peer = ""

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else ""
        refusal = self._handler.opened(self)
        if refusal is None:
            self._rest()
        else:
            # No lingering: a crowd of refused clients must not be a crowd of connections.
            self.phase = Phase.LINGER
            self._transport.write(self._handler.refuse(self, refusal))
            self._transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        self._handler.closed(self)
        self.deadline_s = self.write_deadline_s = NEVER
        self._forget()
        exchange, self.exchange = self.exchange, None
        if exchange is not None and exchange.ticket is not None:
            exchange.ticket.cancel()

    def eof_received(self) -> bool:
        """The client sends no more. A request under way is still answered, unless it waits: then nobody would read."""
        waits = self.exchange is not None and self.exchange.ticket is not None
        self._ended = self.phase is Phase.HANDLER and not waits
        # TLS knows no half-closed connections.
        return self._ended and self._transport is not None and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.write_deadline_s = self._handler.now_s() + self._handler.options.write_timeout_ms / 1000

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.write_deadline_s = NEVER
        self._next()

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.LINGER or self._fault is not None or self._upgraded:
            return
        self._received = self._received[self._parsed_bytes :] + data if self._received else data
        self._parsed_bytes = 0
        if self.phase is Phase.HANDLER:
            if len(self._received) > PIPELINED_BYTES_MAX and self._transport is not None:
                self._reading_paused = True
                self._transport.pause_reading()
            return
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEAD, self._handler.options.head_timeout_ms)
        self._next()

    # From bytes to requests.

    def _feed(self) -> bool:
        """Parse the next piece of what was received; false when there is none."""
        if not self._received or self._fault is not None or self._upgraded:
            return False
        piece = self._received
        if len(piece) > PIECE_BYTES:
            piece = piece[self._parsed_bytes : self._parsed_bytes + PIECE_BYTES]
        self._parsed_bytes += len(piece)
        if self._parsed_bytes == len(self._received):
            self._received, self._parsed_bytes = b"", 0
        try:
            messages, self._upgraded, self._behind_upgrade = self._parser.feed_data(piece)
        except HttpProcessingError as error:
            self._fault = _refusal_of(error)
        except Exception:  # Some header and target values raise whatever the library behind the parser raises.
            self._fault = ParseError("The request is not valid HTTP")
        else:
            self._took(messages, len(piece))
            return True
        if self._queue and not self._queue[-1][1].is_eof():
            self._queue.pop()  # The fault is in its body.
        return False

    def _took(self, messages: Sequence[tuple[RawRequestMessage, StreamReader]], piece_bytes: int) -> None:
        """Keep parsed heads; count the bytes of one that is not whole yet."""
        self._head_bytes += piece_bytes
        if self._head_bytes > limits.HEADER_BYTES_MAX:
            self._heads_may_be_long = True
        if messages or self._queue:
            self._queue.extend(messages)
            self._head_bytes = 0
        elif self._head_bytes > limits.HEADER_BYTES_MAX + limits.TARGET_BYTES_MAX:
            self._fault = HeadersTooLarge("headers", limits.HEADER_BYTES_MAX)

    def _next(self) -> None:
        """Handle every request that is whole, as long as each is answered at once. Answers come back here, so this
        may be called from within itself.
        """
        if self._in_next:
            return
        self._in_next = True
        try:
            while self.exchange is None and self._transport is not None and not self._writing_paused:
                if not self._handle_one():
                    break
        finally:
            self._in_next = False
        if self.exchange is None and self._transport is not None and not self._writing_paused:
            self._settle()

    @property
    def target(self) -> str:
        """What the request that is being read asks for."""
        return self._queue[0][0].path if self._queue else ""

    def _handle_one(self) -> bool:
        """False if no request is whole yet."""
        while not self._queue:
            if not self._feed():
                self._read_on()
                return False
        message, payload = self._queue[0]
        try:
            if self.phase is not Phase.BODY:
                self._handler.rests(self, idle=False)
                self._begin_body(message, payload)
            while not self._take_body(payload):
                if not self._feed():
                    self._count_half_body(len(self._body))
                    self._read_on()
                    return False
        except ApiError as error:
            self._fault = error
            return False
        self._queue.popleft()
        body, self._body = bytes(self._body), bytearray()
        self._count_half_body(0)
        self._enter(Phase.HANDLER, None)
        exchange = self.exchange = Exchange(self, message, body)
        self._handler.handle(exchange)
        if self._ended and exchange.is_open and exchange.ticket is not None and self._transport is not None:
            self._transport.close()  # It waits, and nobody would read its answer.
        return True

    def _settle(self) -> None:
        """Nothing is under way and nothing is whole."""
        if self._fault is not None:
            self.refuse_and_close(self._fault)
        elif (self._ended or self._upgraded) and self._transport is not None:
            self._transport.close()
        elif self.phase is Phase.HANDLER:
            self._rest()

    def _begin_body(self, message: RawRequestMessage, payload: StreamReader) -> None:
        """Check a head before the body is read."""
        if message.version.major != 1:
            raise ParseError("Only HTTP/1.0 and HTTP/1.1 are spoken here")
        if self._heads_may_be_long:
            # Each line is "name: value" and a line end.
            head_bytes = sum([len(name) + len(value) + 4 for name, value in message.raw_headers])
            if head_bytes > limits.HEADER_BYTES_MAX:
                raise HeadersTooLarge("headers", limits.HEADER_BYTES_MAX)
        if payload.is_eof():
            return
        length = message.headers.get(hdrs.CONTENT_LENGTH, "0")
        if len(length) > 20 or int(length) > limits.BODY_BYTES_MAX:
            raise TooLarge("body", limits.BODY_BYTES_MAX)
        self._enter(Phase.BODY, self._handler.options.body_timeout_ms)
        if message.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(CONTINUE)

    def _take_body(self, payload: StreamReader) -> bool:
        """Move what came out of the reader; true when the body is whole."""
        self._body += payload.read_nowait()
        if len(self._body) > limits.BODY_BYTES_MAX:
            raise TooLarge("body", limits.BODY_BYTES_MAX)
        return payload.is_eof()

    def _count_half_body(self, size_bytes: int) -> None:
        """A thousand slow senders may not fill the memory with what they have sent so far."""
        if size_bytes == self._half_body_bytes:
            return
        self._handler.half_bodies_bytes += size_bytes - self._half_body_bytes
        self._half_body_bytes = size_bytes
        if size_bytes and self._handler.half_bodies_bytes > self._handler.options.half_bodies_bytes_max:
            raise Limited("OVERLOADED", "Too many large requests are on their way")

    def _read_on(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    # From answers to bytes.

    def finish(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        """Write an answer, then go on with the next request or end."""
        transport = self._transport
        if self.exchange is not exchange or transport is None:
            return
        self.exchange = None
        if len(body) < 65_536:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        if exchange.must_close:
            transport.close()
        else:
            self._next()

    def hand_over(self, exchange: Exchange, head: bytes, protocol: asyncio.Protocol) -> None:
        """The end of this protocol, not of the socket. What came behind the upgrade belongs to the new one."""
        transport = self._transport
        if self.exchange is not exchange or transport is None:
            return
        behind = self._behind_upgrade + self._received[self._parsed_bytes :]
        self._read_on()
        self.exchange = self._transport = None
        self.deadline_s = self.write_deadline_s = NEVER
        self._forget()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.write(head)
        if behind:
            protocol.data_received(behind)

    def _rest(self) -> None:
        self._enter(Phase.IDLE, self._handler.options.idle_timeout_ms)
        self._handler.rests(self, idle=True)

    def _enter(self, phase: Phase, timeout_ms: int | None) -> None:
        self.phase = phase
        self.deadline_s = NEVER if timeout_ms is None else self._handler.now_s() + timeout_ms / 1000

    def refuse_and_close(self, error: ApiError) -> None:
        """Answer and end, but read on for a moment: a connection that is closed with bytes unread is reset, and the
        answer with it.
        """
        transport = self._transport
        if transport is None:
            return
        self._handler.rests(self, idle=False)
        transport.write(self._handler.refuse(self, error))
        self._enter(Phase.LINGER, self._handler.options.linger_timeout_ms)
        self._forget()
        self._read_on()
        if transport.can_write_eof():
            transport.write_eof()

    def _forget(self) -> None:
        """Nothing that was received will be handled any more."""
        self._queue.clear()
        self._received, self._parsed_bytes = b"", 0
        self._body.clear()
        self._count_half_body(0)

    # What the shell does to it.

    def expire(self, now_s: float) -> None:
        """Called now and then: end what took too long."""
        if self._transport is None:
            return
        if now_s >= self.write_deadline_s:
            self._transport.abort()
        elif now_s >= self.deadline_s:
            options = self._handler.options
            if self.phase is Phase.HEAD:
                self.refuse_and_close(TooSlow("headers", options.head_timeout_ms))
            elif self.phase is Phase.BODY:
                self.refuse_and_close(TooSlow("body", options.body_timeout_ms))
            elif self.phase is Phase.LINGER:
                self._transport.abort()
            else:
                self._transport.close()

    def wind_down(self) -> None:
        """The node stops: end now, or after the answer that is under way."""
        if self.exchange is not None:
            self.exchange.must_close = True
        elif self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _refusal_of(error: HttpProcessingError) -> ApiError:
    """What aiohttp's parser found wrong, in our terms. Its text shows bytes of the request, so it is not repeated."""
    if isinstance(error, LineTooLong):
        if error.args[1] == limits.TARGET_BYTES_MAX:
            return TargetTooLarge("target", limits.TARGET_BYTES_MAX)
        return HeadersTooLarge("headers", limits.HEADER_BYTES_MAX)
    text = error.message.partition("\n")[0].rstrip(":") if error.message else "malformed"
    return ParseError(f"The request is not valid HTTP: {text[:200]}")
