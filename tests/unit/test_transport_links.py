"""Links on real sockets, plain: up and down, order, names, peers that come, go and move."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
import uvloop

from rustqueue.model import limits
from rustqueue.raft.links import NO_CLUSTER, Hello
from rustqueue.raft.messages import Append, LogRecord
from rustqueue.raft.transport.frames import Refusal
from tests.unit.link_rig import Member, a_hello, a_message, calling, introduce, lasting_address, linked, running, until


async def test_members_link_both_ways_and_messages_come_in_order() -> None:
    # Given two members
    one, two = Member("n1"), Member("n2")
    async with linked(one, two):
        # When many messages are sent in few turns
        for number in range(500):
            assert one.links.send("n2", a_message(number))
            if number % 50 == 0:
                await asyncio.sleep(0)
        two.links.send("n1", a_message(7))
        await until(lambda: len(two.messages) == 500 and len(one.messages) == 1)
        # Then they come in order, under the sender's name
        assert two.messages == [("n1", a_message(number)) for number in range(500)]
        assert one.messages == [("n2", a_message(7))]
        assert one.faults == two.faults == {}


async def test_a_frame_of_full_size_arrives() -> None:
    one, two = Member("n1"), Member("n2")
    large = Append(1, 0, 0, 0, 1, [LogRecord(1, 1, bytes(limits.JOURNAL_RECORD_BYTES_MAX))])
    async with linked(one, two):
        assert one.links.send("n2", large)
        assert not one.links.writable("n2")
        one.links.send("n2", a_message(2))
        await until(lambda: len(two.messages) == 2)
        assert two.messages == [("n1", large), ("n1", a_message(2))]
        await until(lambda: one.links.writable("n2"))


async def test_what_is_no_frame_is_not_sent_and_harms_nothing() -> None:
    one, two = Member("n1"), Member("n2")
    too_large = Append(1, 0, 0, 0, 1, [LogRecord(1, 1, bytes(limits.PEER_FRAME_BYTES_MAX))])
    async with linked(one, two):
        assert one.links.send("n2", a_message(1))
        assert not one.links.send("n2", too_large)
        assert not one.links.send("n2", a_message(2**70))
        assert not one.links.send("n9", a_message(3))
        assert one.links.send("n2", a_message(4))
        await until(lambda: len(two.messages) == 2)
        assert two.messages == [("n1", a_message(1)), ("n1", a_message(4))]
        assert one.faults == {"unsendable": 2}


async def test_a_peer_that_comes_back_is_linked_again_at_once() -> None:
    # Given two members, one of which goes away
    address = lasting_address()
    one, two = Member("n1"), Member("n2", listen=address)
    async with linked(one, two):
        await two.links.close()
        await until(lambda: ("down", "n2") in one.events)
        assert not one.links.send("n2", a_message())
        assert not one.links.writable("n2")
        # When it comes back on the same address
        again = Member("n2", listen=address)
        one.events.clear()
        async with running(again):
            again.links.set_peers({"n1": one.address})
            await until(lambda: ("up", "n2") in one.events)
            assert one.links.send("n2", a_message(9))
            await until(lambda: ("n1", a_message(9)) in again.messages)


async def test_after_close_nothing_is_called_back() -> None:
    one, two = Member("n1"), Member("n2")
    async with linked(one, two):
        one.links.send("n2", a_message())
        two.links.send("n1", a_message())
        await one.links.close()
        events = list(one.events)
        assert not one.links.send("n2", a_message())
        await until(lambda: ("down", "n1") in two.events)
        assert one.events == events


async def test_a_peer_that_is_named_no_more_loses_both_links() -> None:
    one, two, three = Member("n1"), Member("n2"), Member("n3")
    async with linked(one, two, three):
        one.events.clear()
        two.events.clear()
        # When n2 is dropped by n1, which would let it in no more
        one.links.set_peers({"n3": three.address})
        # Then nothing is told within the call, and both directions end
        assert one.events == []
        assert not one.links.send("n2", a_message())
        await until(lambda: ("down", "n2") in one.events and ("down", "n1") in two.events)
        assert one.links.send("n3", a_message())
        await until(lambda: len(three.messages) == 1)


async def test_a_list_of_all_members_may_hold_the_own_one() -> None:
    one, two = Member("n1"), Member("n2")
    two.hello = a_hello("n2", incarnation=1)
    async with running(one, two):
        everybody = {"n1": one.address, "n2": two.address, "n2#1": two.address}
        one.links.set_peers({"n1": one.address, "n2#1": two.address})
        two.links.set_peers(everybody)
        await until(lambda: ("up", "n2#1") in one.events and ("up", "n1") in two.events)
        assert (one.seen, two.seen) == ([two.hello, two.hello], [one.hello, one.hello])
        assert one.faults == two.faults == {}


async def test_a_changed_address_is_dialled_and_the_old_link_ends_first() -> None:
    one, two, moved = Member("n1"), Member("n2"), Member("n2")
    async with linked(one, two), running(moved):
        one.events.clear()
        one.links.set_peers({"n2": moved.address})
        await until(lambda: ("up", "n2") in one.events)
        assert one.events == [("down", "n2"), ("up", "n2")]
        one.links.send("n2", a_message(5))
        await until(lambda: moved.messages == [("n1", a_message(5))])
        assert two.messages == []


async def test_dropped_and_named_again_in_one_turn_comes_up_after_it_went_down() -> None:
    one, two = Member("n1"), Member("n2")
    async with linked(one, two):
        one.events.clear()
        one.links.set_peers({})
        one.links.set_peers({"n2": two.address})
        await until(lambda: ("up", "n2") in one.events)
        assert one.events == [("down", "n2"), ("up", "n2")]


async def test_a_wrong_peer_at_the_address_is_refused_by_whoever_dialled() -> None:
    one, two = Member("n1"), Member("n2")
    async with running(one, two):
        one.links.set_peers({"n3": two.address})
        await until(lambda: one.faults.get("refused_by_us", 0) > 0)
        assert ("up", "n3") not in one.events


async def test_a_node_id_will_do_for_any_incarnation_and_an_address_for_anybody() -> None:
    # Given a peer in its third life
    one, two = Member("n1"), Member("n2")
    two.hello = a_hello("n2", incarnation=3)
    async with running(one, two):
        # When it is dialled by its node id
        one.links.set_peers({"n2": two.address})
        two.links.set_peers({"n1": one.address})
        await until(lambda: ("up", "n2") in one.events and ("up", "n1") in two.events)
        # Then it speaks under that name
        two.links.send("n1", a_message(1))
        await until(lambda: len(one.messages) == 1)
        assert one.messages == [("n2", a_message(1))]
        # And by an address it speaks under its member id
        one.links.set_peers({two.address: two.address})
        await until(lambda: ("up", two.address) in one.events and two.events.count(("up", "n1")) == 2)
        two.links.send("n1", a_message(2))
        await until(lambda: len(one.messages) == 2)
        assert one.messages[1] == ("n2#3", a_message(2))


async def test_whom_the_policy_refuses_hears_why_on_both_ways() -> None:
    def strict(hello: Hello) -> str | None:
        return "wiped: run `rustqueue cluster replace n2`" if hello.cluster == NO_CLUSTER else None

    one, two = Member("n1", admit=strict), Member("n2")
    two.hello = a_hello("n2", cluster=NO_CLUSTER)
    async with running(one, two):
        introduce(one, two)
        await until(lambda: one.faults.get("refused_by_us", 0) >= 2 and two.faults.get("refused_by_peer", 0) >= 2)
        assert one.events == two.events == []
        # When it is let in after all, because its hello has changed
        two.hello = a_hello("n2")
        await until(lambda: ("up", "n2") in one.events and ("up", "n1") in two.events)


async def test_the_reason_of_a_refusal_is_on_the_wire() -> None:
    one = Member("n1", admit=lambda hello: f"no {hello.node} here\n" * 100)
    async with running(one), calling(one) as caller:
        caller.send(a_hello("n7"))
        answer = await caller.answer()
        assert isinstance(answer, Refusal)
        assert answer.reason == ("no n7 here\n" * 100)[: limits.REFUSAL_BYTES_MAX]
        assert await caller.ended()


@pytest.mark.parametrize(
    ("protocol", "oldest", "is_in"), [(1, 1, True), (2, 1, True), (2, 2, False), (0, 0, False), (9, 0, True)]
)
async def test_versions_that_overlap_speak_to_each_other(protocol: int, oldest: int, is_in: bool) -> None:
    one = Member("n1")
    async with running(one), calling(one) as caller:
        caller.send(a_hello("n2", protocol=protocol, protocol_oldest=oldest))
        answer = await caller.answer()
        assert isinstance(answer, Hello if is_in else Refusal)
        assert one.seen == ([a_hello("n2", protocol=protocol, protocol_oldest=oldest)] if is_in else [])


async def test_a_hello_of_a_later_version_may_say_more() -> None:
    one = Member("n1")
    fields = [*msgspec.to_builtins(a_hello("n2"), builtin_types=(bytes,)), "more", {"and": "more"}]
    frame = msgspec.msgpack.encode(fields)
    async with running(one), calling(one) as caller:
        caller.send(len(frame).to_bytes(4, "little") + frame)
        assert await caller.answer() == one.hello


async def test_a_newer_connection_of_a_peer_replaces_the_older_one() -> None:
    one = Member("n1")
    async with running(one), calling(one) as older, calling(one) as newer:
        older.send(a_hello("n2"))
        assert await older.answer() == one.hello
        older.send(a_message(1))
        await until(lambda: len(one.messages) == 1)
        # When the peer says hello on another connection
        newer.send(a_hello("n2"))
        assert await newer.answer() == one.hello
        # Then the older one ends, and what is sent on it comes to nothing
        older.send(a_message(2))
        assert await older.ended()
        newer.send(a_message(3))
        await until(lambda: len(one.messages) == 2)
        assert one.messages == [("n2", a_message(1)), ("n2", a_message(3))]
        assert one.faults == {"replaced": 1}


async def test_a_peer_that_does_not_read_is_called_busy_and_then_cut() -> None:
    # Given a peer that says hello and reads no more
    accepted: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        caller_hello = a_hello("n2")
        frame = msgspec.msgpack.encode(caller_hello)
        writer.write(len(frame).to_bytes(4, "little") + frame)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        accepted.append(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0, limit=64)
    one = Member("n1", busy_bytes=100_000, unsent_bytes_max=3_000_000)
    message = Append(1, 0, 0, 0, 1, [LogRecord(1, 1, bytes(10_000))])
    async with running(one):
        one.links.set_peers({"n2": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        await until(lambda: ("up", "n2") in one.events)
        sent, busy_at = 0, 0
        # When it is sent more and more
        while one.links.send("n2", message):
            sent += 1
            if not busy_at and not one.links.writable("n2"):
                busy_at = sent
            await asyncio.sleep(0)
        # Then it is busy well before it is cut, and the unsent is not kept
        await until(lambda: ("down", "n2") in one.events)
        assert 10 <= busy_at < sent < 10_000
        assert sent - busy_at >= 200
        assert one.faults["unread"] == 1
    for writer in accepted:
        writer.transport.abort()
    server.close()


async def test_what_one_turn_sends_beyond_the_bound_cuts_the_link() -> None:
    one, two = Member("n1", unsent_bytes_max=50_000), Member("n2")
    message = Append(1, 0, 0, 0, 1, [LogRecord(1, 1, bytes(10_000))])
    async with linked(one, two):
        # When more is sent than may be unsent, without a turn of the loop in which any of it could leave
        assert [one.links.send("n2", message) for _ in range(6)] == [True] * 4 + [False] * 2
        assert one.events.count(("down", "n2")) == 0
        # Then the link is cut after the call, and comes again
        await until(lambda: one.events.count(("up", "n2")) == 2)
        assert one.faults == {"unread": 1}
        assert two.messages == []


async def test_an_address_that_swallows_calls_costs_one_deadline_an_attempt() -> None:
    # Given a port with a full backlog, behind which nobody accepts
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    callers = [socket.socket() for _ in range(4)]
    for caller in callers:
        caller.setblocking(False)
        caller.connect_ex(full.getsockname())
    one, two = Member("n1", connect_ms=50), Member("n2")
    async with running(one, two):
        one.links.set_peers({"n2": f"127.0.0.1:{full.getsockname()[1]}"})
        await until(lambda: one.faults.get("unreachable", 0) >= 2)
        one.links.set_peers({"n2": two.address})
        await until(lambda: ("up", "n2") in one.events)
    for sock in [full, *callers]:
        sock.close()


async def test_ipv6_is_listened_on_and_dialled() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        # Nothing to test with on a machine without it: the parsing has its own test.
        return
    one, two = Member("n1", listen="[::1]:0"), Member("n2")
    async with running(one, two):
        two.links.set_peers({"n1": f"[::1]:{one.links.port}"})
        await until(lambda: ("up", "n1") in two.events)
        assert one.seen == [two.hello]


async def test_a_name_is_resolved_at_the_dial_and_only_the_listen_address_is_bound() -> None:
    one, two = Member("n1"), Member("n2")
    async with running(one, two):
        two.links.set_peers({"n1": f"localhost:{one.links.port}"})
        await until(lambda: ("up", "n1") in two.events)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.2", one.links.port)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "no-such-host.invalid:1", "nonsense", "a" * 70 + ".b:6800", ":6800"]
)
async def test_whoever_cannot_be_reached_is_dialled_on_and_on(address: str) -> None:
    one, two = Member("n1"), Member("n2")
    async with running(one, two):
        one.links.set_peers({"n2": address})
        await until(lambda: one.faults.get("unreachable", 0) >= 2)
        assert one.events == []
        one.links.set_peers({"n2": two.address})
        await until(lambda: ("up", "n2") in one.events)


async def test_an_address_in_use_is_said_at_start() -> None:
    one = Member("n1")
    async with running(one):
        other = Member("n2", listen=one.address)
        with pytest.raises(OSError, match=f"cannot listen on {one.address}: Address already in use"):
            await other.links.start()


@pytest.mark.parametrize(
    "story",
    [
        test_members_link_both_ways_and_messages_come_in_order,
        test_a_frame_of_full_size_arrives,
        test_a_peer_that_comes_back_is_linked_again_at_once,
        test_after_close_nothing_is_called_back,
        test_a_peer_that_is_named_no_more_loses_both_links,
        test_a_changed_address_is_dialled_and_the_old_link_ends_first,
        test_dropped_and_named_again_in_one_turn_comes_up_after_it_went_down,
        test_whom_the_policy_refuses_hears_why_on_both_ways,
        test_a_newer_connection_of_a_peer_replaces_the_older_one,
        test_a_peer_that_does_not_read_is_called_busy_and_then_cut,
    ],
    ids=lambda story: story.__name__.removeprefix("test_"),
)
def test_the_same_on_the_loop_that_the_node_runs_on(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
