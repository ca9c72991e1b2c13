"""Links over TCP: one `Outbound` for each peer, one `Inbound` from each, and the port.

It must not know what a message means, nor which peers there should be. Invariants: a peer has at most one connection in
each direction, the newest that was let in; after `close` no callback comes.
"""

import asyncio
from collections.abc import Callable, Mapping

from rustqueue.raft.links import Admit, Hello
from rustqueue.raft.messages import Message
from rustqueue.raft.ports import Clock
from rustqueue.raft.transport.credentials import Credentials
from rustqueue.raft.transport.faults import Fault, Faults
from rustqueue.raft.transport.greeting import Greeter, Objection
from rustqueue.raft.transport.inbound import Inbound
from rustqueue.raft.transport.listener import Listener
from rustqueue.raft.transport.options import LinkOptions
from rustqueue.raft.transport.outbound import Outbound, OutLink, Surroundings


class TcpLinks:
    """A body of the port `Links`. Raises `CredentialsError` when made with certificates that are no good.

    `own` is this node's hello as of now; `chance` gives numbers from 0 up to 1 for the spread of dials.
    """

    def __init__(
        self,
        own: Callable[[], Hello],
        admit: Admit,
        options: LinkOptions,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self.on_message: Callable[[str, Message], None] = lambda peer, message: None
        self.on_up: Callable[[str], None] = lambda peer: None
        self.on_down: Callable[[str], None] = lambda peer: None
        self.on_refused: Callable[[str, str], None] = lambda peer, reason: None
        """A peer that was dialled does not want this node, and says why."""

        def monotonic_s() -> float:
            return clock.monotonic_us() / 1_000_000

        self._options = options
        self._faults = Faults(monotonic_s)
        self._greeter = Greeter(own, admit)
        credentials = None
        if options.tls is not None:
            credentials = Credentials(options.tls, own().node, monotonic_s, self._faults)
        self._around = Surroundings(
            self._greeter,
            options,
            self._faults,
            clock,
            chance,
            credentials,
            self._went_up,
            self._went_down,
            lambda peer, reason: self.on_refused(peer, reason),
        )
        self._listener = Listener(options, self._faults, credentials, self._connection_from)
        self._peers: dict[str, str] = {}
        self._outbound: dict[str, Outbound] = {}
        self._up: dict[str, OutLink] = {}
        self._inbound: dict[str, Inbound] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._is_running = False

    @property
    def port(self) -> int:
        """Where this node listens, after the start."""
        return self._listener.port

    @property
    def faults(self) -> Mapping[Fault, int]:
        """How often what went wrong; every kind is there from the start."""
        return self._faults.counts

    def send(self, peer: str, message: Message) -> bool:
        link = self._up.get(peer)
        return link is not None and link.send(message)

    def writable(self, peer: str) -> bool:
        link = self._up.get(peer)
        return link is not None and link.is_writable

    def set_peers(self, peers: Mapping[str, str]) -> None:
        for peer, address in self._peers.items():
            if peers.get(peer) != address:
                self._drop_outbound(peer)
            if peer not in peers:
                self._faults.forget(peer)
                inbound = self._inbound.pop(peer, None)
                if inbound is not None:
                    inbound.cut()
        own = self._greeter.own()
        self._peers = {peer: address for peer, address in peers.items() if peer not in (own.member, own.node)}
        if self._is_running:
            self._dial()

    async def start(self) -> None:
        await self._listener.start()
        self._is_running = True
        self._dial()

    async def close(self) -> None:
        self._is_running = False
        for peer in list(self._outbound):
            self._drop_outbound(peer)
        for inbound in self._inbound.values():
            inbound.cut()
        await self._listener.close()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await asyncio.sleep(0)  # The loop closes the sockets of what was cut in its next turn.

    def _dial(self) -> None:
        for peer, address in self._peers.items():
            if peer not in self._outbound:
                self._outbound[peer] = Outbound(peer, address, self._around)

    def _drop_outbound(self, peer: str) -> None:
        outbound = self._outbound.pop(peer, None)
        if outbound is not None:
            outbound.drop()
            self._ending.add(outbound.task)
            outbound.task.add_done_callback(self._ending.discard)

    # What links say.

    def _went_up(self, peer: str, link: OutLink) -> None:
        self._up[peer] = link
        if self._is_running:
            self.on_up(peer)

    def _went_down(self, peer: str, link: OutLink) -> None:
        if self._up.get(peer) is link:
            del self._up[peer]
        if self._is_running:
            self.on_down(peer)

    def _connection_from(self, address: str) -> Inbound:
        return Inbound(self._greeter, self._faults, self._arrived, self._received, address)

    def _arrived(self, connection: Inbound, hello: Hello) -> str | Objection:
        name = hello.node if hello.node in self._peers and hello.member not in self._peers else hello.member
        older = self._inbound.get(name)
        if older is not None:
            self._faults.note("replaced", f"{name} has connected again", address=connection.address)
            older.cut()
        elif len(self._inbound) >= self._options.connections_max:
            return Objection("crowded", "this node has no room for another link; close those that are not needed")
        self._inbound[name] = connection
        connection.lost.add_done_callback(lambda _: self._departed(name, connection))
        outbound = self._outbound.get(name)
        if outbound is not None:
            outbound.nudge()
        return name

    def _departed(self, name: str, connection: Inbound) -> None:
        if self._inbound.get(name) is connection:
            del self._inbound[name]

    def _received(self, peer: str, message: Message) -> None:
        if self._is_running:
            self.on_message(peer, message)
