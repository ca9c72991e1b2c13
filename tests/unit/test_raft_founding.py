"""How a cluster is founded, and who is not let into an old one."""

from rustqueue.model.commands import MemberRecord
from rustqueue.raft.cluster.config import Config
from rustqueue.raft.cluster.founding import Founded, Founding, cluster_id_of
from rustqueue.raft.cluster.passport import Passport, read_passport, write_passport
from rustqueue.raft.links import NO_CLUSTER, Hello
from tests.simulation.disk import SimDisk

PEERS = {"n0": "h0:1", "n1": "h1:1", "n2": "h2:1"}
MEMBERS = {"n0#7": "h0:1", "n1#8": "h1:1", "n2#9": "h2:1"}
ID = cluster_id_of(MEMBERS)


def hello(node: str, incarnation: int, cluster: bytes = NO_CLUSTER) -> Hello:
    return Hello(1, 1, cluster, node, incarnation, PEERS.get(node, "else:1"))


def founded() -> Founded:
    return Founded(ID, Config(tuple(MemberRecord(member, address, True) for member, address in MEMBERS.items())))


def test_a_cluster_is_founded_when_all_listed_peers_are_empty() -> None:
    founding = Founding(hello("n0", 7), PEERS, None)
    founding.heard(hello("n1", 8))
    assert founding.result is None
    assert "waiting for n2" in founding.complaint()
    founding.heard(hello("n2", 9))
    assert founding.result == founded()


def test_one_that_was_slow_finds_the_cluster_that_the_others_have_founded_with_it() -> None:
    founding = Founding(hello("n2", 9), PEERS, None)
    founding.heard(hello("n0", 7, ID))
    founding.heard(hello("n1", 8, ID))
    assert founding.result == founded()


def test_one_that_lost_its_disk_belongs_to_the_cluster_without_a_vote() -> None:
    # Given a node that comes back with another incarnation
    founding = Founding(hello("n2", 10), PEERS, None)
    # When the others tell of their cluster
    founding.heard(hello("n0", 7, ID))
    founding.heard(hello("n1", 8, ID))
    # Then it belongs there and waits to be taken in as a member: it founds nothing and votes for nobody.
    assert founding.result == Founded(ID, Config(()))


def test_who_is_not_listed_founds_nothing() -> None:
    founding = Founding(hello("n0", 7), PEERS, None)
    founding.heard(hello("n1", 8))
    founding.heard(hello("n3", 9))
    assert founding.result is None


def test_one_that_joins_takes_the_cluster_of_whoever_answers() -> None:
    founding = Founding(hello("n3", 5), {}, "h0:1")
    founding.heard(hello("n9", 1))
    assert founding.result is None
    assert "waiting for an answer from h0:1" in founding.complaint()
    founding.heard(hello("n0", 7, ID))
    assert founding.result == Founded(ID, Config(()))


def test_a_passport_is_read_as_it_was_written_and_survives_the_power() -> None:
    disk = SimDisk()
    assert read_passport(disk, "d") is None
    write_passport(disk, "d", Passport("n0", 7))
    passport = Passport("n0", 7, ID, founded().config)
    write_passport(disk, "d", passport)
    assert read_passport(disk, "d") == passport
