"""Receivers of webhooks over real sockets: good ones, and those that hang, lie, redirect or never end."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Heard(NamedTuple):
    target: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """What it heard, and where it listens."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.heard: list[Heard] = []
        self.connections_count = 0
        self.port = 0
        self.news = asyncio.Event()

    def url(self, path: str = "/in", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_count += 1
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # The caller has gone, which is its good right.
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            lengths = [value for name, value in headers.items() if name.lower() == "content-length"]
            body = await reader.readexactly(int(lengths[0]) if lengths else 0)
            self.heard.append(Heard(head[0].split(" ")[1], headers, body))
            self.news.set()
            await self.behaviour(writer)
            await writer.drain()

    async def until_heard(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.heard) < count:
                self.news.clear()
                await self.news.wait()


def answers(text: str, *, then_close: bool = False) -> Behaviour:
    """Say this, with `\\n` for the ends of lines."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(text.replace("\n", "\r\n").encode())
        if then_close:
            await writer.drain()
            writer.close()

    return behave


GOOD = answers("HTTP/1.1 204 No Content\n\n")


async def hangs(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def never_ends(writer: asyncio.StreamWriter) -> None:
    """A good status, then a body for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        await writer.drain()


async def trickles_a_head(writer: asyncio.StreamWriter) -> None:
    """A byte of a header now and then, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    ticking = asyncio.Event()
    while True:
        writer.write(b"x")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(ticking.wait(), 0.02)


async def floods_a_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Flood: " + b"x" * 4_000 + b"\r\n")
        await writer.drain()


@asynccontextmanager
async def a_receiver(behaviour: Behaviour = GOOD, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(behaviour)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
