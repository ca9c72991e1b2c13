"""etcd: three members with default settings, written to over its HTTP gateway; for what happens when a leader goes."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

from benchmarks.load import LoadFailed
from benchmarks.peers import find_program
from benchmarks.processes import Process, StartFailed, pause, spawn
from benchmarks.servers import Starter
from benchmarks.systems import http_json
from rustqueue.demo.ports import free_port

NODES = 3
LEADER_TIMEOUT_S = 30.0


class EtcdMember:
    """One member, killed and started again on its data."""

    def __init__(self, number: int, folder: Path, peer_ports: list[int]) -> None:
        self.name = f"e{number}"
        self.http_port = free_port()
        self._folder = folder / self.name
        self._peer_ports = peer_ports
        self._number = number
        self._process: Process | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.popen.poll() is None

    def start(self) -> None:
        client = f"http://127.0.0.1:{self.http_port}"
        peer = f"http://127.0.0.1:{self._peer_ports[self._number]}"
        members = ",".join(f"e{number}=http://127.0.0.1:{port}" for number, port in enumerate(self._peer_ports))
        command: list[str | Path] = [find_program("etcd"), "--name", self.name, "--data-dir", self._folder / "data"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", members]
        self._process = spawn(command, self._folder)

    def status(self) -> dict[str, object]:
        return http_json(self.http_port, "POST", "/v3/maintenance/status", {})

    @property
    def is_ready(self) -> bool:
        """Whether it knows a leader."""
        with contextlib.suppress(OSError, HTTPException, LoadFailed):
            return bool(self.status().get("leader"))
        return False

    def end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.stop(how)


class EtcdCluster:
    """All members."""

    def __init__(self, members: list[EtcdMember]) -> None:
        self.members = members

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + LEADER_TIMEOUT_S
        while not all(member.is_ready for member in self.members):
            if time.monotonic() > deadline:
                raise StartFailed(f"etcd has no leader after {LEADER_TIMEOUT_S:.0f} s")
            pause(0.05)

    def leader(self) -> EtcdMember:
        self.wait_until_ready()
        for member in self.members:
            status = member.status()
            header = status["header"]
            assert isinstance(header, dict), "every answer has a header"
            if status.get("leader") == header["member_id"]:
                return member
        return self.leader()


@contextlib.contextmanager
def running(starter: Starter) -> Iterator[EtcdCluster]:
    """Three members that serve. `PeerMissing` where etcd is not installed."""
    find_program("etcd")
    folder = starter.fresh_folder("etcd")
    peer_ports = [free_port() for _ in range(NODES)]
    cluster = EtcdCluster([EtcdMember(number, folder, peer_ports) for number in range(NODES)])
    try:
        for member in cluster.members:
            member.start()
        cluster.wait_until_ready()
        yield cluster
    finally:
        for member in cluster.members:
            member.end(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
