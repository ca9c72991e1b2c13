"""Three nodes of this program on loopback, as one server: the leader is the door, or every node is.

Knows how members are started, who of them leads, and whom to charge. Like `servers`, it tunes nothing: what is not an
address is the default. Invariant: whatever was started is stopped by its pid.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from benchmarks.load import LoadFailed
from benchmarks.processes import Process, StartFailed, answers_ok, pause, spawn, tree_cpu_s
from benchmarks.servers import Server, Starter
from benchmarks.systems import http_json
from rustqueue.demo.ports import free_port

NODES = 3
LEADER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one member listens."""

    http: int
    tcp: int
    peer: int

    @staticmethod
    def free() -> Ports:
        return Ports(free_port(), free_port(), free_port())


class Member:
    """One node of a cluster on a folder and on ports of its own, so that it can be killed and started again."""

    def __init__(self, number: int, folder: Path, environment: dict[str, str], all_ports: list[Ports]) -> None:
        self.name = f"n{number}"
        self.ports = all_ports[number]
        self.folder = folder / self.name
        self._environment = environment
        self._all_ports = all_ports
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the member was started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.popen.poll() is None

    def start(self) -> None:
        peers = [f"n{number}=127.0.0.1:{ports.peer}" for number, ports in enumerate(self._all_ports)]
        command: list[str | Path] = [sys.executable, "-m", "rustqueue", "serve", "--data", self.folder / "data"]
        command += ["--http-port", str(self.ports.http), "--tcp-port", str(self.ports.tcp)]
        command += ["--cluster-enabled", "true", "--cluster-insecure", "true", "--cluster-node-id", self.name]
        command += ["--cluster-listen", f"127.0.0.1:{self.ports.peer}", "--cluster-peers", json.dumps(peers)]
        self._process = spawn(command, self.folder, self._environment)

    def wait_until_ready(self, timeout_s: float = 120.0) -> None:
        assert self._process is not None, "the member was started"
        self._process.wait_until(lambda: answers_ok(self.ports.http, "/readyz"), timeout_s)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.stop(how)

    def signal(self, how: signal.Signals) -> None:
        """Only sends it."""
        assert self._process is not None, "the member was started"
        self._process.popen.send_signal(how)

    def wipe(self) -> None:
        """Forgets everything that the node had on its disk; it does not run."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def log_tail(self) -> str:
        return self._process.tail() if self._process else ""


class Cluster:
    """The members, and what they say of each other."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    def start(self) -> None:
        for member in self.members:
            member.start()
        for member in self.members:
            member.wait_until_ready()

    def leader(self) -> Member:
        """Who leads now; asks until somebody does."""
        deadline = time.monotonic() + LEADER_TIMEOUT_S
        while time.monotonic() < deadline:
            for member in self.members:
                if not member.runs:
                    continue
                with contextlib.suppress(OSError, HTTPException, LoadFailed):
                    leader = http_json(member.ports.http, "GET", "/api/v1/cluster")["leader"]
                    for found in self.members:
                        if leader is not None and found.name == leader.partition("#")[0] and found.runs:
                            return found
            pause(0.02)
        raise StartFailed(f"nobody leads after {LEADER_TIMEOUT_S:.0f} s")

    def followers(self) -> list[Member]:
        leader = self.leader()
        return [member for member in self.members if member is not leader and member.runs]

    def through(self, member: Member, name: str) -> Server:
        """The whole cluster, with clients at one member."""
        pids = tuple(each.pid for each in self.members)
        return Server(name, member.ports.tcp, member.ports.http, pids)

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far: of the leader, and of the followers on average."""
        leader = self.leader()
        followers = [tree_cpu_s([member.pid]) for member in self.members if member is not leader]
        return {"leader": tree_cpu_s([leader.pid]), "follower": sum(followers) / max(1, len(followers))}

    def log_tails(self) -> str:
        return "\n".join(f"{member.name}: {member.log_tail()}" for member in self.members)


@contextlib.contextmanager
def prepared(starter: Starter, nodes: int = NODES) -> Iterator[Cluster]:
    """Members that the case itself starts."""
    folder = starter.fresh_folder("cluster")
    all_ports = [Ports.free() for _ in range(nodes)]
    cluster = Cluster([Member(number, folder, starter.environment, all_ports) for number in range(nodes)])
    try:
        yield cluster
    except Exception as error:
        error.add_note(f"the nodes' logs end: {cluster.log_tails()}")
        raise
    finally:
        # What they wrote goes away with the folder, so nobody waits for an orderly end.
        for member in cluster.members:
            member.end(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(starter: Starter, nodes: int = NODES) -> Iterator[Cluster]:
    """A cluster that serves."""
    with prepared(starter, nodes) as cluster:
        cluster.start()
        yield cluster
