"""A client whose token changes while it works."""

import asyncio
from pathlib import Path

import pytest

from rustqueue.client import AsyncClient, Client, InvalidRequest, TokenFile, Unauthorized
from rustqueue.settings import AuthSettings
from tests.unit.tcp_client import a_node, connected, until


@pytest.mark.parametrize("scheme", ["http", "tcp"])
async def test_a_new_token_in_the_file_is_shown_from_then_on(scheme: str, tmp_path: Path) -> None:
    # Given clients that work with the token in a file
    file = tmp_path / "token"
    async with a_node(auth=AuthSettings(enabled=True, tokens=["chief"])) as node, connected(node) as chief:
        await chief.ask("auth", token="chief")
        scopes = [{"verbs": ["push", "pull"], "queues": ["*"]}]
        first, second = [await chief.ask("token_create", name=name, scopes=scopes) for name in ("a", "b")]
        file.write_text(first["token"] + "\n")
        url = f"{scheme}://127.0.0.1:{node.http.port if scheme == 'http' else node.tcp.port}"
        token = TokenFile(file)
        with Client(url, token=token) as blocking:
            async with AsyncClient(url, token=token) as client:
                await client.push("q", "n")
                await asyncio.to_thread(blocking.push, "q", "n")
                waiting = asyncio.ensure_future(client.pull("other", wait_ms=30_000))
                await until(lambda: node.gateway.waiting_count == 1, chief)
                # When another one stands there and the first is taken away
                await asyncio.to_thread(file.write_text, second["token"])
                await client.push("q", "n")
                # Then what waits is not cut off, and what comes later shows the new one
                await chief.ask("push", queue="other", name="n")
                assert len(await waiting) == 1
                await chief.ask("token_delete", id=first["id"])
                await client.push("q", "n")
                await asyncio.to_thread(blocking.push, "q", "n")
                await chief.ask("token_delete", id=second["id"])
                with pytest.raises(Unauthorized):
                    await client.push("q", "n")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot read the token in .*nothing: No such file"):
        TokenFile(tmp_path / "nothing")()
