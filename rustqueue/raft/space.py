"""Room on the disk: when to warn, when to refuse pushes, when to serve again, and a reserve for the time between.

It must not know what is refused. Invariants: the reserve is counted as used whether it is there or not, so giving it
back does not look like room; while the disk is full it is looked at again every second, otherwise only when written to.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from rustqueue.model import limits
from rustqueue.raft.ports import Clock, Disk, Executor, Space

# A disk that says it has room and then has none, as one with a quota does, is not filled and emptied all the time.
_RESTORE_PAUSE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class SpaceRules:
    """Thresholds in percent of the file system, and the size of the reserve; 0 means none."""

    warn_percent: int = limits.DISK_WARN_PERCENT
    full_percent: int = limits.DISK_FULL_PERCENT
    serve_percent: int = limits.DISK_SERVE_PERCENT
    reserve_bytes: int = limits.JOURNAL_RESERVE_BYTES


class SpaceWatch:
    """`full` is what the gateway asks before it takes a push; `warned` is for metrics and logs."""

    def __init__(self, disk: Disk, clock: Clock, background: Executor, folder: str, rules: SpaceRules) -> None:
        self._disk = disk
        self._clock = clock
        self._background = background
        self._folder = folder
        self._path = f"{folder}/reserve"
        self._rules = rules
        self._reserved = False
        self._moving = False
        self._next_check_us = 0
        self._unseen_bytes = 0
        self._step_bytes = 0
        self._restore_after_us = 0
        self._stop_timer: Callable[[], None] | None = None
        self._stopped = False
        self._when_released: list[Callable[[], None]] = []
        self.releases_count = 0
        """How often the reserve was given back."""
        self.full = False
        self.warned = False
        self.last: Space | None = None

    def start(self) -> None:
        try:
            self._reserved = self._disk.size_bytes(self._path) == self._rules.reserve_bytes
        except FileNotFoundError:
            self._reserved = False
        self.check()

    def stop(self) -> None:
        self._stopped = True
        if self._stop_timer is not None:
            self._stop_timer()
            self._stop_timer = None

    def written(self, bytes_count: int) -> None:
        """So much was written: look, unless that was done a moment ago and little was written since."""
        self._unseen_bytes += bytes_count
        if self._unseen_bytes >= self._step_bytes or self._clock.monotonic_us() >= self._next_check_us:
            self.check()

    def check(self) -> None:
        """Look at the disk now."""
        self._next_check_us = self._clock.monotonic_us() + limits.DISK_CHECK_MS * 1_000
        self._unseen_bytes = 0
        try:
            self.last = self._disk.space(self._folder)
        except OSError:
            # A disk that cannot tell its room is judged by its writes.
            return
        self._step_bytes = max(1, self.last.total_bytes // limits.DISK_CHECK_SHARE)
        missing_bytes = 0 if self._reserved else self._rules.reserve_bytes
        used_percent = Space(self.last.total_bytes, self.last.free_bytes - missing_bytes).used_percent
        self.warned = used_percent >= self._rules.warn_percent
        if used_percent >= self._rules.full_percent:
            self._fill()
        elif used_percent < self._rules.serve_percent:
            self.full = False
            self._restore()
        if self.full:
            self._look_again()

    def found_full(self, then: Callable[[], None]) -> bool:
        """A write found no room: give the reserve back, then call. False when there was none left to give."""
        had_reserve = self._reserved or self._moving
        if had_reserve:
            self._when_released.append(then)
        self._fill()
        self._look_again()
        return had_reserve

    def _fill(self) -> None:
        self.full = True
        if self._reserved and not self._moving:
            self._moving = True
            self._background.run(self._remove, self._removed)

    def _restore(self) -> None:
        if self._reserved or self._moving or self._stopped or self._rules.reserve_bytes == 0:
            return
        if self._clock.monotonic_us() < self._restore_after_us:
            return
        self._moving = True
        self._background.run(self._write, self._written)

    def _look_again(self) -> None:
        if self._stop_timer is None and not self._stopped:
            self._stop_timer = self._clock.call_later(limits.DISK_CHECK_MS, self._wake)

    def _wake(self) -> None:
        self._stop_timer = None
        self.check()

    # In the executor. The reserve is a convenience: an error here only means that there is none.

    def _write(self) -> None:
        half = f"{self._path}.half"
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(half)
        self._disk.allocate(half, self._rules.reserve_bytes)
        self._disk.rename(half, self._path)

    def _remove(self) -> None:
        for path in (self._path, f"{self._path}.half"):
            with contextlib.suppress(FileNotFoundError):
                self._disk.remove(path)

    # Back on the loop.

    def _written(self, _: object, error: BaseException | None) -> None:
        self._moving = False
        self._reserved = error is None
        if error is not None:
            self._restore_after_us = self._clock.monotonic_us() + _RESTORE_PAUSE_US
        if error is not None or self.full:
            # Half a reserve must not lie about, and one that came too late is given back at once.
            self._moving = True
            self._background.run(self._remove, self._removed)

    def _removed(self, _: object, error: BaseException | None) -> None:
        self._moving = False
        self.releases_count += 1
        self._reserved = False
        waiting, self._when_released = self._when_released, []
        for call in waiting:
            call()
