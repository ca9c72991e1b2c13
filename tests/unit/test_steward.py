"""Changes of the members as the leader judges them, with simulated members."""

from functools import partial
from random import Random

from rustqueue.model.cluster.replies import ClusterInfo
from rustqueue.model.cluster.requests import ClusterRequest, MemberAdd, MemberRemove
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import encode_command
from tests.simulation.member_node import SimMember, address_of
from tests.simulation.network import SimNetwork
from tests.simulation.timeline import Timeline

NAMES = ["n0", "n1", "n2"]


class Bench:
    """Three members and a node that waits; nothing goes wrong by itself."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.network = SimNetwork(self.timeline, Random(1))
        fork = partial(SimMember, timeline=self.timeline, network=self.network)
        self.nodes = [fork(name, NAMES, rng=Random(name)) for name in NAMES]
        self.nodes.append(fork("n3", [], rng=Random("n3")))
        for node in self.nodes:
            node.start()
        self.settle()

    def settle(self, seconds: int = 3) -> None:
        self.timeline.run_until(self.timeline.now_us + seconds * 1_000_000)

    def leader(self) -> SimMember:
        return next(node for node in self.nodes if node.up and node.replicator.leads)

    def followers(self) -> list[SimMember]:
        return [node for node in self.nodes[:3] if node is not self.leader()]

    def ask(self, request: ClusterRequest, patience_s: int = 3) -> Reply:
        replies: list[Reply] = []
        self.leader().council.submit(request, encode_command(request), replies.append)
        self.settle(patience_s)
        return replies[0]


def code(reply: Reply) -> str:
    assert isinstance(reply, Refused), reply
    return reply.error.code


def test_a_change_that_would_leave_no_majority_is_refused() -> None:
    # Given a member that is down
    bench = Bench()
    down, other = bench.followers()
    down.crash(power=False)
    bench.settle()
    # When another one that is well shall go, then it is refused, since nobody could commit anything any more.
    assert code(bench.ask(MemberRemove(id=other.name))) == "QUORUM_AT_RISK"
    # And the one that is down may go.
    reply = bench.ask(MemberRemove(id=down.name))
    assert isinstance(reply, ClusterInfo)
    assert sorted(member.id for member in reply.members) == sorted((bench.leader().id, other.id))


def test_a_node_that_is_taken_in_votes_once_it_has_caught_up() -> None:
    bench = Bench()
    reply = bench.ask(MemberAdd(id="n3", address=address_of("n3")))
    assert isinstance(reply, ClusterInfo)
    assert {member.id: member.voter for member in reply.members}["n3#1"] is False
    bench.settle()
    assert bench.leader().parts.voters() == ("n0#1", "n1#1", "n2#1", "n3#1")
    assert bench.nodes[3].machine.state_hash == bench.leader().machine.state_hash


def test_a_member_that_slept_through_all_changes_is_reached_by_a_leader_that_it_does_not_know() -> None:
    # Given a member that is down while a node is taken in that then comes to lead
    bench = Bench()
    sleeper = bench.followers()[0]
    sleeper.crash(power=False)
    bench.settle()
    assert isinstance(bench.ask(MemberAdd(id="n3", address=address_of("n3")), 6), ClusterInfo)
    bench.leader().replicator.member.transfer("n3#1")
    bench.settle()
    assert bench.leader().name == "n3"
    # When it comes back
    sleeper.start()
    bench.settle(6)
    # Then it has what all have.
    assert sleeper.machine.applied_index == bench.leader().machine.applied_index
    assert sleeper.parts.config == bench.leader().parts.config
