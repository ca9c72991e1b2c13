"""The peer port under attack: whatever comes ends its own connection, is counted, and changes nothing else."""

import asyncio
import logging
import random
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from rustqueue.model import limits
from rustqueue.raft.links import Hello
from rustqueue.raft.messages import Append, Forward, LogRecord, Message, SnapshotPart
from rustqueue.raft.transport.frames import Refusal, frame_of
from rustqueue.raft.transport.inbound import UNDECODABLE
from tests.unit.link_rig import (
    DEADLINE_S,
    Caller,
    Member,
    a_hello,
    a_message,
    calling,
    linked,
    running,
    until,
)

SEED = 20_261_122


def framed(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload


async def a_peer_gets_through(member: Member) -> None:
    """The proof that nothing is broken: a true peer is let in, and what it says arrives."""
    before = len(member.messages)
    async with calling(member) as peer:
        peer.send(a_hello("true"))
        assert await peer.answer() == member.hello
        peer.send(a_message(99))
        await until(lambda: len(member.messages) > before)
    assert member.messages[-1] == ("true", a_message(99))


async def test_random_bytes_change_nothing() -> None:
    one, chance = Member("n1"), random.Random(SEED)
    async with running(one):
        for _ in range(200):
            async with calling(one) as attacker:
                attacker.send(chance.randbytes(chance.choice([1, 3, 4, 5, 17, 400, 5_000, 70_000])))
                attacker.writer.write_eof()
                assert await attacker.ended()
        assert one.seen == []
        assert one.events == []
        assert set(one.faults) <= {"oversized", "malformed", "plain"}
        assert sum(one.faults.values()) > 100
        await a_peer_gets_through(one)


async def test_random_bytes_behind_a_good_hello_change_nothing() -> None:
    one, chance = Member("n1"), random.Random(SEED)
    async with running(one):
        for _ in range(100):
            async with calling(one) as attacker:
                attacker.send(a_hello("n2"))
                assert await attacker.answer() == one.hello
                noise = chance.randbytes(chance.randrange(1, 300))
                attacker.send(framed(noise), framed(noise[:3]), frame_of(a_message()))
                assert await attacker.ended()
        assert one.messages == []
        assert one.faults["malformed"] == 100
        await a_peer_gets_through(one)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
odd_frames = st.lists(
    st.builds(lambda tag, fields: [tag, *fields], st.integers(-1, 15), st.lists(anything, max_size=9)),
    min_size=1,
    max_size=12,
)


def deliverable(frames: list[list[Any]]) -> list[Message]:
    """The messages before the first frame that is none."""
    found: list[Message] = []
    decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
    for frame in frames:
        try:
            found.append(decoder.decode(msgspec.msgpack.encode(frame)))
        except UNDECODABLE:
            break
    return found


@settings(max_examples=20)
@given(odd_frames)
def test_frames_with_random_fields_are_messages_or_end_the_connection(frames: list[list[Any]]) -> None:
    async def story() -> None:
        one = Member("n1")
        async with running(one):
            async with calling(one) as attacker:
                attacker.send(a_hello("n2"))
                assert await attacker.answer() == one.hello
                attacker.send(*(framed(msgspec.msgpack.encode(frame)) for frame in frames))
                attacker.writer.write_eof()
                assert await attacker.ended()
            good = deliverable(frames)
            await until(lambda: len(one.messages) == len(good))
            assert one.messages == [("n2", message) for message in good]
            assert one.faults == ({} if len(good) == len(frames) else {"malformed": 1})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


@settings(max_examples=25)
@given(st.lists(anything, max_size=9), st.booleans())
def test_a_hello_with_random_fields_is_good_or_ends_the_connection(fields: list[Any], has_tag: bool) -> None:
    payload = msgspec.msgpack.encode(["hello", *fields] if has_tag else fields)

    async def story() -> None:
        one = Member("n1")
        async with running(one), calling(one) as attacker:
            attacker.send(framed(payload))
            attacker.writer.write_eof()
            assert await attacker.answer() is None
            assert one.seen == []
            assert sum(one.faults.values()) == 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": b"short"},
        {"cluster": bytes(17)},
        {"node": ""},
        {"node": "n" * (limits.NODE_ID_BYTES_MAX + 1)},
        {"node": "n1\nINFO all is well"},
        {"node": "n1\n"},
        {"node": "-n1"},
        {"node": "../n1"},
        {"node": "n1#3"},
        {"node": "n1:6800"},
        {"incarnation": -1},
        {"incarnation": 2**63},
        {"protocol": -1},
        {"protocol_oldest": 2**31},
        {"address": "no port"},
        {"address": "h:1\n"},
        {"address": "h" * limits.ADDRESS_BYTES_MAX + ":1"},
    ],
)
async def test_a_hello_out_of_bounds_is_malformed(changes: dict[str, Any]) -> None:
    one = Member("n1")
    async with running(one), calling(one) as attacker:
        attacker.send(a_hello(**{"node": "n2", **changes}))
        assert await attacker.answer() is None
        assert one.seen == []
        assert one.faults == {"malformed": 1}


