"""All TCP clients: accept, count, write once a loop turn, stop.

It must not know lines or verbs. Invariants: there are never more connections than allowed; a stop answers what was read
and then closes every connection, or cuts it at the deadline.
"""

import asyncio
import socket

from rustqueue.auth import Authenticator
from rustqueue.gateway import Gateway
from rustqueue.gateway.deadlines import Deadlines
from rustqueue.gateway.ports import Around
from rustqueue.model import limits
from rustqueue.model.errors import Limited
from rustqueue.raft.ports import Clock
from rustqueue.tcp.connection import Connection
from rustqueue.tcp.options import TcpOptions

_BACKLOG = 1_024  # Connections that the system accepts for us while the loop is busy.
_KEEPALIVE_IDLE_S = 60  # A peer that vanished without a word is found out after two minutes.
_KEEPALIVE_INTERVAL_S = 15
_KEEPALIVE_PROBES = 4


class TcpShell:
    """The service: `start`, `stop_accepting`, `stop`."""

    def __init__(self, gateway: Gateway, authenticator: Authenticator, clock: Clock, options: TcpOptions) -> None:
        self.gateway = gateway
        self.authenticator = authenticator
        self.options = options
        self.line_deadlines: Deadlines[Connection] = Deadlines(clock, Connection.line_is_late)
        self.unread_deadlines: Deadlines[Connection] = Deadlines(clock, Connection.unread_for_long)
        self.token_deadlines: Deadlines[Connection] = Deadlines(clock, Connection.token_is_late)
        self._connections: dict[Connection, None] = {}
        self._with_answers: list[Connection] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._emptied: asyncio.Future[None] | None = None
        self.port = options.port
        self.around: Around | None = None

    @property
    def connections(self) -> list[Connection]:
        return list(self._connections)

    async def start(self) -> None:
        """Listen. `port` is the real one afterwards."""
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(
            lambda: Connection(self),
            self.options.host,
            self.options.port,
            backlog=_BACKLOG,
            ssl=self.options.tls,
            ssl_handshake_timeout=None if self.options.tls is None else limits.TLS_HANDSHAKE_S,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self, deadline_s: float) -> None:
        """Answer what was read and close all connections; cut those that are left at the deadline."""
        self.stop_accepting()
        for connection in self.connections:
            connection.finish()
        if self._connections:
            self._emptied = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(deadline_s):
                    await self._emptied
            except TimeoutError:
                for connection in self.connections:
                    connection.abort()
        self.line_deadlines.close()
        self.unread_deadlines.close()
        self.token_deadlines.close()

    # What connections say.

    def opened(self, connection: Connection, transport: asyncio.BaseTransport) -> Limited | None:
        """Why the connection cannot stay, or None."""
        if len(self._connections) >= self.options.connections_max:
            details = {"field": "connections", "limit": self.options.connections_max}
            return Limited("OVERLOADED", "Too many connections", details)
        self._connections[connection] = None
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
        return None

    def lost(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self.line_deadlines.drop(connection)
        self.unread_deadlines.drop(connection)
        self.token_deadlines.drop(connection)
        if not self._connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def has_answers(self, connection: Connection) -> None:
        """The connection has something to write at the end of this loop turn."""
        if not self._with_answers:
            assert self._loop is not None, "connections come after the start"
            self._loop.call_soon(self._write)
        self._with_answers.append(connection)

    def _write(self) -> None:
        connections, self._with_answers = self._with_answers, []
        for connection in connections:
            connection.write_answers()
