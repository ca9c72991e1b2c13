"""The network between the nodes of a rig: links that can be cut, each direction for itself.

Two of a kind. As root with nftables, every node lives in a network namespace of its own, on one bridge, and a cut link
is packets that the receiver drops. Without that, nodes share loopback, and whoever dials a node reaches a proxy that
knows the caller by his address and holds back what a cut link would lose. Clients are never cut off here: what
they may be told by a node that is alone is the more interesting question.

Invariant: `cut` names all cut links; those that are not named work.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable
from typing import Final, Protocol

from rustqueue.demo.ports import free_port
from tests.chaos.nodes import Life

COMMAND_DEADLINE_S: Final = 60
PEER_PORT: Final = 6800
CHUNK_BYTES: Final = 65_536
Link = tuple[int, int]
"""From a node to another one."""


class Network(Protocol):
    name: str

    def life(self, number: int) -> Life:
        """How the node is started so that it is in its place; without its own flags."""

    def listen(self, number: int) -> str: ...

    def address(self, number: int) -> str:
        """Where the others reach it."""

    def cut(self, links: Iterable[Link]) -> None: ...

    def close(self) -> None: ...


def namespaces_work() -> bool:
    """Whether this process may make namespaces and drop packets."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("ip", "nft", "unshare")):
        return False
    probe = f"rustqueue-{os.getpid()}-probe"
    tried = f"ip netns add {probe} && ip netns exec {probe} nft add table inet cuts; done=$?; ip netns delete {probe}"
    return _works("unshare", "--net", "sh", "-c", f"{tried}; exit $done")


def _works(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False, timeout=COMMAND_DEADLINE_S).returncode == 0


def _run(*words: str, told: str | None = None) -> None:
    done = subprocess.run(words, input=told, capture_output=True, text=True, check=False, timeout=COMMAND_DEADLINE_S)
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


class Namespaces:
    """Expects to be alone in a network namespace, which `python -m tests.chaos.cluster` sees to."""

    name = "namespaces"

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._spaces = [f"rustqueue-{os.getpid()}-n{number}" for number in range(nodes)]
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "rq0", "type", "bridge")
        _run("ip", "address", "add", "10.77.0.1/24", "dev", "rq0")
        _run("ip", "link", "set", "rq0", "up")
        for number, space in enumerate(self._spaces):
            inside = ("ip", "-n", space)
            _run("ip", "netns", "add", space)
            _run("ip", "link", "add", f"rq-n{number}", "type", "veth", "peer", "name", "eth0", "netns", space)
            _run("ip", "link", "set", f"rq-n{number}", "master", "rq0", "up")
            _run(*inside, "address", "add", f"{self._host(number)}/24", "dev", "eth0")
            _run(*inside, "link", "set", "lo", "up")
            _run(*inside, "link", "set", "eth0", "up")
            rules = "add table inet cuts\nadd chain inet cuts in { type filter hook input priority 0; }\n"
            _run("ip", "netns", "exec", space, "nft", "-f", "-", told=rules)

    def life(self, number: int) -> Life:
        before = ("ip", "netns", "exec", self._spaces[number])
        return Life(before=before, host=self._host(number), name=f"n{number}")

    def listen(self, number: int) -> str:
        return f"{self._host(number)}:{PEER_PORT}"

    def address(self, number: int) -> str:
        return self.listen(number)

    def cut(self, links: Iterable[Link]) -> None:
        cut = set(links)
        for receiver, space in enumerate(self._spaces):
            rules = "flush chain inet cuts in\n"
            for sender in range(self._nodes):
                if (sender, receiver) in cut:
                    rules += f"add rule inet cuts in ip saddr {self._host(sender)} drop\n"
            _run("ip", "netns", "exec", space, "nft", "-f", "-", told=rules)

    def close(self) -> None:
        for space in self._spaces:
            with contextlib.suppress(OSError):
                _run("ip", "netns", "delete", space)
        with contextlib.suppress(OSError):
            _run("ip", "link", "delete", "rq0")

    def _host(self, number: int) -> str:
        return f"10.77.0.{10 + number}"


class Proxies:
    """Loopback. Every node dials from an address of its own (`shim.c` sees to it), by which proxies know it."""

    name = "proxies"

    def __init__(self, nodes: int) -> None:
        self._listens = [free_port() for _ in range(nodes)]
        self._doors: list[int] = []
        self._cut: frozenset[Link] = frozenset()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        for number in range(nodes):
            started = asyncio.run_coroutine_threadsafe(self._serve(number), self._loop)
            self._doors.append(started.result(COMMAND_DEADLINE_S))

    def life(self, number: int) -> Life:
        return Life(environment={"RQ_SHIM_SOURCE": self._source(number)}, name=f"n{number}")

    def listen(self, number: int) -> str:
        return f"127.0.0.1:{self._listens[number]}"

    def address(self, number: int) -> str:
        return f"127.0.0.1:{self._doors[number]}"

    def cut(self, links: Iterable[Link]) -> None:
        self._loop.call_soon_threadsafe(self._set_cut, frozenset(links))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _set_cut(self, links: frozenset[Link]) -> None:
        self._cut = links
        self._changed.set()
        self._changed = asyncio.Event()

    def _source(self, number: int) -> str:
        return f"127.77.0.{10 + number}"

    async def _serve(self, receiver: int) -> int:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._carry(receiver, reader, writer)

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _carry(self, receiver: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = int(writer.get_extra_info("peername")[0].rpartition(".")[2]) - 10
        with contextlib.suppress(OSError):
            await self._open((caller, receiver))
            there, back = await asyncio.open_connection("127.0.0.1", self._listens[receiver])
            await asyncio.gather(
                self._pump((caller, receiver), reader, back), self._pump((receiver, caller), there, writer)
            )
        writer.close()

    async def _pump(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._open(link)
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _open(self, link: Link) -> None:
        while link in self._cut:
            await self._changed.wait()
