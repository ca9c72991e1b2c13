"""Tokens in a cluster: good on every member as soon as they are made, and no way around them by one that is behind."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rustqueue.client import AsyncClient, Unauthorized
from rustqueue.node import Node
from rustqueue.settings import AuthSettings
from tests.unit.test_events_cluster import a_cluster

CHIEF = "chief"


def urls(node: Node) -> tuple[str, str]:
    return f"http://127.0.0.1:{node.http.port}", f"tcp://127.0.0.1:{node.tcp.port}"


async def test_a_token_is_good_on_every_member_at_once_and_guards_there_too(tmp_path: Path) -> None:
    auth = AuthSettings(enabled=True, tokens=[CHIEF])
    async with asyncio.timeout(180), a_cluster(tmp_path, auth) as nodes, AsyncExitStack() as stack:
        chiefs = [await stack.enter_async_context(AsyncClient(urls(node)[1], CHIEF)) for node in nodes]
        for turn in range(3):
            # Given a token made on one member, and a foreign job pushed on another
            made = await chiefs[turn].create_token(f"t{turn}", [{"verbs": ["push", "pull"], "queues": ["own"]}])
            foreign = await chiefs[turn - 1].push("foreign", "n")
            # When it is used on all of them, on both protocols
            for node in nodes:
                for url in urls(node):
                    async with AsyncClient(url, made.token) as client:
                        # Then it opens what it should, and nothing else
                        await client.push("own", "n")
                        with pytest.raises(Unauthorized, match="FORBIDDEN"):
                            await client.ack(foreign)
            # And once it is deleted, it is bad there
            await chiefs[turn].delete_token(made.id)
            async with AsyncClient(urls(nodes[turn])[0], made.token) as client:
                with pytest.raises(Unauthorized, match="UNAUTHORIZED"):
                    await client.push("own", "n")
