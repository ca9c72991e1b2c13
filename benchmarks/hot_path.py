"""What one job costs in the core: microseconds of CPU of this thread for each step of push, pull and ack in batches.

`python -m benchmarks.hot_path [--jobs N] [--batch N] [--backend rocks|memory] [--profile]`. No journal, no sockets: the
rest of the path is what `python -m benchmarks --case verbs` adds to these figures.
"""

import argparse
import cProfile
import json
import pstats
import tempfile
from pathlib import Path
from time import thread_time
from typing import Literal

import msgspec

from rustqueue.machine.machine import Machine
from rustqueue.model.entry import Entry
from rustqueue.model.jobs import Job
from rustqueue.model.replies import Pulled, PulledOne, Reply
from rustqueue.model.wire import decode_request
from rustqueue.storage import open_store

PAYLOAD = {"user": 12345, "url": "https://example.com/path/to/resource", "tags": ["a", "b", "c"], "note": "x" * 60}


class Bench:
    """Drives a machine with whole lines, as the TCP shell would, and adds up thread time by step."""

    def __init__(self, backend: Literal["rocks", "memory"], folder: str) -> None:
        self.machine = Machine(open_store(backend, str(Path(folder) / "db")))
        self.spent: dict[str, float] = {}
        self._encode = msgspec.json.Encoder().encode
        self._now_ms = 1_764_000_000_000

    def line(self, verb: str, line: bytes) -> Reply:
        started = thread_time()
        command = decode_request(line)
        decoded = thread_time()
        self._now_ms += 1
        index = self.machine.applied_index + 1
        seed = index.to_bytes(16, "little")
        reply = self.machine.apply(index, Entry(1, 1, self._now_ms, seed, []), [command])[0]  # type: ignore[list-item]
        applied = thread_time()
        self._encode(reply)
        ended = thread_time()
        for name, seconds in (("decode", decoded - started), ("apply", applied - decoded), ("encode", ended - applied)):
            key = f"{verb} {name}"
            self.spent[key] = self.spent.get(key, 0.0) + seconds
        return reply


def pulled(reply: Reply) -> list[Job]:
    """The jobs of a pull, which answers a count of 1 in a shape of its own."""
    if isinstance(reply, Pulled):
        return reply.jobs
    if isinstance(reply, PulledOne) and reply.job is not None:
        return [reply.job]
    raise SystemExit(f"a pull answered {reply!r}")


def run(bench: Bench, jobs: int, batch: int) -> None:
    push = json.dumps({"cmd": "push_batch", "queue": "q", "jobs": [{"name": "n", "data": PAYLOAD}] * batch}).encode()
    pull = json.dumps({"cmd": "pull", "queue": "q", "count": batch}).encode()
    for _ in range(jobs // batch):
        bench.line("push", push)
    for _ in range(jobs // batch):
        reply = bench.line("pull", pull)
        ids = [job.id for job in pulled(reply)]
        bench.line("ack", json.dumps({"cmd": "ack_batch", "ids": ids}).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--backend", default="rocks", choices=("rocks", "memory"))
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.backend, folder)
        if options.profile:
            profile = cProfile.Profile()
            profile.runcall(run, bench, options.jobs, options.batch)
            pstats.Stats(profile).sort_stats("tottime").print_stats(35)
            return
        run(bench, options.jobs, options.batch)
        for name, seconds in bench.spent.items():
            print(f"{name:14} {seconds / options.jobs * 1e6:6.2f} us/job")
        print(f"{'sum':14} {sum(bench.spent.values()) / options.jobs * 1e6:6.2f} us/job")


if __name__ == "__main__":
    main()
