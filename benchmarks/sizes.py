"""How long a cluster with a million waiting jobs takes to be itself again: after a restart, and after a lost disk.

`python -m benchmarks.sizes [--jobs N] [--json FILE]`. Three nodes on this machine. Restart: every node is killed with
-9 and started again; the time is until all say that they are ready. Lost disk: a follower is killed, its data removed,
and it is started and put in its own place (`cluster replace`) while one connection to the leader pushes, pulls and
acknowledges without a pause; the time is from the start to when the leader lists it as a voter again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from http.client import HTTPException
from pathlib import Path

from benchmarks import clusters, machine, verbs
from benchmarks.context import say
from benchmarks.load import LoadFailed, measure
from benchmarks.processes import StartFailed, memory_mb, pause
from benchmarks.servers import Starter
from benchmarks.systems import LineClient, LineSystem, http_json

READY_S_MAX = 10.0
VOTER_S_MAX = 60.0
PUSHERS = 4
TIMEOUT_S = 600.0


def fill(cluster: clusters.Cluster, jobs: int) -> float:
    """Pushes so many jobs and answers how many a second."""
    system = LineSystem(cluster.through(cluster.leader(), "node"))
    part = jobs // PUSHERS // verbs.BATCH
    return measure([system.push("deep", part)] * PUSHERS, system.server.pids).jobs_per_s


def restart_all(cluster: clusters.Cluster) -> dict[str, float]:
    """Seconds until each node was ready, all killed and started at once; and until somebody led."""
    for member in cluster.members:
        member.signal(signal.SIGKILL)
    for member in cluster.members:
        member.end(signal.SIGKILL)
    started_s = time.monotonic()
    for member in cluster.members:
        member.start()
    for member in cluster.members:
        member.wait_until_ready(TIMEOUT_S)
    ready_s = time.monotonic() - started_s
    cluster.leader()
    return {"all ready": ready_s, "somebody leads": time.monotonic() - started_s}


def restart_one(cluster: clusters.Cluster) -> float:
    """Seconds from the start of a killed follower until it is ready; the others serve meanwhile."""
    member = cluster.followers()[0]
    member.end(signal.SIGKILL)
    started_s = time.monotonic()
    member.start()
    member.wait_until_ready(TIMEOUT_S)
    return time.monotonic() - started_s


class Load(threading.Thread):
    """Pushes, pulls and acknowledges batches on a queue of its own, one request at a time. What is refused counts."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._client = LineClient(port)
        self._ends = threading.Event()
        self.jobs = self.refused = 0
        self.slowest_s = 0.0

    def run(self) -> None:
        push, pull = verbs.push_batch_line("beside"), verbs.pull_line("beside", verbs.BATCH)
        while not self._ends.is_set():
            began_s = time.monotonic()
            try:
                self._client.call(push)
                ids = verbs.ids_in(self._client.call(pull))
                if ids:
                    self._client.call(b'{"cmd":"ack_batch","ids":["' + b'","'.join(ids) + b'"]}\n')
                self.jobs += verbs.BATCH
            except LoadFailed:
                self.refused += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)

    def end(self) -> None:
        self._ends.set()
        self.join()
        self._client.close()


def lose_a_disk(cluster: clusters.Cluster) -> dict[str, float]:
    """Seconds until a follower that comes back without its data votes again, and what the load did meanwhile."""
    leader, member = cluster.leader(), cluster.followers()[0]
    member.end(signal.SIGKILL)
    member.wipe()
    load = Load(leader.ports.tcp)
    load.start()
    started_s = time.monotonic()
    member.start()
    _replace(leader, member, started_s + TIMEOUT_S)
    while not _is_voter(leader, member):
        if time.monotonic() > started_s + TIMEOUT_S:
            raise StartFailed(f"{member.name} does not vote after {TIMEOUT_S:.0f} s")
        pause(0.1)
    seconds = time.monotonic() - started_s
    load.end()
    return {
        "voter again": seconds,
        "load, jobs/s": load.jobs / seconds,
        "slowest batch of the load": load.slowest_s,
        "refused batches of the load": float(load.refused),
    }


def _replace(leader: clusters.Member, member: clusters.Member, until_s: float) -> None:
    """Asks until the node is there to be found."""
    while True:
        try:
            http_json(leader.ports.http, "POST", f"/api/v1/cluster/members/{member.name}/replace", {})
            return
        except (LoadFailed, OSError, HTTPException):
            if time.monotonic() > until_s:
                raise
            pause(0.2)


def _is_voter(leader: clusters.Member, member: clusters.Member) -> bool:
    with contextlib.suppress(OSError, HTTPException, LoadFailed):
        members = http_json(leader.ports.http, "GET", "/api/v1/cluster")["members"]
        return any(each["id"].partition("#")[0] == member.name and each["voter"] for each in members)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="waiting jobs (default 1,000,000)")
    parser.add_argument("--checkout", action="store_true", help="run the checkout instead of a freshly built wheel")
    parser.add_argument("--scratch", type=Path, help="folder for the servers' data (default: the temporary folder)")
    parser.add_argument("--json", type=Path, default=Path("sizes.json"), help="where the JSON goes")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="rustqueue-sizes-", dir=options.scratch))
    rows: list[dict[str, object]] = []

    def add(what: str, value: float, unit: str = "s", most: float | None = None) -> None:
        verdict = "" if most is None else ("reached" if value <= most else "MISSED")
        load = os.getloadavg()[0]
        rows.append({"what": what, "value": value, "unit": unit, "at_most": most, "load_average": load})
        bound = "" if most is None else f"at most {most:.0f}"
        print(f"{what:<44} {value:>12,.1f} {unit:<7} {bound:<12} {verdict:<8} load {load:.1f}", flush=True)

    try:
        with clusters.running(Starter(scratch, options.checkout)) as cluster:
            add("pushed", fill(cluster, options.jobs), "jobs/s")
            add("leader's memory", memory_mb(cluster.leader().pid)[0], "MB")
            add("a killed follower is ready again", restart_one(cluster), most=READY_S_MAX)
            for what, seconds in restart_all(cluster).items():
                add(f"all killed: {what}", seconds, most=READY_S_MAX)
            for what, value in lose_a_disk(cluster).items():
                unit = {"load, jobs/s": "jobs/s", "refused batches of the load": "batches"}.get(what, "s")
                add(f"lost disk: {what}", value, unit, VOTER_S_MAX if what == "voter again" else None)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        document = {"jobs": options.jobs, "machine": machine.describe(Path(tempfile.gettempdir())), "rows": rows}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    say(f"wrote {options.json}")


if __name__ == "__main__":
    main()
