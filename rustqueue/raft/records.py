"""How the journal lays bytes on disk: the header of a segment, and records; and how damage is told from a torn end.

It must not know files, folders or what a payload means; it looks at bytes through a `Window`.

    segment  = header (96 bytes), records, zeros
    record   = header (35 bytes), payload, end byte

Every part begins and ends with a byte that is not zero, and room that was never written reads as zeros. That is how a
torn write (part of it never reached the disk) is told from bytes that were there and changed: the former leaves zeros
at an end or a whole sector of zeros inside, the latter does not. Each record also says up to which index the log was
durable when it was written, so a good record behind a bad one tells whether the bad one had been promised.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rustqueue.model import limits

FORMAT_VERSION = 1
KIND_ENTRY = 1
KIND_CONFIG = 2
"""An entry that holds one `Members` command: the members of the cluster from here on."""

_KINDS = frozenset({KIND_ENTRY, KIND_CONFIG})

SECTOR_BYTES = 512
"""The smallest unit that a disk writes wholly or not at all."""

# Marks stand at both ends of every part. They are bytes that never occur in UTF-8, so a search for the start of a
# record meets few false candidates in JSON payloads.
_RECORD_START, _RECORD_MIDDLE, _RECORD_END = 0xFB, 0xFD, 0xFE
_SEGMENT_START, _SEGMENT_END = 0xFA, 0xFC

_RECORD = struct.Struct("<BBIQQIIIB")  # start, kind, length, index, term, behind, payload crc, header crc, end
_RECORD_CHECKED_BYTES = _RECORD.size - 5
RECORD_OVERHEAD_BYTES = _RECORD.size + 1
_END_MARK = bytes([_RECORD_END])

# start, magic, version, first index, cluster id, node id, term of the record before the first, crc, end
_SEGMENT = struct.Struct("<B5sHQ16s48sQ3xIB")
_SEGMENT_CHECKED_BYTES = _SEGMENT.size - 5
SEGMENT_HEADER_BYTES = _SEGMENT.size
_MAGIC = b"RQLOG"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose log it is. `cluster_id` is 16 random bytes, made once; `node_id` at most 48 bytes of UTF-8."""

    cluster_id: bytes
    node_id: str


class SegmentHeader(NamedTuple):
    """Whose segment it is, the index of its first record, and the term of the record before (0: there is none)."""

    identity: Identity
    first_index: int
    previous_term: int


