"""The oldest ready job of a queue, found from windows and rows; since when leased jobs were ready."""

import random

from rustqueue.machine import rows
from rustqueue.machine.reads.oldest import oldest_ready_ms
from rustqueue.machine.ready import WindowLimits
from rustqueue.model.events import JobsChanged
from tests.unit.factories import START_MS, Rig


def oldest(rig: Rig, queue: str = "q") -> int | None:
    """After the start."""
    found = oldest_ready_ms(rig.machine.state, rig.machine.view(), queue)
    return None if found is None else found - START_MS


def test_nothing_is_oldest_where_nothing_is_ready() -> None:
    rig = Rig()
    rig.push(delay_ms=60_000)
    assert (oldest(rig), oldest(rig, "unknown")) == (None, None)


def test_the_oldest_is_the_first_of_some_priority_or_group() -> None:
    rig = Rig()
    rig.now_ms += 10
    low = rig.push(priority=-5)
    rig.now_ms += 10
    rig.push_many(70)
    rig.now_ms += 10
    rig.push(group_id="a", priority=9)
    assert oldest(rig) == 10
    # A restart forgets the windows.
    rig.reopen()
    assert oldest(rig) == 10
    rig.do("job_remove", id=low)
    assert oldest(rig) == 20
    rig.pulled(71)
    assert oldest(rig) is None


def test_windows_of_any_size_and_rows_tell_the_same() -> None:
    for seed in range(12):
        chance = random.Random(seed)
        wide, narrow = Rig(), Rig(WindowLimits(jobs_max=chance.choice((1, 3, 70))))
        for _ in range(60):
            count, priority = chance.choice((1, 2, 65)), chance.choice((0, 0, 3, -2))
            pulls = chance.randrange(90)
            for rig in (wide, narrow):
                rig.audited = False
                rig.now_ms += 7
                rig.push_many(count, priority=priority)
                rig.do("pull", queue="q", count=pulls)
            assert oldest(narrow) == oldest(wide), seed
            assert oldest(wide) == by_rows(wide), seed
            if chance.random() < 0.2:
                narrow.reopen()
            assert oldest(narrow) == oldest(wide), seed


def by_rows(rig: Rig) -> int | None:
    """Of all jobs that wait, found the slow way."""
    state = rig.machine.state
    made = [
        rows.decode_job(value).created_at
        for key, value in rig.kv.scan(b"j", b"k", 100_000)
        if state.code_of(key[1:], state.state_row(rig.kv, key[1:])) == rows.WAITING
    ]
    return min(made) - START_MS if made else None


def started(rig: Rig) -> list[list[int] | None]:
    found = [event for event in rig.events if isinstance(event, JobsChanged) and event.event == "started"]
    rig.events.clear()
    return [None if event.ready_ms is None else [ready_ms - START_MS for ready_ms in event.ready_ms] for event in found]


def test_a_lease_tells_since_when_its_job_was_ready_unless_it_always_was() -> None:
    rig = Rig()
    first = rig.push()
    rig.push(delay_ms=100)
    rig.now_ms += 50
    rig.pulled()
    assert started(rig) == [None]
    # One comes back, one becomes due.
    rig.do("fail", id=first, error="no")
    rig.wait(50)
    rig.wait(2_000)
    rig.push()
    rig.now_ms += 5
    rig.pulled(5)
    [ready] = started(rig)
    assert ready is not None
    assert sorted(ready) == [100, 1_050, 2_100]
