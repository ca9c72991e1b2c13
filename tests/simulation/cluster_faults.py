"""What goes wrong in a cluster: everything that goes wrong with one node, and what happens between nodes.

It must not know clients. At any time a majority may be down: a cluster then waits, and that is all it may do.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from tests.simulation.faults import KINDS as NODE_KINDS
from tests.simulation.faults import Faults
from tests.simulation.member_node import SimMember
from tests.simulation.membership_faults import MEMBERSHIP_KINDS, MembershipFaults
from tests.simulation.memberships import Memberships
from tests.simulation.network import SimNetwork
from tests.simulation.plan import Plan

NETWORK_KINDS = (
    "isolate",
    "one way",
    "halves",
    "flapping",
    "slow link",
    "kill leader",
    "kill all",
    "pause",
    "hand over",
)
INSTALL_CUT = "install cut"
CLUSTER_KINDS = (*NODE_KINDS, *NETWORK_KINDS, *MEMBERSHIP_KINDS, INSTALL_CUT)


class ClusterFaults:
    """Breaks nodes and links until it is told to calm down."""

    mean_us: int | None = None
    """When it is set, every kind that is allowed comes that often, instead of what chance says."""

    name = "cluster"

    def __init__(
        self,
        plan: Plan,
        fork: Callable[[str], Random],
        nodes: list[SimMember],
        network: SimNetwork,
        lost: Callable[[SimMember], None],
        known: Memberships,
    ) -> None:
        self._plan = plan
        self._fork = fork
        self._timeline = plan.timeline
        self._rng = fork("network faults")
        self._nodes = nodes
        self._network = network
        self._each = [Faults(plan, fork(f"faults {node.name}"), node, partial(lost, node)) for node in nodes]
        self._by_name = {node.name: faults for node, faults in zip(nodes, self._each, strict=True)}
        self._members = MembershipFaults(plan, fork("membership faults"), nodes, self._each, known)
        self._own: Counter[str] = Counter()
        self.active = True
        self.kinds: list[str] = []
        self._note: Callable[[str], None] = lambda text: None
        self._handlers: dict[str, Callable[[], None]] = {
            "isolate": self._isolate,
            "one way": self._one_way,
            "halves": self._halves,
            "flapping": self._flap,
            "slow link": self._slow_link,
            "kill leader": self._kill_leader,
            "kill all": self._kill_all,
            "pause": self._pause,
            "hand over": self._hand_over,
            INSTALL_CUT: self._cut_install,
        }
        self._install_rng = fork("install faults")
        for node, faults in zip(nodes, self._each, strict=True):
            node.power_lost = partial(faults.die, power=True)

    def of(self, name: str) -> Faults:
        """What goes wrong with one node."""
        return self._by_name[name]

    @property
    def note(self) -> Callable[[str], None]:
        return self._note

    @note.setter
    def note(self, note: Callable[[str], None]) -> None:
        self._note = self._members.note = note
        for node, faults in zip(self._nodes, self._each, strict=True):
            faults.note = partial(_note_of, note, node.name)

    @property
    def counts(self) -> Counter[str]:
        total = self._own + self._members.counts
        for faults in self._each:
            total.update(faults.counts)
        return total

    @counts.setter
    def counts(self, counts: Counter[str]) -> None:
        raise AssertionError("nobody sets what happened")

    def start(self) -> None:
        for faults in self._each:
            faults.start()

    def draw(self, allowed: tuple[str, ...] = CLUSTER_KINDS) -> None:
        if self._rng.randrange(8) == 0 and allowed is CLUSTER_KINDS:
            return
        node_kinds = tuple(kind for kind in NODE_KINDS if kind in allowed)
        sure = self.mean_us is not None
        for faults in self._each:
            faults.mean_us = None if self.mean_us is None else self.mean_us * len(self._each)
            if node_kinds and (self._rng.random() < 0.7 or sure):
                faults.draw(node_kinds)
                self.kinds += faults.kinds
        for kind in NETWORK_KINDS:
            if kind in allowed and (self._rng.random() < 0.4 or sure):
                self.kinds.append(kind)
                mean_us = self.mean_us or 10 ** self._rng.uniform(6.3, 7.2)
                self._plan.repeat(self, kind, Random(self._rng.getrandbits(64)), mean_us)

        if INSTALL_CUT in allowed and (self._install_rng.random() < 0.7 or sure):
            self.kinds.append(INSTALL_CUT)
            self._plan.repeat(self, INSTALL_CUT, self._install_rng, 3_000_000)

    def draw_members(self, allowed: Sequence[str]) -> None:
        """Members come and go too. It has a seed of its own: the other faults are the same with and without."""
        self._members.draw(allowed, self.mean_us)
        self.kinds += self._members.kinds

    def draw_mistakes(self) -> None:
        """Where members come and go and the world is odd."""
        self._members.draw_mistakes(self._fork("mistakes"))

    def calm(self) -> None:
        self.active = self._members.active = False
        self._network.heal()
        for node in self._nodes:
            node.cut_install_after = None
        for faults in self._each:
            faults.calm()

    def check_stopped(self) -> None:
        for faults in self._each:
            faults.check_stopped()

    def happen(self, kind: str) -> None:
        self._own[kind] += 1
        self._note(f"fault: {kind}")
        self._handlers[kind]()

    # The kinds.

    def _later(self, upto_us: int, call: Callable[[], None]) -> None:
        self._timeline.after(self._rng.randrange(upto_us), call)

    def _cut(self, pairs: list[tuple[str, str]], upto_us: int) -> None:
        for source, target in pairs:
            self._network.block(source, target)
        self._later(upto_us, lambda: self._join(pairs))

    def _join(self, pairs: list[tuple[str, str]]) -> None:
        for pair in pairs:
            self._network.blocked.discard(pair)

    def _names(self) -> list[str]:
        return [node.name for node in self._nodes]

    def _leader(self) -> SimMember | None:
        return next((node for node in self._nodes if node.up and node.replicator.leads), None)

    def _isolate(self) -> None:
        leader = self._leader()
        victim = leader.name if leader is not None and self._rng.random() < 0.5 else self._rng.choice(self._names())
        others = [name for name in self._names() if name != victim]
        self._cut([pair for name in others for pair in ((victim, name), (name, victim))], 8_000_000)

    def _one_way(self) -> None:
        source, target = self._rng.sample(self._names(), 2)
        self._cut([(source, target)], 6_000_000)

    def _halves(self) -> None:
        names = self._names()
        self._rng.shuffle(names)
        left, right = names[: len(names) // 2], names[len(names) // 2 :]
        self._cut([pair for a in left for b in right for pair in ((a, b), (b, a))], 8_000_000)

    def _flap(self) -> None:
        source, target = self._rng.sample(self._names(), 2)
        for place in range(10):
            self._timeline.after(place * 300_000, lambda: self._cut([(source, target), (target, source)], 200_000))

    def _slow_link(self) -> None:
        pair = tuple(self._rng.sample(self._names(), 2))
        self._network.slow[pair[0], pair[1]] = round(10 ** self._rng.uniform(4.0, 5.7))
        self._later(5_000_000, partial(self._hurry, pair[0], pair[1]))

    def _hurry(self, source: str, target: str) -> None:
        self._network.slow.pop((source, target), None)

    def _kill_leader(self) -> None:
        leader = self._leader()
        if leader is not None:
            self._by_name[leader.name].die(power=self._rng.random() < 0.5)

    def _kill_all(self) -> None:
        power = self._rng.random() < 0.5
        for faults in self._each:
            faults.die(power)

    def _pause(self) -> None:
        node = self._rng.choice(self._nodes)
        if node.process is not None:
            node.process.pause(self._rng.randrange(6_000_000))

    def _cut_install(self) -> None:
        """The next snapshot that this node puts in the place of its store meets a power cut, at any operation of it."""
        self._install_rng.choice(self._nodes).cut_install_after = self._install_rng.randrange(14)

    def _hand_over(self) -> None:
        leader = self._leader()
        if leader is not None:
            leader.replicator.member.transfer()


def _note_of(note: Callable[[str], None], name: str, text: str) -> None:
    note(f"{name}: {text}")
