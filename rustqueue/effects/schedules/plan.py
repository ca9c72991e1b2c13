"""Which ticks of a schedule are due, and what becomes of those that come late (decisions A19).

It must not read a clock, nor state. A tick is on time while its run is at most a grace period late, which is longer
than a failover or a restart takes: such ticks all run, whatever the policy. Invariants: every tick up to `until` is
either to run or missed, none twice; the work is bounded however long nobody looked.
"""

from itertools import islice
from typing import Final, NamedTuple

import msgspec

from rustqueue import cron
from rustqueue.model import limits
from rustqueue.model.schedules import Firing, Standing, Timing

_WALKED_MAX: Final = 1_000  # Ticks looked at one by one; of more than that it is only said that there were many.
_WINDOWS_MS: Final = tuple(150_000 * 8**power for power in range(9))


class _Due(NamedTuple):
    """Ticks whose runs should have begun by now, in order; `late` of them longer ago than the grace period."""

    ticks: list[int]
    late: int


def begins_ms(standing: Standing) -> int | None:
    """When its next run begins, None for never."""
    tick = cron.next_tick(standing.timing)
    return None if tick is None else cron.starts_ms(standing.timing, tick)


def firing_of(standing: Standing, now_ms: int, ticks_max: int = limits.SCHEDULE_FIRES_MAX) -> Firing | None:
    """What is to be decided now: at most `ticks_max` runs; None when nothing is due."""
    timing = standing.timing
    due = _due(timing, now_ms, _WALKED_MAX)
    if not due.ticks:
        return None
    if due.late == 0:
        return _firing(standing, due.ticks[:ticks_max], 0, 0)
    last = due if len(due.ticks) < _WALKED_MAX else _latest(timing, now_ms)
    runs = _chosen(standing, last)
    missed = len(due.ticks) if last is not due else len(due.ticks) - len(runs)
    before = [tick for tick in last.ticks if not runs or tick < runs[0]]
    missed_at = before[-1] if before else due.ticks[0]
    return _firing(standing, runs[:ticks_max], missed, missed_at)


def _chosen(standing: Standing, due: _Due) -> list[int]:
    """The ticks that run although some are late."""
    if standing.missed == "once":
        return due.ticks[-1:]
    if standing.missed == "skip":
        return due.ticks[due.late :]
    return due.ticks[max(0, due.late - limits.SCHEDULE_CATCH_UP_MAX) :]


def _firing(standing: Standing, runs: list[int], missed: int, missed_at: int) -> Firing:
    until = runs[-1] if runs else missed_at
    return Firing(standing.timing.name, standing.turn, runs, until, missed, missed_at if missed else 0)


def _due(timing: Timing, now_ms: int, count: int) -> _Due:
    """The first ticks that are due, at most `count`. One whose run begins later holds up those behind it."""
    found: list[int] = []
    late = 0
    for tick in islice(cron.ticks(timing), count):
        begins = cron.starts_ms(timing, tick)
        if begins > now_ms:
            break
        found.append(tick)
        late += begins < now_ms - limits.SCHEDULE_GRACE_MS
    return _Due(found, late)


def _latest(timing: Timing, now_ms: int) -> _Due:
    """The last ticks that are due, found in growing windows, since nobody can walk through years of seconds."""
    best = _Due([], 0)
    for window_ms in _WINDOWS_MS:
        after_ms = max(timing.after_ms, now_ms - window_ms)
        due = _due(msgspec.structs.replace(timing, after_ms=after_ms), now_ms, 2 * _WALKED_MAX)
        if best.ticks and len(due.ticks) == 2 * _WALKED_MAX:
            break  # Cut off before it came to the latest.
        best = due
        if due.late >= limits.SCHEDULE_CATCH_UP_MAX or after_ms == timing.after_ms:
            break
    return best
