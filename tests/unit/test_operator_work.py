"""The queue of keys: each at its time, never twice at once, never lost."""

import asyncio

from rustqueue_operator.work import BACKOFF_FIRST_S, BACKOFF_MAX_S, Work


async def taken(work: Work[str], count: int) -> list[str]:
    async with asyncio.timeout(60):
        return [await work.take() for _ in range(count)]


async def test_keys_come_by_their_time_and_once_however_often_they_were_added() -> None:
    work: Work[str] = Work()
    work.add("later", 0.02)
    work.add("now")
    work.add("now")
    work.add("later", 10)

    assert await taken(work, 2) == ["now", "later"]
    assert work.pending == 2


async def test_an_earlier_time_wins() -> None:
    work: Work[str] = Work()
    work.add("key", 60)
    work.add("key")

    assert await taken(work, 1) == ["key"]


async def test_a_key_that_changes_while_it_is_worked_on_comes_again_and_not_before() -> None:
    work: Work[str] = Work()
    work.add("key")
    assert await taken(work, 1) == ["key"]
    work.add("key")
    again = asyncio.create_task(work.take())
    await asyncio.sleep(0)
    assert not again.done()

    work.done("key")

    async with asyncio.timeout(60):
        assert await again == "key"


async def test_a_waiting_worker_is_woken_by_a_key_that_is_due_sooner() -> None:
    work: Work[str] = Work()
    work.add("far", 60)
    waiting = asyncio.create_task(work.take())
    await asyncio.sleep(0)
    work.add("near")

    async with asyncio.timeout(60):
        assert await waiting == "near"


async def test_failures_are_spread_over_growing_times_and_a_success_ends_that() -> None:
    work: Work[str] = Work()
    pauses = []
    for _ in range(12):
        work.later("key")
        pauses.append(-work.oldest_s())
        # It is due at its next time only; an earlier look resets nothing.
        work.add("key")
        assert await taken(work, 1) == ["key"]
        work.done("key")
    work.succeeded("key")
    work.later("key")

    assert all(0 < pause <= BACKOFF_MAX_S for pause in pauses)
    assert pauses[-1] > BACKOFF_MAX_S / 2 - 1
    assert -work.oldest_s() <= BACKOFF_FIRST_S


async def test_a_forgotten_key_does_not_come() -> None:
    work: Work[str] = Work()
    work.add("gone")
    work.add("here")
    work.forget("gone")

    assert await taken(work, 1) == ["here"]
    assert work.pending == 1


async def test_many_times_of_one_key_take_no_room() -> None:
    work: Work[str] = Work()
    for number in range(10_000):
        work.add("key", 60 - number / 1_000)

    assert work.entries < 100
