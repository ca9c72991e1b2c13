"""Reading a journal that no node is using, for `rustqueue check`: what is there, and where it is damaged.

It must not change anything, and it never raises for what it finds on the disk: everything found goes into the report.
"""

from dataclasses import dataclass, field
from functools import partial

from rustqueue.raft.hardstate import HardState, TermVote
from rustqueue.raft.journal import JournalError, Segment, list_segments
from rustqueue.raft.ports import Disk
from rustqueue.raft.records import (
    SEGMENT_HEADER_BYTES,
    Flaw,
    Identity,
    Window,
    find_witness,
    read_record,
    read_segment_header,
)


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that must not be there. A node with this journal refuses to start if it needs the entries behind it."""

    path: str
    offset: int
    reason: str


@dataclass(slots=True)
class SegmentReport:
    """One file: its entries up to the first flaw, and where they end."""

    path: str
    size_bytes: int
    first_index: int
    records_count: int = 0
    end_offset: int = 0

    @property
    def last_index(self) -> int:
        """Below `first_index` when it holds no entry."""
        return self.first_index + self.records_count - 1


@dataclass(slots=True)
class JournalReport:
    """`torn` is an unfinished write at the very end: harmless, a start cuts it."""

    folder: str
    identity: Identity | None = None
    term_vote: TermVote | None = None
    segments: list[SegmentReport] = field(default_factory=list)
    torn: Damage | None = None
    damages: list[Damage] = field(default_factory=list)

    @property
    def first_index(self) -> int:
        return self.segments[0].first_index if self.segments else 1

    @property
    def last_index(self) -> int:
        """Of the entries that can be read without a gap from the last segment's beginning."""
        return self.segments[-1].last_index if self.segments else 0

    @property
    def records_count(self) -> int:
        return sum(segment.records_count for segment in self.segments)

    @property
    def sound(self) -> bool:
        return not self.damages


def inspect_journal(disk: Disk, folder: str) -> JournalReport:
    """Read every byte of the journal in `folder`. Let no node run on it meanwhile."""
    report = JournalReport(folder)
    try:
        segments = list_segments(disk, folder)
    except (JournalError, OSError) as error:
        report.damages.append(Damage(folder, 0, str(error)))
        return report
    for position, segment in enumerate(segments):
        following = segments[position + 1] if position + 1 < len(segments) else None
        try:
            _inspect_segment(disk, report, segment, following)
        except OSError as error:
            report.damages.append(Damage(segment.path, 0, f"it cannot be read: {error}"))
    _inspect_hard_state(disk, report)
    return report


def _inspect_segment(disk: Disk, report: JournalReport, segment: Segment, following: Segment | None) -> None:
    path = segment.path
    window = Window(partial(disk.read, path), disk.size_bytes(path))
    found = SegmentReport(path, window.size_bytes, segment.first_index)
    header = read_segment_header(window)
    if isinstance(header, Flaw):
        _judge(report, window, path, header, segment.first_index - 1, following is None)
        return
    report.segments.append(found)
    identity, first_index, _ = header
    if first_index != segment.first_index:
        report.damages.append(Damage(path, 0, f"it begins with index {first_index}, its name says otherwise"))
    if report.identity is not None and identity != report.identity:
        report.damages.append(Damage(path, 0, f"it belongs to node {identity.node_id!r}, the others do not"))
    report.identity = report.identity or identity
    offset = SEGMENT_HEADER_BYTES
    while not isinstance(record := read_record(window, offset), Flaw):
        expected = found.last_index + 1
        if record.index != expected:
            reason = f"index {record.index} stands where {expected} must be"
            report.damages.append(Damage(path, offset, reason))
            return
        found.records_count += 1
        offset = record.end_offset
        found.end_offset = offset
    if following is not None:
        if following.first_index != found.last_index + 1:
            reason = f"{record.reason}; entries {found.last_index + 1} to {following.first_index - 1} are missing"
            report.damages.append(Damage(path, offset, reason))
    elif not window.blank_from(offset):
        _judge(report, window, path, record, found.last_index + 1, True)


def _judge(report: JournalReport, window: Window, path: str, flaw: Flaw, index: int, is_last: bool) -> None:
    """A torn end or damage, by the same rule as at start."""
    found = Damage(path, flaw.offset, flaw.reason)
    if is_last and flaw.unwritten and find_witness(window, flaw, index) is None:
        report.torn = found
    else:
        report.damages.append(found)


def _inspect_hard_state(disk: Disk, report: JournalReport) -> None:
    state = HardState(disk, report.folder)
    path = f"{report.folder}/hardstate"
    try:
        report.term_vote = state.read()
    except FileNotFoundError:
        report.term_vote = TermVote(0, None)
    except (JournalError, OSError) as error:
        report.damages.append(Damage(path, 0, str(error)))
        return
    if report.term_vote.term == 0 and report.records_count > 0:
        report.damages.append(Damage(path, 0, "missing or empty, although the journal holds entries"))
