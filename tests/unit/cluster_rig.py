"""Several real nodes of a cluster in one loop, on loopback: founded, asked, stopped, wiped, started again."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from rustqueue.demo.ports import free_port
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import decode_request
from rustqueue.node import Node
from rustqueue.settings import ClusterSettings, Settings
from rustqueue.settings.sections import ServerSettings, StorageSettings

DEADLINE_S = 60.0
ELECTION_MS = "1500-2500"  # A machine that stalls for a second elects nobody else in the middle of a test.


def _leads(node: Node) -> bool:
    return node.cluster is not None and node.cluster.role == "leader"


class Rig:
    """Nodes by their ids; what is started here is stopped at the end."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(count + 1)]
        self.addresses = dict(zip((f"n{i}" for i in range(count + 1)), addresses, strict=True))
        self._founders = list(self.addresses)[:count]
        self.nodes: dict[str, Node] = {}

    def settings(self, name: str) -> Settings:
        """The last node is none of the founders: it asks the first one to be taken in."""
        joins = name not in self._founders
        peers = [] if joins else [f"{founder}={self.addresses[founder]}" for founder in self._founders]
        return Settings(
            server=ServerSettings(host="127.0.0.1", http_port=0, tcp_port=0),
            storage=StorageSettings(path=str(self._folder / name)),
            cluster=ClusterSettings(
                enabled=True,
                node_id=name,
                listen=self.addresses[name],
                peers=peers,
                join=self.addresses["n0"] if joins else "",
                insecure=True,
                election_timeout_ms=ELECTION_MS,
            ),
        )

    async def start(self, *names: str) -> None:
        nodes = {name: Node(self.settings(name)) for name in names}
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*(node.start() for node in nodes.values()))
        self.nodes |= nodes

    async def stop(self, name: str) -> None:
        await self.nodes.pop(name).stop(2.0)

    async def wipe(self, name: str) -> None:
        """The node loses its disk."""
        await self.stop(name)
        shutil.rmtree(self._folder / name)

    async def ask(self, node: str, verb: str, /, **fields: Any) -> Reply:
        line = msgspec.json.encode({"cmd": verb, **fields})
        async with asyncio.timeout(DEADLINE_S):
            return await self.nodes[node].gateway.ask(decode_request(line), line)

    async def change(self, node: str, verb: str, /, **fields: Any) -> Reply:
        """Asked again while the change before is not committed."""
        while True:
            reply = await self.ask(node, verb, **fields)
            if not isinstance(reply, Refused) or reply.error.code != "CHANGE_IN_PROGRESS":
                return reply
            await asyncio.sleep(0.05)

    @property
    def leader(self) -> str | None:
        return next((name for name, node in self.nodes.items() if _leads(node)), None)

    def follower(self) -> str:
        return next(name for name, node in self.nodes.items() if not _leads(node))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():  # noqa: ASYNC110 - nodes tell only clients what became of them.
                await asyncio.sleep(0.02)

    async def led(self) -> str:
        """The leader, once all nodes know one."""
        await self.until(lambda: all(node.ready()[0] for node in self.nodes.values()) and self.leader is not None)
        leader = self.leader
        assert leader is not None
        return leader


@asynccontextmanager
async def cluster(folder: Path, count: int = 3) -> AsyncIterator[Rig]:
    """A founded cluster with a leader."""
    rig = Rig(folder, count)
    try:
        await rig.start(*list(rig.addresses)[:count])
        await rig.led()
        yield rig
    finally:
        await asyncio.gather(*(node.stop(2.0) for node in rig.nodes.values()))
        await asyncio.sleep(0.05)  # Connections that were cut are closed in the next turns of the loop.
