"""Deadlines: one timer for all, never early, a slot late at most."""

from rustqueue.gateway.deadlines import Deadlines
from tests.unit.gateway_world import ManualClock


def a_world() -> tuple[ManualClock, list[tuple[str, int]], Deadlines[str]]:
    clock = ManualClock()
    expired: list[tuple[str, int]] = []
    start_us = clock.now_us
    return clock, expired, Deadlines(clock, lambda name: expired.append((name, (clock.now_us - start_us) // 1_000)))


def test_items_expire_in_order_within_a_slot_of_their_time() -> None:
    clock, expired, deadlines = a_world()
    deadlines.put("late", 20_000)
    deadlines.put("early", 33)
    deadlines.put("at once", 0)
    clock.pass_ms(30_000)
    assert [name for name, _ in expired] == ["at once", "early", "late"]
    [(_, first), (_, second), (_, third)] = expired
    assert 0 <= first <= 10
    assert 33 <= second <= 43
    assert 20_000 <= third <= 20_100
    assert (len(deadlines), clock.timers_count) == (0, 0)


def test_a_dropped_item_does_not_expire() -> None:
    clock, expired, deadlines = a_world()
    deadlines.put("a", 10)
    deadlines.put("b", 10)
    deadlines.drop("a")
    deadlines.drop("unknown")
    assert ("a" in deadlines, "b" in deadlines) == (False, True)
    clock.pass_ms(100)
    assert [name for name, _ in expired] == ["b"]


def test_an_item_may_be_put_again_when_it_expires() -> None:
    clock = ManualClock()
    times: list[int] = []

    def again(name: str) -> None:
        times.append(clock.now_us)
        if len(times) < 3:
            deadlines.put(name, 50)

    deadlines: Deadlines[str] = Deadlines(clock, again)
    deadlines.put("a", 50)
    clock.pass_ms(1_000)
    assert len(times) == 3


def test_items_that_are_dropped_before_their_time_leave_nothing_behind() -> None:
    clock, expired, deadlines = a_world()
    for number in range(1_000):
        deadlines.put(str(number), 30_000)
        deadlines.drop(str(number))
    assert clock.timers_count == 1
    clock.pass_ms(40_000)
    assert (expired, clock.timers_count) == ([], 0)


def test_closing_forgets_everything() -> None:
    clock, expired, deadlines = a_world()
    deadlines.put("a", 10)
    deadlines.close()
    clock.pass_ms(100)
    assert (expired, len(deadlines), clock.timers_count) == ([], 0, 0)
