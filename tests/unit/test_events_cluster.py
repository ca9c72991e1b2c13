"""Events in a cluster: every member tells the same under the same cursors, so a client may come back to another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from rustqueue.client import AsyncClient, StreamEvent
from rustqueue.demo.ports import free_port
from rustqueue.node import Node, running_node
from rustqueue.settings import Settings
from rustqueue.settings.cluster import ClusterSettings
from rustqueue.settings.sections import AuthSettings, ServerSettings, StorageSettings
from tests.unit.cluster_rig import ELECTION_MS

MEMBERS = ("n0", "n1", "n2")


@asynccontextmanager
async def a_cluster(folder: Path, auth: AuthSettings | None = None) -> AsyncIterator[list[Node]]:
    addresses = [f"127.0.0.1:{free_port()}" for _ in MEMBERS]
    peers = [f"{member}={address}" for member, address in zip(MEMBERS, addresses, strict=True)]

    def settings(member: str, address: str) -> Settings:
        return Settings(
            server=ServerSettings(host="127.0.0.1", http_port=0, tcp_port=0),
            storage=StorageSettings(path=str(folder / member)),
            auth=auth or AuthSettings(),
            cluster=ClusterSettings(
                enabled=True,
                node_id=member,
                listen=address,
                peers=peers,
                insecure=True,
                election_timeout_ms=ELECTION_MS,
            ),
        )

    async with AsyncExitStack() as stack:
        opened = [
            stack.enter_async_context(running_node(settings(*pair))) for pair in zip(MEMBERS, addresses, strict=True)
        ]
        yield list(await asyncio.gather(*opened))


def url(node: Node) -> str:
    return f"http://127.0.0.1:{node.http.port}"


async def told_by(node: Node, after: str, count: int) -> list[StreamEvent]:
    """The next events of a member."""
    async with AsyncClient(url(node)) as client:
        told = client.subscribe(after=after, queues=["mail"])
        events = [await anext(told) for _ in range(count)]
        await told.aclose()
        return events


async def test_every_member_tells_the_same_under_the_same_cursors(tmp_path: Path) -> None:
    async with asyncio.timeout(180), a_cluster(tmp_path) as nodes:
        async with AsyncClient(url(nodes[1])) as client:
            ids = await client.push_batch("mail", [{"name": "n", "data": number} for number in range(3)])
            job = (await client.pull("mail"))[0]
            await client.ack(job)
        first, second, third = [await told_by(node, "0", 5) for node in nodes]
        assert [(event.event, event.job_id) for event in first] == [
            *[("job.pushed", job_id) for job_id in ids],
            ("job.started", ids[0]),
            ("job.completed", ids[0]),
        ]
        assert first == second == third
        # Half of it from one member, the rest from another.
        assert await told_by(nodes[2], first[1].cursor, 3) == first[2:]
