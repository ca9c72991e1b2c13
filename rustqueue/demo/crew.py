"""The demo's clients: worker processes whose reports go into the ledger, and the producer that feeds them.

Each runs in a thread of the demo and fails into the ledger, so that whoever waits there learns of it.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from rustqueue.client import Client, RustQueueError
from rustqueue.demo.ledger import Ledger
from rustqueue.demo.worker import QUEUE, READ_JOB, TIMEOUT_S, TOTAL_JOB, Report
from rustqueue.model import limits

BATCH_JOBS = 50
# How far the producer runs ahead of the workers: jobs shall flow, not be stored in one second and taken out in twenty.
LEAD_JOBS = 100
LEAD_WAIT_S = 600.0


def jobs_for(files: int) -> int:
    """How many jobs so many files make: theirs, partial sums above the limit of parents, and the total."""
    count, level = files, files
    while level > limits.DEPENDS_ON_MAX:
        level = -(-level // limits.DEPENDS_ON_MAX)
        count += level
    return count + 1


@contextmanager
def workers(url: str, root: Path, count: int, ledger: Ledger) -> Iterator[None]:
    """`count` worker processes; stopped at the end of the block."""
    started: list[subprocess.Popen[bytes]] = []
    listeners: list[threading.Thread] = []
    try:
        for number in range(1, count + 1):
            name = f"demo-worker-{number}"
            words = [sys.executable, "-m", "rustqueue.demo.worker", url, str(root), name]
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
            started.append(process)
            listener = threading.Thread(target=_listen, args=(process, name, ledger), name=name)
            listeners.append(listener)
            listener.start()
        yield
    finally:
        ledger.note_end()
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        for listener in listeners:
            listener.join()


def _listen(process: subprocess.Popen[bytes], name: str, ledger: Ledger) -> None:
    """A worker's reports, until it ends. It must not end before the demo does."""
    assert process.stdout is not None
    assert process.stderr is not None
    decode = msgspec.json.Decoder(Report).decode
    for line in process.stdout:
        report = decode(line)
        ledger.note_run(report.ran)
        ledger.note_acknowledged(report.acknowledged, report.at_ns)
    words = process.stderr.read().decode(errors="replace").strip().splitlines()
    process.stdout.close()
    process.stderr.close()
    ledger.note_failure(f"{name} ended: {words[-1] if words else 'without a word'}")


class Producer:
    """Pushes a job for every file, a little ahead of the workers, then the jobs that total them."""

    def __init__(self, url: str, names: Sequence[str], ledger: Ledger) -> None:
        self._url = url
        self._names = names
        self._ledger = ledger
        self._thread = threading.Thread(target=self._run, name="demo-producer", daemon=True)
        self.total_id: str | None = None

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            with Client(self._url, timeout_s=TIMEOUT_S) as client:
                ids = self._push_files(client)
                if ids is not None:
                    self.total_id = self._push_totals(client, ids)
        except RustQueueError as error:
            self._ledger.note_failure(f"the producer failed: {error}")

    def _push_files(self, client: Client) -> list[str] | None:
        """Ids of all files' jobs; None when the demo ended meanwhile."""
        ids: list[str] = []
        remaining = iter(self._names)
        while batch := list(islice(remaining, BATCH_JOBS)):
            self._ledger.wait_for_lead(LEAD_JOBS, LEAD_WAIT_S)
            if self._ledger.failure is not None:
                return None
            pushed = client.push_batch(QUEUE, [{"name": READ_JOB, "data": {"path": name}} for name in batch])
            self._ledger.note_pushed(pushed, time.monotonic_ns())
            ids += pushed
        return ids

    def _push_totals(self, client: Client, ids: list[str]) -> str:
        """One job that waits for all others; above the limit of parents there is a level of partial sums between."""
        while len(ids) > limits.DEPENDS_ON_MAX:
            parts = [ids[at : at + limits.DEPENDS_ON_MAX] for at in range(0, len(ids), limits.DEPENDS_ON_MAX)]
            ids = [self._push_total(client, part) for part in parts]
        return self._push_total(client, ids)

    def _push_total(self, client: Client, parents: list[str]) -> str:
        job_id = client.push(QUEUE, TOTAL_JOB, {"files": len(parents)}, depends_on=parents)
        self._ledger.note_pushed([job_id], time.monotonic_ns())
        return job_id
