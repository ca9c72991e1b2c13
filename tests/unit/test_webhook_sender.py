"""Calls over real sockets: whatever a receiver does, a call ends in its time, reads little, and goes where it may."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rustqueue.effects.webhooks.guard import Rules
from rustqueue.effects.webhooks.names import Names
from rustqueue.effects.webhooks.ports import Answer, Posting
from rustqueue.effects.webhooks.sender import HttpSender
from tests.unit.certificates import Authority
from tests.unit.webhook_receiver import (
    GOOD,
    Behaviour,
    a_receiver,
    answers,
    floods_a_head,
    hangs,
    hangs_up,
    never_ends,
    trickles_a_head,
)

_LOOPBACK = Rules.of(["127.0.0.0/8", "::1/128"], [80, 443], [])


def names_of(table: dict[str, list[str]], found_s: float = 0.0) -> Names:
    def lookup(host: str, port: int) -> list[str]:
        if host not in table:
            raise OSError("no such name")
        return table[host]

    return Names(lambda: asyncio.get_running_loop().time(), lookup, found_s)


@asynccontextmanager
async def a_sender(
    names: Names | None = None, rules: Rules = _LOOPBACK, ca_file: str = ""
) -> AsyncIterator[HttpSender]:
    sender = HttpSender(names or names_of({}), lambda: rules, ca_file)
    try:
        yield sender
    finally:
        await sender.close()


def posting(url: str, timeout_ms: int = 5_000, **headers: str) -> Posting:
    return Posting(url, {"Content-Type": "application/json", **headers}, b'{"event":"x"}', timeout_ms)


async def test_a_call_brings_body_and_headers_and_keeps_its_connection() -> None:
    async with a_receiver() as receiver, a_sender() as sender:
        for _ in range(3):
            assert await sender.call(posting(receiver.url("/in?t=%20a/b"), id="d1")) == Answer(204, None)
        assert receiver.connections_count == 1
        heard = receiver.heard[0]
        assert (heard.target, heard.body) == ("/in?t=%20a/b", b'{"event":"x"}')
        assert heard.headers == {
            "Host": f"127.0.0.1:{receiver.port}",
            "Content-Type": "application/json",
            "id": "d1",
            "Content-Length": "13",
        }


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (answers("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), Answer(200, None)),
        (answers("HTTP/1.1 299 Odd\nContent-Length: 0\n\n"), Answer(299, None)),
        (answers("HTTP/1.1 500 No\nContent-Length: 0\n\n"), Answer(500, "answered 500")),
        (answers("HTTP/1.1 429 No\nRetry-After: 7\nContent-Length: 0\n\n"), Answer(429, "answered 429", 7_000)),
        (answers("HTTP/1.1 503 No\nRetry-After: soon\nContent-Length: 0\n\n"), Answer(503, "answered 503")),
        (
            answers("HTTP/1.1 503 No\nRetry-After: 999999999\nContent-Length: 0\n\n"),
            Answer(503, "answered 503", 86_400_000),
        ),
        (answers("HTTP/1.1 200 OK\nContent-Length: 99\n\nshort", then_close=True), Answer(200, None)),
        (answers("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 4\n\nbomb"), Answer(200, None)),
        (answers("no HTTP at all\n\n"), Answer(None, "the answer is not HTTP")),
        (answers("HTTP/1.1 200 OK\nContent-Length: -5\n\n"), Answer(None, "the answer is not HTTP")),
        (hangs_up, Answer(None, "the receiver closed the connection without an answer")),
        (floods_a_head, Answer(None, "the answer is not HTTP")),
    ],
)
async def test_an_answer_is_what_its_status_says(behaviour: Behaviour, expected: Answer) -> None:
    async with a_receiver(behaviour) as receiver, a_sender() as sender:
        assert await sender.call(posting(receiver.url())) == expected


@pytest.mark.parametrize("behaviour", [hangs, trickles_a_head])
async def test_a_receiver_without_an_answer_costs_its_time_and_no_more(behaviour: Behaviour) -> None:
    async with a_receiver(behaviour) as receiver, a_sender() as sender:
        assert await sender.call(posting(receiver.url(), timeout_ms=150)) == Answer(None, "no answer within 150 ms")


async def test_a_body_without_an_end_is_not_read_to_its_end() -> None:
    async with a_receiver(never_ends) as receiver, a_sender() as sender:
        assert await sender.call(posting(receiver.url())) == Answer(200, None)
        assert await sender.call(posting(receiver.url())) == Answer(200, None)
        assert receiver.connections_count == 2


async def test_a_redirect_is_not_followed() -> None:
    async with a_receiver() as inner, a_sender() as sender:
        moved = answers(f"HTTP/1.1 307 Elsewhere\nLocation: {inner.url()}\nContent-Length: 0\n\n")
        async with a_receiver(moved) as receiver:
            expected = Answer(307, "answered 307; redirects are not followed")
            assert await sender.call(posting(receiver.url())) == expected
        assert inner.heard == []


async def test_nobody_listens() -> None:
    async with a_receiver() as receiver:
        url = receiver.url()
    async with a_sender() as sender:
        answer = await sender.call(posting(url))
        assert answer.status is None
        assert answer.error is not None
        assert answer.error.startswith("cannot connect")


async def test_one_bad_address_of_a_name_refuses_all_of_them() -> None:
    async with a_receiver() as receiver:
        table = {"good.example": ["127.0.0.1"], "both.example": ["127.0.0.1", "10.0.0.1"], "none.example": []}
        async with a_sender(names_of(table)) as sender:
            hosts = ("good.example", "both.example", "none.example", "unknown.example")
            told = {host: await sender.call(posting(receiver.url(host=host))) for host in hosts}
    assert told == {
        "good.example": Answer(204, None),
        "both.example": Answer(None, "address 10.0.0.1 is not a public one"),
        "none.example": Answer(None, "the name has no address"),
        "unknown.example": Answer(None, "the name has no address"),
    }
    assert [heard.headers["Host"] for heard in receiver.heard] == [f"good.example:{receiver.port}"]


async def test_a_name_that_changes_its_address_gets_nowhere() -> None:
    # Given a name server that answers with a good address the first time, and with an inner one from then on
    closing = answers("HTTP/1.1 204 No Content\nConnection: close\n\n", then_close=True)
    async with a_receiver(closing) as inner:
        turns = iter([["127.0.0.1"]])
        names = Names(lambda: 0.0, lambda host, port: next(turns, ["127.0.0.2"]), 0.0)
        rules = Rules.of(["127.0.0.1/32"], [80], [])
        async with a_sender(names, rules) as sender:
            # When it is called again and again
            url = inner.url(host="rebinding.example")
            first = await sender.call(posting(url))
            later = [await sender.call(posting(url)) for _ in range(3)]
    # Then every connection was judged by its own address
    assert first == Answer(204, None)
    assert later == [Answer(None, "address 127.0.0.2 is not a public one")] * 3
    assert len(inner.heard) == 1


async def test_the_socket_is_judged_too() -> None:
    """Were a resolver ever to hand out what the guard has not seen, the connection would still not be made."""
    async with a_receiver() as inner:
        allowed = [_LOOPBACK, _LOOPBACK]
        sender = HttpSender(names_of({"inner.example": ["127.0.0.1"]}), lambda: allowed.pop(0) if allowed else Rules())
        # The rules tighten between the look at the name and the connection.
        answer = await sender.call(posting(inner.url(host="inner.example")))
        await sender.close()
    assert answer.status is None
    assert inner.heard == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://inner.example:{port}/", "http://[::1]:{port}/"])
async def test_without_leave_nothing_inside_is_called(url: str) -> None:
    async with a_receiver() as inner, a_sender(names_of({"inner.example": ["127.0.0.1"]}), Rules()) as sender:
        answer = await sender.call(posting(url.format(port=inner.port)))
        assert answer.status is None
        assert inner.connections_count == 0


async def test_own_ports_are_never_called() -> None:
    async with a_receiver() as inner:
        rules = Rules.of(["127.0.0.0/8"], [80], [inner.port])
        async with a_sender(names_of({"me.example": ["127.0.0.1"]}), rules) as sender:
            for host in ("127.0.0.1", "me.example"):
                expected = Answer(None, f"port {inner.port} is one of this node's own")
                assert await sender.call(posting(inner.url(host=host))) == expected
        assert inner.connections_count == 0


async def test_tls_is_checked_against_the_name_of_the_url(tmp_path: Path) -> None:
    # Given a receiver whose certificate is good for one of two names
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("good.example"))
    names = names_of({"good.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    async with a_receiver(GOOD, context) as receiver, a_sender(names, ca_file=str(authority.ca_file)) as sender:
        good, other = (receiver.url(host=host, scheme="https") for host in ("good.example", "other.example"))
        assert await sender.call(posting(good)) == Answer(204, None)
        refused = await sender.call(posting(other))
        assert refused.error is not None
        assert refused.error.startswith("the receiver's certificate is not good")
    # And without the authority no certificate is
    async with a_receiver(GOOD, context) as receiver, a_sender(names) as sender:
        refused = await sender.call(posting(receiver.url(host="good.example", scheme="https")))
        assert refused.error is not None
        assert refused.error.startswith("the receiver's certificate is not good")


async def test_no_error_tells_the_url_a_header_or_a_secret() -> None:
    async with a_receiver(answers("nonsense canary\n\n")) as receiver, a_sender() as sender:
        urls = [
            receiver.url("/canary?token=canary"),
            "http://canary.example:81/canary",
            "http://10.0.0.1/canary",
            "http://127.0.0.1:1/canary",
        ]
        told = [await sender.call(posting(url, Authorization="canary")) for url in urls]
    assert "canary" not in str(told)


async def test_a_name_server_that_hangs_holds_up_its_own_names_only() -> None:
    stuck = threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        if host == "stuck.example":
            stuck.wait(60)
        return ["127.0.0.1"]

    async with a_receiver() as receiver, a_sender(Names(lambda: 0.0, lookup)) as sender:
        waiting = [
            asyncio.ensure_future(sender.call(posting(receiver.url(host="stuck.example"), timeout_ms=200)))
            for _ in range(100)
        ]
        assert await sender.call(posting(receiver.url(host="good.example"))) == Answer(204, None)
        assert await asyncio.gather(*waiting) == [Answer(None, "no answer within 200 ms")] * 100
        stuck.set()


async def test_a_call_that_is_forgotten_tells_nobody() -> None:
    async with a_receiver(hangs) as receiver, a_sender() as sender:
        told: list[Answer] = []
        forget: Callable[[], None] = sender.post(posting(receiver.url()), told.append)
        await receiver.until_heard(1)
        forget()
        forget()
    assert told == []