@dataclass(frozen=True, slots=True)
class Record:
    """One log entry as found at `offset`; `synced_index` was durable when it was written."""

    index: int
    term: int
    kind: int
    synced_index: int
    payload: bytes
    offset: int
    end_offset: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why there is no record at `offset`. `unwritten` says that the bytes look as if a write had not reached them."""

    offset: int
    reason: str
    unwritten: bool


class Window:
    """Random reads of one file through a buffer, so that small steps do not cost a system call each."""

    def __init__(self, read: Callable[[int, int], bytes], size_bytes: int, chunk_bytes: int = 1 << 20) -> None:
        self._read = read
        self._chunk_bytes = chunk_bytes
        self._start = 0
        self._chunk = b""
        self.size_bytes = size_bytes

    def fetch(self, offset: int, count_bytes: int) -> bytes:
        """Fewer bytes only at the end of the file."""
        begin = offset - self._start
        if begin < 0 or begin + count_bytes > len(self._chunk):
            self._chunk = self._read(offset, max(count_bytes, self._chunk_bytes))
            self._start = offset
            begin = 0
        return self._chunk[begin : begin + count_bytes]

    def blank_from(self, offset: int) -> bool:
        """Whether only zeros, or nothing, follow."""
        while offset < self.size_bytes:
            chunk = self.fetch(offset, min(self._chunk_bytes, self.size_bytes - offset))
            if not chunk:
                return True
            if chunk.count(0) != len(chunk):
                return False
            offset += len(chunk)
        return True


def encode_segment_header(identity: Identity, first_index: int, previous_term: int = 0) -> bytes:
    node = identity.node_id.encode()
    assert len(identity.cluster_id) == 16, "a cluster id is 16 bytes"
    assert len(node) <= 48, "a node id is at most 48 bytes"
    blank = _SEGMENT.pack(
        _SEGMENT_START, _MAGIC, FORMAT_VERSION, first_index, identity.cluster_id, node, previous_term, 0, _SEGMENT_END
    )
    checked = blank[:_SEGMENT_CHECKED_BYTES]
    return checked + zlib.crc32(checked).to_bytes(4, "little") + bytes([_SEGMENT_END])


def read_segment_header(window: Window) -> SegmentHeader | Flaw:
    header = window.fetch(0, _SEGMENT.size)
    if len(header) < _SEGMENT.size or header[0] == 0 or header[-1] == 0:
        return Flaw(0, "the header of the segment is incomplete", unwritten=True)
    start, magic, version, first_index, cluster_id, node, previous_term, crc, end = _SEGMENT.unpack(header)
    if crc != zlib.crc32(header[:_SEGMENT_CHECKED_BYTES]) or start != _SEGMENT_START or end != _SEGMENT_END:
        return Flaw(0, "the header of the segment fails its checksum", unwritten=False)
    if magic != _MAGIC or version != FORMAT_VERSION:
        return Flaw(0, f"the segment has format {magic!r} {version}, not {_MAGIC!r} {FORMAT_VERSION}", unwritten=False)
    return SegmentHeader(Identity(cluster_id, node.rstrip(b"\0").decode()), first_index, previous_term)


def encode_record(index: int, term: int, synced_index: int, payload: bytes, kind: int = KIND_ENTRY) -> bytes:
    behind = min(index - synced_index, 0xFFFFFFFF)
    blank = _RECORD.pack(_RECORD_START, kind, len(payload), index, term, behind, zlib.crc32(payload), 0, _RECORD_MIDDLE)
    checked = blank[:_RECORD_CHECKED_BYTES]
    crc = zlib.crc32(checked).to_bytes(4, "little")
    return b"".join((checked, crc, blank[-1:], payload, _END_MARK))


def read_record(window: Window, offset: int) -> Record | Flaw:
    """The record that begins at `offset`, or what is wrong there."""
    header = window.fetch(offset, _RECORD.size)
    if not header:
        return Flaw(offset, "the file ends here", unwritten=True)
    if len(header) < _RECORD.size or header[0] == 0 or header[-1] == 0:
        return Flaw(offset, "the header of the record is incomplete", unwritten=True)
    start, kind, length, index, term, behind, payload_crc, header_crc, middle = _RECORD.unpack(header)
    if start != _RECORD_START or middle != _RECORD_MIDDLE or zlib.crc32(header[:_RECORD_CHECKED_BYTES]) != header_crc:
        return Flaw(offset, "the header of the record fails its checksum", unwritten=False)
    if kind not in _KINDS or length > limits.JOURNAL_RECORD_BYTES_MAX:
        return Flaw(offset, f"a record of kind {kind} and {length} bytes is not of this version", unwritten=False)
    payload_offset = offset + _RECORD.size
    body = window.fetch(payload_offset, length + 1)
    if len(body) <= length or body[-1] == 0:
        return Flaw(offset, f"the end of the record with index {index} is missing", unwritten=True)
    payload = body[:-1]
    if body[-1] != _RECORD_END or zlib.crc32(payload) != payload_crc:
        torn = _has_blank_sector(payload, payload_offset)
        return Flaw(offset, f"the record with index {index} fails its checksum", unwritten=torn)
    return Record(index, term, kind, index - behind, payload, offset, payload_offset + length + 1)


def find_witness(window: Window, flaw: Flaw, index: int) -> Record | None:
    """A good record behind the flaw that was written when the record with this index was already durable, if any.

    It proves that the flawed record had been synced, and so perhaps promised: then the flaw is damage and no torn end.
    """
    offset = flaw.offset + 1
    mark = bytes([_RECORD_START])
    while offset < window.size_bytes:
        chunk = window.fetch(offset, min(1 << 16, window.size_bytes - offset))
        found = chunk.find(mark)
        if not chunk:
            return None
        if found < 0:
            offset += len(chunk)
            continue
        offset += found
        candidate = read_record(window, offset)
        if isinstance(candidate, Record) and candidate.index > index and candidate.synced_index >= index:
            return candidate
        offset += 1
    return None


def _has_blank_sector(payload: bytes, payload_offset: int) -> bool:
    """Whether a whole sector inside the payload holds only zeros, as one does that never reached the disk."""
    first = -payload_offset % SECTOR_BYTES
    blank = bytes(SECTOR_BYTES)
    return any(payload[at : at + SECTOR_BYTES] == blank for at in range(first, len(payload), SECTOR_BYTES))
