"""What a member of a cluster tells its monitoring about each other member.

It must not know how numbers are shown. Invariant: series are named by node, not by disk, so a replaced one goes on with
the same ones; only a leader has something to tell of others but whether they are linked.
"""

from collections.abc import Callable, Iterable, Mapping

from rustqueue.effects.histogram import Histogram
from rustqueue.effects.metrics import Labelled
from rustqueue.raft.cluster.config import node_of
from rustqueue.raft.cluster.install import Snapshots
from rustqueue.raft.cluster.leading import Leading
from rustqueue.raft.cluster.parts import Parts


class PeerNumbers:
    """`round_trip` is told by the member; `read` is called for each scrape."""

    def __init__(self, parts: Parts, snapshots: Snapshots, leading: Callable[[], Leading | None]) -> None:
        self._parts = parts
        self._snapshots = snapshots
        self._leading = leading
        self._trips: dict[str, Histogram] = {}

    def round_trip(self, peer: str, took_us: int) -> None:
        node = node_of(peer)
        histogram = self._trips.get(node)
        if histogram is None:
            histogram = self._trips[node] = Histogram()
        histogram.observe(took_us)

    def read(self) -> Iterable[Labelled]:
        others = {node_of(member): member for member in self._parts.others()}
        linked = {node: float(self._parts.links.writable(member)) for node, member in others.items()}
        yield Labelled("raft_peer_linked", "1 while records can be sent to the node.", "peer", linked)
        yield Labelled(
            "raft_peer_round_trip_seconds", "From sending records to the node to its answer: it has them on its disk.",
            "peer", {node: trips for node, trips in self._trips.items() if node in others},
        )  # fmt: skip
        leading = self._leading()
        if leading is not None:
            yield from self._followers(leading, others)

    def _followers(self, leading: Leading, others: Mapping[str, str]) -> Iterable[Labelled]:
        seat, last = self._parts.seat, self._parts.log.last_index
        matched = {node: seat.progress(member)[0] for node, member in others.items()}
        lags = {node: float(max(0, last - index)) for node, index in matched.items()}
        unacked = {
            node: float(leading.peers[member].unacked_bytes)
            for node, member in others.items()
            if member in leading.peers
        }
        yield Labelled(
            "raft_peer_match_index", "Last entry that the node is known to have on its disk.", "peer", matched
        )
        yield Labelled("raft_peer_lag_entries", "Entries of the leader's log that the node lacks.", "peer", lags)
        yield Labelled("raft_peer_unacked_bytes", "On its way to the node.", "peer", unacked)
        sender = self._snapshots.sender
        if sender is not None:
            got = {node_of(member): part / total for member, (part, total) in sender.progress().items() if total}
            ratios = {node: got.get(node, 1.0) for node in others}
            text = "How much of a snapshot the node has got; 1 while it is sent none."
            yield Labelled("raft_peer_snapshot_ratio", text, "peer", ratios)
