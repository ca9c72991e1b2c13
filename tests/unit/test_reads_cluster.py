"""Reads of a cluster over its protocols: an entry seen elsewhere is waited for; without a leader answers are marked."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientSession

from rustqueue.node import Node
from tests.unit.cluster_rig import cluster
from tests.unit.tcp_client import connected


async def get(session: ClientSession, node: Node, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Status, headers of ours, body."""
    async with session.get(f"http://127.0.0.1:{node.http.port}/api/v1{path}", headers=headers) as answer:
        marks = {name: value for name, value in answer.headers.items() if name.startswith("X-RustQueue")}
        return answer.status, marks, await answer.json()


async def test_reads_of_a_cluster_say_what_they_have_seen(tmp_path: Path) -> None:
    async with asyncio.timeout(180), cluster(tmp_path) as rig, ClientSession() as session:
        # Given a receipt of one node
        leader, follower = await rig.led(), rig.follower()
        pushed: Any = msgspec.to_builtins(await rig.ask(leader, "push", queue="q", name="n", data={}, receipt=True))
        # When another node is asked for at least that, and no matter what others know
        wanted = {"X-RustQueue-Consistency": "local", "X-RustQueue-Min-Index": str(pushed["index"])}
        status, marks, body = await get(session, rig.nodes[follower], f"/jobs/{pushed['id']}", **wanted)
        # Then it has the job, and says up to where it has seen.
        assert (status, body["job"]["id"]) == (200, pushed["id"])
        assert int(marks["X-RustQueue-Index"]) >= pushed["index"]
        assert "X-RustQueue-Stale" not in marks
        # And the usual read carries no mark.
        assert (await get(session, rig.nodes[follower], "/queues"))[:2] == (200, {})

        # When the majority is gone
        for name in [name for name in rig.nodes if name != follower]:
            await rig.stop(name)
        [last] = rig.nodes.values()
        status, marks, body = await get(session, last, "/queues")
        # Then what the last one has is shown, and marked as perhaps old; on TCP in the answer itself.
        assert (status, marks["X-RustQueue-Stale"], body["queues"][0]["name"]) == (200, "true", "q")
        async with connected(last) as raw:
            told = await raw.ask("stats", queue="q")
        assert (told["ok"], told["stale"], told["index"]) == (True, True, int(marks["X-RustQueue-Index"]))
