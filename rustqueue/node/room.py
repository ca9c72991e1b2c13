"""Room on the disk, as the node sees to it: sizes that fit the disk, and making room when it fills up.

It must not know rows, entries or segments; it asks log, store and machine for what each can do. Invariants: nothing is
trimmed unless our own files are most of what fills the disk; every kind of work is bounded and paced; a node with room
does nothing here.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from rustqueue.model import limits
from rustqueue.model.commands import Tick, Trim
from rustqueue.model.replies import Reply, Trimmed
from rustqueue.model.wire import encode_command
from rustqueue.node.adapters import DiskState
from rustqueue.raft.ports import Clock, Executor, Proposal

log: Final = logging.getLogger("rustqueue.node")

_OURS_PERCENT: Final = 50


class Sizes(NamedTuple):
    """How large the pieces may be in which we take room and give it back."""

    reserve_bytes: int
    segment_bytes: int
    flush_log_bytes: int
    write_buffer_bytes: int

    @classmethod
    def of(cls, total_bytes: int) -> "Sizes":
        """For a disk of so many bytes; from eight gigabytes on it is always the same."""
        piece_bytes = max(limits.DISK_PIECE_BYTES_MIN, total_bytes // limits.DISK_PIECES)
        return cls(
            reserve_bytes=min(limits.JOURNAL_RESERVE_BYTES, total_bytes * limits.JOURNAL_RESERVE_PERCENT // 100),
            segment_bytes=min(limits.JOURNAL_SEGMENT_BYTES, piece_bytes),
            flush_log_bytes=min(limits.FLUSH_LOG_BYTES, piece_bytes),
            write_buffer_bytes=min(limits.WRITE_BUFFER_BYTES, piece_bytes),
        )


class SpaceState(DiskState, Protocol):
    """The same, and it can be looked at anew."""

    def check(self) -> None: ...


class Log(Protocol):
    """The replicator, as far as it can make room."""

    @property
    def applied_index(self) -> int: ...

    @property
    def flushed_index(self) -> int: ...

    @property
    def stopped(self) -> BaseException | None: ...

    def propose(self, proposal: Proposal) -> None: ...

    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RoomParts:
    """Where room can come from. `compact` blocks, in `background`; it is None where the store is not on the disk."""

    log: Log
    begin_segment: Callable[[], None]
    own_bytes: Callable[[], int]
    compact: Callable[[], bool] | None
    background: Executor


class RoomMaker:
    """While the disk is over its warning mark: trim, let the log go, compact, look again.

    One round is: an entry in a new segment of the log, a flush of the store, so that all older segments go, and a
    compaction. It comes again while there is something to trim or somebody else had entries applied.
    """

    def __init__(self, parts: RoomParts, space: SpaceState, clock: Clock) -> None:
        self._parts = parts
        self._space = space
        self._clock = clock
        self._stopped = False
        self._stop_timer: Callable[[], None] | None = None
        self._after = ""
        self._trims_left = 0
        self._trims_at_once = limits.TRIMS_AT_ONCE
        self._settled_index: int | None = None
        self._compact_from_us = 0
        self._removed = 0
        self.trimmed_jobs = 0
        self.compactions_count = 0

    def start(self) -> None:
        self._look_later(limits.DISK_CHECK_MS)

    def stop(self) -> None:
        self._stopped = True
        if self._stop_timer is not None:
            self._stop_timer()
            self._stop_timer = None

    def _look_later(self, delay_ms: int) -> None:
        self._arm(delay_ms, self._look)

    def _arm(self, delay_ms: int, call: Callable[[], None]) -> None:
        if not self._stopped and self._parts.log.stopped is None:
            self._stop_timer = self._clock.call_later(delay_ms, call)

    def _look(self) -> None:
        if not self._space.warned and not self._space.full:
            self._trims_at_once, self._settled_index, self._after = limits.TRIMS_AT_ONCE, None, ""
        else:
            self._space.check()
            if self._may_help() and self._parts.log.applied_index != self._settled_index:
                self._removed = 0
                self._trims_left = self._trims_at_once
                self._parts.begin_segment()
                self._propose()
                return
        self._look_later(limits.DISK_CHECK_MS)

    def _may_help(self) -> bool:
        """Whether it is over the mark still, and we are what fills it; a full disk gets our log back in any case."""
        return self._space.full or (self._space.warned and self._is_ours())

    def _is_ours(self) -> bool:
        space = self._space.last
        if space is None or self._parts.compact is None:
            return False
        used_bytes = space.total_bytes - space.free_bytes
        return self._parts.own_bytes() * 100 >= used_bytes * _OURS_PERCENT

    # One round.

    def _propose(self) -> None:
        # An entry of any kind begins the new segment; due work that is not due is the cheapest one.
        command = Trim(after=self._after) if self._is_ours() else Tick()
        self._parts.log.propose(Proposal(command, encode_command(command), self._answered))

    def _answered(self, reply: Reply) -> None:
        """Refused when there is not even room for this entry, or when the node stops."""
        self._trims_left -= 1
        if isinstance(reply, Trimmed):
            self._removed += reply.removed
            self.trimmed_jobs += reply.removed
            more = reply.removed == limits.SWEEP_JOBS_MAX or reply.after != ""
            self._after = reply.after
            if more and self._trims_left > 0:
                self._arm(limits.TRIM_PACE_MS, self._propose)
                return
        self._flush()

    def _flush(self) -> None:
        log_index = self._parts.log.applied_index
        self._parts.log.flush()
        self._arm(limits.TRIM_PACE_MS, lambda: self._flushed(log_index, limits.FLUSH_WAITS_MAX))

    def _flushed(self, index: int, waits_left: int) -> None:
        """A flush that ran already may have begun too early; a full store may have none to offer for now."""
        log_ = self._parts.log
        if log_.flushed_index < index and waits_left > 0:
            log_.flush()
            self._arm(limits.TRIM_PACE_MS, lambda: self._flushed(index, waits_left - 1))
        elif self._parts.compact is None:
            self._end()
        elif self._clock.monotonic_us() < self._compact_from_us:
            self._end(put_off=True)
        else:
            started_us = self._clock.monotonic_us()
            self._parts.background.run(
                self._parts.compact, lambda done, error: self._compacted(started_us, done is True, error)
            )

    def _compacted(self, started_us: int, done: bool, error: BaseException | None) -> None:
        if self._stopped:
            return
        now_us = self._clock.monotonic_us()
        pause_us = (now_us - started_us) * 100 // limits.COMPACT_TIME_PERCENT
        self._compact_from_us = now_us + max(limits.COMPACT_PAUSE_MS * 1_000, pause_us)
        self.compactions_count += done
        if error is not None:
            log.warning("store not compacted", extra={"reason": str(error)})
        self._end(compacted=done)

    def _end(self, compacted: bool = False, put_off: bool = False) -> None:
        self._space.check()
        if self._removed or compacted:
            space = self._space.last
            used_percent = None if space is None else space.used_percent
            fields = {"trimmed_jobs": self._removed, "compacted": compacted, "used_percent": used_percent}
            log.info("made room on the disk", extra=fields)
        if self._removed:
            self._trims_at_once = min(2 * self._trims_at_once, limits.TRIMS_AT_ONCE_MAX)
        # With nothing trimmed and no compaction put off, only what others do can make a difference.
        self._settled_index = None if self._removed or put_off else self._parts.log.applied_index
        hurry = self._space.full or self._removed > 0
        self._look_later(limits.DISK_CHECK_MS if hurry else limits.ROOM_PAUSE_MS)
