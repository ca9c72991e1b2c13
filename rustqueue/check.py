"""`rustqueue check DIR`: whether the data folder of a node that does not run is sound, without changing it.

Three questions, each asked of the code that a node itself would use: can every entry of the log be read; does the store
open, and does it meet the log without a gap; is every row in its place and every count right, as stored and after the
rest of the log was applied. The store is opened as a copy, made of links to its unchangeable files, since opening one
writes to it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from rustqueue.machine import keys
from rustqueue.machine.audit import audit
from rustqueue.machine.audit.census import walk
from rustqueue.machine.machine import ApplyFault, Machine
from rustqueue.model.cluster.features import ProgramTooOld
from rustqueue.model.entry import decode_entry
from rustqueue.node import JOURNAL_FOLDER, STORE_FOLDER
from rustqueue.node.keeping.refused import RefusedError, read_refused
from rustqueue.raft.inspect import JournalReport, inspect_journal
from rustqueue.raft.journal import list_segments
from rustqueue.raft.real import OsDisk
from rustqueue.raft.records import SEGMENT_HEADER_BYTES, Flaw, Window, read_record
from rustqueue.storage import StorageError, open_store

JOB_ROWS = keys.job(b"")


class LogFacts(Struct, frozen=True):
    """The journal. `torn` describes an unfinished write at its end: a start cuts it, nothing acknowledged was in it."""

    segments: int
    entries: int
    first_index: int
    last_index: int
    torn: str | None


class StoreFacts(Struct, frozen=True):
    """The store: up to which entry it is, and what it holds once the rest of the log is applied."""

    applied_index: int
    replayed: int
    jobs: int
    queues: int
    state_hash: str


class Report(Struct, frozen=True):
    """What was found. Sound if there is no problem."""

    folder: str
    log: LogFacts | None
    store: StoreFacts | None
    problems: list[str]

    @property
    def sound(self) -> bool:
        return not self.problems


def check_folder(folder: Path) -> Report:
    """Look at everything that can be looked at; what is found wrong goes into the report."""
    journal, store = folder / JOURNAL_FOLDER, folder / STORE_FOLDER
    missing = [str(path) for path in (journal, store) if not path.is_dir()]
    if missing:
        return Report(str(folder), None, None, [f"{path}: not there; is {folder} a data folder?" for path in missing])
    disk = OsDisk()
    try:
        unlock = disk.lock(str(journal))
    except BlockingIOError:
        return Report(str(folder), None, None, [f"{folder}: in use by a running node; stop it, or check a copy"])
    except OSError as error:
        return Report(str(folder), None, None, [f"{journal}: {error.strerror}"])
    try:
        return _check_locked(folder, disk)
    finally:
        unlock()


def text_of(report: Report) -> str:
    """For people."""
    lines = []
    if report.log is not None:
        log = report.log
        span = f"{log.entries:,} entries, {log.first_index:,} to {log.last_index:,}" if log.entries else "no entries"
        lines.append(f"log    {span}, in {log.segments} segment" + ("" if log.segments == 1 else "s"))
        if log.torn is not None:
            lines.append(f"       torn end, which a start cuts: {log.torn}")
    if report.store is not None:
        store = report.store
        lines.append(f"store  up to entry {store.applied_index:,}, {store.replayed:,} more replayed from the log")
        lines.append(f"jobs   {store.jobs:,} in {store.queues:,} queues, state {store.state_hash}")
    lines += [f"wrong  {problem}" for problem in report.problems]
    verdict = "is sound" if report.sound else "is DAMAGED" if report.log is not None else "was not checked"
    lines.append(f"{report.folder} {verdict}")
    return "\n".join(lines)


def _check_locked(folder: Path, disk: OsDisk) -> Report:
    found = inspect_journal(disk, str(folder / JOURNAL_FOLDER))
    problems = [f"{damage.path}: byte {damage.offset}: {damage.reason}" for damage in found.damages]
    store = _check_store(folder, found, problems)
    torn = None if found.torn is None else f"{found.torn.path}: byte {found.torn.offset}: {found.torn.reason}"
    log = LogFacts(len(found.segments), found.records_count, found.first_index, found.last_index, torn)
    return Report(str(folder), log, store, problems)


def _check_store(folder: Path, found: JournalReport, problems: list[str]) -> StoreFacts | None:
    with _linked_copy(folder / STORE_FOLDER) as copy:
        try:
            store = open_store("rocks", str(copy))
        except StorageError as error:
            # The message tells what to do about the folder it names, which is our copy.
            problems.append(str(error).replace(str(copy), str(folder / STORE_FOLDER)))
            return None
        try:
            machine = Machine(store, refused_indexes=read_refused(str(folder)))
            applied_index = machine.applied_index
            problems += _gaps(applied_index, found)
            if found.sound and not problems:
                problems += [f"as stored: {text}" for text in audit(machine.view())]
                problems += _replay(folder / JOURNAL_FOLDER, machine)
            if machine.applied_index > applied_index:
                problems += [f"after replay: {text}" for text in audit(machine.view())]
            return StoreFacts(
                applied_index=applied_index,
                replayed=machine.applied_index - applied_index,
                jobs=sum(1 for _ in walk(machine.view(), JOB_ROWS, keys.after(JOB_ROWS))),
                queues=sum(1 for _ in machine.queue_counts()),
                state_hash=machine.state_hash.hex(),
            )
        except (StorageError, ProgramTooOld, RefusedError, msgspec.DecodeError) as error:
            problems.append(f"{folder / STORE_FOLDER}: {error}")
            return None
        finally:
            store.close()


@contextmanager
def _linked_copy(store: Path) -> Iterator[Path]:
    """The store under another name beside it, removed at the end. Its tables never change, so a link is a copy; the
    engine writes to the other files, so those are copied.
    """
    copy = Path(tempfile.mkdtemp(prefix=".check-", dir=store.parent))
    try:
        for path in store.iterdir():
            if path.name == "LOCK" or not path.is_file():
                continue
            if not (path.suffix == ".sst" and _linked(path, copy / path.name)):
                shutil.copyfile(path, copy / path.name)
        yield copy
    finally:
        shutil.rmtree(copy)


def _linked(path: Path, name: Path) -> bool:
    try:
        os.link(path, name)
    except OSError:
        return False  # A file system without links.
    return True


def _gaps(applied_index: int, found: JournalReport) -> Iterator[str]:
    """Entries that neither the store nor the log has."""
    if applied_index > found.last_index:
        yield f"the store is up to entry {applied_index}, the log ends with {found.last_index}: its end is missing"
    if found.first_index > applied_index + 1:
        yield f"the store is up to entry {applied_index}, the log begins with {found.first_index}: a part is missing"


def _replay(journal: Path, machine: Machine) -> Iterator[str]:
    """Apply what a start would apply."""
    for index, payload in _entries(journal, machine.applied_index + 1):
        try:
            machine.apply(index, decode_entry(payload))
        except (ApplyFault, ProgramTooOld, msgspec.DecodeError, ValueError) as error:
            yield f"entry {index} cannot be applied: {error}: {error.__cause__ or ''}"
            return


def _entries(journal: Path, first_index: int) -> Iterator[tuple[int, bytes]]:
    """Index and payload of the entries of a log that was found sound; a torn end is no entry."""
    disk = OsDisk()
    for segment in list_segments(disk, str(journal)):
        window = Window(partial(disk.read, segment.path), disk.size_bytes(segment.path))
        offset = SEGMENT_HEADER_BYTES
        while not isinstance(record := read_record(window, offset), Flaw):
            offset = record.end_offset
            if record.index >= first_index:
                yield record.index, record.payload
