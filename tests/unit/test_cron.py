"""When schedules run: the dialect, daylight saving, intervals, and an oracle that counts seconds by hand."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue import cron
from rustqueue.model import limits, times
from rustqueue.model.errors import ValidationFailed
from rustqueue.model.schedules import Timing


def ms(text: str) -> int:
    at_ms = times.from_text(text)
    assert at_ms is not None, text
    return at_ms


def a_timing(**fields: Any) -> Timing:
    empty: dict[str, Any] = {"cron_expr": None, "every_ms": None, "timezone": None, "jitter_ms": 0, "ends_ms": None}
    return Timing(**{"name": "s", **empty, "anchor_ms": 0, "after_ms": 0, **fields})


def runs(expression: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    """The next ticks, as that zone's wall clock shows them."""
    timing = a_timing(cron_expr=expression, timezone=zone, after_ms=ms(after))
    return [
        datetime.fromtimestamp(tick / 1_000, ZoneInfo(zone)).strftime("%d.%m. %H:%M:%S %z")[:-2].removesuffix(" ")
        for tick in islice(cron.ticks(timing), count)
    ]


# 1 August 2026 is a Saturday.
DIALECT = {
    "30 4 * * *": ["01.08. 04:30:00 +00", "02.08. 04:30:00 +00"],
    "*/20 */12 * * *": ["01.08. 00:20:00 +00", "01.08. 00:40:00 +00", "01.08. 12:00:00 +00"],
    "10-20/5 0 * * *": ["01.08. 00:10:00 +00", "01.08. 00:15:00 +00", "01.08. 00:20:00 +00"],
    "5,50 0 * * *": ["01.08. 00:05:00 +00", "01.08. 00:50:00 +00"],
    "0 0 * * MON-fri": ["03.08. 00:00:00 +00", "04.08. 00:00:00 +00"],
    "0 0 * * 7": ["02.08. 00:00:00 +00", "09.08. 00:00:00 +00"],
    "0 0 ? jan *": ["01.01. 00:00:00 +00", "02.01. 00:00:00 +00"],
    "0 0 L * ?": ["31.08. 00:00:00 +00", "30.09. 00:00:00 +00"],
    "0 0 15W * *": ["14.08. 00:00:00 +00", "15.09. 00:00:00 +00"],
    "0 0 * * 5L": ["28.08. 00:00:00 +00", "25.09. 00:00:00 +00"],
    "0 0 * * FRI#L": ["28.08. 00:00:00 +00", "25.09. 00:00:00 +00"],
    "0 0 * * 2#2": ["11.08. 00:00:00 +00", "08.09. 00:00:00 +00"],
    "0 0 13 * FRI": ["07.08. 00:00:00 +00", "13.08. 00:00:00 +00", "14.08. 00:00:00 +00"],
    "15,45 * * * * *": ["01.08. 00:00:15 +00", "01.08. 00:00:45 +00", "01.08. 00:01:15 +00"],
    "0 0 29 2 *": ["29.02. 00:00:00 +00", "29.02. 00:00:00 +00"],
    "@hourly": ["01.08. 01:00:00 +00", "01.08. 02:00:00 +00"],
    "@daily": ["02.08. 00:00:00 +00"],
    "@midnight": ["02.08. 00:00:00 +00"],
    "@weekly": ["02.08. 00:00:00 +00", "09.08. 00:00:00 +00"],
    "@monthly": ["01.09. 00:00:00 +00"],
    "@yearly": ["01.01. 00:00:00 +00"],
    " @Annually ": ["01.01. 00:00:00 +00"],
}


@pytest.mark.parametrize("expression", DIALECT)
def test_the_dialect(expression: str) -> None:
    expected = DIALECT[expression]
    assert runs(expression, "2026-08-01T00:00:00Z", len(expected)) == expected


