"""Files of a journal that somebody has mixed up while the node was down: what `rustqueue check` and a start must see.

It must not know nodes. Each kind gives back how to undo it and the file that has to be named, or None where the folder
does not allow it. Nothing here is what a disk does: names and bytes change behind its back, and are on the platter.
"""

import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from rustqueue.raft.journal import SEGMENT_SUFFIX
from rustqueue.raft.records import (
    SEGMENT_HEADER_BYTES,
    Flaw,
    Identity,
    Record,
    Window,
    encode_record,
    encode_segment_header,
    read_record,
    read_segment_header,
)
from tests.simulation.disk import Inode, SimDisk

FOLDER = "j"
_KIND_OF_TOMORROW = 9
_VERSION_AT = 6
"""In the header of a segment, behind its mark and its magic."""


class Mixup(NamedTuple):
    """`path` stands in the refusal. `seen`: also `rustqueue check` finds it, which does not know whose folder it is."""

    path: str
    undo: Callable[[], None]
    seen: bool = True


def _segments(disk: SimDisk) -> list[str]:
    return [f"{FOLDER}/{name}" for name in disk.list(FOLDER) if name.endswith(SEGMENT_SUFFIX)]


def _replaced(disk: SimDisk, path: str, content: bytes, seen: bool = True) -> Mixup:
    """The file holds something else."""
    before = disk.put(path, Inode(bytearray(content), bytearray(content)))
    return Mixup(path, lambda: _put_back(disk, path, before), seen)


def _put_back(disk: SimDisk, path: str, inode: Inode | None) -> None:
    disk.put(path, inode)


def _content(disk: SimDisk, path: str) -> bytes:
    return disk.read(path, 0, disk.size_bytes(path))


def _window(disk: SimDisk, path: str) -> Window:
    return Window(partial(disk.read, path), disk.size_bytes(path))


def strange_name(disk: SimDisk) -> Mixup | None:
    """A file that is none of ours."""
    return _replaced(disk, f"{FOLDER}/notes{SEGMENT_SUFFIX}", b"")


def wrong_name(disk: SimDisk) -> Mixup | None:
    """The last segment is called like a later one."""
    paths = _segments(disk)
    if not paths or isinstance(read_segment_header(_window(disk, paths[-1])), Flaw):
        return None
    path, index = paths[-1], int(paths[-1].removeprefix(f"{FOLDER}/").removesuffix(SEGMENT_SUFFIX))
    later = f"{FOLDER}/{index + 1_000:020d}{SEGMENT_SUFFIX}"
    inode = disk.put(path, None)
    disk.put(later, inode)

    def undo() -> None:
        disk.put(later, None)
        disk.put(path, inode)

    return Mixup(later, undo)


def other_node(disk: SimDisk) -> Mixup | None:
    """The last of several segments is that of another node."""
    paths = _segments(disk)
    header = read_segment_header(_window(disk, paths[-1])) if len(paths) > 1 else None
    if header is None or isinstance(header, Flaw):
        return None
    other = encode_segment_header(Identity(bytes(range(16)), "other"), header.first_index, header.previous_term)
    return _replaced(disk, paths[-1], other + _content(disk, paths[-1])[SEGMENT_HEADER_BYTES:])


def header_gone(disk: SimDisk) -> Mixup | None:
    """A segment in the middle has lost its first bytes."""
    paths = _segments(disk)[:-1]
    if not paths or isinstance(read_segment_header(_window(disk, _segments(disk)[-1])), Flaw):
        return None
    return _replaced(disk, paths[-1], bytes(SEGMENT_HEADER_BYTES) + _content(disk, paths[-1])[SEGMENT_HEADER_BYTES:])


def _last_record(disk: SimDisk, path: str) -> Record | None:
    window, offset, last = _window(disk, path), SEGMENT_HEADER_BYTES, None
    while not isinstance(record := read_record(window, offset), Flaw):
        last, offset = record, record.end_offset
    return last


def _other_record(disk: SimDisk, index_step: int, kind: int | None) -> Mixup | None:
    paths = _segments(disk)
    if not paths or isinstance(read_segment_header(_window(disk, paths[-1])), Flaw):
        return None
    path = paths[-1]
    last = _last_record(disk, path)
    if last is None:
        return None
    index, behind = last.index + index_step, last.synced_index + index_step
    blob = encode_record(index, last.term, behind, last.payload, last.kind if kind is None else kind)
    content = _content(disk, path)
    return _replaced(disk, path, content[: last.offset] + blob + content[last.end_offset :])


def wrong_record(disk: SimDisk) -> Mixup | None:
    """A record stands where another one belongs."""
    return _other_record(disk, 5, None)


def record_of_tomorrow(disk: SimDisk) -> Mixup | None:
    """A record of a kind that this program does not know."""
    return _other_record(disk, 0, _KIND_OF_TOMORROW)


def vote_gone(disk: SimDisk) -> Mixup | None:
    """Term and vote are missing beside a log that holds entries."""
    path = f"{FOLDER}/hardstate"
    paths = _segments(disk)
    if path not in [f"{FOLDER}/{name}" for name in disk.list(FOLDER)]:
        return None
    if not paths or isinstance(read_segment_header(_window(disk, paths[-1])), Flaw):
        return None
    if _last_record(disk, paths[-1]) is None:
        return None
    inode = disk.put(path, None)
    return Mixup(path, lambda: _put_back(disk, path, inode))


def segment_of_tomorrow(disk: SimDisk) -> Mixup | None:
    """The last segment has a format that this program does not know."""
    paths = _segments(disk)
    if not paths or isinstance(read_segment_header(_window(disk, paths[-1])), Flaw):
        return None
    content = bytearray(_content(disk, paths[-1]))
    content[_VERSION_AT] += 1
    checked = bytes(content[: SEGMENT_HEADER_BYTES - 5])
    content[SEGMENT_HEADER_BYTES - 5 : SEGMENT_HEADER_BYTES - 1] = zlib.crc32(checked).to_bytes(4, "little")
    return _replaced(disk, paths[-1], bytes(content))


MIXUPS: tuple[Callable[[SimDisk], Mixup | None], ...] = (
    strange_name,
    wrong_name,
    other_node,
    header_gone,
    wrong_record,
    record_of_tomorrow,
    vote_gone,
    segment_of_tomorrow,
)
