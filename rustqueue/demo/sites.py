"""Where the demo's jobs go: one node, or a cluster behind one address. Either can be killed in the middle.

They know processes and addresses, nothing about jobs. Invariant: what they tell of a kill they have seen themselves.
"""

import threading
import time
from pathlib import Path
from typing import Protocol

from rustqueue.client import Client, RustQueueError
from rustqueue.demo.child import NodeChild, NodeFailed
from rustqueue.demo.local_cluster import cluster_flags
from rustqueue.demo.ports import free_port
from rustqueue.demo.service import Service

_PULSE_QUEUE = "pulse"
_PULSE_TIMEOUT_S = 60.0
_ASK_TIMEOUT_S = 60.0
_ASK_PAUSE_S = 0.05


class Site(Protocol):
    folder: Path
    what: str

    @property
    def tcp_url(self) -> str: ...

    @property
    def http_url(self) -> str: ...

    @property
    def pids(self) -> list[int]: ...

    def start(self) -> str:
        """Start and wait until it serves; says what is where."""

    def kill(self) -> str:
        """SIGKILL; says to whom."""

    def recover(self) -> str:
        """Bring back who was killed; says how that went."""

    def stop(self) -> None: ...


class OneNode:
    """One durable node; it is started again on the same folder."""

    what = "a durable node"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._node = NodeChild(folder)
        self._killed_s = 0.0

    @property
    def tcp_url(self) -> str:
        return self._node.tcp_url

    @property
    def http_url(self) -> str:
        return self._node.http_url

    @property
    def pids(self) -> list[int]:
        return [self._node.pid]

    def start(self) -> str:
        self._node.start()
        return f"  Node {self._node.pid} serves {self.http_url}, its data is in\n  {self.folder}."

    def kill(self) -> str:
        pid = self._node.pid
        self._node.kill()
        self._killed_s = time.monotonic()
        return f"node {pid}"

    def recover(self) -> str:
        self._node.start()
        seconds = time.monotonic() - self._killed_s
        return f"  Node {self._node.pid} on the same folder is ready after {seconds:.1f} s."

    def stop(self) -> None:
        self._node.stop()


class Cluster:
    """Nodes that hold the same queue, behind one address that gives each connection to one that answers. The leader is
    killed, and the others go on.
    """

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder = folder
        self.what = f"a cluster of {nodes} nodes"
        peer_ports = [free_port() for _ in range(nodes)]
        self._nodes: dict[str, NodeChild] = {}
        for number in range(nodes):
            place = folder / f"n{number}"
            place.mkdir()
            flags = ["--server-host", "127.0.0.1", *cluster_flags(number, peer_ports)]
            self._nodes[f"n{number}"] = NodeChild(place, flags)
        self._service = Service([node.tcp_port for node in self._nodes.values()])
        self._killed = ""
        self._killed_s = 0.0

    @property
    def tcp_url(self) -> str:
        return f"tcp://127.0.0.1:{self._service.port}"

    @property
    def http_url(self) -> str:
        return next(iter(self._nodes.values())).http_url

    @property
    def pids(self) -> list[int]:
        return [node.pid for node in self._nodes.values()]

    def start(self) -> str:
        # A cluster is founded when all of them are there, so none is waited for before the last was started.
        for node in self._nodes.values():
            node.launch()
        for node in self._nodes.values():
            node.wait_until_ready()
        self._service.start()
        lines = [f"  {name}, process {node.pid}, serves {node.http_url}" for name, node in self._nodes.items()]
        leader = self._leader(self.http_url)
        return "\n".join([*lines, f"  {leader} leads; clients use one address for all. Data is in\n  {self.folder}."])

    def kill(self) -> str:
        self._killed = self._leader(self.http_url)
        self._nodes[self._killed].kill()
        self._killed_s = time.monotonic()
        return f"{self._killed}, the leader"

    def recover(self) -> str:
        with Client(self.tcp_url, timeout_s=_PULSE_TIMEOUT_S) as client:
            client.push(_PULSE_QUEUE, "pulse", None)
        gap_s = time.monotonic() - self._killed_s
        left = next(node for name, node in self._nodes.items() if name != self._killed)
        leader = self._leader(left.http_url)
        back = self._nodes[self._killed]
        back.start()
        seconds = time.monotonic() - self._killed_s
        return (
            f"  {leader} leads: the next push was acknowledged {gap_s:.2f} s after the kill.\n"
            f"  {self._killed} is back as process {back.pid} after {seconds:.1f} s."
        )

    def stop(self) -> None:
        self._service.stop()
        for node in self._nodes.values():
            node.terminate()
        for node in self._nodes.values():
            node.stop()

    def _leader(self, url: str) -> str:
        """As a node says, as soon as it can: where a machine stalls, an election may be under way."""
        ends_s = time.monotonic() + _ASK_TIMEOUT_S
        try:
            with Client(url, timeout_s=_ASK_TIMEOUT_S) as client:
                while True:
                    leader = client.cluster().leader
                    name = (leader or "").partition("#")[0]
                    if name in self._nodes:
                        return name
                    if time.monotonic() > ends_s:
                        raise NodeFailed(f"nobody leads: {leader}")
                    threading.Event().wait(_ASK_PAUSE_S)
        except RustQueueError as error:
            raise NodeFailed(f"{url} does not tell who leads: {error}") from error
