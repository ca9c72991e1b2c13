"""One suite for every body of the KV port: what the machine may rely on, whichever store is configured.

A new body needs no line here: the suite takes every backend there is. What only one engine does is in
tests/unit/test_rocks_*.py and tests/unit/test_memory_kv.py.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rustqueue.machine.kv import KV, Row
from rustqueue.storage import Backend, StorageError, open_store

BACKENDS: tuple[Backend, ...] = get_args(Backend)
END = b"\xff" * 9


class Place(NamedTuple):
    """Where a store of one kind lives, so that a test can open a copy of it."""

    backend: Backend
    path: str

    def open(self) -> KV:
        return open_store(self.backend, self.path)

    def beside(self, name: str) -> "Place":
        return Place(self.backend, f"{self.path}-{name}")


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, str(tmp_path / "store"))


@pytest.fixture
def kv(place: Place) -> Iterator[KV]:
    store = place.open()
    yield store
    store.close()


def rows_of(kv: KV) -> dict[bytes, bytes]:
    return dict(kv.scan(b"", END, 1_000_000))


def test_absent_key_is_none(kv: KV) -> None:
    assert kv.get(b"never") is None


def test_last_write_of_a_key_wins(kv: KV) -> None:
    kv.write({b"a": b"1", b"b": b"2", b"c": b"3"})
    kv.write({b"a": b"one", b"b": None, b"never": None})
    assert rows_of(kv) == {b"a": b"one", b"c": b"3"}
    assert (kv.get(b"a"), kv.get(b"b"), kv.get(b"c")) == (b"one", None, b"3")


def test_deleted_key_can_come_back(kv: KV) -> None:
    kv.write({b"a": b"1"})
    kv.write({b"a": None})
    kv.write({b"a": b"2"})
    assert rows_of(kv) == {b"a": b"2"}


def test_empty_key_and_empty_value_are_a_row(kv: KV) -> None:
    kv.write({b"": b"", b"a": b""})
    assert kv.get(b"") == b""
    assert kv.scan(b"", b"b", 9) == [(b"", b""), (b"a", b"")]


def test_empty_batch_changes_nothing(kv: KV) -> None:
    kv.write({b"a": b"1"})
    kv.write({})
    assert rows_of(kv) == {b"a": b"1"}


def test_value_of_a_megabyte(kv: KV) -> None:
    value = bytes(range(256)) * 4096
    kv.write({b"big": value})
    kv.flush()
    assert kv.get(b"big") == value


def test_get_many_answers_in_the_order_asked(kv: KV) -> None:
    kv.write({b"a": b"1", b"b": b"2"})
    assert kv.get_many([b"b", b"x", b"a", b"b"]) == [b"2", None, b"1", b"2"]
    assert kv.get_many([]) == []


LETTERS: dict[bytes, bytes | None] = {bytes([letter]): bytes([letter]) * 2 for letter in b"abcdefg"}


@pytest.fixture(params=["buffered", "flushed"])
def letters(kv: KV, request: pytest.FixtureRequest) -> KV:
    kv.write(LETTERS)
    if request.param == "flushed":
        kv.flush()
    return kv


@pytest.mark.parametrize(
    ("start", "end", "limit", "up", "down"),
    [
        (b"b", b"e", 9, b"bcd", b"dcb"),
        (b"b", b"e", 3, b"bcd", b"dcb"),
        (b"b", b"e", 2, b"bc", b"dc"),
        (b"b", b"e", 1, b"b", b"d"),
        (b"b", b"e", 0, b"", b""),
        (b"b", b"e", -1, b"", b""),
        (b"b", b"b", 9, b"", b""),
        (b"e", b"b", 9, b"", b""),
        (b"", b"c", 9, b"ab", b"ba"),
        (b"", b"", 9, b"", b""),
        (b"f", END, 9, b"fg", b"gf"),
        (b"h", END, 9, b"", b""),
        (b"", b"a", 9, b"", b""),
        (b"bb", b"dd", 9, b"cd", b"dc"),
        (b"b\x00", b"d\x00", 9, b"cd", b"dc"),
    ],
)
def test_scan_takes_the_range(letters: KV, start: bytes, end: bytes, limit: int, up: bytes, down: bytes) -> None:
    assert letters.scan(start, end, limit) == [(bytes([key]), bytes([key]) * 2) for key in up]
    assert letters.scan(start, end, limit, reverse=True) == [(bytes([key]), bytes([key]) * 2) for key in down]


def test_scan_orders_keys_as_unsigned_bytes(kv: KV) -> None:
    ordered = [
        b"",
        b"\x00",
        b"\x00\x00",
        b"\x00\xff",
        b"\x01",
        b"a",
        b"a\x00",
        b"aa",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xff\x00",
    ]
    kv.write(dict.fromkeys(reversed(ordered), b"v"))
    assert [key for key, _ in kv.scan(b"", END, 99)] == ordered
    assert [key for key, _ in kv.scan(b"", END, 99, reverse=True)] == ordered[::-1]


def test_scan_passes_deleted_rows(kv: KV) -> None:
    kv.write({b"%05d" % number: b"v" for number in range(2_000)})
    kv.flush()
    kv.write({b"%05d" % number: None for number in range(1_990)})
    left = [(b"%05d" % number, b"v") for number in range(1_990, 2_000)]
    assert kv.scan(b"", END, 99) == left
    assert kv.scan(b"", END, 99, reverse=True) == left[::-1]


def test_scan_joins_flushed_and_fresh_rows(kv: KV) -> None:
    kv.write({b"a": b"old", b"c": b"old", b"e": b"old"})
    kv.flush()
    kv.write({b"b": b"new", b"c": b"new", b"e": None})
    assert kv.scan(b"", END, 9) == [(b"a", b"old"), (b"b", b"new"), (b"c", b"new")]


@pytest.mark.parametrize(
    "rows", [{b"a": b"1", "b": b"2"}, {b"a": b"1", b"b": "2"}, {b"a": b"1", b"b": bytearray(b"2")}]
)
def test_anything_but_bytes_is_refused_with_its_whole_batch(kv: KV, rows: dict[Any, Any]) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        kv.write(rows)
    assert rows_of(kv) == {}


def test_writes_go_on_while_flushes_run_in_another_thread(kv: KV) -> None:
    with ThreadPoolExecutor(1) as executor:
        flushes = []
        for number in range(400):
            kv.write({b"%05d" % (number * 10 + item): b"v" * 200 for item in range(10)})
            if number % 40 == 0:
                flushes.append(executor.submit(kv.flush))
        assert [flush.result(timeout=30) for flush in flushes] == [None] * 10
    assert rows_of(kv) == {b"%05d" % number: b"v" * 200 for number in range(4_000)}


def test_checkpoint_is_the_moment_and_stands_alone(kv: KV, place: Place) -> None:
    kv.write({b"a": b"1", b"b": b"2"})
    kv.write({b"b": None})
    copy = place.beside("copy")
    kv.checkpoint(copy.path)
    kv.write({b"a": b"later", b"c": b"later"})

    opened = copy.open()
    assert rows_of(opened) == {b"a": b"1"}
    opened.write({b"a": b"in the copy"})
    opened.close()
    assert rows_of(kv) == {b"a": b"later", b"c": b"later"}


def test_checkpoint_never_overwrites(kv: KV, place: Place) -> None:
    copy = place.beside("copy")
    kv.checkpoint(copy.path)
    with pytest.raises(StorageError, match=copy.path):
        kv.checkpoint(copy.path)


def test_size_follows_the_rows(kv: KV) -> None:
    kv.write({b"%05d" % number: b"%064d" % number * 4 for number in range(2_000)})
    assert 500_000 < kv.size_bytes() < 5_000_000


def test_closing_twice_is_closing(kv: KV) -> None:
    kv.close()
    kv.close()


def test_closed_store_answers_nothing(kv: KV) -> None:
    kv.write({b"a": b"1"})
    kv.close()
    for call in (lambda: kv.get(b"a"), lambda: kv.scan(b"", END, 1), lambda: kv.write({b"a": b"2"}), kv.flush):
        with pytest.raises(Exception, match="closed"):
            call()


KEYS = st.binary(max_size=3)
BATCHES = st.dictionaries(KEYS, st.none() | st.binary(max_size=4), max_size=8)
RANGES = st.tuples(KEYS, KEYS, st.integers(-1, 6), st.booleans())
STEPS = st.lists(BATCHES | RANGES | st.just("flush"), max_size=30)


def rows_in(model: dict[bytes, bytes], start: bytes, end: bytes, limit: int, reverse: bool) -> list[Row]:
    return sorted(((key, value) for key, value in model.items() if start <= key < end), reverse=reverse)[
        : max(limit, 0)
    ]


@pytest.mark.parametrize("backend", BACKENDS)
@settings(
    max_examples=60,
    deadline=None,
    # How fast examples are drawn says more about the other programs of this machine than about the store.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_behaves_as_a_sorted_dict(backend: Backend, tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    kv = open_store(backend, str(tmp_path_factory.mktemp("model") / "store"))
    model: dict[bytes, bytes] = {}
    for step in steps:
        match step:
            case dict():
                kv.write(step)
                model = {key: value for key, value in {**model, **step}.items() if value is not None}
            case tuple():
                assert kv.scan(*step) == rows_in(model, *step)
            case _:
                kv.flush()
    asked = [b"", b"\x00", *model]
    assert kv.get_many(asked) == [model.get(key) for key in asked]
    assert [kv.get(key) for key in asked] == [model.get(key) for key in asked]
    assert kv.scan(b"", END, 999) == sorted(model.items())
    kv.close()
