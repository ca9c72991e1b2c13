"""How long nobody can write when the leader goes: killed, or asked to hand over first.

`python -m benchmarks.failover [--trials N] [--log-mib N] [--etcd] [--json FILE]`. Eight writers, four at each of the
other two members, one write in flight each, given up after a quarter of a second and begun anew: whoever waits for an
answer that never comes must not count as an outage. The gap is the longest time without any acknowledgement, from the
last one before the signal on: an old leader may answer for a moment longer before it hands over. etcd, with its
defaults, is measured in the same rig where it is installed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from benchmarks import clusters, machine
from benchmarks.context import say
from benchmarks.load import LoadFailed
from benchmarks.peers import PeerMissing, etcd
from benchmarks.processes import pause
from benchmarks.servers import Starter
from benchmarks.systems import http_json
from rustqueue.client import Client, NewJob

FILL_JOBS = 500
"""Of one batch that makes the log longer."""

WRITERS_EACH = 4
WRITE_TIMEOUT_S = 0.25
GAP_TIMEOUT_S = 30.0
STEADY_S = 0.4
"""Of writing before each signal, so that a trial does not begin in the wake of the one before."""

WATCHED_S = 0.8
"""After the first acknowledgement behind the signal: an old leader may still have given it."""

How = Literal["kill", "transfer", "stop"]
SAYS: dict[How, str] = {
    "kill": "kill -9 of the leader",
    "transfer": "hand-over asked for by the API",
    "stop": "SIGTERM to the leader",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a write goes and what it is."""

    port: int
    path: str
    body: bytes


