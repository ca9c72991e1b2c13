"""A cluster whose members change while it serves, with real nodes."""

import asyncio
from pathlib import Path

from rustqueue.model.cluster.replies import ClusterInfo
from rustqueue.model.cluster.requests import ClusterGet
from rustqueue.model.replies import Refused, Reply
from rustqueue.raft.cluster.config import node_of
from tests.unit.cluster_rig import DEADLINE_S, Rig, cluster


def told(reply: Reply) -> ClusterInfo:
    assert isinstance(reply, ClusterInfo), reply
    return reply


def refusal(reply: Reply) -> tuple[int, str]:
    assert isinstance(reply, Refused), reply
    return reply.status, reply.error.code


def votes(rig: Rig, at: str) -> dict[str, bool]:
    """Who votes, by node, as a node knows it."""
    side = rig.nodes[at].cluster
    assert side is not None
    return {node_of(member.id): member.voter for member in side._config.members}


async def test_every_node_tells_who_belongs_who_leads_and_how_far_all_are(tmp_path: Path) -> None:
    async with cluster(tmp_path) as rig:
        leader = await rig.led()
        heard: dict[str, ClusterInfo] = {}
        async with asyncio.timeout(DEADLINE_S):
            while not heard or heard[rig.follower()] != heard[leader]:
                # How far everybody is may change between two questions, until nothing is on its way any more.
                heard = {name: told(await rig.ask(name, "cluster_get")) for name in rig.nodes}
        info = heard[leader]
        assert node_of(info.leader or "") == leader
        assert [(node_of(m.id), m.address, m.voter) for m in info.members] == [
            (name, rig.addresses[name], True) for name in ("n0", "n1", "n2")
        ]
        assert [m.role for m in info.members if node_of(m.id) != leader] == ["follower", "follower"]
        pushed = await rig.ask(leader, "push", queue="q", name="n", data=1)
        assert not isinstance(pushed, Refused)
        last = rig.nodes[leader].journal.last_index
        heard_all: list[bool] = []
        council = rig.nodes[leader].gateway.ask_cluster
        assert council is not None

        def look(reply: Reply) -> None:
            members = told(reply).members
            heard_all.append(
                all(m.match_index >= last and m.applied_index is not None and not m.lag_ms for m in members)
            )

        def all_have_it() -> bool:
            council(ClusterGet(), b"", look)
            return heard_all[-1]

        await rig.until(all_have_it)


async def test_a_node_is_taken_in_votes_and_leaves(tmp_path: Path) -> None:
    async with cluster(tmp_path) as rig:
        await rig.start("n3")
        follower, address = rig.follower(), rig.addresses["n3"]
        assert rig.nodes["n3"].ready() == (False, "this node is no member of the cluster")
        added = told(await rig.change("n0", "member_add", id="n3", address=address))
        assert [(node_of(m.id), m.address, m.role) for m in added.members][3] == ("n3", address, "learner")
        await rig.until(lambda: votes(rig, "n3") == dict.fromkeys(("n0", "n1", "n2", "n3"), True))
        await rig.led()
        assert refusal(await rig.ask(follower, "member_add", id="n3", address=address)) == (409, "MEMBER_EXISTS")
        assert not isinstance(await rig.ask("n3", "push", queue="q", name="n", data=1), Refused)
        removed = told(await rig.change("n0", "member_remove", id="n3"))
        assert [node_of(m.id) for m in removed.members] == ["n0", "n1", "n2"]
        await rig.until(lambda: "is no member of this cluster" in rig.nodes["n3"].ready()[1])
        assert not isinstance(await rig.ask("n0", "push", queue="q", name="n", data=1), Refused)


async def test_a_node_that_lost_its_disk_gets_its_place_back(tmp_path: Path) -> None:
    async with cluster(tmp_path) as rig:
        leader = await rig.led()
        lost = rig.follower()
        assert not isinstance(await rig.ask(leader, "push", queue="q", name="n", data=1), Refused)
        before = told(await rig.ask(leader, "cluster_get"))
        await rig.wipe(lost)
        await rig.start(lost)
        assert rig.nodes[lost].ready()[0] is False
        replaced = told(await rig.change(leader, "member_replace", id=lost))
        assert {m.id for m in before.members} - {m.id for m in replaced.members} != set()
        await rig.until(lambda: votes(rig, lost) == dict.fromkeys(("n0", "n1", "n2"), True))
        await rig.led()
        assert len(list(rig.nodes[lost].machine.queue_counts())) == 1
        assert refusal(await rig.change(leader, "member_replace", id=lost)) == (409, "MEMBER_EXISTS")


async def test_leadership_moves_and_a_leader_can_be_removed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as rig:
        leader = await rig.led()
        heir, third = (name for name in rig.nodes if name != leader)
        assert node_of(told(await rig.change(third, "cluster_transfer", to=heir)).leader or "") == heir
        await rig.until(lambda: rig.leader == heir)
        left = told(await rig.change(heir, "member_remove", id=heir))
        assert sorted(node_of(m.id) for m in left.members) == sorted((leader, third))
        assert rig.leader in (leader, third)
        await rig.until(lambda: not rig.nodes[heir].ready()[0])
        assert not isinstance(await rig.ask(third, "push", queue="q", name="n", data=1), Refused)


async def test_what_cannot_be_is_refused_with_advice(tmp_path: Path) -> None:
    async with cluster(tmp_path, 1) as rig:
        assert refusal(await rig.ask("n0", "member_remove", id="n7")) == (409, "MEMBER_UNKNOWN")
        assert refusal(await rig.ask("n0", "member_remove", id="n0")) == (409, "LAST_VOTER")
        assert refusal(await rig.ask("n0", "member_replace", id="n7")) == (409, "MEMBER_UNKNOWN")
        assert refusal(await rig.change("n0", "cluster_transfer")) == (409, "NO_HEIR")
        assert refusal(await rig.ask("n0", "cluster_transfer", to="n7")) == (409, "MEMBER_UNKNOWN")
        nobody = await rig.change("n0", "member_add", id="n1", address=rig.addresses["n1"])
        assert refusal(nobody) == (409, "MEMBER_NOT_FOUND")