async def test_a_frame_cut_off_in_the_middle_comes_to_nothing() -> None:
    one, frame = Member("n1"), frame_of(Append(1, 0, 0, 0, 1, [LogRecord(1, 1, b"x" * 100)]))
    async with running(one):
        for length in (1, 3, 4, 5, 50, len(frame) - 1):
            async with calling(one) as attacker:
                attacker.send(a_hello("n2"), frame[:length])
                attacker.writer.write_eof()
                assert await attacker.answer() == one.hello
                assert await attacker.ended()
        assert one.messages == []
        await a_peer_gets_through(one)


@pytest.mark.parametrize("count_bytes", [limits.PEER_GREETING_BYTES_MAX + 1, 2**24, 2**32 - 1])
async def test_a_length_above_the_limit_ends_it_before_the_hello(count_bytes: int) -> None:
    one = Member("n1")
    async with running(one), calling(one) as attacker:
        attacker.send(struct.pack("<I", count_bytes))
        assert await attacker.ended()
        assert one.faults == {"oversized": 1}


async def test_a_length_above_the_limit_ends_it_after_the_hello() -> None:
    one = Member("n1")
    async with running(one), calling(one) as attacker:
        attacker.send(a_hello("n2"))
        assert await attacker.answer() == one.hello
        attacker.send(struct.pack("<I", limits.PEER_FRAME_BYTES_MAX + 1))
        assert await attacker.ended()
        assert one.faults == {"oversized": 1}


async def test_lengths_that_lie_inside_a_frame_take_no_room() -> None:
    # Given a message whose list says that it has four billion records
    one = Member("n1")
    lying = b"\x97\x01\x00\x00\x00\x00\x00\xdd\xff\xff\xff\xff"
    async with running(one), calling(one) as attacker:
        attacker.send(a_hello("n2"), framed(lying))
        assert await attacker.answer() == one.hello
        assert await attacker.ended()
        assert one.faults == {"malformed": 1}


async def test_nesting_without_end_is_malformed() -> None:
    one = Member("n1")
    deep = b"\x94\x0a\x01\xc4\x01a" + b"\x91" * 1_000_000
    async with running(one), calling(one) as attacker:
        attacker.send(a_hello("n2"), framed(deep))
        assert await attacker.answer() == one.hello
        assert await attacker.ended()
        assert one.faults == {"malformed": 1}


@pytest.mark.parametrize("again", [a_hello("n2"), a_hello("n3"), Refusal("because")])
async def test_a_second_greeting_on_one_connection_ends_it(again: Hello | Refusal) -> None:
    one = Member("n1")
    async with running(one), calling(one) as attacker:
        attacker.send(a_hello("n2"), frame_of(again))
        assert await attacker.answer() == one.hello
        assert await attacker.ended()
        assert one.faults == {"replayed": 1}
        assert one.seen == [a_hello("n2")]


@pytest.mark.parametrize("first", [frame_of(a_message()), frame_of(Refusal("because"))])
async def test_nothing_but_a_hello_may_come_first(first: bytes) -> None:
    one = Member("n1")
    async with running(one), calling(one) as attacker:
        attacker.send(first, a_hello("n2"))
        assert await attacker.answer() is None
        assert one.faults == {"malformed": 1}
        assert one.seen == []


async def test_a_hello_that_comes_byte_by_byte_is_late() -> None:
    one = Member("n1", greeting_ms=1_500)
    hello = frame_of(a_hello("n2"))
    async with running(one), calling(one) as slow, calling(one) as silent:
        for byte in hello[:-1]:
            slow.send(bytes([byte]))
            await slow.writer.drain()
        assert await slow.ended()
        assert await silent.ended()
        assert one.faults == {"late": 2}
        assert one.seen == []
        # One that was greeted in time stays
        async with calling(one) as good:
            good.send(a_hello("n2"))
            assert await good.answer() == one.hello
            async with calling(one) as late:
                assert await late.ended()
            good.send(a_message(1))
            await until(lambda: one.messages == [("n2", a_message(1))])


async def test_a_flood_of_silent_connections_keeps_no_peer_out() -> None:
    # Given a member that is linked, and more silent connections than are allowed
    one, two = Member("n1", strangers_max=16), Member("n2")
    async with linked(one, two):
        flood = [await asyncio.open_connection("127.0.0.1", one.links.port) for _ in range(100)]
        # Then a newcomer gets in, and the link that was there still works
        await a_peer_gets_through(one)
        two.links.send("n1", a_message(1))
        await until(lambda: ("n2", a_message(1)) in one.messages)
        assert one.faults["crowded"] >= 84
        for _, writer in flood:
            writer.transport.abort()


async def test_a_crowd_of_one_address_costs_the_places_of_that_address() -> None:
    one = Member("n1", strangers_max=8)
    async with running(one), calling(one) as patient:
        address = ("127.0.0.9", 0)
        crowd = [await asyncio.open_connection("127.0.0.1", one.links.port, local_addr=address) for _ in range(40)]
        await until(lambda: one.faults.get("crowded", 0) >= 33)
        # The one that came first, from elsewhere, is still there
        patient.send(a_hello("n2"))
        assert await patient.answer() == one.hello
        for _, writer in crowd:
            writer.transport.abort()


