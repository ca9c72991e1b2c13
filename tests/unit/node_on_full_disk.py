"""A program for a small disk: a real node fills it, is killed, works it off, and tells as JSON how it went."""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from threading import Event
from typing import Any

from tests.unit.test_node import Process, Talk, a_process, a_talk

BATCH_JOBS = 100
PAYLOAD_BYTES = 1_000
WITHIN_S = 60


def push(talk: Talk) -> dict[str, Any]:
    # Payloads that no compression makes smaller, so that the store needs as much room as the log.
    jobs = [{"name": "work", "data": os.urandom(PAYLOAD_BYTES // 2).hex()} for _ in range(BATCH_JOBS)]
    return talk.ask("push_batch", queue="q", jobs=jobs)


def counts(talk: Talk) -> dict[str, int]:
    found: dict[str, int] = talk.ask("stats", queue="q")["counts"]
    return {state: count for state, count in found.items() if count}


def push_until_full(talk: Talk) -> int:
    accepted = 0
    while True:
        answer = push(talk)
        if not answer["ok"]:
            assert answer["error"]["code"] == "DISK_FULL", answer
            return accepted
        accepted += len(answer["ids"])


def work_off(talk: Talk, batches: int) -> int:
    """Pull and acknowledge, up to so many batches; none may be refused."""
    acked = 0
    for _ in range(batches):
        pulled = talk.ask("pull", queue="q", count=BATCH_JOBS)
        assert pulled["ok"], pulled
        if not pulled["jobs"]:
            break
        answer = talk.ask("ack_batch", ids=[job["id"] for job in pulled["jobs"]])
        assert (answer["ok"], answer.get("failed", 0)) == (True, 0), answer
        acked += len(pulled["jobs"])
    return acked


def push_again(talk: Talk, jobs_count: int) -> float:
    """Seconds until so many jobs are taken: there must be room for many, not just for one more push."""
    began_s = time.monotonic()
    pause = Event()
    while jobs_count > 0:
        assert time.monotonic() - began_s < WITHIN_S, "pushes stay refused"
        if push(talk)["ok"]:
            jobs_count -= BATCH_JOBS
        else:
            pause.wait(0.1)
    return time.monotonic() - began_s


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/metrics/prometheus", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"rustqueue_{name} ")))


def fill_and_kill(disk: Path) -> tuple[int, int]:
    """Jobs accepted and jobs acknowledged on the full disk before the node is killed."""
    with a_process(disk) as node, a_talk(node.event("ready")["tcp_port"]) as talk:
        accepted = push_until_full(talk)
        acked = work_off(talk, 5)
        node.process.kill()
        node.wait()
    return accepted, acked


def work_off_and_serve(node: Process, accepted: int, acked: int, report: dict[str, Any]) -> None:
    ready = node.event("ready")
    with a_talk(ready["tcp_port"]) as talk:
        report["kept"] = counts(talk).get("waiting") == accepted - acked
        report["all worked off"] = work_off(talk, 1_000_000) == accepted - acked
        report["cleaned"] = talk.ask("queue_clean", queue="q", state="completed")["ok"]
        report["more"] = accepted // 2 // BATCH_JOBS * BATCH_JOBS
        report["again_s"] = push_again(talk, report["more"])
        report["trimmed"] = metric(ready["http_port"], "trimmed_jobs_total")
        report["waiting"] = counts(talk)["waiting"]
        report["full"] = metric(ready["http_port"], "disk_full")
        node.process.kill()
        node.wait()


def main(disk: Path) -> None:
    report: dict[str, Any] = {}
    accepted, acked = fill_and_kill(disk)
    report["accepted"] = accepted
    with a_process(disk) as node:
        work_off_and_serve(node, accepted, acked, report)
    with a_process(disk) as node, a_talk(node.event("ready")["tcp_port"]) as talk:
        report["kept again"] = counts(talk)["waiting"] == report["more"]
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
