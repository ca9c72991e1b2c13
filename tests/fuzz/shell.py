"""A running HTTP shell over a small gateway, and a client that can send any bytes.

The gateway is a second real body of the port: it answers every verb with a well-formed reply of its kind, keeps what it
was given, and lets pulls wait until they are released or cancelled.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rustqueue.api.app import HttpShell
from rustqueue.api.ports import EventsAsked, HttpOptions
from rustqueue.auth import Authenticator, Principal
from rustqueue.effects.stream import EventFilter, EventStream, Follower, Place
from rustqueue.model.commands import Ack, Pull, PushJobs
from rustqueue.model.replies import Done, HealthInfo, PulledOne, Pushed, PushedBatch, Reply
from rustqueue.model.wire import Request
from rustqueue.raft.real import LoopClock
from rustqueue.websocket import text_frame
from tests.unit.gateway_world import ManualClock


class Waiting:
    """The ticket of a pull that waits."""

    def __init__(self, gateway: "SmallGateway", done: Callable[[Reply], None]) -> None:
        self._gateway = gateway
        self.done = done

    def cancel(self) -> None:
        self._gateway.waiting.remove(self)
        self._gateway.changed.set()


class SmallGateway:
    """Answers at once, except pulls that wait. `reply` overrides the answer to everything."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.lines: list[bytes] = []
        self.principals: list[Principal] = []
        self.waiting: list[Waiting] = []
        self.changed = asyncio.Event()
        self.reply: Callable[[Request], Reply] = usual_reply

    def submit(
        self, request: Request, raw: bytes, done: Callable[[Reply], None], principal: Principal
    ) -> Waiting | None:
        self.principals.append(principal)
        self.requests.append(request)
        self.lines.append(raw)
        if isinstance(request, Pull) and request.wait_ms > 0:
            ticket = Waiting(self, done)
            self.waiting.append(ticket)
            self.changed.set()
            return ticket
        if isinstance(request, PushJobs | Ack):
            # A real gateway answers after the commit, so never before submit returns.
            asyncio.get_running_loop().call_soon(done, self.reply(request))
        else:
            done(self.reply(request))
        return None

    async def until(self, waiting: int) -> None:
        """Return when that many pulls wait."""
        while len(self.waiting) != waiting:
            self.changed.clear()
            await self.changed.wait()


def usual_reply(request: Request) -> Reply:
    if isinstance(request, PushJobs):
        texts = [f"id-{position}" for position in range(len(request.jobs))]
        return Pushed(id=texts[0]) if request.single else PushedBatch(ids=texts)
    if isinstance(request, Pull):
        return PulledOne(job=None)
    return Done()


def new_stream() -> EventStream:
    return EventStream(LoopClock(asyncio.get_running_loop()), text_frame, 0)


@dataclass
class SmallNode:
    """The services that a node gives to the shell."""

    authenticator: Authenticator
    is_ready: bool = True
    text: bytes = b"# nothing\n"
    observed: list[tuple[str, int]] = field(default_factory=list)
    stream: EventStream = field(default_factory=new_stream)

    def health(self) -> HealthInfo:
        return HealthInfo(
            status="healthy", version="0", uptime_seconds=1, role="leader", leader=None, term=1, applied=7, lag=0
        )

    def ready(self) -> tuple[bool, str]:
        return self.is_ready, "" if self.is_ready else "replaying"

    def metrics_text(self) -> bytes:
        return self.text

    def observe(self, method: str, status: int, seconds: float) -> None:
        self.observed.append((method, status))

    def followers_count(self) -> int:
        return self.stream.followers_count

    def follow(self, follower: Follower, asked: EventsAsked, principal: Principal) -> Place:
        return self.stream.join(follower, EventFilter(asked.events, asked.queues, asked.job_id), asked.after)

    def admit(self, peer: str, authorization: str | None) -> Principal:
        return self.authenticator.check_header(authorization, peer)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The code of an error envelope; fails when the body is none."""
        envelope = self.json
        assert list(envelope) == ["ok", "error"]
        assert envelope["ok"] is False
        assert list(envelope["error"]) == ["code", "message", "details"]
        code: str = envelope["error"]["code"]
        return code


class Wire:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer, whole."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if head_only else int(headers.get("content-length", "0"))
        return Answer(int(first.split(" ")[1]), headers, await self.reader.readexactly(length))

    async def answer_or_end(self) -> Answer | None:
        """The next answer, or None when the server ended the connection instead."""
        try:
            return await self.answer()
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise AssertionError(f"half an answer: {error.partial!r}") from error
            return None
        except ConnectionError:
            return None

    async def answers(self) -> list[Answer]:
        """Everything up to the end of the connection; fails when something is there that is no answer."""
        found = []
        while (answer := await self.answer_or_end()) is not None:
            if answer.status != 100:
                found.append(answer)
        return found

    async def is_ended(self) -> bool:
        """True when the server closes without sending anything more."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    async def ask(
        self, method: str, target: str, body: bytes | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        self.send(request_bytes(method, target, body, headers))
        return await self.answer(head_only=method == "HEAD")

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


def request_bytes(
    method: str, target: str, body: bytes | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """A well-formed request; JSON unless `headers` says something else."""
    names = {name.lower() for name, _ in headers}
    lines = [f"{method} {target} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines += [f"Content-Length: {len(body)}"]
        if "content-type" not in names:
            lines += ["Content-Type: application/json"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Setting:
    """What a test works with."""

    def __init__(self, shell: HttpShell, gateway: SmallGateway, node: SmallNode) -> None:
        self.shell = shell
        self.gateway = gateway
        self.node = node
        self._wires: list[Wire] = []

    async def connect(self) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.shell.port))
        self._wires.append(wire)
        return wire

    async def ask(
        self, method: str, target: str, body: bytes | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        """One request on a connection of its own."""
        wire = await self.connect()
        return await wire.ask(method, target, body, headers)

    async def send(self, data: bytes) -> Answer | None:
        """Any bytes on a connection of its own, and what came back."""
        wire = await self.connect()
        wire.send(data)
        return await wire.answer_or_end()

    async def close(self) -> None:
        for wire in self._wires:
            await wire.close()
        await self.shell.stop(5)


@asynccontextmanager
async def running_shell(
    options: HttpOptions | None = None, *, tokens: tuple[str, ...] | None = None
) -> AsyncIterator[Setting]:
    """A shell on a free port; with `tokens` it wants one."""
    gateway = SmallGateway()
    node = SmallNode(Authenticator(tokens is not None, tokens or (), ManualClock()))
    shell = HttpShell(gateway, node, options or HttpOptions(host="127.0.0.1", port=0))
    await shell.start()
    setting = Setting(shell, gateway, node)
    try:
        async with asyncio.timeout(60):
            yield setting
    finally:
        await setting.close()
