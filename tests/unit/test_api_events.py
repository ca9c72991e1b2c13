"""Events over WebSocket: a real node, followed by our clients and by somebody else's."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from rustqueue import websocket as ws
from rustqueue.api.ports import HttpOptions
from rustqueue.client import AsyncClient, Client, InvalidRequest, StreamEvent, Unauthorized
from rustqueue.effects.stream import EventFilter
from rustqueue.model import limits
from rustqueue.model.events import JobsChanged
from rustqueue.node import Node
from rustqueue.settings.sections import AuthSettings
from tests.fuzz.shell import Setting, Wire, running_shell
from tests.unit.node_in_thread import node_in_thread, node_settings
from tests.unit.tcp_client import a_node, connected

EVENTS = "/api/v1/events"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TOKEN = "canary-token"
MASK = b"mask"


def upgrade(target: str = EVENTS, **changed: str | None) -> bytes:
    """A handshake; a keyword replaces a header, None leaves it out."""
    headers: dict[str, str | None] = {
        "Host": "test:1",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return ("\r\n".join([f"GET {target} HTTP/1.1", *lines]) + "\r\n\r\n").encode()


class Socket:
    """A follower, frame by frame."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._frames = ws.FrameReader(masked=False, message_bytes_max=10**6)
        self._messages: list[ws.Message] = []

    async def next(self) -> ws.Message:
        while not self._messages:
            data = await asyncio.wait_for(self.wire.reader.read(65_536), 60)
            assert data, "the connection ended"
            self._messages += self._frames.feed(data)
        return self._messages.pop(0)

    async def event(self) -> dict[str, Any]:
        while (message := await self.next()).opcode == ws.PING:
            self.send(ws.PONG)
        assert message.opcode == ws.TEXT, message
        event: dict[str, Any] = msgspec.json.decode(message.payload)
        return event

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.wire.send(ws.frame(opcode, payload, MASK))


async def followed(at: Setting, target: str = EVENTS, **changed: str | None) -> Socket:
    wire = await at.connect()
    wire.send(upgrade(target, **changed))
    answer = await wire.answer(head_only=True)
    assert answer.status == 101
    return Socket(wire)


@pytest_asyncio.fixture
async def at() -> AsyncIterator[Setting]:
    async with running_shell() as setting:
        yield setting


def tell(at: Setting, index: int = 1, queue: str = "mail") -> None:
    at.node.stream.on_events(index, 0, [JobsChanged("pushed", queue, [b"j" * 16])])


# The handshake.


async def test_the_handshake_is_that_of_the_standard(at: Setting) -> None:
    wire = await at.connect()
    wire.send(upgrade(Sec_WebSocket_Protocol="other, rustqueue.events", X_Request_Id="mine"))
    answer = await wire.answer(head_only=True)
    assert (answer.status, answer.headers) == (
        101,
        {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "sec-websocket-protocol": "rustqueue.events",
            "x-rustqueue-index": "0",
            "x-request-id": "mine",
        },
    )
    assert at.node.observed == [("GET", 101)]


