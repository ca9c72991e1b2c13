"""The two servers of every run: the node under test and the yardstick.

Knows how each is started and when it is ready. The node is the installed program with default settings; nothing here
may tune it, because the figures are what a user gets. Only the address differs: a benchmark listens on loopback.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Process, StartFailed, accepts, answers_ok, running, spawn
from rustqueue.demo.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
ON_LOOPBACK = {"RUSTQUEUE_SERVER__HOST": "127.0.0.1"}
YARDSTICK = Path(__file__).resolve().parent / "yardstick" / "server.py"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server as the load sees it: ports (0 where it has none) and the processes to charge."""

    name: str
    tcp_port: int
    http_port: int
    pids: tuple[int, ...]


class Node:
    """One node on a folder of its own, with fixed ports, so that it can be ended and started again on its data."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._http_port, self._tcp_port = free_port(), free_port()
        self._process: Process | None = None

    def start(self) -> float:
        """Starts the node and answers how many seconds passed until it said that it is ready."""
        command: list[str | Path] = [sys.executable, "-m", "rustqueue", "serve", "--data", self._folder / "data"]
        ports = ["--http-port", str(self._http_port), "--tcp-port", str(self._tcp_port)]
        started_s = time.monotonic()
        self._process = spawn([*command, *ports], self._folder, self._environment)
        self._process.wait_until(lambda: answers_ok(self._http_port, "/readyz"))
        return time.monotonic() - started_s

    def end(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Ends the node and answers how many seconds that took."""
        started_s = time.monotonic()
        if self._process is not None:
            self._process.stop(how)
        return time.monotonic() - started_s

    def log_tail(self) -> str:
        return self._process.tail() if self._process else ""

    def server(self) -> Server:
        assert self._process is not None
        return Server("node", self._tcp_port, self._http_port, (self._process.pid,))


class Starter:
    """Starts nodes and yardsticks, each on a fresh folder below one scratch folder."""

    def __init__(self, scratch: Path, checkout: bool) -> None:
        self._scratch = scratch
        self._numbers = itertools.count(1)
        self.installed_from = "the checkout"
        self.environment = dict(ON_LOOPBACK)
        if not checkout:
            site = install_wheel(scratch / "wheel")
            self.environment["PYTHONPATH"] = str(site)
            self.installed_from = "a wheel built for this run"

    def fresh_folder(self, name: str) -> Path:
        """A new folder; each server gets one of its own and the caller drops it when the server has ended."""
        folder = self._scratch / f"{name}-{next(self._numbers)}"
        folder.mkdir(parents=True)
        return folder

    @contextlib.contextmanager
    def node_to_restart(self) -> Iterator[Node]:
        """A node that the case itself starts and ends."""
        folder = self.fresh_folder("node")
        node = Node(folder, self.environment)
        try:
            yield node
        except Exception as error:
            error.add_note(f"the node's log ends: {node.log_tail()}")
            raise
        finally:
            node.end()
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def node(self) -> Iterator[Server]:
        with self.node_to_restart() as node:
            node.start()
            yield node.server()

    @contextlib.contextmanager
    def yardstick(self) -> Iterator[Server]:
        folder, port = self.fresh_folder("yardstick"), free_port()
        command: Sequence[str | Path] = [sys.executable, YARDSTICK, folder / "data", str(port)]
        try:
            with running(command, folder, lambda: accepts(port)) as process:
                yield Server("yardstick", port, 0, (process.pid,))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def install_wheel(folder: Path) -> Path:
    """Builds the wheel from the checkout and unpacks it, so that what is measured is what a user installs."""
    if importlib.util.find_spec("hatchling") is None:
        raise StartFailed("hatchling is not installed here: `make install`, or measure the checkout with --checkout")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise StartFailed(f"the wheel could not be built: {built.stderr[-1500:]}")
    site = folder / "site"
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site
