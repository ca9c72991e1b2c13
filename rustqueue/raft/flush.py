"""Flushing the store beside the loop, and dropping the log that a completed flush has made unneeded.

It must not know what the store holds. Invariant: the log is dropped only up to the index that was applied when a flush
*began* and that flush has ended well; batches written while it ran may not be in it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rustqueue.model import limits
from rustqueue.raft.journal import Journal
from rustqueue.raft.ports import Clock, Executor, StateMachine, Store


@dataclass(frozen=True, slots=True)
class FlushRules:
    """A flush begins after so much log, so many entries or so much time, whichever comes first, if anything was applied
    since. Log is room on the disk, entries are time: a start applies small ones hardly faster than larger ones.
    """

    log_bytes: int = limits.FLUSH_LOG_BYTES
    entries: int = limits.FLUSH_ENTRIES
    interval_ms: int = limits.FLUSH_INTERVAL_MS
    retry_ms: int = limits.FLUSH_RETRY_MS


@dataclass(slots=True)
class FlushParts:
    """What a flush touches. `survivable` says of an error that it is only a want of room, so that it may be retried."""

    journal: Journal
    machine: StateMachine
    store: Store
    background: Executor
    clock: Clock
    survivable: Callable[[BaseException], bool]
    failed: Callable[[BaseException], None]


class StoreFlush:
    """Counts what was applied since the last flush, and flushes."""

    def __init__(self, parts: FlushParts, rules: FlushRules) -> None:
        self._parts = parts
        self._rules = rules
        self._log_bytes = 0
        self._entries_count = 0
        self._running = False
        self._again_us = 0
        self._stop_timer: Callable[[], None] | None = None
        self._when_done: Callable[[], None] | None = None
        self._stopped = False
        self.flushed_index = parts.machine.applied_index
        self.last_failure: BaseException | None = None

    def applied(self, log_bytes: int, entries_count: int = 1) -> None:
        """An entry of that size was applied, or several that have it together."""
        self._log_bytes += log_bytes
        self._entries_count += entries_count
        if self._running or self._stopped:
            return
        is_much = self._log_bytes >= self._rules.log_bytes or self._entries_count >= self._rules.entries
        if is_much and self._parts.clock.monotonic_us() >= self._again_us:
            self.begin()
        elif self._stop_timer is None:
            self._stop_timer = self._parts.clock.call_later(self._rules.interval_ms, self._wake)

    def begin(self) -> None:
        """Flush now, unless one runs already."""
        if self._running:
            return
        self._running = True
        self._cancel_timer()
        index, log_bytes, entries_count = self._parts.machine.applied_index, self._log_bytes, self._entries_count

        def ended(_: object, error: BaseException | None) -> None:
            if error is None:
                self._entries_count -= entries_count
            self._ended(index, log_bytes, error)

        self._parts.background.run(self._parts.store.flush, ended)

    def stop(self) -> None:
        self._stopped = True
        self._cancel_timer()

    def finish(self, done: Callable[[], None]) -> None:
        """One last flush of everything applied, then `done`, whether it went well or not: the log has it all."""
        self._stopped = True
        self._cancel_timer()
        if self._running:
            self._when_done = lambda: self.finish(done)
            return
        self._when_done = done
        self.begin()

    def _ended(self, index: int, log_bytes: int, error: BaseException | None) -> None:
        parts = self._parts
        self.last_failure = error
        if error is None:
            self._log_bytes -= log_bytes
            self.flushed_index = index
            paths = parts.journal.drop_before(index + 1)
            parts.background.run(lambda: parts.journal.remove_files(paths), self._removed)
            return
        self._running = False
        self._again_us = parts.clock.monotonic_us() + self._rules.retry_ms * 1_000
        if not parts.survivable(error) and self._when_done is None:
            parts.failed(error)
        self._next(self._rules.retry_ms)

    def _removed(self, _: object, error: BaseException | None) -> None:
        self._running = False
        if error is not None and self._when_done is None:
            self._parts.failed(error)
        self._next(self._rules.interval_ms)

    def _next(self, delay_ms: int) -> None:
        when_done, self._when_done = self._when_done, None
        if when_done is not None:
            when_done()
        elif self._log_bytes > 0 and not self._stopped:
            self._stop_timer = self._parts.clock.call_later(delay_ms, self._wake)

    def _wake(self) -> None:
        self._stop_timer = None
        if not self._running and not self._stopped and self._log_bytes > 0:
            self.begin()

    def _cancel_timer(self) -> None:
        if self._stop_timer is not None:
            self._stop_timer()
            self._stop_timer = None
