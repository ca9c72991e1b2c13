"""The journal: the durable log, in segment files that are appended to, synced in groups, and dropped whole.

It must not know what an entry means, what a thread or an event loop is, nor whether the disk is real.

Invariants:
- indexes are contiguous from `first_index` to `last_index`; nothing above `durable_index` may be acknowledged;
- one sync is in flight at most; it covers everything appended before it began;
- a segment is written only at its end, never rewritten; only the last one can end in a torn write, because a new one
  is begun only when all before it is durable;
- the end of the last segment is cut at start if it is torn, and `cut` says so. Any other flaw refuses to start;
- after a failed write or sync nothing is written any more and nothing is tried again, with one exception: a write that
  found no room is taken back, durably, and the journal goes on as if it had never been asked.
"""

import errno
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from rustqueue.model import limits
from rustqueue.raft.ports import Disk, Executor, File
from rustqueue.raft.records import (
    KIND_ENTRY,
    SEGMENT_HEADER_BYTES,
    Flaw,
    Identity,
    Record,
    SegmentHeader,
    Window,
    encode_record,
    encode_segment_header,
    find_witness,
    read_record,
    read_segment_header,
)

SEGMENT_SUFFIX = ".log"
_MARK_BYTES = 1 << 16
_READ_BYTES = 2 * _MARK_BYTES
"""Fetched at a time by who reads on: from the mark before what is wanted to about where a slice of applying ends."""

NO_SPACE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


class JournalError(Exception):
    """The journal cannot be used. The message names the file and says what can be done."""


class JournalDamaged(JournalError):
    """Bytes that had been synced have changed or are missing."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(
            f"{path}: damaged at byte {offset}: {reason}. Nothing was changed. Look at the whole folder with "
            f"`rustqueue check DIR`; restore this node from a backup or from the other members."
        )
        self.path = path
        self.offset = offset


class NoSpace(JournalError):
    """The disk has no room for what was appended. It was taken back; the journal goes on with what was durable."""


class Cut(NamedTuple):
    """A torn end that was cut at start: it had never been acknowledged."""

    path: str
    offset: int
    bytes_count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record begins."""

    index: int
    offset: int


@dataclass(slots=True)
class Segment:
    """One file of the log. `end_offset` is where its last durable record ends; `marks` are places of some records, in
    their order.
    """

    path: str
    first_index: int
    end_offset: int
    previous_term: int = 0
    marks: list[Place] = field(default_factory=list)

    def place_before(self, index: int) -> Place:
        """The nearest known place of a record at or before `index`."""
        at = bisect_right(self.marks, index, key=lambda place: place.index) - 1
        return self.marks[at] if at >= 0 else Place(self.first_index, SEGMENT_HEADER_BYTES)

    def mark(self, index: int, offset: int) -> None:
        """A record begins there. Kept, in its order, if none is marked shortly before it."""
        marks = self.marks
        at = len(marks)
        if marks and offset < marks[-1].offset:
            at = bisect_right(marks, offset, key=lambda place: place.offset)
        if at == 0 or offset - marks[at - 1].offset >= _MARK_BYTES:
            marks.insert(at, Place(index, offset))


SyncDone = Callable[[BaseException | None], None]


