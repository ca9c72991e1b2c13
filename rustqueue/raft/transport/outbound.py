"""One peer that this node dials: again and again until it answers, then frames to it until the link is lost.

It must not know what a message means, nor other peers. Invariants: a name is resolved anew at every attempt; what is
queued for a peer that does not read stays below its limit, or the link is cut; `up` and `down` come in turns, and never
inside a call of whoever sends.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, cast

from rustqueue.model import limits
from rustqueue.raft.links import Hello
from rustqueue.raft.messages import Message
from rustqueue.raft.ports import Clock
from rustqueue.raft.transport.address import parse_address, show_address
from rustqueue.raft.transport.credentials import Credentials, dns_names
from rustqueue.raft.transport.faults import Fault, Faults, printable
from rustqueue.raft.transport.frames import (
    FrameReader,
    FrameTooLarge,
    Refusal,
    append_frame,
    frame_of,
    greeting_decoder,
)
from rustqueue.raft.transport.greeting import Greeter, looks_like_tls
from rustqueue.raft.transport.inbound import UNDECODABLE
from rustqueue.raft.transport.options import LinkOptions, tune

TLS_CLOSE_S: Final = 1.0
_STEADY_US: Final = 1_000_000  # A link that lasted so long makes the next dial an early one again.
_PLAIN_PEER: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"})


class Backoff:
    """Delays between two attempts: anywhere from the shortest up to a bound that doubles, so that peers spread."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._bound_ms = limits.PEER_REDIAL_MS_MIN

    def next_s(self) -> float:
        shortest_ms = limits.PEER_REDIAL_MS_MIN
        self._bound_ms = min(2 * self._bound_ms, limits.PEER_REDIAL_MS_MAX)
        return (shortest_ms + self._chance() * (self._bound_ms - shortest_ms)) / 1_000

    def reset(self) -> None:
        self._bound_ms = limits.PEER_REDIAL_MS_MIN


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every dialled peer shares. `up` and `down` get its link with its name."""

    greeter: Greeter
    options: LinkOptions
    faults: Faults
    clock: Clock
    chance: Callable[[], float]
    credentials: Credentials | None
    up: Callable[[str, "OutLink"], None]
    down: Callable[[str, "OutLink"], None]
    refused: Callable[[str, str], None]


class OutLink(asyncio.Protocol):
    """One connection to a peer. `greeted` becomes True when both sides agree, False when it ended before that."""

    def __init__(self, peer: str, around: Surroundings) -> None:
        loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[bool] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._peer = peer
        self._around = around
        self._reader = FrameReader(limits.PEER_GREETING_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._out = bytearray()
        self._flushing = False
        self._blocked = False
        self._state: Literal["greeting", "up", "ended"] = "greeting"

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._state == "ended":
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=self._around.options.busy_bytes)
        self._transport.write(frame_of(self._around.greeter.own()))

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                if self._state == "up":
                    self._around.faults.note("malformed", "a frame against the direction of the link", peer=self._peer)
                    self.cut()
                if self._state == "ended":
                    return
                self._greet(frame)
        except FrameTooLarge as error:
            if self._state == "greeting" and looks_like_tls(data):
                self._around.faults.note("plain", "the peer speaks TLS, this node does not", peer=self._peer)
            else:
                self._around.faults.note("oversized", error, peer=self._peer)
            self.cut()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        if self._state == "greeting":
            # Under TLS 1.3 the dialled side looks at our certificate after we are done with the handshake, and event
            # loops do not always say with what alert it left.
            fault: Fault = "unreachable" if self._around.credentials is None else "tls"
            self._around.faults.note(fault, error or "the peer left before its hello: see its log", peer=self._peer)
        was_up = self._state == "up"
        # First of all, and whatever `down` may raise: who keeps the link waits for this, and would never dial again.
        if not self.lost.done():
            self.lost.set_result(None)
        self._end()
        if was_up:
            self._around.down(self._peer, self)

    # What the sender says.

    def send(self, message: Message) -> bool:
        """Queue it for the end of this loop turn."""
        if self._state != "up":
            return False
        out = self._out
        try:
            append_frame(out, message)
        except Exception as error:
            # No message may bring the log down that could not be sent either way; and none of ours should get here.
            self._around.faults.note("unsendable", f"{type(message).__name__}: {error}", peer=self._peer)
            return False
        if len(out) > self._around.options.unsent_bytes_max:
            self._cut_for_unread()
            return False
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        return True

    @property
    def is_connected(self) -> bool:
        """Whether the socket is this link's to close."""
        return self._transport is not None

    @property
    def unsent_bytes(self) -> int:
        return len(self._out) + (self._transport.get_write_buffer_size() if self._transport is not None else 0)

    @property
    def is_writable(self) -> bool:
        return self._state == "up" and self.unsent_bytes < self._around.options.busy_bytes

    def cut(self) -> None:
        """End it now. `down` follows if it was up."""
        if self._state == "up":
            self._loop.call_soon(self._around.down, self._peer, self)
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        self._flushing = False
        if self._state != "up" or self._transport is None:
            return
        if self._out and not self._blocked:
            # The transport may keep what it is given, so the next turn begins another buffer.
            out, self._out = self._out, bytearray()
            self._transport.write(out)
        if self.unsent_bytes > self._around.options.unsent_bytes_max:
            self._cut_for_unread()

    def _cut_for_unread(self) -> None:
        self._around.faults.note("unread", f"{self.unsent_bytes} bytes are unsent", peer=self._peer)
        self.cut()

    def _end(self) -> None:
        self._state = "ended"
        self._out = bytearray()
        if not self.greeted.done():
            self.greeted.set_result(False)

    # The greeting.

    def _greet(self, frame: memoryview) -> None:
        assert self._transport is not None, "frames come after the connection"
        try:
            hello = greeting_decoder.decode(frame)
        except UNDECODABLE as error:
            self._around.faults.note("malformed", error, peer=self._peer)
            self.cut()
            return
        if isinstance(hello, Refusal):
            self._around.faults.note("refused_by_peer", hello.reason, peer=self._peer)
            self._around.refused(self._peer, printable(hello.reason))
            self.cut()
            return
        self._judge(hello, self._transport)

    def _judge(self, hello: Hello, transport: asyncio.Transport) -> None:
        names = None
        if transport.get_extra_info("ssl_object") is not None:
            names = dns_names(transport.get_extra_info("ssl_object").getpeercert())
        objection = self._around.greeter.objection(hello, names, self._peer)
        if objection is not None:
            self._around.faults.note(objection.fault, objection.reason, peer=self._peer)
            self._state = "ended"
            transport.write(frame_of(Refusal(objection.reason)))
            transport.close()
            return
        if self.greeted.done():
            self.cut()  # The deadline passed in this very turn.
            return
        self._state = "up"
        self.greeted.set_result(True)
        self._around.up(self._peer, self)


