"""A cluster on this machine to play with: one `rustqueue serve` for each node, until Ctrl-C.

It knows processes and ports, nothing about jobs. Invariants: it signals only processes that it started itself; whatever
ends it, all of them are told to stop.
"""

import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

PORT_STEP = 100
PROBE_PAUSE_S = 0.1
READY_DEADLINE_PROBES = 600
STOP_DEADLINE_S = 40


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """So many nodes in folders below `folder`; node i adds 100 times i to every port."""

    nodes: int
    folder: Path
    http_port: int

    def http_port_of(self, number: int) -> int:
        return self.http_port + PORT_STEP * number

    def tcp_port_of(self, number: int) -> int:
        return self.http_port_of(number) - 1

    def peer_port_of(self, number: int) -> int:
        return self.http_port_of(number) + 10

    @property
    def ports(self) -> list[int]:
        """All of them, the one of HTTP of the first node in front."""
        kinds = (self.http_port_of, self.tcp_port_of, self.peer_port_of)
        return [port_of(number) for number in range(self.nodes) for port_of in kinds]

    def words(self, number: int) -> list[str]:
        """The command line of one node."""
        words = [sys.executable, "-m", "rustqueue", "serve", "--data", str(self.folder / f"n{number}")]
        words += ["--server-host", "127.0.0.1", "--http-port", str(self.http_port_of(number))]
        words += ["--tcp-port", str(self.tcp_port_of(number))]
        return words + cluster_flags(number, [self.peer_port_of(each) for each in range(self.nodes)])


def cluster_flags(number: int, peer_ports: Sequence[int]) -> list[str]:
    """What makes a node one of those whose peer ports these are, on this machine, where they need no certificates."""
    peers = [f"n{each}=127.0.0.1:{port}" for each, port in enumerate(peer_ports)]
    flags = ["--cluster-enabled", "true", "--cluster-node-id", f"n{number}"]
    flags += ["--cluster-listen", f"127.0.0.1:{peer_ports[number]}"]
    return [*flags, "--cluster-insecure", "true", "--cluster-peers", json.dumps(peers)]


def run(cluster: LocalCluster, screen: TextIO) -> int:
    """Start all nodes, say where they are, wait for Ctrl-C or SIGTERM, stop all. 1 if one of them does not start."""
    ended = threading.Event()
    children: list[subprocess.Popen[bytes]] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    try:
        for number in range(cluster.nodes):
            children.append(_start(cluster, number))
        if not _all_ready(cluster, children, ended, screen):
            return 0 if ended.is_set() else 1
        _say(cluster, children, screen)
        _watch(children, ended, screen)
        return 0
    finally:
        _stop(children)


def _start(cluster: LocalCluster, number: int) -> subprocess.Popen[bytes]:
    folder = cluster.folder / f"n{number}"
    folder.mkdir(parents=True, exist_ok=True)
    with (cluster.folder / f"n{number}.log").open("ab") as log:
        # A session of its own: Ctrl-C reaches this program alone, which then stops its children in order.
        return subprocess.Popen(
            cluster.words(number), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _all_ready(
    cluster: LocalCluster, children: list[subprocess.Popen[bytes]], ended: threading.Event, screen: TextIO
) -> bool:
    for _ in range(READY_DEADLINE_PROBES):
        for number, child in enumerate(children):
            if child.poll() is not None:
                print(f"n{number} ended with code {child.returncode}: {_last_words(cluster, number)}", file=screen)
                return False
        if all(_is_ready(cluster.http_port_of(number)) for number in range(cluster.nodes)):
            return True
        if ended.wait(PROBE_PAUSE_S):
            return False
    print(f"the nodes did not become ready; their logs are in {cluster.folder}", file=screen)
    return False


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _last_words(cluster: LocalCluster, number: int) -> str:
    lines = (cluster.folder / f"n{number}.log").read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"


def _say(cluster: LocalCluster, children: list[subprocess.Popen[bytes]], screen: TextIO) -> None:
    for number, child in enumerate(children):
        http_port, tcp_port = cluster.http_port_of(number), cluster.tcp_port_of(number)
        print(f"n{number}  http://127.0.0.1:{http_port}  tcp://127.0.0.1:{tcp_port}  pid {child.pid}", file=screen)
    print(f"data and logs are in {cluster.folder}; Ctrl-C stops all", file=screen, flush=True)


def _watch(children: list[subprocess.Popen[bytes]], ended: threading.Event, screen: TextIO) -> None:
    """Say so when a node ends; the others go on, which is the point of it."""
    gone: set[int] = set()
    while not ended.wait(PROBE_PAUSE_S):
        for number, child in enumerate(children):
            if number not in gone and child.poll() is not None:
                gone.add(number)
                print(f"n{number} ended with code {child.returncode}", file=screen, flush=True)
        if len(gone) == len(children):
            return


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