REFUSED: dict[str, tuple[dict[str, str | None], str, int, str, str]] = {
    "no upgrade": ({"Connection": None, "Upgrade": None}, "", 426, "UPGRADE_REQUIRED", "upgrade"),
    "another protocol": ({"Upgrade": "h2c"}, "", 426, "UPGRADE_REQUIRED", "upgrade"),
    "an old version": ({"Sec_WebSocket_Version": "8"}, "", 426, "UPGRADE_REQUIRED", "upgrade"),
    "no key": ({"Sec_WebSocket_Key": None}, "", 400, "VALIDATION_ERROR", "sec-websocket-key"),
    "a short key": ({"Sec_WebSocket_Key": "abc"}, "", 400, "VALIDATION_ERROR", "sec-websocket-key"),
    "a foreign page": ({"Origin": "https://evil.example"}, "", 403, "FORBIDDEN", "origin"),
    "a page without origin": ({"Origin": "null"}, "", 403, "FORBIDDEN", "origin"),
    "an origin that is no address": ({"Origin": "https://[::1"}, "", 403, "FORBIDDEN", "origin"),
    "an unknown key": ({}, "?queue=a", 400, "VALIDATION_ERROR", "queue"),
    "an unknown event": ({}, "?events=job.pushed,job.made", 400, "VALIDATION_ERROR", "events"),
    "a bad queue": ({}, "?queues=a%20b", 400, "VALIDATION_ERROR", "queues"),
    "too many queues": ({}, f"?queues={','.join('q' * 65)}", 400, "VALIDATION_ERROR", "queues"),
    "a bad job": ({}, "?job_id=7", 400, "VALIDATION_ERROR", "job_id"),
    "a bad cursor": ({}, "?after=now", 400, "VALIDATION_ERROR", "after"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_wrong_with_a_handshake_is_told(at: Setting, name: str) -> None:
    headers, query, status, code, field = REFUSED[name]
    answer = await at.send(upgrade(EVENTS + query, **headers))
    assert answer is not None
    assert (answer.status, answer.code, answer.json["error"]["details"]["field"]) == (status, code, field)
    assert at.node.stream.followers_count == 0


async def test_pages_of_the_node_and_of_listed_origins_may_follow() -> None:
    options = HttpOptions(host="127.0.0.1", port=0, cors_origins=("https://ops.example",))
    async with running_shell(options) as at:
        for origin in ("http://test:1", "https://TEST:1", "https://ops.example"):
            await followed(at, Origin=origin)
        assert at.node.stream.followers_count == 3


async def test_a_token_comes_as_a_header_or_as_a_protocol() -> None:
    async with running_shell(tokens=(TOKEN,)) as at:
        encoded = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
        await followed(at, Authorization=f"Bearer {TOKEN}")
        await followed(at, Sec_WebSocket_Protocol=f"rustqueue.events, rustqueue.bearer.{encoded}")
        refused = [
            await at.send(upgrade(**changed))
            for changed in ({}, {"Authorization": "Bearer x"}, {"Sec_WebSocket_Protocol": "rustqueue.bearer.eA"})
        ]
        assert [answer and (answer.status, answer.code) for answer in refused] == [(401, "UNAUTHORIZED")] * 3
        broken = await at.send(upgrade(Sec_WebSocket_Protocol="rustqueue.bearer.A"))
        assert broken is not None
        assert broken.code == "VALIDATION_ERROR"


# Once it stands.


async def test_events_pings_and_goodbyes(at: Setting) -> None:
    socket = await followed(at)
    tell(at)
    assert (await socket.event())["cursor"] == "1-0"
    socket.send(ws.PING, b"there?")
    assert await socket.next() == ws.Message(ws.PONG, b"there?")
    socket.send(ws.TEXT, b"nobody listens to this")
    socket.send(ws.CLOSE, (1000).to_bytes(2, "big"))
    assert (await socket.next()).close_code == 1000
    assert await socket.wire.is_ended()
    assert at.node.stream.followers_count == 0


async def test_frames_behind_the_handshake_are_not_lost(at: Setting) -> None:
    wire = await at.connect()
    wire.send(upgrade() + ws.frame(ws.PING, b"early", MASK))
    assert (await wire.answer(head_only=True)).status == 101
    assert await Socket(wire).next() == ws.Message(ws.PONG, b"early")


async def test_what_breaks_the_protocol_ends_it_with_a_code(at: Setting) -> None:
    for data, code in ((ws.frame(ws.TEXT, b"bare"), 1002), (ws.frame(ws.TEXT, b"x" * 5_000, MASK), 1009)):
        socket = await followed(at)
        socket.wire.send(data)
        assert (await socket.next()).close_code == code
        assert await socket.wire.is_ended()


async def test_a_node_that_stops_says_goodbye(at: Setting) -> None:
    socket = await followed(at)
    stopping = asyncio.ensure_future(at.shell.stop(5))
    assert (await socket.next()).close_code == ws.CLOSE_GOING_AWAY
    socket.send(ws.CLOSE, (1001).to_bytes(2, "big"))
    assert await socket.wire.is_ended()
    await stopping
    assert at.shell.connections_count == 0


async def test_a_follower_that_does_not_read_is_cut_and_the_rest_go_on() -> None:
    options = HttpOptions(host="127.0.0.1", port=0, write_timeout_ms=200)
    async with running_shell(options) as at:
        await followed(at)
        good = await followed(at, f"{EVENTS}?queues=end")
        index = 0
        while at.node.stream.followers_count == 2:
            index += 1
            at.node.stream.on_events(index, 0, [JobsChanged("pushed", "mail", [b"j" * 16] * 1_000)])
            await asyncio.sleep(0.001)  # The stalled one is cut by the clock of the shell.
        tell(at, index + 1, "end")
        told = [await good.event()]
        while told[-1]["event"] == "stream.gap":
            told.append(await good.event())
        assert told[-1]["queue"] == "end"


async def test_the_silent_are_pinged_and_cut() -> None:
    options = HttpOptions(host="127.0.0.1", port=0, event_ping_ms=2_000)
    async with running_shell(options) as at:
        answering, silent = await followed(at), await followed(at)
        assert (await silent.next()).opcode == ws.PING
        while at.node.stream.followers_count == 2:
            assert (await answering.next()).opcode == ws.PING
            answering.send(ws.PONG)
        assert await silent.wire.is_ended()
        assert at.node.stream.followers_count == 1


async def test_a_token_sees_its_queues_only_and_as_long_as_it_lives() -> None:
    async with a_node(auth=AuthSettings(enabled=True, tokens=[TOKEN])) as node, connected(node) as chief:
        node.http.options = replace(node.http.options, event_ping_ms=2_000)
        await chief.ask("auth", token=TOKEN)
        pusher = await chief.ask("token_create", name="pusher", scopes=[{"verbs": ["push"], "queues": ["*"]}])
        reader = await chief.ask("token_create", name="reader", scopes=[{"verbs": ["read"], "queues": ["own.*"]}])

        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        wire.send(upgrade(Authorization=f"Bearer {pusher['token']}"))
        assert (await wire.answer()).code == "FORBIDDEN"
        await wire.close()
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        wire.send(upgrade(Authorization=f"Bearer {reader['token']}"))
        assert (await wire.answer(head_only=True)).status == 101

        socket = Socket(wire)
        for queue in ("foreign", "own.mail"):
            await chief.ask("push", queue=queue, name="n", data=1)
        assert (await socket.event())["queue"] == "own.mail"
        await chief.ask("token_delete", id=reader["id"])
        while (message := await socket.next()).opcode == ws.PING:
            socket.send(ws.PONG)
        assert (message.close_code, message.close_reason) == (
            ws.CLOSE_POLICY,
            "This token has expired or was deleted",
        )
        await wire.close()


async def test_only_so_many_may_follow(at: Setting) -> None:
    class Nobody:
        def send(self, data: bytes) -> None:
            return

    for _ in range(limits.EVENT_CLIENTS_MAX):
        at.node.stream.join(Nobody(), EventFilter(), None)
    answer = await at.send(upgrade())
    assert answer is not None
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "OVERLOADED", "1")


# Clients.


@pytest.mark.parametrize("kind", ["ours", "aiohttp"])
async def test_a_node_tells_the_life_of_a_job(kind: str) -> None:
    async with a_node() as node, AsyncClient(f"http://127.0.0.1:{node.http.port}") as client:
        told = ours(client) if kind == "ours" else foreign(node)
        first = asyncio.ensure_future(anext(told))
        while node.stream.followers_count == 0:
            await client.health()
        job_id = await client.push("mail", "welcome", {})
        job = (await client.pull("mail"))[0]
        await client.progress(job.id, 40, attempt_token=job.attempt_token)
        await client.ack(job.id, attempt_token=job.attempt_token)
        await client.pause("mail")
        events = [await first, *[await anext(told) for _ in range(4)]]
        assert [(event.event, event.job_id, event.progress) for event in events] == [
            ("job.pushed", job_id, None),
            ("job.started", job_id, None),
            ("job.progress", job_id, 40),
            ("job.completed", job_id, None),
            ("queue.paused", None, None),
        ]
        await told.aclose()


async def ours(client: AsyncClient) -> Any:
    async for event in client.subscribe(queues=["mail"]):
        yield event


async def foreign(node: Node) -> Any:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{node.http.port}{EVENTS}"
        async with session.ws_connect(url, origin=f"http://127.0.0.1:{node.http.port}") as socket:
            async for message in socket:
                yield msgspec.json.decode(message.data, type=StreamEvent)


def test_a_blocking_client_goes_on_where_it_was(tmp_path: Path) -> None:
    """The connection is cut between two events; nothing is told twice, nothing is missing."""
    with node_in_thread(node_settings(tmp_path)) as ports, Client(ports.url("http")) as client:
        first_id = client.push("mail", "first", {})
        told = client.subscribe(after="0")
        first = next(event for event in told if event.event != "stream.gap")
        told.close()
        second_id = client.push("mail", "second", {})
        again = client.subscribe(after=first.cursor, events=["job_pushed"])
        assert (first.job_id, next(again).job_id) == (first_id, second_id)
        again.close()


def test_refusals_are_raised(tmp_path: Path) -> None:
    with node_in_thread(node_settings(tmp_path, token=TOKEN)) as ports:
        with Client(ports.url("http")) as client, pytest.raises(Unauthorized):
            next(client.subscribe())
        with Client(ports.url("http"), token=TOKEN) as client, pytest.raises(InvalidRequest):
            next(client.subscribe(queues=["a b"]))
        with Client(ports.url("tcp"), token=TOKEN) as client, pytest.raises(ValueError, match="over HTTP"):
            next(client.subscribe())
