"""Members that come, go and lose their disks, while everything else goes wrong too.

It must not know clients. What it does is what operators do: ask any node for a change, and ask again. Two rules keep
it to what is promised: one disk is lost at a time, and while one is, nobody asks for anything but its replacement.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from rustqueue.model.cluster.requests import ClusterRequest, ClusterTransfer, MemberAdd, MemberRemove, MemberReplace
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import encode_command
from rustqueue.raft.cluster.config import node_of
from tests.simulation.faults import Faults
from tests.simulation.member_node import FIRST_INCARNATION, SimMember, address_of
from tests.simulation.memberships import Memberships
from tests.simulation.plan import Plan

MISTAKE = "operator's mistake"
MEMBERSHIP_KINDS = ("member added", "member removed", "leadership moved", "disk lost")
_OPERATOR_US = 1_500_000
_ANSWERED_US = 11_000_000
"""After so long no request about the members is on its way any more."""
_MEMBERS_MAX = 6


class MembershipFaults:
    """Asks for changes until it is told to calm down; lost disks are replaced even then."""

    name = "members"

    def __init__(
        self, plan: Plan, rng: Random, nodes: Sequence[SimMember], each: Sequence[Faults], known: Memberships
    ) -> None:
        self._plan = plan
        self._timeline = plan.timeline
        self._rng = rng
        self._nodes = nodes
        self._faults = dict(zip((node.name for node in nodes), each, strict=True))
        self._known = known
        self._asked_us = -_ANSWERED_US
        self.active = True
        self.counts: Counter[str] = Counter()
        self.kinds: list[str] = []
        self.note: Callable[[str], None] = lambda text: None
        self._handlers: dict[str, Callable[[], None]] = {
            "member added": self._add,
            "member removed": self._remove,
            "leadership moved": self._move,
            "disk lost": self._lose_disk,
            MISTAKE: self._mistake,
        }
        self._mistake_rng: Random | None = None

    def draw(self, allowed: Sequence[str], mean_us: int | None) -> None:
        """`mean_us` None: how often is drawn for each kind."""
        for kind in allowed:
            self.kinds.append(kind)
            mean = mean_us or 10 ** self._rng.uniform(6.3, 7.0)
            self._plan.repeat(self, kind, Random(self._rng.getrandbits(64)), mean)
        self._operate()

    def draw_mistakes(self, rng: Random) -> None:
        """Operators also ask for what cannot be."""
        self._mistake_rng = rng
        self._plan.repeat(self, MISTAKE, rng, 3_000_000)

    def happen(self, kind: str) -> None:
        self._handlers[kind]()

    # What operators do.

    def _ask(self, kind: str, request: ClusterRequest) -> None:
        """Of any node that runs."""
        up = [node for node in self._nodes if node.is_member]
        if not up:
            return
        node = self._rng.choice(up)
        self.counts[kind] += 1
        self._asked_us = self._timeline.now_us

        def answered(reply: Reply) -> None:
            told = reply.error.code if isinstance(reply, Refused) else "done"
            self.counts[f"{kind}: {told}"] += 1
            self.note(f"{kind}: {told}")

        self.note(f"fault: {kind}, asked of {node.id}: {request}")
        node.council.submit(request, encode_command(request), answered)

    def _add(self) -> None:
        config = self._known.current
        if config is None or len(config.members) >= _MEMBERS_MAX or self._lost():
            return
        outside = [node for node in self._nodes if not any(config.of_node(node.name))]
        if outside:
            name = self._rng.choice(outside).name
            self._ask("member added", MemberAdd(id=name, address=address_of(name)))

    def _remove(self) -> None:
        config = self._known.current
        if config is None or self._lost():
            return
        if len(config.voters) > 3 or (len(config.voters) > 1 and self._rng.random() < 0.1):
            self._ask("member removed", MemberRemove(id=self._rng.choice([member.id for member in config.members])))

    def _move(self) -> None:
        config = self._known.current
        if config is not None and not self._lost():
            to = self._rng.choice([None, *config.voters])
            self._ask("leadership moved", ClusterTransfer(to=to))

    def _lost(self) -> SimMember | None:
        """The node whose place in the cluster belongs to a disk that is gone."""
        config = self._known.current
        for node in self._nodes if config is not None else ():
            assert config is not None, "asked above"
            if node.incarnation > FIRST_INCARNATION and node.id not in config and any(config.of_node(node.name)):
                return node
        return None

    def _operate(self) -> None:
        """Whoever lost a disk gets its place back, even when the faults are over."""
        lost = self._lost()
        if lost is not None and lost.up:
            self._ask("member replaced", MemberReplace(id=lost.name))
        self._timeline.after(_OPERATOR_US + self._rng.randrange(_OPERATOR_US), self._operate)

    def _mistake(self) -> None:
        config, rng = self._known.current, self._mistake_rng
        if config is None or rng is None or self._lost():
            return
        member, other = (rng.choice([member.id for member in config.members]) for _ in range(2))
        learner = next((record.id for record in config.members if not record.voter), "nobody")
        node, address = node_of(member), address_of(node_of(other))
        nowhere = address_of("nobody")
        wishes: list[ClusterRequest] = [
            MemberAdd(id=node, address=address),
            MemberAdd(id="nobody", address=nowhere),
            MemberAdd(id="nobody", address=address),
            MemberRemove(id="nobody"),
            MemberReplace(id="nobody"),
            MemberReplace(id="nobody", address=nowhere),
            MemberReplace(id=node),
            ClusterTransfer(to="nobody"),
            ClusterTransfer(to=learner),
        ]
        if len(config.members) == 1:
            wishes.append(MemberRemove(id=member))
        self._ask(MISTAKE, rng.choice(wishes))

    # What no operator does.

    def _lose_disk(self) -> None:
        """Where it is promised that nothing is lost: others that vote are a majority, and nothing else changes."""
        config, now_us = self._known.current, self._timeline.now_us
        leader = next((node for node in self._nodes if node.up and node.replicator.leads), None)
        if config is None or leader is None or self._lost() or now_us - self._asked_us < _ANSWERED_US:
            return
        if leader.steward.obstacle() is not None or leader.parts.config != config:
            return
        victims = [node for node in self._nodes if node.up and (len(config.voters) > 2 or node.id not in config.voters)]
        if victims:
            self.counts["disk lost"] += 1
            victim = self._rng.choice(victims)
            self.note(f"fault: disk lost, of {victim.id}")
            self._faults[victim.name].lose_disk()
