"""How a node without a past comes into a cluster: it founds one with all its listed peers, or waits to be taken in.

It must not know files or links. Invariants: a cluster is founded only when every listed peer has said that it has no
past either; where some peer has one, this node's disk is taken to be lost, and it waits to be taken in; its id is a
digest of all founding members, so that all of them compute the same one without agreeing; a node that lost its disk has
another member id and can neither found nor vote in the cluster that it was in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from rustqueue.model.commands import MemberRecord
from rustqueue.raft.cluster.config import Config
from rustqueue.raft.links import NO_CLUSTER, Hello


@dataclass(frozen=True, slots=True)
class Founded:
    """The cluster this node belongs to. `config` is where its own log begins; empty for one that is to be taken in."""

    cluster_id: bytes
    config: Config


def cluster_id_of(members: Mapping[str, str]) -> bytes:
    """Of founding members and their addresses."""
    text = "\n".join(f"{member}={address}" for member, address in sorted(members.items()))
    return blake2b(text.encode(), digest_size=16).digest()


class Founding:
    """Told every hello, says when it is clear to what this node belongs."""

    def __init__(self, own: Hello, peers: Mapping[str, str], join: str | None) -> None:
        """`peers` are all founding nodes with their addresses, this one too; `join` is an address of a cluster."""
        self._own = own
        self._peers = dict(peers)
        self._join = join
        self._heard: dict[str, Hello] = {own.node: own}
        self.result: Founded | None = None

    def heard(self, hello: Hello) -> None:
        """A peer said who it is."""
        if self.result is not None:
            return
        if self._join is not None:
            if hello.cluster != NO_CLUSTER:
                self.result = Founded(hello.cluster, Config(()))
            return
        if hello.node in self._peers:
            self._heard[hello.node] = hello
            self._judge()

    def _judge(self) -> None:
        if self._heard.keys() != self._peers.keys():
            return
        members = {hello.member: self._peers[node] for node, hello in self._heard.items()}
        cluster_id = cluster_id_of(members)
        # One that founded it a moment ago has the id already; whoever is in another cluster rules this one out.
        if all(hello.cluster in (NO_CLUSTER, cluster_id) for hello in self._heard.values()):
            records = [MemberRecord(member, address, True) for member, address in sorted(members.items())]
            self.result = Founded(cluster_id, Config(tuple(records)))
        else:
            self.wait_no_longer()

    def wait_no_longer(self) -> None:
        """Who has not been heard by now may be away for long. If there is a cluster, this node belongs to it, without a
        vote: should it be one of the founders after all, the log will say so.
        """
        clusters = {hello.cluster for hello in self._heard.values()} - {NO_CLUSTER}
        if self.result is None and len(clusters) == 1:
            self.result = Founded(clusters.pop(), Config(()))

    def complaint(self) -> str:
        """Why it is not clear yet, for the log."""
        missing = sorted(self._peers.keys() - self._heard.keys())
        if self._join is not None:
            return f"waiting for an answer from {self._join}"
        if missing:
            return f"waiting for {', '.join(missing)}: a new cluster begins when all listed peers are there"
        return "the listed peers belong to different clusters: correct `peers`, or wipe those that are not needed"
