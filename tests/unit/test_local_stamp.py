"""The stamp of entries against any behaviour of the wall clock."""

from hypothesis import given
from hypothesis import strategies as st

from rustqueue.raft.stamp import EntryClock

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


@given(st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(-HOUR_MS, HOUR_MS)), max_size=50))
def test_stamps_keep_within_a_tenth_of_the_monotonic_time(moves: list[tuple[int, int]]) -> None:
    clock = EntryClock(0, 0, START_MS)
    monotonic_us, before_ms = 0, START_MS
    for elapsed_us, wall_error_ms in moves:
        monotonic_us += elapsed_us
        now_ms = clock.next(monotonic_us, START_MS + monotonic_us // 1_000 + wall_error_ms)
        assert now_ms >= before_ms
        assert elapsed_us * 9 // 10_000 - 1 <= now_ms - before_ms <= elapsed_us * 11 // 10_000 + 1
        before_ms = now_ms


def test_a_wall_clock_that_is_right_is_met_and_kept() -> None:
    clock = EntryClock(START_MS, 0, START_MS - 10_000)
    walls = [START_MS - 10_000 + second * 1_000 for second in range(1, 200)]
    stamps = [clock.next(second * 1_000_000, wall) for second, wall in enumerate(walls, 1)]
    assert stamps[:3] == [START_MS + 900, START_MS + 1_800, START_MS + 2_700]
    assert stamps[-1] == walls[-1]


def test_a_start_takes_the_later_of_log_and_wall() -> None:
    assert EntryClock(START_MS, 5, START_MS - HOUR_MS).peek(5, START_MS) == START_MS
    assert EntryClock(START_MS, 5, START_MS + HOUR_MS).peek(5, START_MS) == START_MS + HOUR_MS


def test_many_small_steps_lean_as_much_as_one_large_one() -> None:
    fine, coarse = EntryClock(0, 0, START_MS), EntryClock(0, 0, START_MS)
    for step in range(1, 10_001):
        fine.next(step * 100, START_MS + HOUR_MS)
    assert fine.peek(1_000_000, START_MS + HOUR_MS) == coarse.next(1_000_000, START_MS + HOUR_MS) == START_MS + 1_100
