"""The journal of a cluster member: it also takes records of other nodes' terms, reads back, cuts and begins anew.

It must not know who leads or what is committed. Invariants: a record is cut only by `cut_from`, durably, before
anything else is written; what found no room stays appended and is written by the next sync, since a leader never takes
back what it has sent.
"""

from collections import deque
from collections.abc import Callable

from rustqueue.model import limits
from rustqueue.raft.journal import Journal, JournalDamaged, NoSpace, SyncDone
from rustqueue.raft.messages import LogRecord
from rustqueue.raft.ports import Disk, Executor
from rustqueue.raft.records import KIND_ENTRY, Flaw, Identity, read_record


class MemberLog(Journal):
    """`Journal` for a node that may have to follow."""

    def __init__(
        self,
        disk: Disk,
        executor: Executor,
        folder: str,
        identity: Identity,
        segment_bytes: int = limits.JOURNAL_SEGMENT_BYTES,
        kept_bytes: int = limits.LOG_KEPT_BYTES,
    ) -> None:
        super().__init__(disk, executor, folder, identity, segment_bytes)
        self._recent: deque[LogRecord] = deque()
        self._recent_first = 1
        self._recent_bytes = 0
        self._recent_bytes_max = limits.LOG_RECENT_BYTES
        self._kept_bytes_max = kept_bytes
        self.wanted_from: Callable[[], int] = lambda: self.last_index + 1
        """The first index that some other member still has to be sent."""

    def open(self) -> None:
        super().open()
        self._recent_first = self.last_index + 1

    @property
    def last_term(self) -> int:
        return self.term_at(self.last_index) or 0

    def append(self, payload: bytes, term: int, kind: int = KIND_ENTRY) -> int:
        index = super().append(payload, term, kind)
        self._recent.append(LogRecord(kind, term, payload))
        self._recent_bytes += len(payload)
        # What is not durable can be had from nowhere else.
        while self._recent_bytes > self._recent_bytes_max and self._recent_first <= self.durable_index:
            self._recent_bytes -= len(self._recent.popleft().payload)
            self._recent_first += 1
        return index

    def records_from(self, index: int, bytes_max: int, upto: int) -> list[LogRecord]:
        """Records from `index` to `upto` at most, at least one if there is one, in all about `bytes_max` bytes."""
        found: list[LogRecord] = []
        if index >= self._recent_first:
            place, end = index - self._recent_first, min(upto, self.last_index) - self._recent_first + 1
            for at in range(place, end):
                record = self._recent[at]
                found.append(record)
                bytes_max -= len(record.payload)
                if bytes_max <= 0:
                    break
            return found
        for stored in self.read_from(index):
            if stored.index > upto:
                break
            found.append(LogRecord(stored.kind, stored.term, stored.payload))
            bytes_max -= len(stored.payload)
            if bytes_max <= 0:
                break
        return found

    def drop_before(self, index: int) -> list[str]:
        """As the journal does, but what another member lacks is kept for a while: it is cheaper than a snapshot."""
        dropped: list[str] = []
        wanted = self.wanted_from()
        while len(self._segments) > 1 and self._segments[1].first_index <= index:
            kept_bytes = self.size_bytes - self._segments[0].end_offset
            if self._segments[1].first_index > wanted and kept_bytes < self._kept_bytes_max:
                break
            dropped += super().drop_before(self._segments[1].first_index)
        return dropped

    # What found no room.

    def sync(self, done: SyncDone) -> None:
        group, size_bytes = self._group, self._group_bytes
        last_index, runs = self.last_index, list(self._term_runs)

        def finish(error: BaseException | None) -> None:
            if isinstance(error, NoSpace):
                # The base has taken everything back; put back what stood here and what came since.
                kept = list(self._recent)[self.durable_index + 1 - self._recent_first :]
                assert len(kept) == self._appended_index - self.durable_index, "what is not durable is kept"
                self.last_index, self._term_runs = last_index, runs
                self._group, self._group_bytes = list(group), size_bytes
                for record in kept[last_index - self.durable_index :]:
                    super(MemberLog, self).append(record.payload, record.term, record.kind)
            done(error)

        super().sync(finish)

    @property
    def _appended_index(self) -> int:
        return self._recent_first + len(self._recent) - 1

    # Cutting and beginning anew.

    def cut_from(self, index: int) -> None:
        """Forget the records from `index` on, durably. Blocks; it is as rare as a change of leaders under load.

        Raises `JournalDamaged` for rot in what stays: nothing may be written behind it.
        """
        assert not self.syncing, "a sync under way ends first"
        assert self.failed is None, "a failed journal takes nothing"
        assert self.first_index <= index <= self.last_index, "only what is there can be cut"
        if index > self.durable_index:
            kept_count = index - self.durable_index - 1
            del self._group[kept_count:]
            self._group_bytes = sum(map(len, self._group))
        else:
            self._group, self._group_bytes = [], 0
            self._cut_files(index)
            self.durable_index = index - 1
        self.last_index = index - 1
        self._forget_terms_behind(self.last_index)
        while self._recent and self._appended_index > self.last_index:
            self._recent_bytes -= len(self._recent.pop().payload)
        if not self._recent:
            self._recent_first = self.last_index + 1

    def _cut_files(self, index: int) -> None:
        assert self._file is not None, "the journal is open"
        # The newest file goes first, so that what a crash leaves is contiguous.
        while len(self._segments) > 1 and self._segments[-1].first_index >= index:
            self._file.close()
            self._disk.remove(self._segments.pop().path)
            self._disk.sync_dir(self.folder)
            self._file = self._disk.open(self._segments[-1].path, limits.JOURNAL_AHEAD_BYTES)
        segment = self._segments[-1]
        place = segment.place_before(index)
        at, offset = place.index, place.offset
        window = self._window(segment.path)
        while at < index:
            record = read_record(window, offset)
            if isinstance(record, Flaw):
                raise JournalDamaged(segment.path, record.offset, record.reason)
            at, offset = at + 1, record.end_offset
        self._file.truncate(offset)
        self._file.sync()
        segment.end_offset = offset
        segment.marks = [mark for mark in segment.marks if mark.index < index]

    def begin_after(self, index: int, term: int) -> None:
        """Forget everything: the state of `index`, whose record has `term`, came from elsewhere. Blocks."""
        assert not self.syncing, "a sync under way ends first"
        if self._file is not None:
            self._file.close()
            self._file = None
        old = [segment.path for segment in self._segments]
        self._group, self._group_bytes = [], 0
        # The newest goes first: whatever a crash leaves is a beginning of the old log, which the marker of the
        # installed state says to drop.
        for path in reversed(old):
            self._disk.remove(path)
        self._disk.sync_dir(self.folder)
        self._segments.clear()
        self._term_runs = [(index, term)]
        self._begin_segment(index + 1, term)
        self.first_index = index + 1
        self.last_index = self.durable_index = index
        self._recent.clear()
        self._recent_bytes, self._recent_first = 0, index + 1
