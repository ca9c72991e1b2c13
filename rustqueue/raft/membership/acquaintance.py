"""Whom a member dials and whom it lets in: the members it knows of, those that know it, and nodes that are looked at.

It must not know sockets, nor how members agree. Invariants:
- a node that hears a leader lets in only members of its configuration; one that hears none, or that is in no
  configuration yet, lets in whoever belongs to its cluster: its own configuration may be too old to name those who
  lead now, or be a change that never came to be;
- a removed member keeps its links for a moment, so that it may learn of its removal;
- a node that is looked for is told of once, found or not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rustqueue.model import limits
from rustqueue.raft.cluster.config import Config
from rustqueue.raft.links import NO_CLUSTER, Hello, Links
from rustqueue.raft.ports import Clock


@dataclass(frozen=True, slots=True)
class _Sought:
    """A node that is to be taken in, and who wants to know which disk it has."""

    address: str
    done: Callable[[Hello | None], None]


class Acquaintance:
    """Asked about every hello once this node belongs to a cluster, and told every new configuration."""

    def __init__(self, own: Callable[[], Hello], links: Links, clock: Clock) -> None:
        """`own` is this node's hello as of now."""
        self._own = own
        self._links = links
        self._clock = clock
        self._met: dict[str, str] = {}
        self._sought: dict[str, _Sought] = {}
        """Nodes that are to be taken in, by node id."""
        self._leaving: dict[str, str] = {}
        """Members that were removed a moment ago, with their addresses."""
        self._known: dict[str, str] = {}
        self._leader: str | None = None
        self.config: Callable[[], Config] = lambda: Config(())
        """The newest configuration of this node's log."""

    # Letting in.

    def admit(self, hello: Hello) -> str | None:
        """None, or why this node is not let in."""
        own = self._own()
        if hello.cluster == NO_CLUSTER:
            # It belongs nowhere yet: our answer tells it that there is a cluster.
            self._found(hello)
            return None
        if hello.cluster != own.cluster:
            return (
                f"'{hello.node}' belongs to cluster {hello.cluster.hex()}, this is {own.cluster.hex()}: "
                f"correct the peers of one of them, or wipe the one that is not needed"
            )
        config = self.config()
        if hello.member in config:
            return None
        if own.member not in config or self._leader in (None, hello.member):
            self._meet(hello)
            return None
        self._found(hello)
        known = next(config.of_node(hello.node), None)
        if known is not None:
            return (
                f"'{hello.node}' is a member with another disk. If it lost its disk, run: rustqueue cluster replace "
                f"{hello.node}"
            )
        return f"'{hello.node}' is no member of this cluster: run rustqueue cluster add {hello.node} {hello.address}"

    def _meet(self, hello: Hello) -> None:
        """Whoever leads, or takes this node into the cluster, has to be answered before the log tells who he is."""
        if self._met.get(hello.member) != hello.address:
            self._met[hello.member] = hello.address
            self._clock.call_soon(self.dial)

    # Looking.

    def look(self, node: str, address: str, done: Callable[[Hello | None], None]) -> None:
        """Dial an address to learn which disk the node there has."""
        self._missed(node)
        sought = self._sought[node] = _Sought(address, done)
        self.dial()

        def late() -> None:
            if self._sought.get(node) is sought:
                self._missed(node)

        self._clock.call_later(limits.MEMBER_FOUND_MS, late)

    def _found(self, hello: Hello) -> None:
        """A node said hello that belongs to no configuration that we know."""
        sought = self._sought.get(hello.node)
        if sought is not None and hello.address == sought.address:
            del self._sought[hello.node]
            self._clock.call_soon(partial(self._tell_found, sought, hello))

    def _tell_found(self, sought: _Sought, hello: Hello) -> None:
        sought.done(hello)
        self.dial()

    def _missed(self, node: str) -> None:
        sought = self._sought.pop(node, None)
        if sought is not None:
            sought.done(None)
            self.dial()

    # Dialling.

    def configured(self, config: Config) -> None:
        """The log has a new configuration, or an older one is the newest again."""
        before, self._known = self._known, config.addresses
        gone = {member: address for member, address in before.items() if member not in config}
        if gone:
            self._leaving |= gone
            self._clock.call_later(limits.MEMBER_LEAVING_MS, partial(self._left, gone))
        self.dial()

    def leader_is(self, leader: str | None) -> None:
        """Somebody else leads now, or nobody."""
        self._leader = leader
        if not self._met:
            return
        if leader is not None and self._own().member in self.config():
            self._met = {member: address for member, address in self._met.items() if member == leader}
        self.dial()

    def _left(self, gone: dict[str, str]) -> None:
        for member in gone:
            self._leaving.pop(member, None)
        self.dial()

    def dial(self) -> None:
        """Keep links to whoever this node has to do with."""
        own, config = self._own(), self.config()
        known = {**self._leaving, **config.addresses}
        peers = {member: address for member, address in known.items() if member != own.member}
        if own.member not in config or self._leader is None:
            peers = {**self._met, **peers}
        elif self._leader in self._met:
            peers.setdefault(self._leader, self._met[self._leader])
        for sought in self._sought.values():
            peers[sought.address] = sought.address
        self._links.set_peers(peers)


def is_looked_at(peer: str) -> bool:
    """Whether a peer's name is an address: whoever answers there is no member yet."""
    return ":" in peer
