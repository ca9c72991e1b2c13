"""What a power cut can do to the data folder of a node that was killed: whatever was not synced may be gone.

A killed process loses nothing that it wrote, since the system keeps the pages. So a cut is made by hand. In the journal
anything may go that was written behind the last entry of which a client got a reply, or which a later entry calls
durable: from some byte on (the file ends there, or goes on with zeros), or sector by sector. The store may be as it was
at any earlier moment, since the journal of these short lives still holds everything behind it; what the store holds had
been synced in the journal first, so a cut stays behind that.
"""

import json
import os
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rustqueue.history.lines import Object
from rustqueue.machine import keys, rows
from rustqueue.model.entry import decode_entry
from rustqueue.raft.real import OsDisk
from rustqueue.raft.records import SECTOR_BYTES, SEGMENT_HEADER_BYTES, Flaw, Record, Window, read_record
from rustqueue.storage.rocks import RocksKV


class Ends(NamedTuple):
    """Offsets in the last segment. Nothing before `promised` may go; up to `synced` only whole tails may."""

    path: Path
    promised: int
    synced: int
    written: int


def journal_folder(data: Path) -> Path:
    """Where the segments are."""
    [folder] = {path.parent for path in data.rglob("*.log") if path.stem.isdecimal() and len(path.stem) == 20}
    return folder


def store_folder(data: Path) -> Path:
    """Where RocksDB lives."""
    [folder] = {path.parent for path in data.rglob("CURRENT")}
    return folder


def op_of(command: Object) -> str | None:
    """By which name the clients of the crash test know a logged command; None for the node's own."""
    if command["cmd"].startswith("!"):
        return None
    jobs = command.get("jobs") or [command]
    told = command.get("request_id") or command.get("idempotency_key")
    return str(told) if told is not None else str(jobs[0]["data"]["op"])


def records_in(path: Path) -> Iterator[Record]:
    """Whole records from the front of a segment."""
    disk = OsDisk()
    window = Window(partial(disk.read, str(path)), disk.size_bytes(str(path)))
    offset = SEGMENT_HEADER_BYTES
    while not isinstance(record := read_record(window, offset), Flaw):
        yield record
        offset = record.end_offset


def stored_index(data: Path, scratch: Path) -> int:
    """Up to which entry the store on disk is. Read from a copy, since the engine writes when it opens a folder."""
    shutil.copytree(store_folder(data), scratch)
    store = RocksKV(str(scratch))
    try:
        row = store.get(keys.META)
        return 0 if row is None else rows.decode_meta(row).applied_index
    finally:
        store.close()
        shutil.rmtree(scratch)


def find_ends(data: Path, answered: set[str], stored: int) -> Ends:
    """Look for the last entry with an answered command, and for what later entries say about durability. The entries up
    to `stored` are in the flushed store, so they had been synced before.
    """
    segments = sorted(journal_folder(data).glob("*.log"))
    promised_index = synced_index = 0
    ends: dict[int, int] = {}
    for path in segments:
        ends = {}
        for record in records_in(path):
            ends[record.index] = record.end_offset
            synced_index = max(synced_index, record.synced_index)
            commands = (json.loads(command) for command in decode_entry(record.payload).commands)
            if any(op_of(command) in answered for command in commands):
                promised_index = record.index
    promised_index = max(promised_index, stored)
    last = segments[-1]
    return Ends(
        path=last,
        promised=ends.get(promised_index, SEGMENT_HEADER_BYTES),
        synced=ends.get(max(promised_index, synced_index), SEGMENT_HEADER_BYTES),
        written=max(ends.values(), default=SEGMENT_HEADER_BYTES),
    )


def cut_journal(ends: Ends, rng: random.Random) -> Object:
    """Take away some of what was not promised; says what."""
    how = rng.choice(["shorten", "blank", "sectors"])
    floor = ends.synced if how == "sectors" else ends.promised
    offset = rng.randint(floor, max(floor, ends.written))
    with ends.path.open("r+b") as file:
        if how == "shorten":
            file.truncate(offset)
        elif how == "blank":
            _blank(file.fileno(), offset, ends.written)
        else:
            for start in range(floor - floor % SECTOR_BYTES, ends.written, SECTOR_BYTES):
                if rng.random() < 0.5:
                    _blank(file.fileno(), max(start, floor), min(start + SECTOR_BYTES, ends.written))
    return {"how": how, "offset": offset, "promised": ends.promised, "synced": ends.synced, "written": ends.written}


def _blank(descriptor: int, start: int, end: int) -> None:
    os.pwrite(descriptor, bytes(max(0, end - start)), start)


class StoreCopies:
    """Copies of the store from earlier moments of a round, one of which a power cut may bring back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies: list[Path] = []
        self._first_index = 0

    def take(self, data: Path) -> None:
        """Copy the store of a node that is down. What the journal no longer reaches is forgotten."""
        first_index = min(int(path.stem) for path in journal_folder(data).glob("*.log"))
        if first_index != self._first_index:
            self.forget()
            self._first_index = first_index
        copy = self._folder / f"store-{len(self._copies)}"
        shutil.copytree(store_folder(data), copy)
        self._copies.append(copy)

    def bring_back(self, data: Path, rng: random.Random) -> str | None:
        """Put an earlier copy in the place of the store, unless the journal no longer reaches back to one."""
        first_index = min(int(path.stem) for path in journal_folder(data).glob("*.log"))
        if first_index != self._first_index or not self._copies:
            return None
        copy = rng.choice(self._copies)
        store = store_folder(data)
        shutil.rmtree(store)
        shutil.copytree(copy, store)
        return copy.name

    def forget(self) -> None:
        for copy in self._copies:
            shutil.rmtree(copy)
        self._copies.clear()
