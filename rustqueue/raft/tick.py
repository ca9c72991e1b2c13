"""When to propose a `Tick`: as soon as something is due, within a share of the loop's time, and never when idle.

It must not know what is due. Invariants: one tick at a time is on its way; nothing is armed when nothing will be due.
"""

from collections.abc import Callable

from rustqueue.model import limits
from rustqueue.raft.ports import Clock, StateMachine
from rustqueue.raft.stamp import EntryClock

# Stamped time can run a tenth faster than timers. A timer this short is late by less than anybody would notice.
_SHORT_MS = 1_000


class TickPace:
    """Calls `want` when the next tick is to be proposed."""

    def __init__(self, clock: Clock, stamp: EntryClock, machine: StateMachine, want: Callable[[], None]) -> None:
        self._clock = clock
        self._stamp = stamp
        self._machine = machine
        self._want = want
        self._on_its_way = False
        self._clients_since = False
        self._earliest_us = 0
        self._armed_us: int | None = None
        self._disarm: Callable[[], None] | None = None
        self._stopped = False

    def client_entry_applied(self) -> None:
        self._clients_since = True
        self.consider()

    def tick_applied(self, now_ms: int, took_us: int) -> None:
        """A tick stamped `now_ms` was applied and took so long."""
        self._on_its_way = False
        due_ms = self._machine.next_due_ms()
        backlog = due_ms is not None and due_ms <= now_ms
        if backlog and not self._clients_since:
            rest_us = 0
        else:
            share = limits.TICK_TIME_PERCENT
            rest_us = max(took_us * (100 - share) // share, limits.TICK_SPACING_MS * 1_000)
        self._clients_since = False
        self._earliest_us = self._clock.monotonic_us() + rest_us
        self.consider()

    def consider(self) -> None:
        """Something may have become due, or due earlier."""
        if self._on_its_way or self._stopped:
            return
        due_ms = self._machine.next_due_ms()
        if due_ms is None:
            self._cancel()
            return
        monotonic_us = self._clock.monotonic_us()
        due_us = monotonic_us + (due_ms - self._stamp.peek(monotonic_us, self._clock.wall_ms())) * 1_000
        at_us = max(due_us, self._earliest_us)
        if at_us <= monotonic_us:
            self._cancel()
            self._on_its_way = True
            self._want()
        elif self._armed_us is None or at_us < self._armed_us:
            # A timer that is too early only looks again; one that is too late would be a late job.
            self._cancel()
            self._armed_us = at_us
            delay_ms = -(-(at_us - monotonic_us) // 1_000)
            if delay_ms > _SHORT_MS:
                delay_ms = max(_SHORT_MS, delay_ms * 100 // (100 + limits.CLOCK_SLEW_PERCENT))
            self._disarm = self._clock.call_later(delay_ms, self._wake)

    def taken_back(self) -> None:
        """The tick that was on its way did not get into the log."""
        self._on_its_way = False
        self._earliest_us = self._clock.monotonic_us() + limits.DISK_CHECK_MS * 1_000
        self.consider()

    def stop(self) -> None:
        self._stopped = True
        self._cancel()

    def _wake(self) -> None:
        self._armed_us = self._disarm = None
        self.consider()

    def _cancel(self) -> None:
        if self._disarm is not None:
            self._disarm()
        self._armed_us = self._disarm = None
