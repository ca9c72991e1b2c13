"""The servers that cases are played against, as processes of their own: one node, three nodes, the original.

Knows command lines and ports, nothing of the contract. Invariant: it ends only what it has started.
"""

import asyncio
import base64
import contextlib
import http.client
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.processes import Process, answers_ok, spawn
from rustqueue.demo.ports import free_port
from tests.contract.play import Place
from tests.contract.table import Stage

READY_S: Final = 120.0
TOKENS: Final = ("first-token", "second-token")
ORIGINAL_VERSION: Final = "0.2.0"

Rates = Mapping[str, tuple[float, int]]


@dataclass
class Server:
    """One process and its command line, over many lives."""

    command: list[str]
    folder: Path
    place: Place
    ready_path: str
    process: Process | None = None

    def start(self) -> None:
        environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = spawn(self.command, self.folder, environment)

    def kill(self) -> None:
        if self.process is not None:
            self.process.popen.kill()
            self.process.popen.wait()

    def until_ready(self) -> None:
        assert self.process is not None
        self.process.wait_until(lambda: answers_ok(self.place.http_port, self.ready_path), READY_S)


class Running:
    """Servers that are ready, and the places where clients of this stage connect."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers
        self.places = [server.place for server in servers]

    async def start(self) -> None:
        for server in self.servers:
            server.start()
        await asyncio.gather(*(asyncio.to_thread(server.until_ready) for server in self.servers))
        if len(self.servers) > 1:
            leader = await asyncio.to_thread(_leader_of, self.servers[0].place)
            self.places = [server.place for number, server in enumerate(self.servers) if f"n{number}" != leader]

    async def kill_all_and_start(self) -> None:
        """SIGKILL to every node at once, and all of them again on the same folders and ports."""
        for server in self.servers:
            server.kill()
        await self.start()

    def end(self) -> None:
        for server in self.servers:
            server.kill()


def _leader_of(place: Place) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", place.http_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/cluster", headers={"Authorization": f"Bearer {TOKENS[0]}"})
        leader: str | None = json.loads(connection.getresponse().read())["leader"]
        return leader


def configuration(stage: Stage, rates: Rates, data: Path) -> str:
    """The original's own file, which our node takes as it is."""
    lines = ["[server]", 'host = "127.0.0.1"', "[storage]", f'path = "{data}"', 'durability = "immediate"']
    lines += ['redb_durability = "immediate"', "write_coalescing_enabled = false"]
    lines += ["[scheduler]", "tick_interval_ms = 100", "[jobs]", "stall_timeout_ms = 600000"]
    # The last key is ours: the original calls whatever it is told to.
    lines += ["[webhooks]", f"enabled = {str(stage != 'no webhooks').lower()}", 'allowed_networks = ["127.0.0.0/8"]']
    if stage == "tokens":
        lines += ["[auth]", "enabled = true", f"tokens = {json.dumps(list(TOKENS))}"]
    for queue, (rate, burst) in rates.items():
        lines += [f'[queues."{queue}"]', f"rate_limit_per_second = {rate}", f"rate_limit_burst = {burst}"]
    return "\n".join(lines) + "\n"


def _server(folder: Path, stage: Stage, rates: Rates, program: list[str], more: Iterable[str] = ()) -> Server:
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(free_port(), free_port())
    written = configuration(stage, rates, folder / "data")
    (folder / "rustqueue.toml").write_text("\n".join([written, *more]))
    words = ["serve", "--config", str(folder / "rustqueue.toml")]
    words += ["--http-port", str(place.http_port), "--tcp-port", str(place.tcp_port)]
    return Server([*program, *words], folder, place, "/readyz")


@contextlib.asynccontextmanager
async def _run(servers: list[Server]) -> AsyncIterator[Running]:
    running = Running(servers)
    try:
        await running.start()
        yield running
    finally:
        running.end()


def _key_for_all(folder: Path) -> Path:
    """What one node seals, every other one has to open."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    key.write_bytes(base64.b64encode(bytes(32)) + b"\n")
    key.chmod(0o600)
    return key


@contextlib.asynccontextmanager
async def nodes(folder: Path, count: int, stage: Stage, rates: Rates) -> AsyncIterator[Running]:
    """One node, or a cluster; clients of a cluster connect to its followers."""
    program = [sys.executable, "-m", "rustqueue"]
    if count == 1:
        servers = [_server(folder / "n0", stage, rates, program)]
    else:
        key = await asyncio.to_thread(_key_for_all, folder)
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
        peers = json.dumps([f"n{number}={address}" for number, address in enumerate(addresses)])
        servers = []
        for number, address in enumerate(addresses):
            more = ["[cluster]", "enabled = true", f'node_id = "n{number}"', f'listen = "{address}"']
            # Machines with much else to do have slow turns; an election in the middle would be another test.
            more += [
                f"peers = {peers}",
                "insecure = true",
                'election_timeout_ms = "2500-4000"',
                "[security]",
                f'key_file = "{key}"',
            ]
            servers.append(_server(folder / f"n{number}", stage, rates, program, more))
    async with _run(servers) as running:
        yield running


@contextlib.asynccontextmanager
async def the_original(folder: Path, program: Path, stage: Stage, rates: Rates) -> AsyncIterator[Running]:
    """The published program itself."""
    server = _server(folder / "original", stage, rates, [str(program)])
    server.ready_path = "/api/v1/health"
    async with _run([server]) as running:
        yield running


def original_program() -> Path:
    """Where `tests/contract/original.sh` puts it: outside the checkout, one folder for each version."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    program = Path(cache) / f"rustqueue-original-{ORIGINAL_VERSION}" / "bin" / "rustqueue"
    if not program.is_file():
        raise SystemExit("the original is not built: make contract-original builds it (it needs cargo)")
    return program
