"""A raw TCP client for tests, and a node to talk to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from rustqueue.node import Node, running_node
from rustqueue.settings import LimitsSettings, ServerSettings, Settings, StorageSettings, WebhooksSettings

ANSWER_S = 60.0


def settings_for_tests(**sections: Any) -> Settings:
    """In memory, on free ports of loopback."""
    given = {
        "server": ServerSettings(host="127.0.0.1", http_port=0, tcp_port=0),
        "storage": StorageSettings(backend="memory"),
        "limits": LimitsSettings(shutdown_s=5),
        "webhooks": WebhooksSettings(enabled=True),
        **sections,
    }
    return Settings(**given)


@asynccontextmanager
async def a_node(**sections: Any) -> AsyncIterator[Node]:
    async with running_node(settings_for_tests(**sections)) as node:
        yield node


class RawClient:
    """Lines out, lines in, nothing in between."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, cmd: str, **fields: object) -> None:
        self.send_raw(msgspec.json.encode({"cmd": cmd, **fields}) + b"\n")

    def send_raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> dict[str, Any]:
        """The next answer; fails when the server closed instead."""
        line = await asyncio.wait_for(self._reader.readline(), ANSWER_S)
        assert line.endswith(b"\n"), f"closed after {line!r}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, cmd: str, **fields: object) -> dict[str, Any]:
        self.send(cmd, **fields)
        return await self.answer()

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self._reader.read(), ANSWER_S)


@asynccontextmanager
async def connected(node: Node) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.tcp.port, limit=64 * 1024 * 1024)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


async def until(condition: Callable[[], bool], client: RawClient) -> None:
    """Let the node take turns until the condition holds; each turn is a question and its answer."""
    async with asyncio.timeout(ANSWER_S):
        while not condition():
            await client.ask("health")
