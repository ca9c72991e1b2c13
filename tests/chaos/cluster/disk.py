"""A power cut by hand: what the node wrote and never synced is taken away, in a way that a disk may do it.

Reads what `shim.c` wrote down: every write with the bytes that were there before, and the syncs that succeeded. Of each
file some front part of its unsynced writes survives, the next one may survive in part, sector by sector, and the rest
is undone. A file whose name was never made durable by a sync of its folder may be gone with it.

It must not know what a file means. Invariants: a write that a sync followed stays; what was written down of a node that
was only killed still counts, since a killed process leaves its pages unsynced. A kill may break off the record that is
being written; it goes before the node's next process writes to the same file.
"""

import os
import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

HEADER = struct.Struct("=IIQQQQ")
WRITTEN, SYNC_BEGUN, SYNCED, CREATED, RENAMED, REMOVED = range(1, 7)
SECTOR_BYTES = 512


class Record(NamedTuple):
    kind: int
    path: str
    offset: int
    length: int
    old_size: int
    old: bytes


@dataclass(slots=True)
class Unsynced:
    """Writes of one file that no finished sync covers, and since when its name is not safe."""

    writes: list[Record] = field(default_factory=list)
    fresh_name: bool = False
    was_synced: bool = False
    begun: dict[int, int] = field(default_factory=dict)
    """How many writes there were when each unfinished sync began."""

    def synced(self, number: int) -> None:
        covered = self.begun.pop(number, 0)
        self.was_synced = True
        del self.writes[:covered]
        self.begun = {other: max(0, count - covered) for other, count in self.begun.items()}


def read_records(path: Path) -> Iterator[Record]:
    """All whole records; the last may have been cut off by the kill, and then what it tells of was not done."""
    data = path.read_bytes()
    at = 0
    while at + HEADER.size <= len(data):
        kind, path_bytes, offset, length, old_size, old_bytes = HEADER.unpack_from(data, at)
        at += HEADER.size
        end = at + path_bytes + old_bytes
        if end > len(data):
            return
        yield Record(
            kind, os.fsdecode(data[at : at + path_bytes]), offset, length, old_size, data[at + path_bytes : end]
        )
        at = end


def end_life(path: Path) -> None:
    """Take away a last record that a kill broke off, before another process writes behind it."""
    if path.exists():
        whole = sum(HEADER.size + len(os.fsencode(record.path)) + len(record.old) for record in read_records(path))
        os.truncate(path, whole)


def unsynced_of(records: Iterator[Record]) -> dict[str, Unsynced]:
    """What is not safe, by file."""
    files: dict[str, Unsynced] = {}
    for record in records:
        if record.kind == RENAMED:
            _rename(files, record.path, os.fsdecode(record.old))
        elif record.kind == REMOVED:
            files.pop(record.path, None)
        else:
            file = files.setdefault(record.path, Unsynced())
            if record.kind == WRITTEN:
                file.writes.append(record)
            elif record.kind == SYNC_BEGUN:
                file.begun[record.offset] = len(file.writes)
            elif record.kind == CREATED:
                files[record.path] = Unsynced(fresh_name=True)
            else:
                file.synced(record.offset)
                _names_are_safe(files, record.path)
    return files


def _rename(files: dict[str, Unsynced], old: str, new: str) -> None:
    """Renames are taken as durable at once; content that was not synced stays unsynced under the new name."""
    for path in [path for path in files if path == old or path.startswith(f"{old}/")]:
        moved = files.pop(path)
        moved.fresh_name = False
        files[new + path[len(old) :]] = moved


def _names_are_safe(files: dict[str, Unsynced], folder: str) -> None:
    """A folder was synced (of a file this finds nothing)."""
    for path, file in files.items():
        if file.fresh_name and os.path.dirname(path) == folder:
            file.fresh_name = False


def cut_power(record_path: Path, rng: random.Random) -> Counter[str]:
    """Take away what was not safe, and begin a new record. Says what was done."""
    done: Counter[str] = Counter()
    if not record_path.exists():
        return done
    # Mostly everything that may go goes: that is the cut that finds most.
    everything = rng.random() < 0.6
    for path, file in sorted(unsynced_of(read_records(record_path)).items()):
        if not os.path.isfile(path):
            continue
        if file.fresh_name and not file.was_synced and rng.random() < 0.5:
            os.unlink(path)
            done["files gone"] += 1
        elif file.writes:
            _undo(path, file.writes, 0 if everything else rng.randint(0, len(file.writes)), rng, done)
    record_path.unlink()
    return done


def _undo(path: str, writes: list[Record], kept: int, rng: random.Random, done: Counter[str]) -> None:
    """Undo the writes behind the first `kept`, the last one first; of the first that goes, some sectors may stay."""
    with open(path, "r+b", buffering=0) as file:
        torn = writes[kept] if kept < len(writes) and rng.random() < 0.5 else None
        overwritten = torn is not None and any(_overlap(torn, later) for later in writes[kept + 1 :])
        new = os.pread(file.fileno(), torn.length, torn.offset) if torn is not None and not overwritten else b""
        for write in reversed(writes[kept:]):
            os.pwrite(file.fileno(), write.old, write.offset)
            if os.fstat(file.fileno()).st_size > write.old_size:
                os.ftruncate(file.fileno(), write.old_size)
            done["writes undone"] += 1
        if torn is not None and new:
            done["writes torn"] += 1
            first = torn.offset - torn.offset % SECTOR_BYTES
            for sector in range(first, torn.offset + len(new), SECTOR_BYTES):
                begin, end = max(sector, torn.offset), sector + SECTOR_BYTES
                if rng.random() < 0.5:
                    os.pwrite(file.fileno(), new[begin - torn.offset : end - torn.offset], begin)


def _overlap(one: Record, other: Record) -> bool:
    return one.offset < other.offset + other.length and other.offset < one.offset + one.length