async def test_more_peers_than_there_is_room_for_hear_so() -> None:
    one = Member("n1", connections_max=2)
    async with running(one), calling(one) as first, calling(one) as second, calling(one) as third:
        for caller, node in ((first, "n2"), (second, "n3")):
            caller.send(a_hello(node))
            assert await caller.answer() == one.hello
        third.send(a_hello("n4"))
        answer = await third.answer()
        assert isinstance(answer, Refusal)
        assert "no room for another link" in answer.reason
        assert one.faults == {"crowded": 1}


async def test_running_out_of_descriptors_does_not_close_the_port() -> None:
    # Given callers with sockets of their own, and no descriptor left to accept them with
    one = Member("n1")
    loop = asyncio.get_running_loop()
    async with running(one):
        sockets = [socket.socket() for _ in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = socket.socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare.fileno(), hard))
        spare.close()
        try:
            for sock in sockets:
                sock.setblocking(False)
                await loop.sock_connect(sock, ("127.0.0.1", one.links.port))
            await until(lambda: one.faults.get("accept", 0) >= 2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        # When there are some again, then those who waited are served
        reader, writer = await asyncio.open_connection(sock=sockets[0])
        waiting = Caller(reader, writer)
        waiting.send(a_hello("n2"))
        assert await waiting.answer() == one.hello
        writer.transport.abort()
        for sock in sockets[1:]:
            sock.close()
        await a_peer_gets_through(one)


def harmful(marker: Path) -> bytes:
    """A pickle that writes a file when it is loaded, as `__reduce__` would make it; written out by hand."""
    return b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."


def test_the_harmful_bytes_do_harm_where_they_are_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    program = "import pickle, sys; pickle.load(sys.stdin.buffer)"
    subprocess.run([sys.executable, "-c", program], input=harmful(marker), check=True, timeout=DEADLINE_S)
    assert marker.exists()


async def test_harmful_pickles_are_never_loaded(tmp_path: Path) -> None:
    # Given bytes that would write a file
    marker, one, two = tmp_path / "marker", Member("n1"), Member("n2")
    evil = harmful(marker)
    async with linked(one, two):
        # When they come as the first bytes, as the first frame, as a frame of a peer
        for attack in (evil, framed(evil), frame_of(a_hello("n3")) + framed(evil)):
            async with calling(one) as attacker:
                attacker.send(attack)
                attacker.writer.write_eof()
                assert await attacker.ended()
        # and as what messages carry
        carried: list[Message] = [
            Forward(1, evil),
            Append(1, 0, 0, 0, 1, [LogRecord(1, 1, evil)]),
            SnapshotPart(1, evil, 1, 1, evil.decode(), 0, 0, evil, 0, True),
        ]
        for message in carried:
            assert two.links.send("n1", message)
        await until(lambda: len(one.messages) == 3)
        # Then they are bytes and nothing more
        assert one.messages == [("n2", message) for message in carried]
        assert not marker.exists()


async def test_what_strangers_say_is_logged_seldom_and_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(hello: Hello) -> str | None:
        return "unknown"

    one = Member("n1", admit=refuse)
    with caplog.at_level(logging.WARNING, logger="rustqueue.raft.transport"):
        async with running(one):
            for number in range(20):
                async with calling(one) as attacker:
                    attacker.send(a_hello(f"n{number}"))
                    assert isinstance(await attacker.answer(), Refusal)
    assert [record.__dict__["fault"] for record in caplog.records] == ["refused_by_us"]
    assert one.faults == {"refused_by_us": 20}


async def test_a_dialled_peer_that_answers_nonsense_is_dialled_again() -> None:
    # Given something that is no peer where a peer should be
    answers = [
        framed(b"\xc1"),
        struct.pack("<I", 2**31),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x16",
    ]
    answers += [frame_of(a_hello("n2")) + frame_of(a_message()), frame_of(a_message()), frame_of(Refusal("no\n" * 300))]
    given = iter(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(given, b""))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    one = Member("n1")
    async with running(one):
        one.links.set_peers({"n2": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        await until(lambda: one.faults.get("refused_by_peer", 0) == 1)
        assert one.faults == {"malformed": 3, "oversized": 2, "plain": 1, "refused_by_peer": 1}
        assert one.events == [("up", "n2"), ("down", "n2")]
        server.close()


@pytest.mark.parametrize(
    "story",
    [
        test_random_bytes_change_nothing,
        test_random_bytes_behind_a_good_hello_change_nothing,
        test_a_frame_cut_off_in_the_middle_comes_to_nothing,
        test_a_hello_that_comes_byte_by_byte_is_late,
        test_a_flood_of_silent_connections_keeps_no_peer_out,
        test_more_peers_than_there_is_room_for_hear_so,
        test_running_out_of_descriptors_does_not_close_the_port,
        test_a_dialled_peer_that_answers_nonsense_is_dialled_again,
    ],
    ids=lambda story: story.__name__.removeprefix("test_"),
)
def test_the_same_on_the_loop_that_the_node_runs_on(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
