"""Real links on loopback for tests: members that remember what happened, certificates, and a caller of any bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trustme

from rustqueue.demo.ports import free_port
from rustqueue.raft.links import Admit, Hello
from rustqueue.raft.messages import PROTOCOL_VERSION, Message, TakeOver
from rustqueue.raft.real import LoopClock
from rustqueue.raft.transport import LinkOptions, TcpLinks, TlsFiles
from rustqueue.raft.transport.frames import FrameReader, frame_of, greeting_decoder

CLUSTER = bytes(range(16))
DEADLINE_S = 60.0
PATIENT = {"connect_ms": 20_000, "greeting_ms": 20_000}
"""What a machine that stalls does not break; tests that are about these times give shorter ones."""

Event = tuple[str, str] | tuple[str, str, Message]


def a_hello(node: str = "n1", **changes: Any) -> Hello:
    hello = Hello(PROTOCOL_VERSION, PROTOCOL_VERSION, CLUSTER, node, 0, "127.0.0.1:6800")
    return msgspec.structs.replace(hello, **changes)


def a_message(number: int = 1) -> Message:
    return TakeOver(term=number)


def lasting_address() -> str:
    """Where a member can come back to: the system gives the port to nobody else meanwhile."""
    return f"127.0.0.1:{free_port()}"


def everybody(hello: Hello) -> str | None:
    return None


class Member:
    """Links with a memory."""

    def __init__(self, node: str, tls: TlsFiles | None = None, admit: Admit = everybody, **options: Any) -> None:
        self.hello = a_hello(node)
        self.seen: list[Hello] = []
        self.events: list[Event] = []
        self._admit = admit
        given: dict[str, Any] = {"listen": "127.0.0.1:0", "tls": tls, **PATIENT, **options}
        clock = LoopClock(asyncio.get_running_loop())
        self.links = TcpLinks(lambda: self.hello, self.admit, LinkOptions(**given), clock, lambda: 0.0)
        self.links.on_up = lambda peer: self.events.append(("up", peer))
        self.links.on_down = lambda peer: self.events.append(("down", peer))
        self.links.on_message = lambda peer, message: self.events.append(("message", peer, message))

    def admit(self, hello: Hello) -> str | None:
        self.seen.append(hello)
        return self._admit(hello)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.links.port}"

    @property
    def faults(self) -> dict[str, int]:
        """Those that happened."""
        return {kind: count for kind, count in self.links.faults.items() if count}

    @property
    def messages(self) -> list[tuple[str, Message]]:
        return [(event[1], event[2]) for event in self.events if len(event) == 3]


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as it holds."""
    async with asyncio.timeout(DEADLINE_S):
        for pause_s in iter(lambda: 0.002, None):
            if condition():
                return
            await asyncio.sleep(pause_s)


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[None]:
    """All of them started, closed at the end; what was never closed fails the test by its warning."""
    try:
        for member in members:
            await member.links.start()
        yield
    finally:
        await asyncio.gather(*(member.links.close() for member in members))


@asynccontextmanager
async def linked(*members: Member) -> AsyncIterator[None]:
    """All of them started, and each linked to each."""
    async with running(*members):
        introduce(*members)
        for member in members:
            others = {("up", other.hello.member) for other in members if other is not member}
            await until(lambda member=member, others=others: others <= set(member.events))  # type: ignore[misc]
        yield


def introduce(*members: Member) -> None:
    for member in members:
        others = [other for other in members if other is not member]
        member.links.set_peers({other.hello.member: other.address for other in others})


class Caller:
    """A connection to a peer port that can send anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._frames = FrameReader(1 << 20)

    def send(self, *parts: bytes | Hello | Message) -> None:
        self.writer.write(b"".join(part if isinstance(part, bytes) else frame_of(part) for part in parts))

    async def answer(self) -> Any:
        """The next greeting; None when the connection ends before it."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    data = await self.reader.read(1 << 16)
                except ConnectionError:
                    return None
                if not data:
                    return None
                for frame in self._frames.feed(data):
                    return greeting_decoder.decode(frame)

    async def ended(self) -> bool:
        """Wait for the end of the connection."""
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionError):
                await self.reader.read()
        return True


@asynccontextmanager
async def calling(member: Member) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", member.links.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


class Authority:
    """Vouches for nodes, for the length of a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self._issued = 0

    @property
    def pem(self) -> bytes:
        return self._ca.cert_pem.bytes()

    def files(self, names: Sequence[str], prefix: str = "", **how: Any) -> TlsFiles:
        """A fresh certificate with these DNS names, and where it lies."""
        self._issued += 1
        stem = self._folder / (prefix or f"node{self._issued}")
        files = TlsFiles(f"{stem}.pem", f"{stem}.key", f"{stem}.ca")
        self.write(files, names, **how)
        return files

    def trusts(self, files: TlsFiles, other: "Authority") -> None:
        """The bearer of these files takes certificates of the other authority too."""
        Path(files.ca).write_bytes(self.pem + other.pem)

    def write(self, files: TlsFiles, names: Sequence[str], **how: Any) -> None:
        issued = self._ca.issue_cert(*names, **how)
        Path(files.cert).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        Path(files.key).write_bytes(issued.private_key_pem.bytes())
        Path(files.ca).write_bytes(self.pem)
