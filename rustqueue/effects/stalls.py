"""An event loop that does not turn: counted, told of when it turns again, and explained while it stands.

It must not know what the loop does. While something holds the loop nothing of this node runs on it, and what holds it
may keep the interpreter as well: so the stacks of all threads are written by the interpreter's own alarm, which needs
neither. Invariants: the alarm is set anew by each turn, so it goes off only while the loop stands; a process has one,
so only a node that has the process for itself may set it.
"""

import faulthandler
import io
import logging
from collections.abc import Callable
from typing import Final, Protocol, TextIO

log: Final = logging.getLogger(__name__)

TURN_MS: Final = 1_000
STALL_MS: Final = 1_000
"""So much later than it should a turn comes after a stall: leaders are deposed for less."""

ALARM_AFTER_S: Final = 5.0

_ADVICE: Final = (
    "if stacks of threads stand before this line, report them; otherwise see whether the machine was overloaded or "
    "suspended, or its disk slow"
)


class Alarm(Protocol):
    """Goes off when it was neither set again nor switched off for so long."""

    def set(self) -> None: ...

    def off(self) -> None: ...


class NoAlarm:
    """Of a node that shares its process."""

    def set(self) -> None:
        pass

    def off(self) -> None:
        pass


class StackAlarm:
    """Writes where every thread is. Where the stream has no descriptor there is no alarm."""

    def __init__(self, stream: TextIO, after_s: float = ALARM_AFTER_S) -> None:
        self._stream = stream
        self._after_s = after_s
        try:
            self._can_write = stream.fileno() >= 0
        except (AttributeError, ValueError, io.UnsupportedOperation):
            self._can_write = False

    def set(self) -> None:
        if self._can_write:
            faulthandler.dump_traceback_later(self._after_s, file=self._stream)

    def off(self) -> None:
        faulthandler.cancel_dump_traceback_later()


class LoopStalls:
    """`start` gives what stops it, `call_later` what cancels the call."""

    def __init__(
        self, monotonic_us: Callable[[], int], call_later: Callable[[int, Callable[[], None]], Callable[[], None]]
    ) -> None:
        self._monotonic_us = monotonic_us
        self._call_later = call_later
        self._cancel: Callable[[], None] | None = None
        self._due_us = 0
        self.count = 0
        self.alarm: Alarm = NoAlarm()

    def start(self) -> Callable[[], None]:
        self._go_on()
        return self._stop

    def _stop(self) -> None:
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        self.alarm.off()

    def _go_on(self) -> None:
        self._due_us = self._monotonic_us() + TURN_MS * 1_000
        self._cancel = self._call_later(TURN_MS, self._turn)
        self.alarm.set()

    def _turn(self) -> None:
        late_ms = (self._monotonic_us() - self._due_us) // 1_000
        if late_ms >= STALL_MS:
            self.count += 1
            log.warning("the event loop stood still", extra={"stood_ms": late_ms, "advice": _ADVICE})
        self._go_on()
