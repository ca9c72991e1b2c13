"""When a node of a cluster takes clients: not before it has applied the log that it came back with."""

import asyncio
from pathlib import Path
from typing import Final

from rustqueue.model.entry import ENTRY_VERSION, Entry, encode_entry
from rustqueue.node import JOURNAL_FOLDER, Node
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.journal import stored_identity
from rustqueue.raft.messages import Append
from rustqueue.raft.real import OsDisk, ThreadExecutor
from tests.unit.cluster_rig import DEADLINE_S, Rig, cluster

ENTRIES: Final = 5_001  # One more than a node that is ready may be behind by.
LATER_MS: Final = 4_000_000_000_000  # After whatever the nodes have written themselves.


async def stop(rig: Rig, name: str) -> None:
    """With time to close its files, though the other one does not run any more."""
    assert await rig.nodes.pop(name).stop(DEADLINE_S)


async def lengthen(folder: Path) -> None:
    """Write entries behind the log of a node that does not run, as if it had not come to apply them."""
    disk, journal = OsDisk(), f"{folder}/{JOURNAL_FOLDER}"
    identity = stored_identity(disk, journal)
    assert identity is not None
    loop = asyncio.get_running_loop()
    executor = ThreadExecutor(loop, "lengthens")
    log = MemberLog(disk, executor, journal, identity)
    log.open()
    term = log.last_term
    for number in range(ENTRIES):
        log.append(encode_entry(Entry(ENTRY_VERSION, term, LATER_MS + number, bytes(16), [])), term)
    synced: asyncio.Future[BaseException | None] = loop.create_future()
    log.sync(synced.set_result)
    assert await synced is None
    log.close()
    executor.close()


def heard_of_leader(node: Node, commit_index: int) -> tuple[bool, str]:
    """What the node says in the moment in which the other one tells it that it leads."""
    side = node.cluster
    assert side is not None
    assert side.replicator is not None
    leader = next(member for member in side._config.addresses if member != side.me)
    log, term = side.log, side.replicator.term + (side.leader_node is None)
    side.replicator.received(leader, Append(term, log.last_index, log.last_term, commit_index, 1, []))
    return node.ready()


async def test_a_node_that_comes_back_is_not_ready_before_it_has_applied_its_log(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as rig:
        # Given a node with a long log that it has not applied, and no leader
        await asyncio.gather(stop(rig, "n0"), stop(rig, "n1"))
        await lengthen(tmp_path / "n0")
        await rig.start("n0")
        node = rig.nodes["n0"]
        assert node.ready() == (False, "the cluster has no leader")
        behind = node.journal.last_index - node.machine.applied_index
        # When a leader says that it leads, and not yet how much of that log is committed
        # Then the node counts all of it.
        assert behind >= ENTRIES
        assert heard_of_leader(node, 0) == (False, f"this node is {behind} entries behind")
        # When it is told that all is committed, and has applied that
        # Then it is ready.
        await rig.until(lambda: heard_of_leader(node, node.journal.last_index) == (True, ""))
        await stop(rig, "n0")