SAVING = {
    "a skipped time runs when the clocks go forward": (
        ("30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Paris"),
        ["29.03. 03:00:00 +02", "30.03. 02:30:00 +02"],
    ),
    "several skipped times are one run": (
        ("0,15,30 2,3 * * *", "2026-03-29T00:00:00Z", "Europe/Paris"),
        ["29.03. 03:00:00 +02", "29.03. 03:15:00 +02", "29.03. 03:30:00 +02", "30.03. 02:00:00 +02"],
    ),
    "a repeated time runs the first time": (
        ("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Paris"),
        ["25.10. 02:30:00 +02", "26.10. 02:30:00 +01"],
    ),
    "and not again when looked for in between": (
        ("30 2 * * *", "2026-10-25T01:10:00Z", "Europe/Paris"),
        ["26.10. 02:30:00 +01"],
    ),
    "an open hour has no runs while it is skipped": (
        ("30 * * * *", "2026-03-29T00:00:00Z", "Europe/Paris"),
        ["29.03. 01:30:00 +01", "29.03. 03:30:00 +02"],
    ),
    "an open hour runs twice when it is repeated": (
        ("30 * * * *", "2026-10-24T23:00:00Z", "Europe/Paris"),
        ["25.10. 01:30:00 +02", "25.10. 02:30:00 +02", "25.10. 02:30:00 +01", "25.10. 03:30:00 +01"],
    ),
    "the moment of the change itself": (
        ("0 * * * *", "2026-03-29T00:00:00Z", "Europe/Paris"),
        ["29.03. 03:00:00 +02", "29.03. 04:00:00 +02"],
    ),
    "a change of half an hour": (
        ("*/15 * * * *", "2026-04-04T14:30:00Z", "Australia/Lord_Howe"),
        ["05.04. 01:45:00 +11", "05.04. 01:30:00 +10", "05.04. 01:45:00 +10", "05.04. 02:00:00 +10"],
    ),
    "a day that never was": (
        ("0 12 * * *", "2011-12-29T12:00:00Z", "Pacific/Apia"),
        ["29.12. 12:00:00 -10", "31.12. 00:00:00 +14", "31.12. 12:00:00 +14"],
    ),
    "an open hour in a month far away": (
        ("0 * 1 7 *", "2026-08-01T00:00:00Z", "America/New_York"),
        ["01.07. 00:00:00 -04", "01.07. 01:00:00 -04"],
    ),
}


@pytest.mark.parametrize("case", SAVING)
def test_daylight_saving(case: str) -> None:
    (expression, after, zone), expected = SAVING[case]
    assert runs(expression, after, len(expected), zone) == expected


REFUSED = (
    *("", "* * * *", "* * * * * * *", "* * * * * * 2026", "@reboot", "R * * * *", "* H * * *", "61 * * * *"),
    *("* * * * 8", "*/0 * * * *", "* * 0 * *", "* * * 13 *", "1,,2 * * * *", "0 0 LW * *", "0 0 1,15W * *"),
    *("* * * * MONDAY", "a b c d e", "0 0 30 2 *", "* * * * 5#6", "5#2 * * * *", "\u0661 * * * *", "* * * * 1-"),
)


@pytest.mark.parametrize("expression", REFUSED)
def test_what_means_nothing_is_refused(expression: str) -> None:
    with pytest.raises(ValidationFailed, match="Invalid cron expression") as refusal:
        cron.check(expression, None)
    assert (refusal.value.status, refusal.value.details) == (400, {"field": "cron_expr"})


@given(st.text(alphabet="0123456789*/,-?LW#R@ MONJAN", min_size=1, max_size=40))
def test_no_text_breaks_the_parser(expression: str) -> None:
    try:
        cron.check(expression, None)
    except ValidationFailed:
        return
    assert cron.next_tick(a_timing(cron_expr=expression)) is not None


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "Europe", "../../etc/passwd", "/etc/localtime", "localtime", "right/UTC", "a\0b", "Factory"],
)
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        cron.check(None, name)
    assert refusal.value.details == {"field": "timezone"}


# An outside oracle: every second of two days around a change, judged by the rules as docs/schedules.md states them.

