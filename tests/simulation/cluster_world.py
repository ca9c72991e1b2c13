"""A world with several nodes: one seed, the members of a cluster, their network, clients and faults; and the verdict.

What `World` judges of one node is judged of the cluster as if it were one: every node applies the same entries with the
same replies and the same state hashes, whoever led. Besides: one leader a term, and all nodes alike in the end.
"""

from collections.abc import Callable
from functools import partial

from rustqueue.gateway.door import Gateway
from rustqueue.machine.machine import Machine
from tests.simulation.clients import Session
from tests.simulation.cluster_faults import CLUSTER_KINDS, ClusterFaults
from tests.simulation.ledger import require
from tests.simulation.member_node import MemberVariant, SimMember
from tests.simulation.membership_faults import MEMBERSHIP_KINDS
from tests.simulation.memberships import MEMBERSHIP_EVENTS
from tests.simulation.network import SimNetwork
from tests.simulation.node import Variant
from tests.simulation.odd_faults import OddFaults, Pair
from tests.simulation.oddities import PLAIN
from tests.simulation.world import LOAD_US, Report, World

CLUSTER_EVENTS = (
    "foundings",
    "elections",
    "cuts",
    "installs",
    "installs cut",
    "snapshots sent",
    "streams broken",
    *MEMBERSHIP_EVENTS,
)
"""What must have happened in a run of many seeds, besides every kind of fault."""

_INTERNAL = b'{"cmd":"!'
"""Commands that no client sends."""

_SPARES_COUNT = 2
"""Nodes that wait to be taken in, where members come and go."""


def _look_at_progress(node: SimMember) -> None:
    """What a leader tells of the snapshots that it sends, whoever asks and whenever."""
    sender = node.snapshots.sender
    for peer, (reached, total) in () if sender is None else sender.progress().items():
        require(0 <= reached <= total, "I25", f"{node.id} says that {peer} has {reached} bytes of {total}")


