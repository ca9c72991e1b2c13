"""Canaries: a token is in the answer that makes it, and nowhere else."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from rustqueue.effects.logs import JsonLines, PrettyLines
from rustqueue.settings import AuthSettings, StorageSettings
from rustqueue.tcp import TcpOptions, TcpShell
from tests.fuzz.shell import Wire
from tests.unit.tcp_client import a_node, connected

CHIEF = "canary-of-the-configuration"
SCOPES = [{"verbs": ["push"], "queues": ["q"]}]


def files_with(folder: Path, secret: bytes) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


async def test_tokens_are_in_no_file_log_list_metric_or_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Given a node on disk that logs everything, and a token made on each protocol
    caplog.set_level(logging.DEBUG)
    heard: list[Any] = []
    storage, auth = StorageSettings(path=str(tmp_path)), AuthSettings(enabled=True, tokens=[CHIEF])
    async with a_node(storage=storage, auth=auth) as node, connected(node) as client:
        await client.ask("auth", token=CHIEF)
        made = await client.ask("token_create", name="tcp", scopes=SCOPES)
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        headers = (("Authorization", f"Bearer {CHIEF}"),)
        body = b'{"name":"http","scopes":[{"verbs":["push"],"queues":["q"]}]}'
        other = (await wire.ask("POST", "/api/v1/tokens", body, headers)).json
        # When they are used well and badly
        heard += [await client.ask("token_list"), await client.ask("token_create", name="tcp", scopes=SCOPES)]
        async with connected(node) as user:
            heard += [await user.ask("auth", token=made["token"]), await user.ask("push", queue="q", name="n")]
            heard += [await user.ask("queue_get", queue="q"), await user.ask("auth", token=made["token"] + "x")]
        for target in ("/api/v1/tokens", "/api/v1/metrics/prometheus", "/api/v1/queues?token=" + other["token"]):
            mine = (("Authorization", f"Bearer {other['token']}"),)
            heard.append((await wire.ask("GET", target, None, mine)).body)
        await wire.close()
    # Then their text is nowhere
    lines = [form.format(record) for record in caplog.records for form in (JsonLines(), PrettyLines())]
    # Behind the second underscore, since a secret may hold more of them.
    for secret in (CHIEF, made["token"].split("_", 2)[2], other["token"].split("_", 2)[2]):
        assert len(secret) > 10
        assert [line for line in lines if secret in line] == []
        assert [answer for answer in heard if secret in repr(answer)] == []
        assert files_with(tmp_path, secret.encode()) == []
    # And it is the search that finds nothing, not the folder that is empty
    assert files_with(tmp_path, made["id"].encode()) != []


async def test_a_client_without_a_token_is_not_kept() -> None:
    # Given a port that waits for tokens no longer than a moment
    async with a_node(auth=AuthSettings(enabled=True, tokens=[CHIEF])) as node:
        options = TcpOptions("127.0.0.1", 0, token_deadline_ms=2_000)
        node.tcp, usual = TcpShell(node.gateway, node.tcp.authenticator, node.clock, options), node.tcp
        await node.tcp.start()
        # When one client shows a token and another does not
        async with connected(node) as idle, connected(node) as known:
            assert (await known.ask("auth", token=CHIEF))["ok"] is True
            told = await idle.rest()
            # Then only the other one is cut off
            assert b'"REQUEST_TIMEOUT"' in told
            assert (await known.ask("list_queues"))["ok"] is True
        await node.tcp.stop(1)
        node.tcp = usual
        assert b"rustqueue_auth_failures_total 0" in node.metrics.text()