_DAYS = ("2026-03-28", "2026-10-24", "2026-06-10")
_ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata", "America/St_Johns")
_CHANGES = {"America/New_York": ("2026-03-07", "2026-10-31"), "Australia/Lord_Howe": ("2026-10-03", "2026-04-04")}


def expected_ticks(minutes: set[int], hours: set[int] | None, place: ZoneInfo, start: datetime) -> list[int]:
    """By walking minute after minute of real time."""
    found = []
    seen = {_wall(start, place)}
    at = start
    for _ in range(2 * 24 * 60):
        before, at = at, at + timedelta(minutes=1)
        wall = _wall(at, place)
        if hours is None:
            due = wall.minute in minutes
        else:
            jumped = (wall - _wall(before, place)) // timedelta(minutes=1)
            skipped = [wall - timedelta(minutes=back) for back in range(1, jumped)]
            due = wall not in seen and wall.minute in minutes and wall.hour in hours
            due = due or any(one.minute in minutes and one.hour in hours for one in skipped)
        seen.add(wall)
        if due:
            found.append(int(at.timestamp()) * 1_000)
    return found


def _wall(at: datetime, place: ZoneInfo) -> datetime:
    return at.astimezone(place).replace(tzinfo=None, fold=0)


@given(
    st.sets(st.integers(0, 59), min_size=1, max_size=4),
    st.none() | st.sets(st.integers(0, 23), min_size=1, max_size=6),
    st.sampled_from(_ZONES),
    st.integers(0, 2),
    st.integers(0, 1_439),
)
def test_ticks_are_those_of_an_oracle_that_walks(
    minutes: set[int], hours: set[int] | None, zone: str, day: int, minute: int
) -> None:
    days = (*_CHANGES.get(zone, _DAYS[:2]), _DAYS[2])
    place = ZoneInfo(zone)
    start = datetime.fromisoformat(days[day]).replace(tzinfo=UTC) + timedelta(minutes=minute)
    expected = expected_ticks(minutes, hours, place, start)
    text = ",".join(map(str, sorted(minutes))) + " "
    text += "* * * *" if hours is None else ",".join(map(str, sorted(hours))) + " * * *"
    end_ms = int((start + timedelta(days=2)).timestamp()) * 1_000
    timing = a_timing(cron_expr=text, timezone=zone, after_ms=int(start.timestamp()) * 1_000, ends_ms=end_ms)
    assert list(cron.ticks(timing)) == expected


def test_intervals_are_counted_from_their_anchor() -> None:
    timing = a_timing(every_ms=700, anchor_ms=10_000, after_ms=9_999, ends_ms=11_400)
    assert list(cron.ticks(timing)) == [10_000, 10_700, 11_400]
    late = a_timing(every_ms=700, anchor_ms=10_000, after_ms=1_000_000)
    assert cron.next_tick(late) == 10_000 + 700 * 1_415
    early = a_timing(every_ms=700, anchor_ms=10_000, after_ms=0)
    assert cron.next_tick(early) == 10_000


def test_short_intervals_have_a_resolution() -> None:
    assert list(islice(cron.ticks(a_timing(every_ms=1, after_ms=-1)), 3)) == [0, 100, 200]


def test_jitter_is_drawn_from_name_and_tick() -> None:
    timing = a_timing(every_ms=1_000, jitter_ms=500)
    drawn = [cron.starts_ms(timing, tick) - tick for tick in range(0, 1_000_000, 1_000)]
    assert drawn == [cron.starts_ms(timing, tick) - tick for tick in range(0, 1_000_000, 1_000)]
    assert (min(drawn), max(drawn)) == (0, 500)
    assert len(set(drawn)) > 400
    assert cron.starts_ms(a_timing(every_ms=1_000), 7) == 7


def test_there_are_no_ticks_beyond_the_calendar() -> None:
    timing = a_timing(cron_expr="@yearly", after_ms=limits.SCHEDULE_TIME_MS_MAX - 1)
    assert list(cron.ticks(timing)) == [limits.SCHEDULE_TIME_MS_MAX]
