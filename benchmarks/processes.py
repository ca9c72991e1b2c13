"""Servers that this program starts on loopback, stops by pid, and charges for CPU and memory.

Knows processes and /proc, and nothing about queues. Invariant: whatever was started is stopped when the `with` block
ends, also after an exception, and no process is ever found by name.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# A node may drain for 30 s after SIGTERM by contract, so a little more is given before it is killed.
STOP_TIMEOUT_S = 35.0
READY_TIMEOUT_S = 120.0
POLL_S = 0.005


class StartFailed(Exception):
    """A server ended or stayed silent instead of becoming ready."""


def pause(seconds: float) -> None:
    """Waits for real time to pass; the one place of this package that does."""
    if seconds > 0:
        time.sleep(seconds)  # noqa: TID251 - load at a fixed pace, and polling of /proc and of ports, have no event


@dataclass(slots=True)
class Process:
    """One started server process and its log file."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def tail(self) -> str:
        """The end of the log, for the message of a failure."""
        return self.log.read_text(errors="replace")[-1500:].strip()

    def wait_until(self, ready: Callable[[], bool], timeout_s: float = READY_TIMEOUT_S) -> None:
        """Polls `ready`; a process that ends or a timeout is a `StartFailed` that carries the log's end."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.popen.poll() is not None:
                raise StartFailed(f"exit status {self.popen.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"not ready after {timeout_s:.0f} s: {self.tail()}")
            pause(POLL_S)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends the process; one that ignores the signal for too long is killed."""
        if self.popen.poll() is None:
            self.popen.send_signal(how)
        try:
            self.popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def spawn(
    command: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    account: str | None = None,
) -> Process:
    """Starts a server with `folder` as working directory, so that no checkout on the path is imported by accident."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with log.open("ab") as sink:
        popen = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=folder,
            env=None if environment is None else {**os.environ, **environment},
            user=account,
            start_new_session=True,
        )
    return Process(popen, log)


@contextlib.contextmanager
def running(command: Sequence[str | Path], folder: Path, ready: Callable[[], bool]) -> Iterator[Process]:
    """Starts a server, waits until it is ready, and stops it at the end of the block."""
    process = spawn(command, folder)
    try:
        process.wait_until(ready)
        yield process
    finally:
        process.stop()


def accepts(port: int) -> bool:
    """Says whether something on loopback takes connections on this port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def answers_ok(port: int, path: str) -> bool:
    """Says whether an HTTP GET on loopback is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stat_fields() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                yield int(name), Path("/proc", name, "stat").read_text().rsplit(")", 1)[1].split()


def tree_cpu_s(roots: Sequence[int]) -> float:
    """CPU seconds of these processes, of all their descendants, and of the children that they have reaped."""
    spent: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for pid, fields in _stat_fields():
        spent[pid] = sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_S
        children.setdefault(int(fields[1]), []).append(pid)
    pending, total_s = list(roots), 0.0
    while pending:
        pid = pending.pop()
        total_s += spent.get(pid, 0.0)
        pending += children.get(pid, [])
    return total_s


def machine_cpu_s() -> float:
    """CPU seconds that the whole machine has worked since it was started."""
    fields = [int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting_for_disk = fields[3], fields[4]
    return (sum(fields) - idle - waiting_for_disk) / TICKS_PER_S


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of one process now and at its peak, in MB of 10^6 bytes."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now_kib, peak_kib = (int(rows[key].split()[0]) for key in ("VmRSS", "VmHWM"))
    return now_kib * 1024 / 1e6, peak_kib * 1024 / 1e6


class ForeignCpu:
    """Counts the cores that processes other than ours kept busy since it was made."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._machine_s = machine_cpu_s()
        self._ours_s = tree_cpu_s([os.getpid()])

    def cores(self) -> float:
        others_s = (machine_cpu_s() - self._machine_s) - (tree_cpu_s([os.getpid()]) - self._ours_s)
        elapsed_s = time.monotonic() - self._started_s
        return max(0.0, others_s) / elapsed_s if elapsed_s > 0 else 0.0


def settle(pids: Sequence[int], timeout_s: float = 3.0) -> None:
    """Waits until servers have finished their background work, so that one does not pay for another's compaction."""
    deadline = time.monotonic() + timeout_s
    before_s = tree_cpu_s(pids)
    while time.monotonic() < deadline:
        pause(0.1)
        after_s = tree_cpu_s(pids)
        if after_s - before_s <= 1.5 / TICKS_PER_S:
            return
        before_s = after_s
