"""Webhooks of a whole node, to receivers over real sockets: signed, in order, over restarts, and without a leak."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rustqueue.client import AsyncClient, InvalidRequest, Unavailable
from rustqueue.client.calls.webhooks import WebhookOptions
from rustqueue.effects.webhooks.signing import signature_headers
from rustqueue.machine.webhooks.rows import WebhookCounters
from rustqueue.node import Node, NodeError
from rustqueue.node.webhooks import KEY_FILE
from rustqueue.settings import StorageSettings, WebhooksSettings
from rustqueue.settings.sections import SecuritySettings
from tests.unit.tcp_client import a_node, settings_for_tests
from tests.unit.webhook_receiver import Receiver, a_receiver, answers, hangs

_OPEN = WebhooksSettings(
    enabled=True, allowed_networks=["127.0.0.0/8"], max_retries=1, retry_base_delay_ms=10, delivery_timeout_ms=30_000
)
_CANARY = "canary-5b21e"


def client_of(node: Node) -> AsyncClient:
    return AsyncClient(f"http://127.0.0.1:{node.http.port}")


def counters_of(node: Node) -> WebhookCounters:
    """What the node has counted of the webhook `h`."""
    return node.machine.state.webhooks.by_name["h"].counters


async def until(condition: Callable[[], bool], client: AsyncClient) -> None:
    """Let the node take turns until the condition holds; each turn is a question and its answer."""
    async with asyncio.timeout(60):
        while not condition():
            await client.health()


async def until_delivered(node: Node, client: AsyncClient, count: int) -> None:
    await until(lambda: counters_of(node).delivered >= count, client)


async def until_given_up(node: Node, client: AsyncClient) -> None:
    await until(lambda: counters_of(node).kept > 0, client)


def events_of(receiver: Receiver) -> list[tuple[str, str | None]]:
    bodies = [json.loads(heard.body) for heard in receiver.heard]
    return [(body["event"], body["data"]["job_id"]) for body in bodies]


async def test_the_life_of_a_job_arrives_signed_and_in_order() -> None:
    async with a_node(webhooks=_OPEN) as node, client_of(node) as client, a_receiver() as receiver:
        webhook = await client.create_webhook(receiver.url(), name="h", secret="s1", previous_secret="s2")
        job_id = await client.push("mail", "welcome", {"to": "ada"})
        (job,) = await client.pull("mail")
        await client.ack(job)
        await receiver.until_heard(3)
        await until_delivered(node, client, 3)
        assert events_of(receiver) == [(event, job_id) for event in ("job.pushed", "job.started", "job.completed")]
        for heard in receiver.heard:
            told = {name: heard.headers[name] for name in heard.headers if name.lower().startswith("webhook-")}
            told["X-RustQueue-Signature"] = heard.headers["X-RustQueue-Signature"]
            at_s = int(heard.headers["webhook-timestamp"])
            assert told == signature_headers(heard.headers["webhook-id"], at_s, heard.body, ["s1", "s2"])
            assert heard.headers["X-RustQueue-Webhook-Id"] == webhook.id
        page = await client.webhook_deliveries("h")
        assert [(delivery.event, delivery.state, delivery.status) for delivery in page.deliveries] == [
            ("job.completed", "delivered", 204),
            ("job.started", "delivered", 204),
            ("job.pushed", "delivered", 204),
        ]


async def test_a_test_event_is_delivered() -> None:
    async with a_node(webhooks=_OPEN) as node, client_of(node) as client, a_receiver() as receiver:
        await client.create_webhook(receiver.url(), name="h", events=["job.dlq"])
        delivery = await client.test_webhook("h")
        await receiver.until_heard(1)
        assert events_of(receiver) == [("webhook.test", None)]
        assert receiver.heard[0].headers["webhook-id"] == delivery


async def test_what_waits_is_delivered_after_a_restart(tmp_path: Path) -> None:
    # Given a receiver that is down, and one that hangs
    stored: dict[str, Any] = {"storage": StorageSettings(path=str(tmp_path / "data")), "webhooks": _OPEN}
    async with a_receiver(hangs) as receiver:
        async with a_node(**stored) as node, client_of(node) as client:
            await client.create_webhook(receiver.url(), name="h", events=["job.pushed"], retry={"max_retries": 50})
            ids = await client.push_batch("mail", [{"name": "n", "data": place} for place in range(20)])
            await receiver.until_heard(1)
        # When the node has stopped in the middle of a call, and comes back while the receiver works
        receiver.behaviour = answers("HTTP/1.1 200 OK\nContent-Length: 0\n\n")
        first = receiver.heard[0].headers["webhook-id"]
        async with a_node(**stored) as node, client_of(node) as client:
            await until_delivered(node, client, 20)
    # Then each event arrived, the interrupted one again under its id
    told = {heard.headers["webhook-id"]: json.loads(heard.body)["data"]["job_id"] for heard in receiver.heard}
    assert sorted(told.values()) == sorted(ids)
    assert [heard.headers["webhook-id"] for heard in receiver.heard].count(first) == 2


async def test_a_receiver_that_fails_is_given_up_and_can_be_asked_again() -> None:
    failing = answers("HTTP/1.1 500 No\nContent-Length: 0\n\n")
    async with a_node(webhooks=_OPEN) as node, client_of(node) as client, a_receiver(failing) as receiver:
        await client.create_webhook(receiver.url(), name="h", events=["job.pushed"])
        await client.push("mail", "n")
        await until_given_up(node, client)
        given_up = (await client.webhook_deliveries("h", show="given_up")).deliveries
        assert (given_up[0].attempts, given_up[0].error) == (2, "answered 500")
        receiver.behaviour = answers("HTTP/1.1 200 OK\nContent-Length: 0\n\n")
        assert (await client.resend_webhook("h")).moved == 1
        await until_delivered(node, client, 1)
        assert len({heard.headers["webhook-id"] for heard in receiver.heard}) == 1


async def test_webhooks_are_off_unless_they_are_switched_on() -> None:
    async with a_node(webhooks=WebhooksSettings()) as node, client_of(node) as client:
        for call in (client.create_webhook("https://h.example/"), client.list_webhooks(), client.delete_webhook("h")):
            with pytest.raises(Unavailable) as caught:
                await call
            assert (caught.value.status, caught.value.code) == (503, "WEBHOOKS_DISABLED")
            assert caught.value.message == "Webhooks are not enabled"


async def test_the_node_itself_is_never_called() -> None:
    async with a_node(webhooks=_OPEN) as node, client_of(node) as client:
        for port in (node.http.port, node.tcp.port):
            with pytest.raises(InvalidRequest, match="own"):
                await client.create_webhook(f"http://127.0.0.1:{port}/")


async def test_a_key_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no base64!")
    settings = settings_for_tests(webhooks=_OPEN, security=SecuritySettings(key_file=str(tmp_path / "key")))
    with pytest.raises(NodeError, match="no base64"):
        await Node(settings).start()


async def test_no_secret_shows_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Given a webhook with secrets in every place that takes one, a receiver that fails, and all that says something
    caplog.set_level(logging.DEBUG)
    told: list[Any] = []
    folder = tmp_path / "data"
    stored: dict[str, Any] = {"storage": StorageSettings(path=str(folder)), "webhooks": _OPEN}
    secrets: WebhookOptions = {
        "secret": f"{_CANARY}-1",
        "previous_secret": f"{_CANARY}-2",
        "headers": {"Authorization": f"Bearer {_CANARY}-3"},
    }
    failing = answers("HTTP/1.1 500 No\nContent-Length: 0\n\n")
    async with a_receiver(failing) as receiver:
        async with a_node(**stored) as node, client_of(node) as client:
            told.append(await client.create_webhook(receiver.url(), name="h", **secrets))
            told.append(await client.put_webhook("h", receiver.url(), **secrets))
            bad: WebhookOptions = {**secrets, "headers": {"Host": _CANARY}}
            for url, options in (("http://10.0.0.1/", secrets), (receiver.url(), bad)):
                with pytest.raises(InvalidRequest) as caught:
                    await client.put_webhook("h", url, **options)
                told.append((str(caught.value), caught.value.details))
            await client.push("mail", "n")
            await receiver.until_heard(2)
            await until_given_up(node, client)
            told += [await client.list_webhooks(), await client.get_webhook("h"), await client.webhook_deliveries("h")]
            told += [await client.webhook_deliveries("h", show="given_up"), node.metrics.text()]
        # The receiver got the header, so the canary was alive.
        assert receiver.heard[0].headers["Authorization"] == f"Bearer {_CANARY}-3"
    # Then it is in no answer, no log line, no metric, and in no file: journal, store, key
    assert _CANARY not in repr(told)
    assert _CANARY not in caplog.text
    assert _CANARY not in repr([vars(record) for record in caplog.records])
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {KEY_FILE}
    assert [path for path in files if _CANARY.encode() in path.read_bytes()] == []
