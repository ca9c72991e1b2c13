"""Milliseconds since 1970 (UTC) to RFC 3339 text and back, by arithmetic alone.

The machine may not import `datetime` (it could then read a clock), so the calendar arithmetic stands here. The civil-
date formulas are the well-known era-based ones (400-year cycles of 146,097 days).
"""

import re
from functools import lru_cache

_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@lru_cache(maxsize=1_024)
def _second_text(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_index + 2) // 5 + 1
    month = month_index + 3 if month_index < 10 else month_index - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    hour, rest = divmod(rest, 3_600)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{rest // 60:02}:{rest % 60:02}"


@lru_cache(maxsize=1_024)
def to_text(at_ms: int) -> str:
    """RFC 3339 in UTC with `Z`; three fractional digits unless the time is a whole second (as the original's
    formatter). Kept, since the jobs of one push or pull share their times.
    """
    seconds, milliseconds = divmod(at_ms, 1_000)
    return f"{_second_text(seconds)}.{milliseconds:03}Z" if milliseconds else f"{_second_text(seconds)}Z"


def _days_from_civil(year: int, month: int, day: int) -> int:
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _days_in_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def from_text(text: str) -> int | None:
    """Milliseconds since 1970 of an RFC 3339 time, or None if `text` is not one. Digits below the millisecond are
    cut.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= _days_in_month(year, month) and hour < 24 and minute < 60 and second < 60):
        return None
    milliseconds = int((found[7] or "").ljust(3, "0")[:3])
    offset_minutes = 0
    if found[8] not in "Zz":
        hours, minutes = int(found[8][1:3]), int(found[8][4:6])
        if hours > 23 or minutes > 59:
            return None
        offset_minutes = (hours * 60 + minutes) * (-1 if found[8][0] == "-" else 1)
    days = _days_from_civil(year, month, day)
    return ((days * 24 + hour) * 60 + minute - offset_minutes) * 60_000 + second * 1_000 + milliseconds