class Journal:
    """The log of one node. All calls are made on the loop; only `_write_group` runs in the executor."""

    def __init__(
        self,
        disk: Disk,
        executor: Executor,
        folder: str,
        identity: Identity,
        segment_bytes: int = limits.JOURNAL_SEGMENT_BYTES,
    ) -> None:
        self._disk = disk
        self._executor = executor
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._segments: list[Segment] = []
        self._file: File | None = None
        self._group: list[bytes] = []
        self._group_bytes = 0
        self._syncing = False
        self._roll_wanted = False
        self._doubtful_from = 0
        self._term_runs: list[tuple[int, int]] = []
        self._unlock: Callable[[], None] | None = None
        self.identity = identity
        self.first_index = 1
        self.last_index = 0
        self.durable_index = 0
        self.written_bytes = 0
        self.failed: BaseException | None = None
        self.cut: Cut | None = None

    # Starting and stopping.

    def open(self) -> None:
        """Find the end of the log, cut a torn one, and make sure that what is left is durable."""
        self._disk.make_dir(self.folder)
        try:
            self._unlock = self._disk.lock(self.folder)
        except BlockingIOError as error:
            raise JournalError(f"{self.folder}: in use by another process. Stop that one first.") from error
        self._segments = list_segments(self._disk, self.folder)
        while self._segments:
            last = self._segments[-1]
            if self._find_end(last):
                break
            self._segments.pop()
        if not self._segments:
            self._begin_segment(1, 0)
        else:
            self._check_order()
            self._settle_end(self._segments[-1])
        self.first_index = self._segments[0].first_index
        self.durable_index = self.last_index
        self._find_terms()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._unlock is not None:
            self._unlock()
            self._unlock = None

    # Writing.

    @property
    def syncing(self) -> bool:
        return self._syncing

    @property
    def size_bytes(self) -> int:
        return sum(segment.end_offset for segment in self._segments)

    def append(self, payload: bytes, term: int, kind: int = KIND_ENTRY) -> int:
        """Take an entry into the next group and give its index. Nothing is written before `sync`."""
        assert self.failed is None, "a failed journal takes nothing"
        # A longer record could be written and acknowledged, but not be read at the next start.
        assert len(payload) <= limits.JOURNAL_RECORD_BYTES_MAX, "an entry fits in a record"
        index = self.last_index + 1
        blob = encode_record(index, term, self.durable_index, payload, kind)
        self._group.append(blob)
        self._group_bytes += len(blob)
        self.last_index = index
        self._note_term(index, term)
        return index

    def begin_segment(self) -> None:
        """Begin a new segment with the next sync, so that all before it can be dropped once the store is flushed."""
        self._roll_wanted = True

    def sync(self, done: SyncDone) -> None:
        """Write and sync all that was appended; `done` is called on the loop with None, `NoSpace` or what broke."""
        assert not self._syncing, "one sync at a time"
        assert self.failed is None, "a failed sync is not tried again"
        group, size_bytes, upto = self._group, self._group_bytes, self.last_index
        self._group, self._group_bytes, self._syncing = [], 0, True
        last_bytes = self._segments[-1].end_offset
        roll = last_bytes >= self._segment_bytes or (self._roll_wanted and last_bytes > SEGMENT_HEADER_BYTES)
        self._roll_wanted = False
        first_index = self.durable_index + 1
        previous_term = self.term_at(self.durable_index) or 0

        def write() -> None:
            if roll:
                self._roll(first_index, previous_term)
            self._write_group(group)

        def finish(_: object, error: BaseException | None) -> None:
            self._syncing = False
            if error is None:
                self._segments[-1].mark(first_index, self._segments[-1].end_offset)
                self._segments[-1].end_offset += size_bytes
                self.written_bytes += size_bytes
                self.durable_index = upto
            elif isinstance(error, NoSpace):
                # The entries appended since are numbered behind those taken back, so they go as well.
                self._group, self._group_bytes = [], 0
                self.last_index = self.durable_index
                self._forget_terms_behind(self.last_index)
            else:
                self.failed = error
            done(error)

        self._executor.run(write, finish)

    def drop_before(self, index: int) -> list[str]:
        """Forget the whole segments that hold only entries below `index`; returns their files, for `remove_files`."""
        dropped: list[str] = []
        while len(self._segments) > 1 and self._segments[1].first_index <= index:
            dropped.append(self._segments.pop(0).path)
        self.first_index = self._segments[0].first_index
        while len(self._term_runs) > 1 and self._term_runs[1][0] < self.first_index:
            del self._term_runs[0]
        return dropped

    def remove_files(self, paths: list[str]) -> None:
        """Remove dropped segments, oldest first, so that what a crash leaves is still contiguous. Blocks."""
        for path in paths:
            self._disk.remove(path)
        if paths:
            self._disk.sync_dir(self.folder)

    # Terms.

    def term_at(self, index: int) -> int | None:
        """The term of a record, also of the one before the first that is still there; None for others."""
        if not self.first_index - 1 <= index <= self.last_index:
            return None
        runs = self._term_runs
        at = len(runs) - 1
        while at >= 0 and runs[at][0] > index:
            at -= 1
        return runs[at][1] if at >= 0 else None

    def _note_term(self, index: int, term: int) -> None:
        if not self._term_runs or self._term_runs[-1][1] != term:
            self._term_runs.append((index, term))

    def _forget_terms_behind(self, index: int) -> None:
        while self._term_runs and self._term_runs[-1][0] > index:
            del self._term_runs[-1]

    def _find_terms(self) -> None:
        """Terms never go down, so a segment that begins and ends in the same one need not be read."""
        last_runs, self._term_runs = self._term_runs, []
        for segment, following in zip(self._segments, self._segments[1:], strict=False):
            self._note_term(segment.first_index - 1, segment.previous_term)
            if segment.previous_term != following.previous_term:
                self._read_terms(segment.first_index, following.first_index)
        self._note_term(self._segments[-1].first_index - 1, self._segments[-1].previous_term)
        for index, term in last_runs:
            self._note_term(index, term)

    def _read_terms(self, start: int, end: int) -> None:
        try:
            for record in self.read_from(start):
                if record.index >= end:
                    return
                self._note_term(record.index, record.term)
        except JournalDamaged:
            # It may lie below all that anybody needs; whoever needs it finds the damage again.
            self._term_runs.clear()

    # Reading.

    def read_from(self, index: int) -> Iterator[Record]:
        """All durable records from `index` on, checked one by one; damage raises `JournalDamaged`.

        What is walked over is marked, since whoever reads a long log comes back for one slice after the other: a member
        that applies what it missed, a leader that feeds one that lags. At a start only the last segment has marks.
        """
        for position, segment in enumerate(self._segments):
            following = self._segments[position + 1] if position + 1 < len(self._segments) else None
            if following is not None and following.first_index <= index:
                continue
            upto = following.first_index - 1 if following is not None else self.durable_index
            window = Window(partial(self._disk.read, segment.path), self._disk.size_bytes(segment.path), _READ_BYTES)
            place = segment.place_before(index)
            expected, offset = place.index, place.offset
            marked = offset
            while expected <= upto:
                record = read_record(window, offset)
                if isinstance(record, Flaw):
                    raise JournalDamaged(segment.path, record.offset, record.reason)
                if record.index != expected:
                    raise JournalDamaged(segment.path, offset, f"index {record.index} stands where {expected} must be")
                if offset - marked >= _MARK_BYTES:
                    segment.mark(expected, offset)
                    marked = offset
                if record.index >= index:
                    yield record
                expected += 1
                offset = record.end_offset

    # In the executor.

    def _write_group(self, group: list[bytes]) -> None:
        segment, file = self._segments[-1], self._file
        assert file is not None, "the journal is open"
        try:
            file.write_at(segment.end_offset, b"".join(group))
        except OSError as error:
            if error.errno not in NO_SPACE_ERRNOS:
                raise
            # Take back durably: an entry that is refused now must not come to life after a power cut.
            file.truncate(segment.end_offset)
            file.sync()
            raise NoSpace(f"{segment.path}: {error.strerror}") from error
        file.sync()

    def _roll(self, first_index: int, previous_term: int) -> None:
        old = self._file
        try:
            self._begin_segment(first_index, previous_term)
        except NoSpace:
            # The old segment has room written ahead, and what it takes may be what frees the disk.
            return
        if old is not None:
            old.close()

    def _begin_segment(self, first_index: int, previous_term: int) -> None:
        """A new last segment, durable with its name before anything is written to it."""
        path = f"{self.folder}/{first_index:020d}{SEGMENT_SUFFIX}"
        try:
            file = self._disk.create(path, limits.JOURNAL_AHEAD_BYTES)
        except OSError as error:
            if error.errno not in NO_SPACE_ERRNOS:
                raise
            raise NoSpace(f"{self.folder}: {error.strerror}") from error
        try:
            file.write_at(0, encode_segment_header(self.identity, first_index, previous_term))
            file.sync()
            self._disk.sync_dir(self.folder)
        except OSError as error:
            file.close()
            # Only a full disk is survived, and then the name must be gone for good: its index goes elsewhere. Any other
            # error is left as it lies.
            if error.errno not in NO_SPACE_ERRNOS:
                raise
            self._disk.remove(path)
            self._disk.sync_dir(self.folder)
            raise NoSpace(f"{self.folder}: {error.strerror}") from error
        self._file = file
        self._segments.append(Segment(path, first_index, SEGMENT_HEADER_BYTES, previous_term))

    # At start.

    def _window(self, path: str) -> Window:
        return Window(partial(self._disk.read, path), self._disk.size_bytes(path))

    def _find_end(self, segment: Segment) -> bool:
        """Read the last segment to its end. False: it was being begun when the power went, and is removed."""
        # A segment is begun only when all before it is durable, so behind a torn header no second torn end can be.
        may_cut = self.cut is None
        window = self._window(segment.path)
        header = read_segment_header(window)
        if isinstance(header, Flaw):
            promised = find_witness(window, header, segment.first_index - 1) is not None
            if promised or not header.unwritten or not may_cut:
                raise JournalDamaged(segment.path, header.offset, header.reason)
            self._disk.remove(segment.path)
            self._disk.sync_dir(self.folder)
            self.cut = Cut(segment.path, 0, window.size_bytes, header.reason)
            return False
        self._check_header(segment, header)
        index, offset = segment.first_index - 1, SEGMENT_HEADER_BYTES
        doubtful: deque[Record] = deque()
        while not isinstance(record := read_record(window, offset), Flaw):
            index += 1
            if record.index != index:
                raise JournalDamaged(segment.path, offset, f"index {record.index} stands where {index} must be")
            segment.mark(index, offset)
            self._note_term(index, record.term)
            offset = record.end_offset
            doubtful.append(record)
            while doubtful[0].index <= record.synced_index:
                doubtful.popleft()
        self._doubtful_from = doubtful[0].offset if doubtful else 0
        segment.end_offset, self.last_index = offset, index
        if not window.blank_from(offset):
            promised = find_witness(window, record, index + 1) is not None
            if promised or not record.unwritten or not may_cut:
                raise JournalDamaged(segment.path, offset, record.reason)
            self.cut = Cut(segment.path, offset, window.size_bytes - offset, record.reason)
        return True

    def _check_header(self, segment: Segment, header: SegmentHeader) -> None:
        identity, first_index, segment.previous_term = header
        if first_index != segment.first_index:
            raise JournalDamaged(segment.path, 0, f"it begins with index {first_index}, its name says otherwise")
        if identity != self.identity:
            raise JournalError(
                f"{segment.path}: belongs to node {identity.node_id!r} of cluster {identity.cluster_id.hex()}, not to "
                f"{self.identity.node_id!r} of {self.identity.cluster_id.hex()}. Start with the folder of this node."
            )

    def _check_order(self) -> None:
        """Headers of all but the last segment; their records are checked when they are read."""
        for segment in self._segments[:-1]:
            window = self._window(segment.path)
            header = read_segment_header(window)
            if isinstance(header, Flaw):
                raise JournalDamaged(segment.path, header.offset, header.reason)
            self._check_header(segment, header)
            segment.end_offset = window.size_bytes

    def _settle_end(self, segment: Segment) -> None:
        """Cut what is torn and make the rest durable.

        What the last process wrote may be in the page cache only. Syncing is not enough: after a sync that failed the
        system holds such pages for clean. So all that no later record proves to be durable is written once more.
        """
        self._file = self._disk.open(segment.path, limits.JOURNAL_AHEAD_BYTES)
        if self.cut is not None and self.cut.path == segment.path:
            self._file.truncate(segment.end_offset)
        start = self._doubtful_from
        self._file.write_at(start, self._disk.read(segment.path, start, segment.end_offset - start))
        self._file.sync()
        self._disk.sync_dir(self.folder)


def list_segments(disk: Disk, folder: str) -> list[Segment]:
    """The segment files of a folder in order of their first index."""
    names = sorted(name for name in disk.list(folder) if name.endswith(SEGMENT_SUFFIX))
    strange = [name for name in names if not name.removesuffix(SEGMENT_SUFFIX).isdecimal()]
    if strange:
        raise JournalError(f"{folder}/{strange[0]}: is no segment of the journal. Move it away.")
    return [Segment(f"{folder}/{name}", int(name.removesuffix(SEGMENT_SUFFIX)), 0) for name in names]


def stored_identity(disk: Disk, folder: str) -> Identity | None:
    """Whose journal the folder holds, None when it holds no segment with a good header."""
    try:
        segments = list_segments(disk, folder)
    except FileNotFoundError:
        return None
    for segment in segments:
        path = segment.path
        header = read_segment_header(Window(partial(disk.read, path), disk.size_bytes(path)))
        if not isinstance(header, Flaw):
            return header.identity
    return None