class ClusterWorld(World):
    """Play it once."""

    drain_us_max = 400_000_000

    def __init__(
        self,
        seed: int,
        variant: MemberVariant | None = None,
        kinds: tuple[str, ...] = CLUSTER_KINDS,
        load_us: int = LOAD_US,
    ) -> None:
        self._member_variant = variant or MemberVariant()
        super().__init__(seed, None if variant is None else Variant(), kinds, load_us)

    def _build(self) -> None:
        rng = self._fork("cluster")
        if self._odd is not PLAIN:
            self._member_variant = self._member_variant.being(self._odd)
        count, is_lone = rng.choice((3, 3, 3, 5)), self._member_variant.odd.is_lone
        names = [f"n{number}" for number in range(1 if is_lone else count)]
        self.trace.machine_type = self._member_variant.machine
        self.network = SimNetwork(self.timeline, self._fork("network"))
        self.nodes = [self._member(name, names) for name in names]
        changes = [kind for kind in MEMBERSHIP_KINDS if kind in self._kinds]
        if self._kinds is CLUSTER_KINDS and self._fork("members").random() >= 0.6 and not is_lone:
            changes = []
        if changes:
            self.nodes += [self._member(f"n{number}", []) for number in range(len(names), len(names) + _SPARES_COUNT)]
        self._choice = self._fork("which node")
        faults = ClusterFaults(self.plan, self._fork, self.nodes, self.network, self._node_lost, self.trace.members)
        faults.note = self._note
        faults.mean_us = self.fault_mean_us
        if changes:
            faults.draw_members(changes)
            if self._is_odd:
                faults.draw_mistakes()
        self.faults = faults
        pairs = [Pair(node, faults.of(node.name)) for node in self.nodes]
        self.odd_faults = OddFaults(self.plan, self._fork("odd faults"), pairs, self.network, self._is_odd)
        self.odd_faults.note = self._note

    def _member(self, name: str, names: list[str]) -> SimMember:
        member = SimMember(name, names, self.timeline, self.network, self._fork(f"disk {name}"))
        member.variant = self._member_variant
        member.trace = self.trace
        member.when_leading = partial(self._leads, name)
        return member

    def _leads(self, name: str, term: int) -> None:
        node = next(node for node in self.nodes if node.name == name)
        self._note(f"{node.id} leads in term {term}")
        self.trace.members.leads(node.id, term, node.parts.configs)

    def _play(self, condition: Callable[[], bool]) -> None:
        def look() -> bool:
            for node in self.nodes:
                leading = node.replicator.member.leading if node.up else None
                if leading is not None:
                    _look_at_progress(node)
                if leading is not None and leading.is_settled:
                    self.trace.members.one_at_a_time(node.id, node.parts.configs, node.seat.commit_index)
            return condition()

        super()._play(look)

    # What clients see.

    @property
    def gateway(self) -> Gateway | None:
        up = [node.gateway for node in self.nodes if node.gateway is not None and self._is_asked(node)]
        return self._choice.choice(up) if up else None

    def _is_asked(self, node: SimMember) -> bool:
        """Members are. One that was removed and has not heard of it is for a while, until clients know better."""
        current = self.trace.members.current
        return node.is_member and (self.load or current is None or node.id in current)

    def _node_lost(self, node: SimMember) -> None:
        """Called when the process is gone: who waits there waits in vain."""
        for session in self._sessions:
            self._lose(session)

    def _lose(self, session: Session) -> None:
        alive = [node.gateway for node in self.nodes if node.up]
        if session.at is not None and session.at not in alive:
            session.connection_lost()

    # The play.

    def _machine(self) -> Machine:
        return max(self.nodes, key=lambda node: node.machine.applied_index).machine

    def _members(self) -> list[SimMember]:
        """The nodes that the log says belong to the cluster, and that have the disks that it says."""
        config = self.trace.members.current
        return [node for node in self.nodes if config is not None and node.id in config]

    def _is_whole(self) -> bool:
        """Every member is there, votes, and has everything; one of them leads."""
        config, members = self.trace.members.current, self._members()
        if config is None or len(members) != len(config.members) or len(config.voters) != len(members):
            return False
        if not all(node.up for node in self.nodes):
            return False
        applied = {node.machine.applied_index for node in members}
        last = {node.log.last_index for node in members}
        return len(applied) == 1 and applied == last and any(node.replicator.leads for node in members)

    def _at_rest(self) -> bool:
        if not self._is_whole() or self._is_scheduled():
            return False
        counts = [count for _, count in self._machine().queue_counts()]
        return not any(count.waiting + count.active + count.delayed + count.blocked for count in counts)

    def _judge_cold(self) -> None:
        """All nodes at once lose power and come back: nothing that was only in memory was needed."""
        entries_count = len(self.trace.applied)
        before, hashes = self._counts(), {node.machine.state_hash for node in self._members()}
        require(len(hashes) == 1, "I18", f"the states of the nodes differ at rest: {hashes}")
        for node in self.nodes:
            node.crash(power=True, survivors=lambda count: 0)
        for node in self.nodes:
            node.start()
        ends_us = self.timeline.now_us + 60_000_000
        self._play(lambda: not self._at_rest() and self.timeline.now_us < ends_us)
        require(self._at_rest(), "I25", "the cluster does not come to rest after all nodes lost power")
        later = [raw for applied in self.trace.applied[entries_count:] for raw in applied.entry.commands]
        if all(raw.startswith(_INTERNAL) for raw in later):
            # Otherwise something of a client was still on its way, and has got through.
            require(self._counts() == before, "I18", f"after a restart {self._counts()}, before it {before}")

    def _report(self) -> Report:
        report = super()._report()
        members = [node.tally for node in self.nodes]
        report.faults["elections"] = len(self.trace.members.leaders)
        report.faults.update(self.trace.members.counts)
        for name in ("foundings", "cuts", "installs", "installs cut", "snapshots sent"):
            report.faults[name] = sum(tally[name] for tally in members)
        report.faults["streams broken"] = self.network.broken_count
        return report
