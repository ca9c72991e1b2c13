"""When a schedule runs: cron expressions on the wall clock of a zone, and intervals (contract A13, decisions A19).

Only whoever proposes needs it: zone data differs between machines, so the machine of a queue is told ticks and never
works them out. It must not know queues or state, nor read a clock. Invariants: ticks of a schedule strictly increase;
the same timing gives the same ticks wherever the zone data is the same.

Daylight saving. If the hour is left open (`*`), an expression follows elapsed time: a skipped hour has no runs, a
repeated one has them twice. Otherwise it follows the calendar: a time that is skipped runs once, at the moment the
clocks go forward (several skipped times together), and a time that occurs twice runs the first time only.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from croniter import CroniterBadDateError, CroniterError, croniter

from rustqueue.model import limits
from rustqueue.model.errors import ValidationFailed
from rustqueue.model.schedules import Timing

_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY: Final = re.compile("|".join(_DAYS))
_MONTH: Final = re.compile("JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC")
_LAST_DAY: Final = re.compile(r"([0-7])#?L")
_FIELD: Final = re.compile(r"[0-9*,/?#LW-]+")
_LEAP_YEARS: Final = 9  # 29 February is eight years away around 2100.
_SEARCHED_S: Final = 86_400  # A zone changes its offset at most once in such a time.
_LEFT_OUT: Final = ("posix/", "right/")  # The first are doubles, the second count leap seconds.
_MACHINE_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})
_MARGIN_S: Final = 2 * _SEARCHED_S


class Calendar:
    """One cron expression on a clock that never changes: seconds since 1970 as that clock shows them."""

    def __init__(self, text: str) -> None:
        fields = _fields(text)
        try:
            self._found = croniter(
                " ".join(fields), 0, second_at_beginning=len(fields) == 6, max_years_between_matches=_LEAP_YEARS
            )
        except (CroniterError, ValueError, KeyError, IndexError) as error:
            raise _bad(f"Invalid cron expression: {error}") from None
        hours = self._found.expanded[1]
        self.leaves_hour_open = hours == ["*"]

    def next(self, after_s: int) -> int | None:
        """The first match after a time, None if there is none in sight."""
        try:
            self._found.set_current(after_s, force=True)
            return int(self._found.get_next(float))
        except CroniterBadDateError:
            return None


def _fields(text: str) -> list[str]:
    """The fields in the dialect of the library; refuses what it would take for something else."""
    given = text.strip()
    fields = _ALIASES.get(given.lower(), given).upper().split()
    if len(fields) not in (5, 6):
        raise _bad(f"Invalid cron expression: it has {len(fields)} fields, five or six (seconds first) are needed")
    fields[-1] = _DAY.sub(lambda found: str(_DAYS.index(found[0])), fields[-1])
    fields[-1] = ",".join(_LAST_DAY.sub(r"L\1", part) for part in fields[-1].split(","))
    for place, field in enumerate(fields):
        plain = _MONTH.sub("", field) if place == len(fields) - 2 else field
        if plain and _FIELD.fullmatch(plain) is None:
            raise _bad(f"Invalid cron expression: the field '{field}' is not one")
    return fields


def _bad(reason: str, field: str = "cron_expr") -> ValidationFailed:
    return ValidationFailed(reason, field)


@lru_cache(maxsize=1_024)
def calendar(text: str) -> Calendar:
    """The expression, understood once. Raises `ValidationFailed`."""
    return Calendar(text)


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo:
    """A zone of the IANA database. Raises `ValidationFailed`."""
    if not name.startswith(_LEFT_OUT) and name not in _MACHINE_ZONES:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise _bad(f"'{name[:64]}' is not the name of a time zone", "timezone")


def check(cron_expr: str | None, timezone: str | None) -> None:
    """Refuse what means nothing. Raises `ValidationFailed` naming the field."""
    if timezone is not None:
        zone(timezone)
    if cron_expr is not None and calendar(cron_expr).next(0) is None:
        raise _bad(f"Invalid cron expression: '{cron_expr}' never matches a date")


def next_tick(timing: Timing) -> int | None:
    """The first tick behind `after_ms`, in milliseconds since 1970, None when there are no more."""
    if timing.cron_expr is not None:
        found = _next_match(timing.cron_expr, timing.timezone or "UTC", timing.after_ms // 1_000)
        tick = None if found is None else found * 1_000
    else:
        every_ms = max(timing.every_ms or 0, limits.SCHEDULE_EVERY_MS_MIN)
        passed = (timing.after_ms - timing.anchor_ms) // every_ms
        tick = timing.anchor_ms + max(0, passed + 1) * every_ms
    last_ms = limits.SCHEDULE_TIME_MS_MAX if timing.ends_ms is None else timing.ends_ms
    return None if tick is None or tick > last_ms else tick


def ticks(timing: Timing) -> Iterator[int]:
    """All ticks behind `after_ms`, in order."""
    while (tick := next_tick(timing)) is not None:
        yield tick
        timing = msgspec.structs.replace(timing, after_ms=tick)


def starts_ms(timing: Timing, tick: int) -> int:
    """When the run of a tick begins: its jitter is drawn from name and tick, so that everybody draws the same."""
    if timing.jitter_ms == 0:
        return tick
    digest = blake2b(f"{timing.name}\0{tick}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return tick + int.from_bytes(digest, "big") % (timing.jitter_ms + 1)


# The wall clock of a zone.


@lru_cache(maxsize=8_192)
def _next_match(text: str, zone_name: str, after_s: int) -> int | None:
    """The first tick after a time. Thousands of schedules share few expressions, hence the cache."""
    dates = calendar(text)
    if zone_name == "UTC":
        return dates.next(after_s)
    place = zone(zone_name)
    return (_next_elapsed if dates.leaves_hour_open else _next_on_calendar)(dates, place, after_s)


def _offset_s(place: ZoneInfo, at_s: int) -> int:
    """What the wall clock is ahead of UTC at a moment."""
    offset = datetime.fromtimestamp(at_s, place).utcoffset()
    return _seconds(cast("timedelta", offset))


def _seconds(span: timedelta) -> int:
    return span.days * 86_400 + span.seconds


def _next_on_calendar(dates: Calendar, place: ZoneInfo, after_s: int) -> int | None:
    """Each wall time once: at its first occurrence, or when the clocks jump over it."""
    wall_s: int | None = after_s + _offset_s(place, after_s)
    while wall_s is not None and (wall_s := dates.next(wall_s)) is not None:
        at_s = _moment_of(place, wall_s)
        if at_s > after_s:
            return at_s
    return None


def _moment_of(place: ZoneInfo, wall_s: int) -> int:
    """The moment at which the wall clock first shows this time, or jumps over it."""
    shown = datetime.fromtimestamp(wall_s, UTC).replace(tzinfo=place)
    before_s = _seconds(cast("timedelta", shown.utcoffset()))
    after_s = _seconds(cast("timedelta", shown.replace(fold=1).utcoffset()))
    if before_s >= after_s:
        return wall_s - before_s
    return _change_between(place, wall_s - after_s, wall_s - before_s)


def _next_elapsed(dates: Calendar, place: ZoneInfo, after_s: int) -> int | None:
    """Matches in elapsed time: between two changes of the clock it is a clock that never changes."""
    at_s, offset_s = after_s, _offset_s(place, after_s)
    while (wall_s := dates.next(at_s + offset_s)) is not None:
        found_s = wall_s - offset_s
        looked_s = min(found_s, at_s + _SEARCHED_S)
        if _offset_s(place, looked_s) != offset_s:
            change_s = _change_between(place, at_s, looked_s)
            if found_s < change_s:
                return found_s
            # The moment of the change itself may match on the new clock.
            at_s, offset_s = change_s - 1, _offset_s(place, change_s)
        elif looked_s == found_s:
            return found_s
        else:
            # No wall time until then matches, and a repeated hour only repeats what did not match.
            at_s = max(looked_s, found_s - _MARGIN_S)
            offset_s = _offset_s(place, at_s)
    return None


def _change_between(place: ZoneInfo, low_s: int, high_s: int) -> int:
    """The first moment with the offset of `high_s`, where `low_s` still has another one."""
    offset_s = _offset_s(place, high_s)
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if _offset_s(place, middle_s) == offset_s:
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s
