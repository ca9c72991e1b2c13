"""One connection that a peer made: its hello, our answer, then its messages.

It must not know how connections are accepted, nor what a message means. Invariants: nothing of a peer is handed on
before it was let in, and nothing after the connection was cut; whatever is not a frame that may stand here ends the
connection and changes nothing else.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

import msgspec

from rustqueue.model import limits
from rustqueue.raft.links import Hello
from rustqueue.raft.messages import Message
from rustqueue.raft.transport.credentials import dns_names
from rustqueue.raft.transport.faults import Faults
from rustqueue.raft.transport.frames import FrameReader, FrameTooLarge, Refusal, frame_of, greeting_decoder
from rustqueue.raft.transport.greeting import Greeter, Objection, looks_like_tls

_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)

UNDECODABLE: Final = (ValueError, RecursionError)
"""What msgspec raises for bytes that are no value of the type: its own errors, bad UTF-8, nesting without end."""


class Inbound(asyncio.Protocol):
    """`greeted` becomes True when the peer is let in, False when the connection ends before that.

    `arrived` is asked last, and gives the name for the peer's messages, or why there is no room for it.
    """

    def __init__(
        self,
        greeter: Greeter,
        faults: Faults,
        arrived: Callable[["Inbound", Hello], str | Objection],
        receive: Callable[[str, Message], None],
        address: str,
    ) -> None:
        self.greeted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.name: str | None = None
        self.address = address
        self._greeter = greeter
        self._faults = faults
        self._arrived = arrived
        self._receive = receive
        self._reader = FrameReader(limits.PEER_GREETING_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._deaf:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                if self._deaf:
                    return
                if self.name is None:
                    self._greet(frame)
                    continue
                try:
                    message = _decoder.decode(frame)
                except UNDECODABLE as error:
                    self._cut_for_nonsense(frame, error)
                    return
                self._receive(self.name, message)
        except FrameTooLarge as error:
            if self.name is None and looks_like_tls(data):
                self._faults.note("plain", "the peer speaks TLS, this node does not", address=self.address)
            else:
                self._faults.note("oversized", error, address=self.address)
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        self._deaf = True
        if not self.greeted.done():
            self.greeted.set_result(False)
        if not self.lost.done():
            self.lost.set_result(None)

    def cut(self) -> None:
        """End it now; nothing more comes of it."""
        self._deaf = True
        if self._transport is not None:
            self._transport.abort()

    def _greet(self, frame: memoryview) -> None:
        assert self._transport is not None, "frames come after the connection"
        try:
            hello = greeting_decoder.decode(frame)
        except UNDECODABLE as error:
            self._faults.note("malformed", error, address=self.address)
            self.cut()
            return
        if isinstance(hello, Refusal):
            self._faults.note("malformed", "a refusal in place of a hello", address=self.address)
            self.cut()
            return
        names = None
        if self._transport.get_extra_info("ssl_object") is not None:
            names = dns_names(self._transport.get_extra_info("ssl_object").getpeercert())
        if self.greeted.done():
            self.cut()  # The deadline passed in this very turn.
            return
        answer: str | Objection | None = self._greeter.objection(hello, names, None)
        if answer is None:
            answer = self._arrived(self, hello)
        if isinstance(answer, Objection):
            self._faults.note(answer.fault, f"{hello.member}: {answer.reason}", address=self.address)
            self._deaf = True
            self._transport.write(frame_of(Refusal(answer.reason)))
            self._transport.close()
            return
        self.name = answer
        self._reader.frame_bytes_max = limits.PEER_FRAME_BYTES_MAX
        self._transport.write(frame_of(self._greeter.own()))
        self.greeted.set_result(True)

    def _cut_for_nonsense(self, frame: memoryview, error: Exception) -> None:
        try:
            greeting_decoder.decode(frame)
        except UNDECODABLE:
            self._faults.note("malformed", error, address=self.address)
        else:
            self._faults.note("replayed", "a second greeting on one connection", address=self.address)
        self.cut()
