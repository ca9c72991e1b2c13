"""The node of a crash test, a process of its own, and its state through its public interface."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rustqueue.demo.ports import free_port
from rustqueue.history.lines import Object
from rustqueue.history.verdict import Snapshot
from tests.chaos.clients import Door
from tests.chaos.connections import TcpConnection
from tests.chaos.evidence import ROOT

READY_PROBES = 2_400
PROBE_PAUSE_S = 0.025
STOP_DEADLINE_S = 60
PAGE_JOBS = 1_000
STEADY_TRIES = 200


class NodeFault(Exception):
    """The node did what no node may do: did not start, ended by itself, or ended wrongly."""


@dataclass(frozen=True)
class Life:
    """How a node is started: words before its command line, flags behind it, its environment, where it serves."""

    before: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    name: str = "n0"


class Node:
    """One data folder and two ports, over many lives."""

    def __init__(self, folder: Path, life: Life | None = None) -> None:
        self.data = folder / "data"
        self.log = folder / "node.log"
        self.life = life or Life()
        self.http_port, self.tcp_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log_began = 0

    def launch(self) -> None:
        """Start a life without waiting for it."""
        words = [*self.life.before, sys.executable, "-m", "rustqueue", "serve", "--data", str(self.data)]
        words += ["--http-port", str(self.http_port), "--tcp-port", str(self.tcp_port)]
        words += ["--server-host", self.life.host, *self.life.flags]
        environment = {**os.environ, **self.life.environment}
        with self.log.open("ab") as log:
            self._log_began = log.tell()
            self._process = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start a life and wait until it is ready."""
        self.launch()
        for _ in range(READY_PROBES):
            if self.is_ready():
                return
            if self.ended_within(PROBE_PAUSE_S):
                raise NodeFault(f"the node ended with code {self._code} instead of starting: {self.last_words()}")
        raise NodeFault(f"the node did not become ready: {self.last_words()}")

    def ended_within(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise NodeFault(f"the node ended by itself with code {self._code}: {self.last_words()}")
        self._process.kill()
        self._process.wait()

    def kill_while_stopping(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL in the middle of what it does then; it may also have ended, but then well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        killed = not self.ended_within(seconds)
        if killed:
            # Not `kill`: that it has just come to its end is no fault of a node that is stopping.
            self._process.kill()
            self._process.wait()
        if not self._ended_well() and not (killed and self._code == -signal.SIGKILL):
            raise NodeFault(f"the node stopped with code {self._code}: {self.last_words()}")

    def stop(self) -> None:
        """SIGTERM, and it must end well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        if not self.ended_within(STOP_DEADLINE_S):
            raise NodeFault(f"the node did not stop within {STOP_DEADLINE_S} s")
        if not self._ended_well():
            raise NodeFault(f"the node stopped with code {self._code}: {self.last_words()}")

    def end(self) -> None:
        """Whatever happened: nothing is left running."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def door(self) -> Door:
        return Door(self.life.name, self.life.host, self.tcp_port, self.http_port)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " | ".join(lines[-5:])

    def _ended_well(self) -> bool:
        """With code 0; or by SIGTERM itself, when that came before the program had begun to listen to signals, which is
        before it says its first word.
        """
        return self._code == 0 or (self._code == -signal.SIGTERM and self.log.stat().st_size == self._log_began)

    @property
    def _code(self) -> int | None:
        return None if self._process is None else self._process.returncode

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self.life.host, self.http_port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def snapshot(node: Node) -> Snapshot:
    """All jobs and counts. Time goes on meanwhile (leases end, delays are over), so it is taken again until the counts
    before and after are the same.
    """
    connection = TcpConnection(node.life.host, node.tcp_port)
    try:
        for _ in range(STEADY_TRIES):
            before = _counts(connection)
            jobs = _jobs(connection)
            if _counts(connection) == before:
                return Snapshot(jobs, before)
    finally:
        connection.close()
    raise NodeFault("the state does not come to rest")


def _counts(connection: TcpConnection) -> dict[str, dict[str, int]]:
    reply = connection.ask({"cmd": "list_queues"})
    return {queue["name"]: queue["counts"] for queue in reply["queues"]}


def _jobs(connection: TcpConnection) -> dict[str, Object]:
    jobs: dict[str, Object] = {}
    cursor: str | None = None
    while True:
        request: Object = {"cmd": "job_list", "limit": PAGE_JOBS, "order": "asc"}
        reply = connection.ask(request if cursor is None else {**request, "cursor": cursor})
        if not reply["ok"]:
            raise NodeFault(f"jobs cannot be listed: {json.dumps(reply)}")
        for job in reply["jobs"]:
            if job["id"] in jobs:
                raise NodeFault(f"the listing names {job['id']} twice")
            jobs[job["id"]] = job
        cursor = reply["next_cursor"]
        if cursor is None:
            return jobs
