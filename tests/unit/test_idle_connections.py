"""Thousands of clients that are connected and say nothing: the node still answers, and what they cost is bounded.

A usual run holds a thousand on each port. `IDLE_CONNECTIONS=9400 pytest --junit-xml=FILE` is what 20,000 open files are
enough for, and writes down the memory and the times.
"""

import os
import resource
import socket
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.unit.test_node import a_process, a_talk

SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
ALLOWED = 20_000 if HARD == resource.RLIM_INFINITY else HARD
EACH = int(os.environ.get("IDLE_CONNECTIONS", min(1_000, ALLOWED // 20)))
ASKED = 50
ANSWER_MS_MAX = 5_000  # A push is on the disk before it is answered, and disks stall. The times are in the report.
BYTES_EACH_MAX = 10_000  # Of an idle connection in the node, sockets in the kernel not counted.


@contextmanager
def as_many_files_as_allowed() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (ALLOWED, HARD))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def rss_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1_024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_idle_connections_on_both_ports_hold_nobody_up(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with as_many_files_as_allowed(), a_process(tmp_path) as node, ExitStack() as idle:
        ready = node.event("ready")
        url = f"http://127.0.0.1:{ready['http_port']}/api/v1/health"
        with a_talk(ready["tcp_port"]) as talk:
            # Given a node that serves
            assert talk.ask("push", queue="q", name="n")["ok"] is True
            before = rss_bytes(node.process.pid)
            # When thousands connect to each port and are silent
            for _ in range(EACH):
                for port in (ready["http_port"], ready["tcp_port"]):
                    idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            # Then commands and requests of others are answered in time
            assert talk.ask("health")["ok"] is True
            grown = rss_bytes(node.process.pid) - before
            commands_ms = statistics.median(
                timed_ms(lambda: talk.ask("push", queue="q", name="n")) for _ in range(ASKED)
            )
            requests_ms = statistics.median(timed_ms(lambda: fetched(url)) for _ in range(ASKED))
            record_property("rss_bytes_grown", grown)
            record_property("push_ms", commands_ms)
            record_property("get_ms", requests_ms)
            assert max(commands_ms, requests_ms) < ANSWER_MS_MAX
            assert grown < 2 * EACH * BYTES_EACH_MAX


def timed_ms(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return (time.perf_counter() - start) * 1_000


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body
