"""One worker process of the demo: `python -m rustqueue.demo.worker URL FOLDER NAME`.

It pulls jobs, does them and acknowledges them. For every batch it writes one line of JSON to standard output: which
jobs it ran, and which of them the node acknowledged, written only after the node said so.
"""

import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from rustqueue.client import Client
from rustqueue.client.results import Job
from rustqueue.demo.sources import Facts, Totals, read_source, total_of

QUEUE = "sources"
READ_JOB = "read"
TOTAL_JOB = "total"
BATCH_JOBS = 8
WAIT_MS = 1_000
# The demo kills and restarts the node; no worker may give up meanwhile.
TIMEOUT_S = 120.0


class Report(Struct, frozen=True):
    """One batch as its worker saw it."""

    ran: list[str]
    acknowledged: list[str]
    at_ns: int


class Payload(Struct, frozen=True):
    path: str


def perform(client: Client, root: Path, job: Job) -> Facts | Totals:
    """The work of one job."""
    if job.name == READ_JOB:
        return read_source(root, msgspec.json.decode(job.raw_data, type=Payload).path)
    return total_of(_results_before(client, job))


def _results_before(client: Client, job: Job) -> Iterator[Facts | Totals]:
    """Results of the jobs that this one waited for. A pull brings only so many bytes of them; the rest is paged."""
    if not job.parent_results_truncated:
        raws = list(job.raw_parent_results.values())
    else:
        raws = [parent.raw_result for parent in client.iter_parents(job.id)]
    for raw in raws:
        yield msgspec.json.decode(raw, type=Facts | Totals)


def work(client: Client, root: Path, name: str) -> None:
    """Until the demo ends: it stops its workers, and one whose demo was killed sees that it is an orphan."""
    parent = os.getppid()
    while os.getppid() == parent:
        # With a key, a pull whose answer was lost in the kill is answered again with the same jobs; without one they
        # would lie leased to nobody until their lease ends, and the demo would wait for that.
        key = uuid.uuid4().hex
        jobs = client.pull(
            QUEUE, BATCH_JOBS, wait_ms=WAIT_MS, worker_id=name, with_parent_results=True, idempotency_key=key
        )
        if not jobs:
            continue
        done = [(job, perform(client, root, job)) for job in jobs]
        answer = client.ack_batch(done)
        acknowledged = [item.id for item in answer.results if item.ok]
        report = Report([job.id for job in jobs], acknowledged, time.monotonic_ns())
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()


def main(words: list[str]) -> None:
    url, root, name = words
    with Client(url, timeout_s=TIMEOUT_S) as client:
        work(client, Path(root), name)


if __name__ == "__main__":
    main(sys.argv[1:])