class Writer(threading.Thread):
    """Writes as long as it may, and remembers when each acknowledged write began and ended."""

    def __init__(self, target: Target) -> None:
        super().__init__(daemon=True)
        self._target = target
        self._ends = threading.Event()
        self.acknowledged: list[tuple[float, float]] = []

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._ends.is_set():
            began_s = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=WRITE_TIMEOUT_S)
                connection.request("POST", self._target.path, self._target.body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                if response.status in (200, 201):
                    self.acknowledged.append((began_s, time.monotonic()))
                else:
                    self._ends.wait(0.005)
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    connection.close()
                connection = None
                self._ends.wait(0.005)
        if connection is not None:
            connection.close()

    def end(self) -> None:
        self._ends.set()


@contextlib.contextmanager
def writing(targets: Sequence[Target]) -> Iterator[list[Writer]]:
    writers = [Writer(target) for target in targets for _ in range(WRITERS_EACH)]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.end()
        for writer in writers:
            writer.join()


def gap_ms(targets: Sequence[Target], strike: Callable[[], None]) -> float:
    """Writes, strikes, writes on for a while, and answers how long nothing was acknowledged."""
    with writing(targets) as writers:
        pause(STEADY_S)
        if not all(writer.acknowledged for writer in writers):
            pause(5 * STEADY_S)
        struck_s = time.monotonic()
        strike()
        deadline_s = struck_s + GAP_TIMEOUT_S
        while not any(began >= struck_s for writer in writers for began, _ in writer.acknowledged[-10:]):
            if time.monotonic() > deadline_s:
                raise LoadFailed(f"no write for {GAP_TIMEOUT_S:.0f} s")
            pause(0.01)
        pause(WATCHED_S)
    ends = sorted(ended for writer in writers for _, ended in writer.acknowledged)
    return max(later - earlier for earlier, later in itertools.pairwise(ends) if later >= struck_s) * 1_000


class Rig(Protocol):
    """A running cluster that trials can be made on."""

    name: str

    def trial(self, how: How) -> float: ...


class OurRig:
    """Three nodes of this program."""

    name = "node"

    def __init__(self, cluster: clusters.Cluster) -> None:
        self._cluster = cluster

    def fill(self, log_mib: int) -> None:
        """Make the log longer by that much: with its second segment a node that starts has older ones to read."""
        jobs: list[NewJob] = [{"name": "n", "data": "x" * 2_000}] * FILL_JOBS
        with Client(f"tcp://127.0.0.1:{self._cluster.leader().ports.tcp}", idempotency="off") as client:
            for _ in range(log_mib * (1 << 20) // (2_000 * FILL_JOBS)):
                client.push_batch("filling", jobs)

    def trial(self, how: How) -> float:
        leader = self._cluster.leader()
        body = json.dumps({"name": "n", "data": {"to": "user@example.com"}}).encode()
        others = [member for member in self._cluster.members if member is not leader]
        targets = [Target(member.ports.http, "/api/v1/queues/failover/jobs", body) for member in others]
        strikes: dict[How, Callable[[], None]] = {
            "kill": lambda: leader.signal(signal.SIGKILL),
            "stop": lambda: leader.signal(signal.SIGTERM),
            "transfer": lambda: _ask_to_hand_over(leader),
        }
        gap = gap_ms(targets, strikes[how])
        if how != "transfer":
            leader.end(signal.SIGTERM)
            leader.start()
            leader.wait_until_ready()
        return gap


def _ask_to_hand_over(leader: clusters.Member) -> None:
    # In a thread: the answer comes when it is done, and the writers are what is looked at.
    threading.Thread(
        target=lambda: http_json(leader.ports.http, "POST", "/api/v1/cluster/transfer", {}), daemon=True
    ).start()


class EtcdRig:
    """Three members of etcd."""

    name = "etcd"

    def __init__(self, cluster: etcd.EtcdCluster) -> None:
        self._cluster = cluster

    def trial(self, how: How) -> float:
        assert how == "kill", "the others have no counterpart in its gateway"
        leader = self._cluster.leader()
        body = json.dumps({"key": _text("failover"), "value": _text("user@example.com")}).encode()
        others = [member for member in self._cluster.members if member is not leader]
        gap = gap_ms(
            [Target(member.http_port, "/v3/kv/put", body) for member in others], lambda: leader.end(signal.SIGKILL)
        )
        leader.start()
        self._cluster.wait_until_ready()
        return gap


def _text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(rig: Rig, how: How, trials: int) -> dict[str, object]:
    gaps: list[float] = []
    loads: list[float] = []
    for number in range(trials):
        gaps.append(rig.trial(how))
        loads.append(os.getloadavg()[0])
        if (number + 1) % 10 == 0 or number + 1 == trials:
            p50, p99 = percentile(gaps, 0.5), percentile(gaps, 0.99)
            say(f"  {rig.name:<6} {how:<9} {number + 1}/{trials}: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    return {
        "subject": rig.name,
        "what": SAYS[how],
        "trials": trials,
        "p50_ms": percentile(gaps, 0.5),
        "p99_ms": percentile(gaps, 0.99),
        "least_ms": min(gaps),
        "most_ms": max(gaps),
        "load_average": statistics.fmean(loads),
        "gaps_ms": [round(gap, 1) for gap in gaps],
    }


def table(rows: Sequence[dict[str, object]]) -> str:
    head = f"{'subject':<8} {'what':<32} {'n':>4} {'p50 ms':>8} {'p99 ms':>8} {'least':>7} {'most':>7} {'load':>6}"
    lines = [head]
    for row in rows:
        figures = " ".join(
            f"{row[key]:>{width}.0f}" for key, width in (("p50_ms", 8), ("p99_ms", 8), ("least_ms", 7), ("most_ms", 7))
        )
        lines.append(f"{row['subject']:<8} {row['what']:<32} {row['trials']:>4} {figures} {row['load_average']:>6.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--hand-overs", type=int, default=20, help="trials of each planned kind (default 20)")
    parser.add_argument("--log-mib", type=int, default=0, help="of log before the trials; a segment has 64 (default 0)")
    parser.add_argument("--etcd", action="store_true", help="the same with etcd, where it is installed")
    parser.add_argument("--checkout", action="store_true", help="run the checkout instead of a freshly built wheel")
    parser.add_argument("--scratch", type=Path, help="folder for the servers' data (default: the temporary folder)")
    parser.add_argument("--json", type=Path, default=Path("failover.json"), help="where the JSON goes")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="rustqueue-failover-", dir=options.scratch))
    rows: list[dict[str, object]] = []
    try:
        starter = Starter(scratch, options.checkout)
        plan: list[tuple[How, int]] = [
            ("transfer", options.hand_overs),
            ("stop", options.hand_overs),
            ("kill", options.trials),
        ]
        with clusters.running(starter) as cluster:
            rig = OurRig(cluster)
            rig.fill(options.log_mib)
            rows += [measure(rig, how, trials) for how, trials in plan if trials]
        if options.etcd:
            try:
                with etcd.running(starter) as peer:
                    rows.append(measure(EtcdRig(peer), "kill", options.trials))
            except PeerMissing as missing:
                say(str(missing))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        options.json.write_text(json.dumps({"machine": machine.describe(Path("/tmp")), "rows": rows}, indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
