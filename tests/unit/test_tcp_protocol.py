"""Bytes to lines and replies to bytes, without a socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue.model.errors import NotFound, TooLarge, Unavailable
from rustqueue.model.replies import Done, Pushed, Refused
from rustqueue.tcp.frames import Frame
from rustqueue.tcp.messages import MessageBuffer
from rustqueue.tcp.protocol import (
    AnswerOrder,
    encode_answer,
    plainly_not_found,
    request_id_of,
)


def is_a_line(text: bytes) -> bool:
    return b"\n" not in text and text[:1] not in (b"\x01", b"\x02", b"\x03", b"\x10")


@given(st.lists(st.binary(max_size=20).filter(is_a_line)), st.data())
def test_lines_are_the_same_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    buffer = MessageBuffer(1_000)
    found: list[bytes | Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if start < end:
            found += buffer.feed(stream[start:end])
    assert found == [line for line in lines if line not in (b"", b"\r")]
    assert buffer.partial_bytes == 4


@pytest.mark.parametrize("cuts", [[11], [6, 5], [5, 5, 1]])
def test_a_line_over_its_limit_is_refused_before_its_end(cuts: list[int]) -> None:
    buffer = MessageBuffer(10)
    assert buffer.feed(b"0123456789\n") == [b"0123456789"]
    for size in cuts[:-1]:
        assert buffer.feed(b"x" * size) == []
    with pytest.raises(TooLarge, match="line is larger than 10 bytes"):
        buffer.feed(b"x" * cuts[-1])


@given(st.permutations(range(6)))
def test_answers_come_in_the_order_of_their_places(order: list[int]) -> None:
    answers = AnswerOrder()
    slots = [answers.open() for _ in range(6)]
    sent = []
    for number in order:
        sent += answers.fill(slots[number], b"%d" % number)
    assert sent == [b"%d" % number for number in range(6)]
    assert len(answers) == 0


@pytest.mark.parametrize(
    ("request_id", "expected"),
    [
        (None, {"ok": True, "id": "x"}),
        (7, {"ok": True, "id": "x", "request_id": 7}),
        ('quo"te', {"ok": True, "id": "x", "request_id": 'quo"te'}),
    ],
)
def test_an_answer_carries_the_request_id_of_its_line(request_id: str | int | None, expected: object) -> None:
    assert json.loads(encode_answer(Pushed(id="x"), request_id)) == expected


def test_a_refusal_is_the_envelope_and_nothing_else() -> None:
    refused = Refused.of(Unavailable.paused("mail"))
    body = {"code": "QUEUE_PAUSED", "message": "Queue 'mail' is paused", "details": None}
    assert json.loads(encode_answer(refused, None)) == {"ok": False, "error": body}
    assert json.loads(encode_answer(refused, "r")) == {"ok": False, "error": body, "request_id": "r"}


@pytest.mark.parametrize(
    ("line", "request_id"),
    [
        (b'{"cmd":"nope","request_id":"r"}', "r"),
        (b'{"request_id":5}', 5),
        (b'{"request_id":1.5}', None),
        (b'{"request_id":"' + b"x" * 257 + b'"}', None),
        (b'{"request_id":"\xff"}', None),
        (b"[1]", None),
        (b"{", None),
        (b'{"a":' + b"[" * 100_000, None),
    ],
)
def test_the_request_id_of_a_refused_line_is_found_if_it_can_be(line: bytes, request_id: object) -> None:
    assert request_id_of(line) == request_id


def test_only_a_missing_job_is_renamed() -> None:
    missing = plainly_not_found(Refused.of(NotFound.job("x")))
    assert isinstance(missing, Refused)
    assert (missing.error.code, missing.error.message) == ("NOT_FOUND", "Job 'x' not found")
    for reply in (Done(), Refused.of(NotFound.queue("x"))):
        assert plainly_not_found(reply) is reply
