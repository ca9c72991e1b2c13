"""Bad input over HTTP: each mistake has its status and code, costs its request alone, and never makes a 5xx."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import NamedTuple

import pytest
import pytest_asyncio

from rustqueue.api.ports import HttpOptions
from rustqueue.model import limits
from tests.fuzz.shell import Setting, request_bytes, running_shell

JOB = "0193e7a0-1111-7000-8000-000000000000"
PUSHES = "/api/v1/queues/q/jobs"
QUICK = HttpOptions(
    host="127.0.0.1",
    port=0,
    head_timeout_ms=100,
    body_timeout_ms=100,
    idle_timeout_ms=60_000,
    write_timeout_ms=100,
    linger_timeout_ms=50,
)
PATIENT = replace(QUICK, head_timeout_ms=60_000, body_timeout_ms=60_000, write_timeout_ms=60_000)
"""Where another end than that of time is looked at."""


@pytest_asyncio.fixture
async def at() -> AsyncIterator[Setting]:
    async with running_shell() as setting:
        yield setting


class BadBody(NamedTuple):
    body: bytes
    status: int
    code: str
    target: str = PUSHES
    method: str = "POST"


def pushed(members: bytes) -> bytes:
    return b'{"name":"n","data":1,' + members + b"}"


PARSE, VALIDATION = (400, "PARSE_ERROR"), (400, "VALIDATION_ERROR")
SHAPE = (422, "VALIDATION_ERROR")
BODIES = [
    # Not JSON.
    BadBody(b"", *PARSE),
    BadBody(b" \r\n", *PARSE),
    BadBody(b"{", *PARSE),
    BadBody(b'{"name":"n","data":', *PARSE),
    BadBody(b'{"name":"n","data":1', *PARSE),
    BadBody(b'{"name":"n","data":1}}', *PARSE),
    BadBody(b'{"name":"n","data":1},', *PARSE),
    BadBody(b'{"name":"n" "data":1}', *PARSE),
    BadBody(b"{'name':'n','data':1}", *PARSE),
    BadBody(b'{"name":"n","data":1,}', *PARSE),
    BadBody(b'{"name":"n","data":undefined}', *PARSE),
    BadBody(b'{"name":"n","data":NaN}', *PARSE),
    BadBody(b'{"name":"n","data":Infinity}', *PARSE),
    BadBody(b'{"name":"n","data":-}', *PARSE),
    BadBody(b'{"name":"n","data":01}', *PARSE),
    BadBody(b'{"name":"n","data":0x10}', *PARSE),
    BadBody(b'{"name":"n","data":"\x01"}', *PARSE),
    BadBody(b'{"name":"n","data":"\\q"}', *PARSE),
    BadBody(b'{"name":"n","data":"\\ud800"}', *PARSE),
    BadBody(b"\xef\xbb\xbf" + pushed(b'"priority":1'), *PARSE),
    BadBody(pushed(b'"priority":1').decode().encode("utf-16"), *PARSE),
    BadBody(b'{"name":"n","data":"\xc3\x28"}', *PARSE),
    BadBody(b'{"name":"n","data":"\xed\xa0\x80"}', *PARSE),
    BadBody(b'{"name":"n","data":1}\x00', *PARSE),
    BadBody(b"[1,2", *PARSE),
    BadBody(b'[{"name":"n","data":1},]', *PARSE),
    BadBody(b'[{"name":"n","data":1}]]', *PARSE),
    BadBody(b"name=n&data=1", *PARSE),
    BadBody(b"<job/>", *PARSE),
    # JSON of another shape.
    BadBody(b"null", *SHAPE),
    BadBody(b"1", *SHAPE),
    BadBody(b'"push"', *SHAPE),
    BadBody(b"{}", *SHAPE),
    BadBody(b"[1]", *SHAPE),
    BadBody(b"[[]]", *SHAPE),
    BadBody(b'{"name":"n"}', *SHAPE),
    BadBody(b'{"data":1}', *SHAPE),
    BadBody(b'{"name":null,"data":1}', *SHAPE),
    BadBody(b'{"name":1,"data":1}', *SHAPE),
    BadBody(b'{"name":["n"],"data":1}', *SHAPE),
    BadBody(pushed(b'"tags":"a"'), *SHAPE),
    BadBody(pushed(b'"tags":[1]'), *SHAPE),
    BadBody(pushed(b'"options":[]'), *SHAPE),
    BadBody(pushed(b'"priority":1.5'), *SHAPE),
    BadBody(pushed(b'"priority":"1"'), *SHAPE),
    BadBody(pushed(b'"lifo":1'), *SHAPE),
    BadBody(b"{}", *SHAPE, f"/api/v1/jobs/{JOB}/fail"),
    BadBody(b'{"error":1}', *SHAPE, f"/api/v1/jobs/{JOB}/fail"),
    BadBody(b'{"message":"m"}', *SHAPE, f"/api/v1/jobs/{JOB}/progress"),
    BadBody(b"{}", *SHAPE, "/api/v1/jobs/ack-batch"),
    BadBody(b"{}", *SHAPE, "/api/v1/jobs/fail-batch"),
    BadBody(b"{}", *SHAPE, "/api/v1/pull"),
    BadBody(b"{}", *SHAPE, f"/api/v1/jobs/{JOB}/priority", "PUT"),
    BadBody(b"[]", *SHAPE, "/api/v1/queues/q", "PUT"),
    # Values out of range, unknown and repeated keys.
    BadBody(pushed(b'"colour":"red"'), *VALIDATION),
    BadBody(pushed(b'"options":{"colour":"red"}'), *VALIDATION),
    BadBody(pushed(b'"priority":1,"priority":1'), *VALIDATION),
    BadBody(pushed(b'"priority":1,"priorit\\u0079":1'), *VALIDATION),
    BadBody(pushed(b'"options":{"priority":1,"priority":1}'), *VALIDATION),
    BadBody(b'[{"name":"n","data":1,"data":1}]', *VALIDATION),
    BadBody(pushed(b'"priority":1,"options":{"priority":2}'), *VALIDATION),
    BadBody(pushed(b'"queue":"other"'), *VALIDATION),
    BadBody(pushed(b'"cmd":"push"'), *VALIDATION),
    BadBody(pushed(b'"priority":2147483648'), *VALIDATION),
    BadBody(pushed(b'"delay_ms":-1'), *VALIDATION),
    BadBody(pushed(b'"delay_ms":315360000001'), *VALIDATION),
    BadBody(pushed(b'"delay_ms":18446744073709551616'), *VALIDATION),
    BadBody(pushed(b'"backoff":"quadratic"'), *VALIDATION),
    BadBody(pushed(b'"run_at":"yesterday"'), *VALIDATION),
    BadBody(b'{"name":"","data":1}', *VALIDATION),
    BadBody(b'{"name":"a b","data":1}', *VALIDATION),
    BadBody(b'{"name":"caf\xc3\xa9","data":1}', *VALIDATION),
    BadBody(b'{"name":"%b","data":1}' % (b"n" * 1_025), *VALIDATION),
    BadBody(b'{"name":"n","data":"%b"}' % (b"d" * limits.DATA_BYTES_MAX), *VALIDATION),
    BadBody(b'{"name":"n","data":' + b"[" * 65 + b"]" * 65 + b"}", *VALIDATION),
    BadBody(b'{"name":"n","data":' + b"[" * 200_000 + b"]" * 200_000 + b"}", *VALIDATION),
    BadBody(b"[" * 200_000, *VALIDATION),
    BadBody(b'{"a":' * 100_000, *VALIDATION),
    BadBody(b"[" + b",".join([b'{"name":"n","data":1}'] * 1_001) + b"]", *VALIDATION),
    BadBody(b'{"count":1001}', *VALIDATION, "/api/v1/queues/q/pull"),
    BadBody(b'{"count":4294967295}', *VALIDATION, "/api/v1/queues/q/pull"),
    BadBody(b'{"queue":"q","queues":[{"queue":"q"}]}', *VALIDATION, "/api/v1/pull"),
    BadBody(b'{"progress":256}', *VALIDATION, f"/api/v1/jobs/{JOB}/progress"),
    BadBody(b'{"error":"%b"}' % (b"e" * 10_241), *VALIDATION, f"/api/v1/jobs/{JOB}/fail"),
    BadBody(b'{"mode":"stop"}', *VALIDATION, "/api/v1/queues/q/pause"),
    BadBody(b'{"state":"waiting"}', *VALIDATION, "/api/v1/queues/q/clean"),
    BadBody(b'{"ids":["a"],"items":[]}', *VALIDATION, "/api/v1/jobs/ack-batch"),
]


@pytest.mark.parametrize("bad", BODIES, ids=lambda bad: repr(bad.body[:40]))
async def test_a_bad_body_has_its_code_and_spares_the_connection(at: Setting, bad: BadBody) -> None:
    wire = await at.connect()

    answer = await wire.ask(bad.method, bad.target, bad.body)
    following = await wire.ask("GET", "/livez")

    assert (answer.status, answer.code) == (bad.status, bad.code), answer.body
    assert following.status == 200
    assert at.gateway.requests == []


# What passes though it looks odd: payloads are the client's own.
ODD_PAYLOADS = [
    b'{"a":1,"a":2}',
    b"1e400",
    b"-0",
    b"123456789012345678901234567890",
    b'"\\ud83d\\ude00"',
    b'"\\u0000"',
    b"[" * 64 + b"]" * 64,
]


@pytest.mark.parametrize("payload", ODD_PAYLOADS)
async def test_an_odd_payload_passes_unchanged(at: Setting, payload: bytes) -> None:
    answer = await at.ask("POST", PUSHES, b'{"name":"n","data":%b}' % payload)

    assert answer.status == 201
    assert at.gateway.lines == [b'{"cmd":"push","queue":"q","name":"n","data":%b}' % payload]


class BadBytes(NamedTuple):
    data: bytes
    status: int
    code: str


HOST = b"Host: t\r\n"
HEADS = [
    BadBytes(b"\r\n\r\nnonsense\r\n\r\n", *PARSE),
    BadBytes(b"GET\r\n\r\n", *PARSE),
    BadBytes(b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n", *PARSE),
    BadBytes(b"GET /livez\r\n\r\n", *PARSE),
    BadBytes(b"GET /livez HTTP/1.1\r\n\r\n", *PARSE),  # No Host.
    BadBytes(b"GET /livez HTTP/9.9\r\n" + HOST + b"\r\n", *PARSE),
    BadBytes(b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n", *PARSE),
    BadBytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", *PARSE),
    BadBytes(b"GET /livez SIP/1.1\r\n" + HOST + b"\r\n", *PARSE),
    BadBytes(b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n", *PARSE),
    BadBytes(b"GET http:// HTTP/1.1\r\n" + HOST + b"\r\n", *PARSE),
    BadBytes(b"GET http://[::1/livez HTTP/1.1\r\n" + HOST + b"\r\n", *PARSE),
    BadBytes(b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", *PARSE),
    BadBytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", *PARSE),  # TLS.
    BadBytes(b'{"cmd":"push","queue":"q","name":"n"}\n', *PARSE),  # The other protocol.
    BadBytes(b"\x00" * 100, *PARSE),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + b"No colon\r\n\r\n", *PARSE),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + b": empty\r\n\r\n", *PARSE),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + b"A: b\x00c\r\n\r\n", *PARSE),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + b" folded: x\r\n\r\n", *PARSE),
    BadBytes(b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", *PARSE),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + b"A: b\n\n", *PARSE),
    # Two lengths, or none that can be meant: the door to request smuggling.
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 1e3\r\n\r\na", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: cow\r\n\r\n", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n", *PARSE),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", *PARSE),
    # Too much.
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 16777217\r\n\r\n", 413, "TOO_LARGE"),
    BadBytes(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 18446744073709551614\r\n\r\n", 413, "TOO_LARGE"),
    BadBytes(b"GET /" + b"a" * 8_192 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "TOO_LARGE"),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 16_385 + b"\r\n\r\n", 431, "TOO_LARGE"),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + (b"A: " + b"b" * 1_000 + b"\r\n") * 17 + b"\r\n", 431, "TOO_LARGE"),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + (b"A: " + b"b" * 1_000 + b"\r\n") * 40, 431, "TOO_LARGE"),
    BadBytes(b"GET /livez HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 200 + b"\r\n", *PARSE),
]


@pytest.mark.parametrize("bad", HEADS, ids=lambda bad: repr(bad.data[:60]))
async def test_what_is_no_request_is_refused_in_the_same_envelope(at: Setting, bad: BadBytes) -> None:
    wire = await at.connect()
    wire.send(bad.data)

    answer = await wire.answer()

    assert (answer.status, answer.code) == (bad.status, bad.code), answer.body
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] != ""
    assert await wire.is_ended()


async def test_bytes_that_are_no_text_are_spelled_out_in_the_refusal(at: Setting) -> None:
    wire = await at.connect()
    wire.send(b"POST /api/v1/pull HTTP/1.1\r\nHost: t\r\nContent-Type: \xfe\r\nContent-Length: 2\r\n\r\n{}")
    answer = await wire.answer()

    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.json["error"]["message"] == "Content-Type is '\\udcfe', expected application/json"


async def test_a_refusal_does_not_repeat_what_was_sent(at: Setting) -> None:
    answer = await at.send(b"GET /livez HTTP/1.1\r\nHost: t\r\nAuthoriz ation: Bearer secret\r\n\r\n")

    assert answer is not None
    assert answer.status == 400
    assert b"secret" not in answer.body


async def test_what_came_before_the_nonsense_is_answered(at: Setting) -> None:
    wire = await at.connect()
    wire.send(request_bytes("POST", PUSHES, b'{"name":"n","data":1}'))
    await asyncio.sleep(0)
    first = await wire.answer()
    wire.send(b"nonsense\r\n\r\n")

    assert (first.status, (await wire.answer()).status) == (201, 400)


async def test_nonsense_behind_a_waiting_pull_waits_its_turn(at: Setting) -> None:
    wire = await at.connect()
    wire.send(request_bytes("GET", f"{PUSHES}?wait_ms=60000"))
    await at.gateway.until(waiting=1)
    wire.send(b"nonsense\r\n\r\n")
    waiter = at.gateway.waiting.pop()
    waiter.done(at.gateway.reply(at.gateway.requests[0]))

    assert [(await wire.answer()).status for _ in range(2)] == [200, 400]
    assert await wire.is_ended()


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(at: Setting) -> None:
    """In chunks nobody says how much is coming, so that it ends where the limit is."""
    wire = await at.connect()
    wire.send(b"POST /api/v1/queues/q/jobs HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answering = asyncio.create_task(wire.answer())
    sent = 0
    while not answering.done() and sent < 64:
        wire.send(chunk)
        sent += 1
        try:
            await wire.writer.drain()
        except ConnectionError:
            break
    answer = await answering

    assert (answer.status, answer.code) == (413, "TOO_LARGE")
    assert sent < 64
    assert answer.json["error"]["details"] == {"field": "body", "limit": limits.BODY_BYTES_MAX}


async def test_a_body_of_exactly_the_limit_is_read(at: Setting) -> None:
    body = b'{"name":"n","data":1}'
    answer = await at.ask("POST", PUSHES, body + b" " * (limits.BODY_BYTES_MAX - len(body)))

    assert answer.status == 201


async def test_a_body_in_a_million_chunks_costs_no_more_than_its_bytes(at: Setting) -> None:
    wire = await at.connect()
    body = b'{"name":"n","data":"' + b"x" * 100_000 + b'"}'
    wire.send(b"POST /api/v1/queues/q/jobs HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n")
    wire.send(b"Transfer-Encoding: chunked\r\n\r\n")
    wire.send(b"".join([b"1\r\n%c\r\n" % byte for byte in body]) + b"0\r\n\r\n")

    assert (await wire.answer()).status == 201


# Slow and silent clients, with deadlines short enough to wait for.


@pytest.mark.parametrize("pause_s", [0.0, 0.02], ids=["stalled", "trickling"])
@pytest.mark.parametrize(
    ("begun", "rest", "what"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: t\r\n", b"A: " + b"b" * 1_000, "headers"),
        (b"P", b"OST /api/v1/queues/q/jobs HTTP/1.1\r\nHo" * 10, "headers"),
        (b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n", b"x" * 900, "body"),
        (b"POST /x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1_000, "body"),
    ],
)
async def test_a_slow_sender_is_cut_at_an_absolute_deadline(
    begun: bytes, rest: bytes, what: str, pause_s: float
) -> None:
    async with running_shell(QUICK) as at:
        wire = await at.connect()
        wire.send(begun)
        answering = asyncio.create_task(wire.answer())
        for position in range(len(rest) if pause_s else 0):
            wire.send(rest[position : position + 1])
            finished, _ = await asyncio.wait([answering], timeout=pause_s)
            if finished:
                break
        answer = await answering

        assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
        assert answer.json["error"]["details"] == {"field": what, "limit": 100}
        assert await wire.is_ended()


async def test_half_bodies_have_a_common_limit() -> None:
    """The one that goes beyond it is refused; the others go on, and what a client held is free when it is gone."""
    async with running_shell(replace(PATIENT, half_bodies_bytes_max=299_999)) as at:
        head = b"POST /api/v1/queues/q/jobs HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        body = b'{"name":"n","data":"' + b"x" * 199_978 + b'"}'
        wires = [await at.connect() for _ in range(3)]
        for wire in wires:
            wire.send(head + b"Content-Length: 200000\r\n\r\n" + body[:100_000])
            await wire.writer.drain()
        answering = [asyncio.create_task(wire.answer()) for wire in wires]
        [refused], _ = await asyncio.wait(answering, return_when=asyncio.FIRST_COMPLETED)
        position = answering.index(refused)
        others = [wire for wire in wires if wire is not wires[position]]
        statuses = []
        for wire in others:
            wire.send(body[100_000:])
            statuses.append((await answering[wires.index(wire)]).status)

        assert (refused.result().status, refused.result().code) == (429, "OVERLOADED")
        assert statuses == [201, 201]
        await asyncio.gather(*(wire.close() for wire in wires))
        await at.shell.until_empty()
        assert at.shell.half_bodies_bytes == 0


async def test_a_client_that_does_not_read_is_cut() -> None:
    async with running_shell(QUICK) as at:
        wire = await at.connect()
        at.node.text = b"x" * 64_000_000  # More than the system keeps for both ends.
        wire.send(request_bytes("GET", "/api/v1/metrics/prometheus"))
        head = await wire.reader.readuntil(b"\r\n\r\n")

        # The stream's reader stops at its own limit, so that the rest stays with the server until it gives up.
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        await at.shell.until_empty()


async def test_idle_connections_harm_nobody() -> None:
    """Scaled down: 300 places, 600 clients that say nothing or half a line, and one that works."""
    async with running_shell(replace(PATIENT, connections_max=300)) as at:
        for _ in range(300):
            silent, halfway = await at.connect(), await at.connect()
            silent.send(b"")
            halfway.send(b"GET /livez HT")
            assert (await at.ask("GET", "/livez")).status == 200
            assert at.shell.connections_count <= 300


async def test_the_oldest_idle_connection_gives_way() -> None:
    async with running_shell(replace(PATIENT, connections_max=3)) as at:
        first, second, third = [await at.connect() for _ in range(3)]
        for wire in (second, first, third):
            assert (await wire.ask("GET", "/livez")).status == 200
        fourth = await at.connect()

        assert (await fourth.ask("GET", "/livez")).status == 200
        assert await second.is_ended()
        assert (await first.ask("GET", "/livez")).status == 200


async def test_when_all_are_busy_a_new_one_is_told_so() -> None:
    async with running_shell(replace(PATIENT, connections_max=2)) as at:
        for _ in range(2):
            (await at.connect()).send(request_bytes("GET", f"{PUSHES}?wait_ms=60000"))
        await at.gateway.until(waiting=2)
        refused = await (await at.connect()).answer()

        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "OVERLOADED", "1")


async def test_an_idle_connection_ends_after_a_while() -> None:
    async with running_shell(replace(PATIENT, idle_timeout_ms=100)) as at:
        wire = await at.connect()
        answer = await wire.ask("GET", "/livez")

        assert answer.status == 200
        assert await wire.is_ended()
