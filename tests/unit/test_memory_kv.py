"""What only the memory store has: the model of a power cut that the simulator plays with."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue.storage.memory import MemoryKV


def rows_of(kv: MemoryKV) -> dict[bytes, bytes]:
    return dict(kv.scan(b"", b"\xff" * 64, 1_000_000))


def test_crash_drops_back_to_the_last_completed_flush() -> None:
    kv = MemoryKV()
    kv.write({b"a": b"1", b"b": b"1"})
    kv.flush()
    kv.write({b"a": b"2", b"b": None, b"c": b"2"})
    kv.write({b"a": None})

    kv.crash()

    assert rows_of(kv) == {b"a": b"1", b"b": b"1"}
    assert (kv.unflushed_count, kv.size_bytes()) == (0, 4)


def test_flush_covers_what_was_written_when_it_began() -> None:
    kv = MemoryKV()
    kv.write({b"a": b"1"})
    mark = kv.begin_flush()
    kv.write({b"a": b"2"})
    kv.end_flush(mark)
    assert kv.unflushed_count == 1

    kv.crash()

    assert rows_of(kv) == {b"a": b"1"}


def test_flush_that_has_not_ended_saves_nothing() -> None:
    kv = MemoryKV()
    kv.write({b"a": b"1"})
    mark = kv.begin_flush()

    kv.crash()
    kv.end_flush(mark)
    kv.write({b"b": b"2"})

    assert kv.unflushed_count == 1
    kv.crash()
    assert rows_of(kv) == {}


def test_overlapping_flushes_may_end_in_any_order() -> None:
    kv = MemoryKV()
    kv.write({b"a": b"1"})
    first = kv.begin_flush()
    kv.write({b"b": b"1"})
    second = kv.begin_flush()
    kv.write({b"c": b"1"})

    kv.end_flush(second)
    kv.end_flush(first)
    kv.crash()

    assert rows_of(kv) == {b"a": b"1", b"b": b"1"}


@pytest.mark.parametrize(("survivors_count", "left"), [(0, b"1"), (1, b"2"), (2, b"3"), (3, b"4")])
def test_crash_may_stop_at_any_later_batch(survivors_count: int, left: bytes) -> None:
    kv = MemoryKV()
    kv.write({b"a": b"1"})
    kv.flush()
    for value in (b"2", b"3", b"4"):
        kv.write({b"a": value})
    offered: list[int] = []

    def survivors(count: int) -> int:
        offered.append(count)
        return survivors_count

    kv.crash(survivors)

    assert (offered, rows_of(kv)) == ([3], {b"a": left})
    # What has survived once is on the disk: the next power cut cannot take it.
    kv.crash()
    assert rows_of(kv) == {b"a": left}


def test_closed_store_is_open_again_after_a_crash() -> None:
    kv = MemoryKV()
    kv.write({b"a": b"1"})
    kv.flush()
    kv.close()
    kv.crash()
    assert kv.get(b"a") == b"1"


BATCHES = st.lists(st.dictionaries(st.binary(max_size=1), st.none() | st.binary(max_size=1), max_size=4), max_size=12)


@given(batches=BATCHES, flushed=st.integers(0, 12), kept=st.integers(0, 12))
def test_every_boundary_is_the_state_after_that_many_batches(
    batches: list[dict[bytes, bytes | None]], flushed: int, kept: int
) -> None:
    kv = MemoryKV()
    for number, batch in enumerate(batches):
        if number == flushed:
            kv.flush()
        kv.write(batch)
    durable_count = flushed if flushed < len(batches) else 0
    choose: Callable[[int], int] = lambda count: min(kept, count)  # noqa: E731

    kv.crash(choose)

    expected: dict[bytes, bytes] = {}
    for batch in batches[: durable_count + min(kept, len(batches) - durable_count)]:
        for key, value in batch.items():
            if value is None:
                expected.pop(key, None)
            else:
                expected[key] = value
    assert rows_of(kv) == expected
    assert kv.size_bytes() == sum(len(key) + len(value) for key, value in expected.items())
