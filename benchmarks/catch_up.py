"""What a member that starts pays for the log it has still to apply: `python -m benchmarks.catch_up [--entries N]`.

A log of entries of one push each is written, opened again and read in slices as a member does that applies what was
committed; then the same once more with a machine that applies it, and a flush of what that left in memory. The log is
in the temporary folder and in the page cache, so the figures are those of the processor.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from time import perf_counter
from typing import Any

from rustqueue.machine.machine import Machine
from rustqueue.model import limits
from rustqueue.model.entry import Entry, decode_entry, encode_entry
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.ports import JobDone
from rustqueue.raft.real import OsDisk
from rustqueue.raft.records import Identity
from rustqueue.storage import open_store

PUSH = b'{"cmd":"push","queue":"mail","name":"send","data":{"to":"user%08d@example.com","note":"%s"}}'
GROUP_ENTRIES = 1_000
"""Written and synced together: the writing is not what is measured."""


class Inline:
    """An executor that does a job where it is asked to."""

    def run(self, job: Callable[[], Any], done: JobDone) -> None:
        done(job(), None)

    def close(self) -> None:
        pass


def open_log(folder: str) -> MemberLog:
    log = MemberLog(OsDisk(), Inline(), os.path.join(folder, "journal"), Identity(bytes(16), "n0"))
    log.open()
    return log


def check(error: BaseException | None) -> None:
    if error is not None:
        raise error


def write_log(folder: str, entries: int, note: bytes) -> None:
    log = open_log(folder)
    for number in range(1, entries + 1):
        entry = Entry(1, 1, 1_764_000_000_000 + number, number.to_bytes(16, "big"), [PUSH % (number, note)])
        log.append(encode_entry(entry), 1)
        if number % GROUP_ENTRIES == 0 or number == entries:
            log.sync(check)
    log.close()


def catch_up(log: MemberLog, take: Callable[[int, Entry], object]) -> float:
    """Seconds for the whole log, slice by slice."""
    began_s, index = perf_counter(), 1
    while index <= log.durable_index:
        for record in log.records_from(index, limits.APPLY_READ_BYTES, log.durable_index):
            take(index, decode_entry(record.payload))
            index += 1
    return perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--note-bytes", type=int, default=200, help="of the payload of each push (default 200)")
    parser.add_argument("--read-only", action="store_true", help="without the machine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="catch-up-") as folder:
        write_log(folder, options.entries, b"x" * options.note_bytes)
        began_s = perf_counter()
        log = open_log(folder)
        print(f"{options.entries} entries of one push, {log.size_bytes / 2**20:.0f} MiB")
        print(f"open           {perf_counter() - began_s:8.2f} s")
        print(f"read           {catch_up(log, lambda index, entry: None):8.2f} s")
        log.close()
        if not options.read_only:
            log, store = open_log(folder), open_store("rocks", os.path.join(folder, "store"))
            machine = Machine(store)
            print(
                f"read and apply {catch_up(log, lambda index, entry: machine.apply(index, entry, None, True)):8.2f} s"
            )
            began_s = perf_counter()
            store.flush()
            print(f"flush          {perf_counter() - began_s:8.2f} s")
            store.close()
            log.close()


if __name__ == "__main__":
    main()
