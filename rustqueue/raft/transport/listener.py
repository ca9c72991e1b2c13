"""The peer port: accepts, shakes hands, and sees to it that whoever connects says who he is in time.

It must not know peers. Invariants: the listener stays open whatever accepting a connection brings; there are never more
strangers than allowed, and a crowd from one address costs that address its places first; each connection has one task
until it is greeted, and each task an owner that waits for it.
"""

import asyncio
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rustqueue.raft.transport.address import parse_address, show_address
from rustqueue.raft.transport.credentials import Credentials
from rustqueue.raft.transport.faults import Faults
from rustqueue.raft.transport.inbound import Inbound
from rustqueue.raft.transport.options import LinkOptions, tune
from rustqueue.raft.transport.outbound import TLS_CLOSE_S

_BACKLOG: Final = 128
_ACCEPT_AGAIN_S: Final = 0.1
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"})


@dataclass(slots=True, eq=False)
class Stranger:
    """A connection that has not been greeted. `is_taken` says that an event loop owns its socket."""

    sock: socket.socket
    host: str
    connection: Inbound
    task: asyncio.Task[None] | None = None
    is_taken: bool = False


class Listener:
    """`start`, then `close` once. `port` is the real one after the start."""

    def __init__(
        self,
        options: LinkOptions,
        faults: Faults,
        credentials: Credentials | None,
        connection_from: Callable[[str], Inbound],
    ) -> None:
        self._options = options
        self._faults = faults
        self._credentials = credentials
        self._connection_from = connection_from
        self._sockets: list[socket.socket] = []
        self._resting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._strangers: dict[Stranger, None] = {}
        self._meetings: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        """Bind every address that the name stands for, and no other. OSError when there is none."""
        loop = asyncio.get_running_loop()
        host, self.port = parse_address(self._options.listen)
        found = await loop.getaddrinfo(host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        failed: OSError | None = None
        try:
            for family, *_, address in dict.fromkeys(found):
                try:
                    self._sockets.append(self._bound(family, str(address[0])))
                except OSError as error:
                    failed = error
                    if error.errno not in _NOT_HERE:
                        raise
            if not self._sockets:
                raise failed or OSError(f"{host} has no address")
        except OSError as error:
            self._close_sockets()
            raise OSError(error.errno, f"cannot listen on {self._options.listen}: {error.strerror}") from error
        for sock in self._sockets:
            self._listen(sock)

    async def close(self) -> None:
        """Accept no more and cut all strangers."""
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
        for timer in self._resting.values():
            timer.cancel()
        self._close_sockets()
        tasks = list(self._meetings)
        for stranger in self._strangers:
            stranger.connection.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _bound(self, family: int, host: str) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # `::` takes callers of both families, as most systems have it; any other address has one family only.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
            sock.setblocking(False)
            sock.bind((host, self.port))
            sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
        self.port = sock.getsockname()[1]  # Where the system chose it, the next address gets the same.
        return sock

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def _listen(self, listening: socket.socket) -> None:
        """Accept one connection a turn. Tried: awaiting an accept loses the socket that comes as it is cancelled."""
        self._resting.pop(listening, None)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, address = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # No descriptors or no memory, most likely. Trying at once would be a busy loop, giving up the end of the
            # cluster: the port opens again in a moment.
            self._faults.note("accept", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            self._resting[listening] = loop.call_later(_ACCEPT_AGAIN_S, self._listen, listening)
            return
        sock.setblocking(False)
        self._take(sock, str(address[0]), int(address[1]))

    def _take(self, sock: socket.socket, host: str, port: int) -> None:
        if len(self._strangers) >= self._options.strangers_max:
            self._make_room()
        stranger = Stranger(sock, host, self._connection_from(show_address(host, port)))
        self._strangers[stranger] = None
        stranger.task = asyncio.get_running_loop().create_task(self._meet(stranger), name="stranger at the peer port")
        self._meetings.add(stranger.task)
        stranger.task.add_done_callback(lambda task: self._met(stranger, task))

    def _make_room(self) -> None:
        """The oldest of the address with the most strangers goes: to turn newcomers away would let any crowd that
        says nothing keep the peers out, and to take the oldest of all would let a fast one do so.
        """
        crowds = Counter(stranger.host for stranger in self._strangers)
        host, _ = crowds.most_common(1)[0]
        oldest = next(stranger for stranger in self._strangers if stranger.host == host)
        self._faults.note("crowded", "a connection that had not said hello was cut", address=host)
        del self._strangers[oldest]
        oldest.connection.cut()
        if oldest.task is not None:
            oldest.task.cancel()

    def _met(self, stranger: Stranger, task: asyncio.Task[None]) -> None:
        self._meetings.discard(task)
        self._strangers.pop(stranger, None)
        if not stranger.is_taken:
            stranger.sock.close()

    async def _meet(self, stranger: Stranger) -> None:
        """Handshake and greeting, within the deadline."""
        connection = stranger.connection
        try:
            async with asyncio.timeout(self._options.greeting_ms / 1_000):
                await self._shake_hands(stranger)
                await connection.greeted
        except TimeoutError:
            self._faults.note("late", "no valid hello in time", address=connection.address)
            connection.cut()
        except ssl.SSLError as error:
            self._faults.note("plain" if error.reason in _NOT_TLS else "tls", error, address=connection.address)
        except OSError as error:
            self._faults.note("tls" if self._credentials else "malformed", error, address=connection.address)

    async def _shake_hands(self, stranger: Stranger) -> None:
        loop = asyncio.get_running_loop()
        tune(stranger.sock)
        stranger.is_taken = True
        if self._credentials is None:
            await loop.connect_accepted_socket(lambda: stranger.connection, stranger.sock)
            return
        await loop.connect_accepted_socket(
            lambda: stranger.connection,
            stranger.sock,
            ssl=self._credentials.contexts().accepting,
            ssl_handshake_timeout=self._options.greeting_ms / 1_000,
            ssl_shutdown_timeout=TLS_CLOSE_S,
        )
