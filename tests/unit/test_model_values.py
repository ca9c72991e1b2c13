"""Times, ids, entries and replies: the small parts of the vocabulary that compute something."""

import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue.model import ids, times
from rustqueue.model.entry import Entry, decode_entry, encode_entry
from rustqueue.model.errors import IdempotencyMismatch, Limited, NotFound, Unavailable
from rustqueue.model.replies import BulkDone, Done, Pushed, Refused, status_of, waits_for_retry

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@given(st.integers(0, 253_402_300_799_999))
def test_times_are_written_as_the_calendar_says_and_read_back(at_ms: int) -> None:
    text = times.to_text(at_ms)

    moment = EPOCH + datetime.timedelta(milliseconds=at_ms)
    assert text == moment.isoformat(timespec="milliseconds" if at_ms % 1_000 else "seconds").replace("+00:00", "Z")
    assert times.from_text(text) == at_ms


OFFSETS = [datetime.timezone(datetime.timedelta(minutes=minutes)) for minutes in (0, 330, -570, 840)]


@given(st.integers(0, 10**14), st.sampled_from(OFFSETS))
def test_any_offset_is_understood(at_us: int, offset: datetime.timezone) -> None:
    moment, expected = (EPOCH + datetime.timedelta(microseconds=at_us)).astimezone(offset), at_us // 1_000

    assert times.from_text(moment.isoformat()) == expected
    assert times.from_text(moment.isoformat(sep=" ")) == expected


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01.5z", 1_500),
        ("2000-02-29T12:00:00.123456789+02:00", 951_818_400_123),
        ("1969-12-31T23:59:59Z", -1_000),
        ("1900-02-29T00:00:00Z", None),
        ("2024-02-30T00:00:00Z", None),
        ("2024-04-31T00:00:00Z", None),
        ("2024-13-01T00:00:00Z", None),
        ("2024-00-01T00:00:00Z", None),
        ("2024-01-01T24:00:00Z", None),
        ("2024-01-01T00:60:00Z", None),
        ("2024-01-01T00:00:60Z", None),
        ("2024-01-01T00:00:00+24:00", None),
        ("2024-01-01T00:00:00+00:60", None),
        ("2024-01-01T00:00:00", None),
        ("2024-01-01", None),
        ("٢٠٢٤-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_what_counts_as_a_time(text: str, at_ms: int | None) -> None:
    assert times.from_text(text) == at_ms


@pytest.mark.parametrize("low", [0, 2**48 - 3, 2**48 - 2, 2**48 - 1])
def test_texts_of_consecutive_ids_carry_like_numbers(low: int) -> None:
    first = (7 << 96 | 5 << 48 | low).to_bytes(16, "big")

    expected = [ids.id_text((int.from_bytes(first, "big") + place).to_bytes(16, "big")) for place in range(3)]

    assert ids.consecutive_texts(first, 3) == expected


@given(st.integers(0, 2**48 - 1), st.binary(min_size=16, max_size=16), st.integers(1, 50))
def test_ids_are_unique_ordered_and_say_when_they_were_made(at_ms: int, seed: bytes, count: int) -> None:
    made = ids.make_ids(at_ms, seed, 1, 0, count) + ids.make_ids(at_ms, seed, 1, count, 2)

    assert made == sorted(set(made))
    assert {ids.created_ms(job_id) for job_id in made} == {at_ms}
    assert [ids.parse_id(ids.id_text(job_id)) for job_id in made] == made
    assert ids.first_id_at(at_ms) <= made[0]
    assert ids.first_id_at(at_ms + 1) > made[-1] or at_ms == 2**48 - 1


def test_an_entry_is_stored_and_read_back() -> None:
    entry = Entry(1, 7, 1_764_000_000_000, b"0123456789abcdef", [b'{"cmd":"!tick"}', b"\xff"])

    assert decode_entry(encode_entry(entry)) == entry
    with pytest.raises(msgspec.DecodeError):
        decode_entry(encode_entry(entry)[:-1])


def test_replies_know_their_status() -> None:
    assert status_of(Done()) == 200
    assert status_of(Pushed(id="x")) == 201
    assert [status_of(BulkDone(matched=1, moved=1, sweep=sweep)) for sweep in (None, "s")] == [200, 202]
    assert waits_for_retry(Done()) is None


@pytest.mark.parametrize(
    ("error", "status", "retry_after_s"),
    [
        (Unavailable.disk_full(), 503, 1),
        (Unavailable.stopping(), 503, 1),
        (Unavailable.unknown_outcome(), 503, 1),
        (Limited.overloaded(), 429, 1),
        (NotFound.queue("q"), 404, None),
        (IdempotencyMismatch(), 422, None),
    ],
)
def test_refusals_know_their_status(
    error: Unavailable | Limited | NotFound, status: int, retry_after_s: int | None
) -> None:
    refused = Refused.of(error)

    assert (status_of(refused), waits_for_retry(refused), refused.ok) == (status, retry_after_s, False)
    assert (refused.error.code, refused.error.message) == (error.code, str(error))
