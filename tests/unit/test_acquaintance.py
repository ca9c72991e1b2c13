"""Whom a member dials and lets in."""

from collections.abc import Mapping
from random import Random

from rustqueue.model.commands import MemberRecord
from rustqueue.raft.cluster.config import Config
from rustqueue.raft.links import NO_CLUSTER, Hello
from rustqueue.raft.membership.acquaintance import Acquaintance
from rustqueue.raft.messages import PROTOCOL_VERSION
from tests.simulation.network import SimLinks, SimNetwork
from tests.simulation.timeline import HostClock, Process, Timeline

CLUSTER = b"c" * 16


def hello(node: str, incarnation: int = 1, cluster: bytes = CLUSTER) -> Hello:
    return Hello(PROTOCOL_VERSION, PROTOCOL_VERSION, cluster, node, incarnation, f"{node}:1")


def config(*nodes: str) -> Config:
    return Config(tuple(MemberRecord(f"{node}#1", f"{node}:1", True) for node in nodes))


class NotedLinks(SimLinks):
    """Links that only say whom they were told to keep."""

    peers: Mapping[str, str] = {}

    def set_peers(self, peers: Mapping[str, str]) -> None:
        self.peers = dict(peers)


class Bench:
    """The member `a#1`, with a configuration and a leader that a test sets."""

    def __init__(self, *members: str) -> None:
        self.timeline = Timeline()
        process = Process(self.timeline, HostClock(self.timeline, 0))
        self.links = NotedLinks(SimNetwork(self.timeline, Random(0)), process, lambda: hello("a"), lambda other: None)
        self.party = Acquaintance(lambda: hello("a"), self.links, process)
        self.configured(*members)

    def configured(self, *members: str) -> None:
        self.party.config = lambda: config(*members)
        self.party.configured(config(*members))

    def lets_in(self, node: str, incarnation: int = 1) -> bool:
        return self.party.admit(hello(node, incarnation)) is None

    def settle(self, seconds: int = 5) -> None:
        self.timeline.run_until(self.timeline.now_us + seconds * 1_000_000)


def test_who_hears_a_leader_lets_in_members_only() -> None:
    bench = Bench("a", "b", "c")
    bench.party.leader_is("b#1")
    assert (bench.lets_in("c"), bench.lets_in("d"), bench.lets_in("c", 2)) == (True, False, False)
    assert bench.party.admit(hello("c", 2)) == (
        "'c' is a member with another disk. If it lost its disk, run: rustqueue cluster replace c"
    )
    assert bench.party.admit(hello("d")) == "'d' is no member of this cluster: run rustqueue cluster add d d:1"
    assert "belongs to cluster 7878" in str(bench.party.admit(hello("c", cluster=b"x" * 16)))


def test_a_member_that_was_away_is_reached_by_a_leader_that_it_does_not_know() -> None:
    # Given a member whose configuration is older than the leader's membership
    bench = Bench("a", "b", "c")
    bench.party.leader_is(None)
    # When the leader says hello
    assert bench.lets_in("d")
    bench.settle()
    # Then it is answered, also when it is known to lead, until the log names it.
    assert bench.links.peers == {"b#1": "b:1", "c#1": "c:1", "d#1": "d:1"}
    bench.party.leader_is("d#1")
    assert bench.links.peers == {"b#1": "b:1", "c#1": "c:1", "d#1": "d:1"}
    assert bench.lets_in("d")
    bench.configured("a", "b", "d")
    bench.settle()
    assert bench.links.peers == {"b#1": "b:1", "d#1": "d:1"}


def test_strangers_that_were_let_in_without_a_leader_go_when_there_is_one() -> None:
    bench = Bench("a", "b", "c")
    assert bench.lets_in("d")
    bench.settle()
    assert "d#1" in bench.links.peers
    bench.party.leader_is("b#1")
    assert bench.links.peers == {"b#1": "b:1", "c#1": "c:1"}
    assert not bench.lets_in("d")


def test_a_node_in_no_configuration_answers_every_member() -> None:
    bench = Bench()
    bench.party.leader_is("b#1")
    assert bench.lets_in("b")
    bench.settle()
    assert bench.links.peers == {"b#1": "b:1"}


def test_a_removed_member_keeps_its_link_for_a_moment() -> None:
    bench = Bench("a", "b", "c")
    bench.party.leader_is("b#1")
    bench.configured("a", "b")
    assert bench.links.peers == {"b#1": "b:1", "c#1": "c:1"}
    bench.settle()
    assert bench.links.peers == {"b#1": "b:1"}


def test_a_node_that_is_looked_for_is_told_of_once() -> None:
    # Given a leader that looks for two nodes
    bench = Bench("a", "b")
    bench.party.leader_is("a#1")
    found: list[tuple[str, Hello | None]] = []
    bench.party.look("c", "c:1", lambda other: found.append(("c", other)))
    bench.party.look("d", "d:1", lambda other: found.append(("d", other)))
    assert bench.links.peers == {"b#1": "b:1", "c:1": "c:1", "d:1": "d:1"}
    # When one of them says hello, and the other one does not in time
    assert not bench.lets_in("c", 7)
    assert bench.party.admit(hello("d", cluster=NO_CLUSTER)) is None
    bench.party.look("e", "e:1", lambda other: found.append(("e", other)))
    bench.settle()
    # Then each is told of once, and dialled no more.
    assert found == [("c", hello("c", 7)), ("d", hello("d", cluster=NO_CLUSTER)), ("e", None)]
    assert bench.links.peers == {"b#1": "b:1"}