class Outbound:
    """Keeps a link to one peer at one address until it is dropped."""

    def __init__(self, peer: str, address: str, around: Surroundings) -> None:
        self.address = address
        self._peer = peer
        self._around = around
        self._turn = 0
        self._link: OutLink | None = None
        self._nudged = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._keep(), name=f"link to {peer}")

    def nudge(self) -> None:
        """The peer was heard of: dial now instead of later."""
        self._nudged.set()

    def drop(self) -> None:
        """Cut the link and dial no more. The task ends soon."""
        if self._link is not None:
            self._link.cut()
        self.task.cancel()

    async def _keep(self) -> None:
        around = self._around
        backoff = Backoff(around.chance)
        while True:
            self._nudged.clear()
            link = self._link = OutLink(self._peer, around)
            if await self._attempt(link):
                since_us = around.clock.monotonic_us()
                await link.lost
                if around.clock.monotonic_us() - since_us >= _STEADY_US:
                    backoff.reset()
                self._nudged.clear()
            else:
                link.cut()
            try:
                async with asyncio.timeout(backoff.next_s()):
                    await self._nudged.wait()
            except TimeoutError:
                pass

    async def _attempt(self, link: OutLink) -> bool:
        """Resolve, connect, shake hands, greet: all within the deadline of a greeting."""
        faults, reached = self._around.faults, False
        try:
            async with asyncio.timeout(self._around.options.greeting_ms / 1_000):
                sock = await self._connected()
                reached = True
                try:
                    await self._shake_hands(sock, link)
                except BaseException:
                    if not link.is_connected:
                        sock.close()  # Nobody else has it yet.
                    raise
                return await link.greeted
        except TimeoutError:
            faults.note("late" if reached else "unreachable", "no answer in time", peer=self._peer)
        except ssl.SSLError as error:
            faults.note("plain" if error.reason in _PLAIN_PEER else "tls", error, peer=self._peer)
        except (OSError, ValueError) as error:  # A name can be none in itself: too long, or no address at all.
            fault_of_tls = reached and self._around.credentials is not None
            faults.note("tls" if fault_of_tls else "unreachable", error, peer=self._peer)
        except Exception as error:
            # Nobody foresaw it, so nobody knows whether it is there next time; a peer that is given up would be cut off
            # until the restart of this node, and nobody would be told.
            faults.note("unreachable", f"{type(error).__name__}: {error}", peer=self._peer)
        return False

    async def _connected(self) -> socket.socket:
        """One address an attempt, the next one at the next attempt: a dead one among several costs one deadline."""
        loop = asyncio.get_running_loop()
        host, port = parse_address(self.address)
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[self._turn % len(found)]
        self._turn += 1
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            tune(sock)
            async with asyncio.timeout(self._around.options.connect_ms / 1_000):
                await loop.sock_connect(sock, address)
        except TimeoutError:
            sock.close()
            where = show_address(str(address[0]), int(address[1]))
            raise ConnectionError(f"{where} does not answer within {self._around.options.connect_ms} ms") from None
        except BaseException:
            sock.close()
            raise
        return sock

    async def _shake_hands(self, sock: socket.socket, link: OutLink) -> None:
        loop, credentials = asyncio.get_running_loop(), self._around.credentials
        if credentials is None:
            await loop.create_connection(lambda: link, sock=sock)
            return
        await loop.create_connection(
            lambda: link,
            sock=sock,
            ssl=credentials.contexts().dialling,
            server_hostname="",  # The host says nothing about who answers; the greeting compares the node id.
            ssl_handshake_timeout=self._around.options.greeting_ms / 1_000,
            ssl_shutdown_timeout=TLS_CLOSE_S,
        )
