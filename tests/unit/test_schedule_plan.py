"""Which ticks run when somebody looks late, and that the work is bounded however late it is."""

from typing import Any

import pytest

from rustqueue.effects.schedules import plan
from rustqueue.model import limits
from rustqueue.model.schedules import Firing, Standing, Timing

HOUR_MS = 3_600_000
GRACE_MS = limits.SCHEDULE_GRACE_MS


def a_standing(missed: Any = "once", **fields: Any) -> Standing:
    empty: dict[str, Any] = {"cron_expr": None, "every_ms": None, "timezone": None, "jitter_ms": 0, "ends_ms": None}
    timing = Timing(**{"name": "s", **empty, "anchor_ms": 0, "after_ms": 0, **fields})
    return Standing(timing=timing, turn=7, missed=missed, queue="q", job_bytes=10)


def hourly(missed: str, **fields: Any) -> Standing:
    return a_standing(missed, every_ms=HOUR_MS, **fields)


def firing(ticks: list[int], until: int, missed: int = 0, missed_at: int = 0) -> Firing:
    return Firing("s", 7, ticks, until, missed, missed_at)


def test_nothing_is_due_before_its_time() -> None:
    standing = hourly("once")
    assert plan.begins_ms(standing) == HOUR_MS
    assert plan.firing_of(standing, HOUR_MS - 1) is None
    assert plan.firing_of(standing, HOUR_MS) == firing([HOUR_MS], HOUR_MS)


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
def test_ticks_within_the_grace_period_all_run(missed: str) -> None:
    standing = a_standing(missed, every_ms=10_000)
    ticks = [10_000, 20_000, 30_000, 40_000]
    assert plan.firing_of(standing, 10_000 + GRACE_MS) == firing(ticks, 40_000)


LATE = {
    "skip": firing([], 3 * HOUR_MS, 3, 3 * HOUR_MS),
    "once": firing([3 * HOUR_MS], 3 * HOUR_MS, 2, 2 * HOUR_MS),
    "all": firing([HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS], 3 * HOUR_MS),
}


@pytest.mark.parametrize("missed", LATE)
def test_what_becomes_of_late_ticks(missed: str) -> None:
    assert plan.firing_of(hourly(missed), 3 * HOUR_MS + GRACE_MS + 1) == LATE[missed]


MIXED = {
    "skip": firing([3 * HOUR_MS], 3 * HOUR_MS, 2, 2 * HOUR_MS),
    "once": firing([3 * HOUR_MS], 3 * HOUR_MS, 2, 2 * HOUR_MS),
    "all": firing([HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS], 3 * HOUR_MS),
}


@pytest.mark.parametrize("missed", MIXED)
def test_late_ticks_and_one_that_is_on_time(missed: str) -> None:
    assert plan.firing_of(hourly(missed), 3 * HOUR_MS + 5) == MIXED[missed]


def test_one_late_tick_is_run_once_and_nothing_is_missed() -> None:
    assert plan.firing_of(hourly("once"), 2 * HOUR_MS - 1) == firing([HOUR_MS], HOUR_MS)
    assert plan.firing_of(hourly("skip"), 2 * HOUR_MS - 1) == firing([], HOUR_MS, 1, HOUR_MS)


def test_all_makes_up_the_latest_hundred() -> None:
    now_ms = 500 * HOUR_MS + GRACE_MS + 1
    found = plan.firing_of(hourly("all"), now_ms)
    assert found == firing([HOUR_MS * n for n in range(401, 501)], 500 * HOUR_MS, 400, 400 * HOUR_MS)


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
@pytest.mark.parametrize(
    "timing", [{"cron_expr": "* * * * * *"}, {"every_ms": 100}, {"cron_expr": "*/5 * * * *", "timezone": "Asia/Tokyo"}]
)
def test_years_of_ticks_are_decided_in_bounded_work(missed: str, timing: dict[str, Any]) -> None:
    now_ms = 1_764_000_000_000
    standing = a_standing(missed, **timing)
    found = plan.firing_of(standing, now_ms)
    assert found is not None
    assert found.missed == 1_000
    assert now_ms - found.until < 310_000
    assert len(found.ticks) <= limits.SCHEDULE_FIRES_MAX
    assert found.ticks == sorted(set(found.ticks))
    assert all(found.missed_at < tick <= now_ms for tick in found.ticks)


def test_a_run_waits_for_its_jitter_and_holds_up_those_behind() -> None:
    standing = hourly("once", jitter_ms=HOUR_MS // 2)
    begins = plan.begins_ms(standing)
    assert begins is not None
    assert HOUR_MS < begins < 1.5 * HOUR_MS
    assert plan.firing_of(standing, begins - 1) is None
    assert plan.firing_of(standing, begins) == firing([HOUR_MS], HOUR_MS)


def test_what_does_not_fit_stays_due() -> None:
    standing = a_standing(every_ms=1_000)
    assert plan.firing_of(standing, 10_000, ticks_max=3) == firing([1_000, 2_000, 3_000], 3_000)


def test_an_ended_schedule_is_never_due() -> None:
    standing = hourly("all", ends_ms=HOUR_MS - 1)
    assert plan.begins_ms(standing) is None
    assert plan.firing_of(standing, 9 * HOUR_MS) is None
