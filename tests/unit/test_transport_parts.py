"""The parts of the transport that need no socket: frames, addresses, faults, back-off, names."""

import logging
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue.model import limits
from rustqueue.raft.links import member_id
from rustqueue.raft.messages import Append, Forward, LogRecord
from rustqueue.raft.transport.address import Address, AddressError, parse_address, show_address
from rustqueue.raft.transport.faults import ADVICE, Faults, printable
from rustqueue.raft.transport.frames import FrameReader, FrameTooLarge, append_frame, frame_of
from rustqueue.raft.transport.greeting import answers_to, looks_like_tls
from rustqueue.raft.transport.outbound import Backoff
from tests.unit.link_rig import a_hello, a_message


@given(st.lists(st.binary(max_size=200), max_size=8), st.lists(st.integers(1, 300), max_size=30))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads)
    reader, found = FrameReader(1_000), []
    for cut in cuts:
        found += [bytes(frame) for frame in reader.feed(stream[:cut])]
        stream = stream[cut:]
    found += [bytes(frame) for frame in reader.feed(stream)]
    assert found == payloads


def test_frames_stay_readable_after_more_has_come() -> None:
    reader = FrameReader(1_000)
    frame = frame_of(Forward(1, b"abc"))
    kept = [*reader.feed(frame[:3]), *reader.feed(frame[3:] + frame[:9])]
    kept += [*reader.feed(frame[9:]), *reader.feed(frame)]
    assert [bytes(view) for view in kept] == [frame[4:]] * 3


def test_a_frame_of_the_limit_passes_and_one_more_byte_does_not() -> None:
    reader = FrameReader(10)
    assert [bytes(frame) for frame in reader.feed(struct.pack("<I", 10) + bytes(10))] == [bytes(10)]
    with pytest.raises(FrameTooLarge, match="a frame of 11 bytes, at most 10"):
        list(reader.feed(struct.pack("<I", 11)))


def test_what_cannot_be_a_frame_leaves_what_was_queued_before() -> None:
    out = bytearray()
    append_frame(out, a_message(1))
    before = bytes(out)
    with pytest.raises(FrameTooLarge):
        append_frame(out, Append(1, 0, 0, 0, 1, [LogRecord(1, 1, bytes(limits.PEER_FRAME_BYTES_MAX))]))
    with pytest.raises(OverflowError):
        append_frame(out, a_message(2**70))
    assert bytes(out) == before
    append_frame(out, a_message(2))
    assert bytes(out) == before + frame_of(a_message(2))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:6800", Address("127.0.0.1", 6800)),
        ("n1.queue.svc:0", Address("n1.queue.svc", 0)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[fe80::1%eth0]:1", Address("fe80::1%eth0", 1)),
    ],
)
def test_addresses_are_read_and_written(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert show_address(*address) == text


@pytest.mark.parametrize(
    "text", ["", ":", "h", "h:", ":1", "::1:1", "[::1]", "[h]:1", "h:65536", "h:-1", "h:1x", "h:¹"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match="expected host:port, IPv6 as"):
        parse_address(text)


def test_the_first_incarnation_is_called_like_its_node() -> None:
    assert (member_id("n1", 0), member_id("n1", 3)) == ("n1", "n1#3")
    third = a_hello("n1", incarnation=3)
    names = ["n1#3", "n1", "10.0.0.1:6800", "n1#2", "n2", ""]
    assert [answers_to(third, name) for name in names] == [True, True, True, False, False, False]


def test_tls_on_a_plain_port_is_told_from_a_greeting() -> None:
    records = [b"\x16\x03\x01\x02\x00\x01", b"\x15\x03\x03\x00\x02"]
    greetings = [frame_of(a_hello("n" * 32)), struct.pack("<I", 0x0315), struct.pack("<I", 0x0316), b"", b"\x16\x03"]
    assert [looks_like_tls(data) for data in [*records, *greetings]] == [True, True, *[False] * 5]


def test_faults_are_counted_always_and_logged_at_intervals(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    faults = Faults(lambda: now_s)
    with caplog.at_level(logging.WARNING):
        for moment_s in (0.0, 1.0, 9.0, 10.0):
            now_s = moment_s
            faults.note("tls", "no\nnews", address="h:1")
            faults.note("tls", "of a peer", peer="n1")
        faults.note("late", "x")
    said = [
        (record.__dict__["fault"], record.__dict__["detail"], record.__dict__["withheld"]) for record in caplog.records
    ]
    assert said == [
        ("tls", "no?news", 0),
        ("tls", "of a peer", 0),
        ("tls", "no?news", 2),
        ("tls", "of a peer", 2),
        ("late", "x", 0),
    ]
    assert {kind: count for kind, count in faults.counts.items() if count} == {"tls": 8, "late": 1}
    assert all(ADVICE[kind] for kind in faults.counts)


def test_a_peer_that_is_forgotten_is_new_again(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults(lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            faults.note("tls", "x", peer="n1")
        faults.forget("n1")
        faults.note("tls", "x", peer="n1")
    assert len(caplog.records) == 2


def test_what_is_printed_is_one_short_line() -> None:
    assert printable("a\r\nb\x1b[31m\u2028c" + "d" * 500) == "a??b?[31m?c" + "d" * 289


def test_dials_are_spread_and_bounded() -> None:
    for chance, expected in ((0.0, [0.05] * 6), (1.0, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0])):
        backoff = Backoff(lambda chance=chance: chance)  # type: ignore[misc]
        assert [backoff.next_s() for _ in range(6)] == pytest.approx(expected)
        backoff.reset()
        assert backoff.next_s() == pytest.approx(expected[0])


def test_messages_survive_the_wire() -> None:
    message = Append(5, 4, 3, 2, 1, [LogRecord(1, 2, b"payload"), LogRecord(2, 3, b"")])
    frames = list(FrameReader(1_000).feed(frame_of(message)))
    assert [msgspec.msgpack.Decoder(Append).decode(frame) for frame in frames] == [message]
