"""A node without a past, until it knows to which cluster it belongs: what `rustqueue.node.cluster` does before a start.

It must not know logs. The power may go at any operation on the disk, and the process may die while it waits for the
others; what it has said to nobody may be lost then. When it belongs to a cluster the process ends, and is started again
as a member.
"""

from collections.abc import Callable
from random import Random

from rustqueue.raft.cluster.founding import Founded, Founding
from rustqueue.raft.cluster.passport import Passport, read_passport, write_passport
from rustqueue.raft.links import NO_CLUSTER, Hello
from rustqueue.raft.messages import PROTOCOL_VERSION
from tests.simulation.disk import PowerLost, SimDisk
from tests.simulation.network import SimLinks, SimNetwork
from tests.simulation.timeline import Process

FOLDER = "d"
_COMPLAINT_US = 5_000_000


class SimFounder:
    """One life of such a node. `ended` is called when it is over, for whatever reason."""

    def __init__(
        self, own: Hello, peers: dict[str, str], join: str | None, disk: SimDisk, process: Process, rng: Random
    ) -> None:
        """`own` is its hello while it belongs nowhere; `peers` are those that are to found the cluster, by node."""
        self._own = own
        self._peers = peers
        self._join = join
        self._disk = disk
        self._process = process
        self._rng = rng
        self._founding = Founding(own, peers, join)
        self._links: SimLinks | None = None
        self.ended: Callable[[], None] = lambda: None

    def start(self, network: SimNetwork) -> None:
        """Say nothing before the incarnation is on the disk."""
        own, rng = self._own, self._rng
        self._disk.power_fails_in = rng.randrange(20) if rng.random() < 0.3 else None
        try:
            if read_passport(self._disk, FOLDER) is None:
                write_passport(self._disk, FOLDER, Passport(own.node, own.incarnation))
        except PowerLost:
            self._lost_power()
            return
        self._links = SimLinks(network, self._process, lambda: own, self._admit)
        others = {node: address for node, address in self._peers.items() if node != own.node}
        self._links.set_peers(others if self._join is None else {self._join: self._join})
        self._links.listen()
        self._process.after(_COMPLAINT_US, self._complain)
        if rng.random() < 0.2:
            self._process.after(rng.randrange(200_000), self._lost_power)
        if self._join is None:
            self._hear(own)

    def _admit(self, hello: Hello) -> str | None:
        self._hear(hello)
        if hello.node not in self._peers and self._join is None:
            return f"'{hello.node}' is not among the peers"
        return None

    def _hear(self, hello: Hello) -> None:
        self._founding.heard(hello)
        if self._founding.result is not None:
            self._process.call_soon(self._founded)

    def _complain(self) -> None:
        assert self._founding.complaint(), "whoever waits can say for what"
        self._founding.wait_no_longer()
        if self._founding.result is not None:
            self._founded()
        else:
            self._process.after(_COMPLAINT_US, self._complain)

    def _founded(self) -> None:
        founded: Founded | None = self._founding.result
        assert founded is not None, "the cluster is known"
        passport = Passport(self._own.node, self._own.incarnation, founded.cluster_id, founded.config)
        try:
            write_passport(self._disk, FOLDER, passport)
        except PowerLost:
            self._lost_power()
            return
        self._disk.power_fails_in = None
        self._end()

    def _lost_power(self) -> None:
        self._disk.power_fails_in = None
        self._disk.power_cut(self._rng)
        self._end()

    def _end(self) -> None:
        self._process.alive = False
        if self._links is not None:
            self._links.hang_up()
        self.ended()


def hello_of(node: str, incarnation: int, address: str, cluster: bytes = NO_CLUSTER) -> Hello:
    return Hello(PROTOCOL_VERSION, PROTOCOL_VERSION, cluster, node, incarnation, address)
