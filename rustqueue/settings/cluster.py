"""The section `[cluster]` (decisions E): who this node is among others, where they are, and how they know each other.

It must not know who uses it. Invariants: a cluster has credentials, or was told in so many words to do without; what a
text says has one place where it is taken apart.
"""

from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from rustqueue.model import limits

_NODE: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
_ADDRESS: Final = r"[^\s=,]+:[0-9]{1,5}"
_EVERYWHERE: Final = ("0.0.0.0:", "[::]:")
_BEATS_MIN: Final = 3  # Heartbeats that may be lost before an election.

NodeId = Annotated[
    str,
    Meta(
        pattern=rf"^{_NODE}\Z",
        max_length=limits.NODE_ID_BYTES_MAX,
        description=f"a name of 1 to {limits.NODE_ID_BYTES_MAX} letters, digits, '.', '_' and '-' that ends and begins"
        " with a letter or digit",
    ),
]
PeerAddress = Annotated[
    str, Meta(pattern=rf"^{_ADDRESS}\Z", max_length=limits.ADDRESS_BYTES_MAX, description="an address as HOST:PORT")
]
OptionalAddress = Annotated[
    str,
    Meta(
        pattern=rf"^({_ADDRESS})?\Z",
        max_length=limits.ADDRESS_BYTES_MAX,
        description="an address as HOST:PORT, or nothing",
    ),
]
Peer = Annotated[
    str,
    Meta(
        pattern=rf"^{_NODE}={_ADDRESS}\Z", max_length=limits.ADDRESS_BYTES_MAX, description="a member as NAME=HOST:PORT"
    ),
]
RangeText = Annotated[
    str, Meta(pattern=r"^[0-9]{2,6}-[0-9]{2,6}\Z", description="two numbers of milliseconds as 150-300")
]


class ClusterTls(NamedTuple):
    """This node's chain of certificates and its key, and whoever vouches for all members; PEM."""

    cert: str
    key: str
    ca: str


class ClusterSettings(Struct, frozen=True):
    """`peers` are the first members, this node among them; a node that comes later has `join`, any member's address.

    `listen` is bound exactly, `advertise` (by default the same) is what others dial. The certificate carries `node_id`
    as a DNS name. `election_timeout_ms` is a range from which each node draws.
    """

    enabled: bool = False
    node_id: NodeId = "n0"
    listen: PeerAddress = "127.0.0.1:6800"
    advertise: OptionalAddress = ""
    peers: Annotated[list[Peer], Meta(max_length=limits.MEMBERS_MAX)] = []
    join: OptionalAddress = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    insecure: bool = False
    heartbeat_ms: Annotated[int, Meta(ge=10, le=10_000)] = 50
    election_timeout_ms: RangeText = "300-600"

    @property
    def advertised(self) -> str:
        return self.advertise or self.listen

    @property
    def first_members(self) -> dict[str, str]:
        """Addresses by node id."""
        return {node: address for node, _, address in (peer.partition("=") for peer in self.peers)}

    @property
    def tls(self) -> ClusterTls | None:
        """None: insecure."""
        return None if self.insecure else ClusterTls(self.tls_cert, self.tls_key, self.tls_ca)

    @property
    def election_range_ms(self) -> tuple[int, int]:
        shortest, _, longest = self.election_timeout_ms.partition("-")
        return int(shortest), int(longest)


def cluster_problems(cluster: ClusterSettings) -> Iterator[tuple[str, str]]:
    """Keys that cannot stay as they are, each with the reason. A key that was not set is never named."""
    if not cluster.enabled:
        return
    yield from _trust_problems(cluster)
    yield from _place_problems(cluster)
    shortest_ms, longest_ms = cluster.election_range_ms
    if not _BEATS_MIN * cluster.heartbeat_ms <= shortest_ms <= longest_ms:
        reason = (
            f"election_timeout_ms is {cluster.election_timeout_ms} and heartbeat_ms {cluster.heartbeat_ms}: a range "
            f"begins at {_BEATS_MIN} heartbeats or more and ends no earlier than it begins"
        )
        yield "cluster.enabled", reason


def _trust_problems(cluster: ClusterSettings) -> Iterator[tuple[str, str]]:
    files = {"tls_cert": cluster.tls_cert, "tls_key": cluster.tls_key, "tls_ca": cluster.tls_ca}
    given = [name for name, path in files.items() if path]
    missing = [name for name, path in files.items() if not path]
    if cluster.insecure and given:
        yield "cluster.insecure", f"{given[0]} says the opposite: leave one of them out"
    elif not cluster.insecure and missing:
        reason = (
            f"members must know each other, and there is no {', no '.join(missing)}: set tls_cert, tls_key and tls_ca, "
            "or insecure = true where nobody else can reach the peer port"
        )
        yield "cluster.enabled", reason


def _place_problems(cluster: ClusterSettings) -> Iterator[tuple[str, str]]:
    if bool(cluster.peers) == bool(cluster.join):
        reason = "give peers for the first members of a cluster, or join for a node that comes later, and not both"
        yield "cluster.enabled", reason
    members = cluster.first_members
    if len(members) < len(cluster.peers) or len(set(members.values())) < len(cluster.peers):
        yield "cluster.peers", "a node id or an address stands in it twice"
    if cluster.peers and cluster.node_id not in members:
        yield "cluster.peers", f"this node, '{cluster.node_id}' (node_id), is not among them"
    if cluster.advertised.startswith(_EVERYWHERE):
        yield "cluster.enabled", f"others cannot dial {cluster.advertised}: set advertise to what reaches this node"
