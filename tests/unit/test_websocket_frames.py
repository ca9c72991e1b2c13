"""WebSocket frames: whole messages out of any pieces, and faults named once."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue import websocket as ws
from rustqueue.websocket import FrameReader, Message, ProtocolViolation

MASK = b"\x01\x02\x03\x04"
LIMIT = 1_000


def reader(masked: bool = True) -> FrameReader:
    return FrameReader(masked=masked, message_bytes_max=LIMIT)


def part(opcode: int, payload: bytes, *, final: bool = True, bits: int = 0) -> bytes:
    whole = bytearray(ws.frame(opcode, payload, MASK))
    whole[0] = (whole[0] & 0x7F) | (0x80 * final) | bits
    return bytes(whole)


def test_the_answer_to_a_key_is_that_of_the_standard() -> None:
    assert ws.accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert [ws.accept_of(key) for key in ("", "short", "dGhlIHNhbXBsZSBub25jZQ=", "é" * 24)] == [None] * 4


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1_000])
@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_comes_back_as_it_was(size: int, masked: bool) -> None:
    sent = ws.frame(ws.BINARY, bytes(range(256)) * 4 and b"x" * size, MASK if masked else None)
    assert reader(masked).feed(sent) == [Message(ws.BINARY, b"x" * size)]


def test_a_large_frame_has_the_long_head() -> None:
    large = FrameReader(masked=False, message_bytes_max=70_000)
    assert large.feed(ws.text_frame(b"y" * 66_000)) == [Message(ws.TEXT, b"y" * 66_000)]


def test_pieces_of_any_size_give_the_same_messages() -> None:
    stream = b"".join(
        [
            part(ws.TEXT, b"one "),
            part(ws.TEXT, b"tw", final=False),
            part(ws.PING, b"still there?"),
            part(ws.CONTINUATION, b"o", final=True),
            ws.close_frame(1000, "enough", MASK),
        ]
    )
    expected = [
        Message(ws.TEXT, b"one "),
        Message(ws.PING, b"still there?"),
        Message(ws.TEXT, b"two"),
        Message(ws.CLOSE, b"\x03\xe8enough"),
    ]
    for size in (1, 2, 3, 7, len(stream)):
        cut = reader()
        found = [message for at in range(0, len(stream), size) for message in cut.feed(stream[at : at + size])]
        assert found == expected
    assert (expected[-1].close_code, expected[-1].close_reason) == (1000, "enough")
    assert Message(ws.CLOSE, b"").close_code == ws.CLOSE_NO_CODE


FAULTS = {
    "a reserved bit": (part(ws.TEXT, b"", bits=0x40), ws.CLOSE_PROTOCOL),
    "an unknown kind": (part(0x3, b""), ws.CLOSE_PROTOCOL),
    "no mask": (ws.frame(ws.TEXT, b"x"), ws.CLOSE_PROTOCOL),
    "a ping in parts": (part(ws.PING, b"", final=False), ws.CLOSE_PROTOCOL),
    "a long ping": (part(ws.PING, b"x" * 126), ws.CLOSE_PROTOCOL),
    "a part of nothing": (part(ws.CONTINUATION, b"x"), ws.CLOSE_PROTOCOL),
    "a message inside a message": (part(ws.TEXT, b"x", final=False) + part(ws.TEXT, b"y"), ws.CLOSE_PROTOCOL),
    "a large message": (part(ws.TEXT, b"x" * (LIMIT + 1)), ws.CLOSE_TOO_LARGE),
    "large in parts": (part(ws.TEXT, b"x" * LIMIT, final=False) + part(ws.CONTINUATION, b"y"), ws.CLOSE_TOO_LARGE),
    "a head that promises 2^63 bytes": (b"\x82\xff" + b"\xff" * 8 + MASK, ws.CLOSE_TOO_LARGE),
    "text that is not UTF-8": (part(ws.TEXT, b"\xff"), ws.CLOSE_NOT_TEXT),
    "half a code": (part(ws.CLOSE, b"\x03"), ws.CLOSE_PROTOCOL),
    "a code that is never sent": (part(ws.CLOSE, (1005).to_bytes(2, "big")), ws.CLOSE_PROTOCOL),
    "a reason that is not UTF-8": (part(ws.CLOSE, b"\x03\xe8\xff"), ws.CLOSE_NOT_TEXT),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_code(name: str) -> None:
    stream, code = FAULTS[name]
    with pytest.raises(ProtocolViolation) as caught:
        reader().feed(stream)
    assert caught.value.code == code


def test_a_long_reason_is_cut_between_characters() -> None:
    closing = FrameReader(masked=False, message_bytes_max=LIMIT).feed(ws.close_frame(1008, "é" * 100))[0]
    assert closing.close_reason == "é" * 61


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_random_bytes_are_messages_or_one_fault(pieces: list[bytes]) -> None:
    cut = reader()
    with suppress(ProtocolViolation):
        for piece in pieces:
            cut.feed(piece)
