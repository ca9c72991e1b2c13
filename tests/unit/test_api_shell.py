"""The HTTP shell over a real socket: answers as a client gets them, whole."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest
import pytest_asyncio

from rustqueue.api.connection import Connection
from rustqueue.api.ports import HttpOptions
from rustqueue.auth import Principal
from rustqueue.model.errors import Limited, Unavailable
from rustqueue.model.replies import PulledOne, Refused, Reply
from rustqueue.model.wire import Request
from tests.fuzz.shell import Setting, request_bytes, running_shell

JOB = "0193e7a0-1111-7000-8000-000000000000"
PUSH = b'{"name":"n","data":1}'
OPEN = HttpOptions(host="127.0.0.1", port=0)


@pytest_asyncio.fixture
async def at() -> AsyncIterator[Setting]:
    async with running_shell() as setting:
        yield setting


# Answers.


async def test_an_answer_is_a_reply_with_its_headers(at: Setting) -> None:
    answer = await at.ask("POST", "/api/v1/queues/q/jobs", PUSH, (("X-Request-Id", "mine-1"),))

    date = answer.headers.pop("date")
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert answer.status == 201
    assert answer.body == b'{"ok":true,"id":"id-0"}'
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": "23",
        "cache-control": "no-store",
        "x-request-id": "mine-1",
    }


async def test_the_line_is_what_goes_to_the_log(at: Setting) -> None:
    await at.ask("POST", "/api/v1/queues/q/jobs?receipt=1", PUSH, (("Idempotency-Key", "k1"),))

    assert at.gateway.lines == [b'{"cmd":"push","queue":"q","receipt":true,"idempotency_key":"k1","name":"n","data":1}']


NODE_ANSWERS = [
    (
        "/api/v1/health",
        200,
        b'{"ok":true,"status":"healthy","version":"0","uptime_seconds":1,"role":"leader","leader":null,"term":1,'
        b'"applied":7,"lag":0}',
        "application/json",
    ),
    ("/livez", 200, b'{"ok":true}', "application/json"),
    ("/readyz", 200, b'{"ok":true}', "application/json"),
    ("/api/v1/metrics/prometheus", 200, b"# nothing\n", "text/plain; version=0.0.4; charset=utf-8"),
]


@pytest.mark.parametrize(("target", "status", "body", "media_type"), NODE_ANSWERS)
async def test_what_the_node_answers_itself(
    at: Setting, target: str, status: int, body: bytes, media_type: str
) -> None:
    answer = await at.ask("GET", target)

    assert (answer.status, answer.body, answer.headers["content-type"]) == (status, body, media_type)


async def test_a_node_that_is_not_ready_says_why(at: Setting) -> None:
    at.node.is_ready = False

    answer = await at.ask("GET", "/readyz")

    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.body == (
        b'{"ok":false,"error":{"code":"NOT_READY","message":"The node is not ready: replaying","details":null}}'
    )


class Refusal(NamedTuple):
    method: str
    target: str
    body: bytes | None
    sent: tuple[str, str]
    status: int
    code: str
    header: tuple[str, str] = ("content-type", "application/json")


PUSHES = "/api/v1/queues/q/jobs"
NO_HEADER = ("Accept", "*/*")
ALLOWED = ("allow", "GET, HEAD, OPTIONS")
REFUSALS = [
    Refusal("GET", "/nowhere", None, NO_HEADER, 404, "NOT_FOUND"),
    Refusal("GET", "/api/v1/nothing", None, NO_HEADER, 404, "NOT_FOUND"),
    Refusal("POST", "/api/v1/queues", b"{}", NO_HEADER, 405, "METHOD_NOT_ALLOWED", ALLOWED),
    Refusal("PROPFIND", "/api/v1/queues", None, NO_HEADER, 405, "METHOD_NOT_ALLOWED", ALLOWED),
    Refusal("GET", "/api/v1/jobs/x", None, NO_HEADER, 400, "VALIDATION_ERROR"),
    Refusal("POST", PUSHES, PUSH, ("Content-Type", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    Refusal("POST", PUSHES, PUSH, ("Content-Type", ""), 415, "UNSUPPORTED_MEDIA_TYPE"),
    Refusal("POST", PUSHES, PUSH, ("Content-Encoding", "gzip"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    Refusal("POST", PUSHES, b"", NO_HEADER, 400, "PARSE_ERROR"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: f"{refusal.status} {refusal.sent[1]}")
async def test_a_refusal_is_an_envelope(at: Setting, refusal: Refusal) -> None:
    answer = await at.ask(refusal.method, refusal.target, refusal.body, (refusal.sent,))

    assert (answer.status, answer.code) == (refusal.status, refusal.code)
    assert answer.headers[refusal.header[0]] == refusal.header[1]


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_json_is_json_however_it_is_named(at: Setting, media_type: str) -> None:
    answer = await at.ask("POST", "/api/v1/queues/q/jobs", PUSH, (("Content-Type", media_type),))

    assert answer.status == 201


@pytest.mark.parametrize("headers", [(), (("Content-Type", "application/json"),), (("Content-Type", "text/x"),)])
async def test_where_a_body_is_optional_an_empty_one_counts_as_none(
    at: Setting, headers: tuple[tuple[str, str], ...]
) -> None:
    """The published Node and Go clients send a JSON content type without a body (decisions A28)."""
    answer = await at.ask("POST", f"/api/v1/jobs/{JOB}/ack", b"", headers)

    assert (answer.status, answer.body) == (200, b'{"ok":true}')


def always(reply: Reply) -> Callable[[Request], Reply]:
    return lambda request: reply


async def test_a_refusal_that_passes_says_when_to_come_back(at: Setting) -> None:
    seen = []
    for error in (Unavailable.paused("q"), Limited.overloaded()):
        refused = Refused.of(error)
        at.gateway.reply = always(refused)
        answer = await at.ask("POST", PUSHES, PUSH)
        seen.append((answer.status, answer.code, answer.headers["retry-after"]))

    assert seen == [(503, "QUEUE_PAUSED", "1"), (429, "OVERLOADED", "1")]


async def test_a_defect_of_ours_is_logged_and_not_shown(at: Setting, caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: Request) -> Reply:
        raise ValueError("the secret of the machine")

    at.gateway.reply = broken
    with caplog.at_level(logging.ERROR, logger="rustqueue.http"):
        answer = await at.ask("GET", "/api/v1/queues?", None, (("X-Request-Id", "mine-2"),))

    assert answer.status == 500
    assert answer.body == (
        b'{"ok":false,"error":{"code":"INTERNAL_ERROR","message":"Internal error; the log has the details under this '
        b'request id","details":null},"request_id":"mine-2"}'
    )
    [record] = caplog.records
    assert record.__dict__["request_id"] == "mine-2"
    assert "the secret of the machine" in str(record.exc_info)


async def test_a_request_id_that_could_split_a_line_is_replaced(at: Setting) -> None:
    given = ["", "a b", "x" * 129, "caf\xe9", '"', "ok-1"]
    returned = [
        (await at.ask("GET", "/livez", None, (("X-Request-Id", text),))).headers["x-request-id"] for text in given
    ]

    assert returned[-1] == "ok-1"
    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", made) for made in returned[:-1])
    assert len(set(returned)) == len(given)


async def test_answers_are_observed_with_a_bounded_set_of_methods(at: Setting) -> None:
    for method in ("GET", "PUT", "PROPFIND", "HEAD"):
        await at.ask(method, "/livez")

    assert at.node.observed == [("GET", 200), ("PUT", 405), ("OTHER", 405), ("HEAD", 200)]


# Methods without a row.


async def test_head_answers_like_get_without_the_body(at: Setting) -> None:
    wire = await at.connect()
    got, headed = await wire.ask("GET", "/api/v1/health"), await wire.ask("HEAD", "/api/v1/health")

    assert headed.status == 200
    assert headed.body == b""
    assert headed.headers["content-length"] == got.headers["content-length"]


async def test_head_never_pulls(at: Setting) -> None:
    answer = await at.ask("HEAD", "/api/v1/queues/q/jobs")

    assert answer.status == 405
    assert at.gateway.requests == []


async def test_options_names_the_methods(at: Setting) -> None:
    wire = await at.connect()
    answer = await wire.ask("OPTIONS", "/api/v1/queues/q")
    following = await wire.ask("GET", "/livez")

    assert (answer.status, answer.headers["allow"], answer.body) == (204, "DELETE, GET, HEAD, OPTIONS, PUT", b"")
    answer = await wire.ask("OPTIONS", "*")
    assert (answer.status, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, POST, PUT")
    assert following.status == 200


# Who may ask.


async def test_with_authentication_only_the_routes_of_a_contract_are_open() -> None:
    async with running_shell(tokens=("good",)) as at:
        refused = [
            await at.ask("GET", "/api/v1/queues"),
            await at.ask("GET", "/api/v1/queues", None, (("Authorization", "Basic good"),)),
            await at.ask("GET", "/api/v1/queues", None, (("Authorization", "Bearer bad"),)),
        ]
        admitted = await at.ask("GET", "/api/v1/queues", None, (("Authorization", "Bearer good"),))
        public = [await at.ask("GET", target) for target, _, _, _ in NODE_ANSWERS]

    assert [(answer.status, answer.code) for answer in refused] == [(401, "UNAUTHORIZED")] * 3
    assert {answer.headers["www-authenticate"] for answer in refused} == {"Bearer"}
    assert admitted.status == 200
    assert at.gateway.principals == [Principal("token-1")]
    assert [answer.status for answer in public] == [200] * 4


async def test_an_address_that_guesses_is_locked_out() -> None:
    async with running_shell(tokens=("good",)) as at:
        wire = await at.connect()
        for _ in range(5):
            await wire.ask("GET", "/api/v1/queues", None, (("Authorization", "Bearer bad"),))
        answer = await wire.ask("GET", "/api/v1/queues", None, (("Authorization", "Bearer good"),))

    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "RATE_LIMITED", "300")


# Connections.


async def test_a_connection_serves_one_request_after_another(at: Setting) -> None:
    wire = await at.connect()
    statuses = [(await wire.ask("POST", "/api/v1/queues/q/jobs", PUSH)).status for _ in range(3)]

    assert statuses == [201, 201, 201]


async def test_pipelined_requests_are_answered_in_order(at: Setting) -> None:
    wire = await at.connect()
    count = 500
    for number in range(count):
        wire.send(request_bytes("POST", "/api/v1/queues/q/jobs", PUSH, (("X-Request-Id", f"p-{number}"),)))
        wire.send(request_bytes("GET", "/livez", None, (("X-Request-Id", f"l-{number}"),)))
    answers = [await wire.answer() for _ in range(2 * count)]

    assert [answer.headers["x-request-id"] for answer in answers] == [
        f"{kind}-{number}" for number in range(count) for kind in "pl"
    ]
    assert len(at.gateway.requests) == count


async def test_a_request_may_come_in_any_pieces(at: Setting) -> None:
    wire = await at.connect()
    data = request_bytes("POST", "/api/v1/queues/q/jobs", PUSH)
    for position in range(len(data)):
        wire.send(data[position : position + 1])
        await asyncio.sleep(0)

    assert (await wire.answer()).status == 201


async def test_a_chunked_body_is_a_body(at: Setting) -> None:
    wire = await at.connect()
    head = b"POST /api/v1/queues/q/jobs HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
    wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
    for position in range(0, len(PUSH), 3):
        piece = PUSH[position : position + 3]
        wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    wire.send(b"0\r\n\r\n")

    assert (await wire.answer()).status == 201
    assert at.gateway.lines == [b'{"cmd":"push","queue":"q","name":"n","data":1}']


async def test_a_client_that_asks_first_is_told_to_send_its_body(at: Setting) -> None:
    wire = await at.connect()
    head, _, body = request_bytes("POST", "/api/v1/queues/q/jobs", PUSH, (("Expect", "100-continue"),)).partition(
        b"\r\n\r\n"
    )
    wire.send(head + b"\r\n\r\n")
    first = await wire.answer()
    wire.send(body)

    assert (first.status, (await wire.answer()).status) == (100, 201)


async def test_close_is_answered_with_close(at: Setting) -> None:
    wire = await at.connect()
    answer = await wire.ask("GET", "/livez", None, (("Connection", "close"),))

    assert answer.headers["connection"] == "close"
    assert await wire.is_ended()


async def test_old_clients_keep_a_connection_when_they_ask_for_it(at: Setting) -> None:
    wire = await at.connect()
    wire.send(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    kept = await wire.answer()
    wire.send(b"GET /livez HTTP/1.0\r\n\r\n")
    last = await wire.answer()

    assert (kept.headers["connection"], last.headers["connection"]) == ("keep-alive", "close")
    assert await wire.is_ended()


async def test_an_offered_upgrade_is_declined(at: Setting) -> None:
    wire = await at.connect()
    answer = await wire.ask(
        "GET", "/api/v1/queues", None, (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("X-Request-Id", "u"))
    )

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await wire.is_ended()


async def test_an_absolute_target_is_understood(at: Setting) -> None:
    wire = await at.connect()
    answer = await wire.ask("GET", "http://proxy.example/api/v1/queues/q/jobs?count=2")

    assert answer.status == 200
    assert at.gateway.lines == [b'{"cmd":"pull","queue":"q","count":2}']


async def test_a_client_that_sends_its_request_and_no_more_gets_its_answer(at: Setting) -> None:
    wire = await at.connect()
    for _ in range(40):
        wire.send(request_bytes("POST", "/api/v1/queues/q/jobs", PUSH))
    wire.writer.write_eof()

    assert [(await wire.answer()).status for _ in range(40)] == [201] * 40
    assert await wire.is_ended()


# Waiting pulls.


async def test_a_pull_waits_and_is_answered(at: Setting) -> None:
    wire = await at.connect()
    wire.send(request_bytes("GET", "/api/v1/queues/q/jobs?wait_ms=60000"))
    await at.gateway.until(waiting=1)

    at.gateway.waiting[0].done(PulledOne(job=None))

    assert (await wire.answer()).body == b'{"ok":true,"job":null}'


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_client_that_goes_away_waits_no_longer(at: Setting, way: str) -> None:
    wire = await at.connect()
    wire.send(request_bytes("POST", "/api/v1/queues/q/pull", b'{"wait_ms":60000}'))
    await at.gateway.until(waiting=1)

    if way == "close":
        wire.writer.close()
    else:
        wire.writer.transport.abort()

    await at.gateway.until(waiting=0)


async def test_a_client_that_sends_no_more_is_answered_but_not_waited_for(at: Setting) -> None:
    wire = await at.connect()
    wire.send(request_bytes("POST", PUSHES, PUSH) + request_bytes("GET", f"{PUSHES}?wait_ms=60000"))
    wire.writer.write_eof()

    assert (await wire.answer()).status == 201
    assert await wire.is_ended()
    await at.gateway.until(waiting=0)


async def test_an_answer_to_a_client_that_is_gone_is_dropped(at: Setting) -> None:
    wire = await at.connect()
    wire.send(request_bytes("POST", "/api/v1/queues/q/pull", b'{"wait_ms":60000}'))
    await at.gateway.until(waiting=1)
    done = at.gateway.waiting[0].done
    wire.writer.close()
    await at.gateway.until(waiting=0)

    done(PulledOne(job=None))

    assert at.node.observed == []


# Stopping.


async def test_stopping_ends_idle_connections_and_waits_for_requests_under_way() -> None:
    async with running_shell() as at:
        idle, busy = await at.connect(), await at.connect()
        await idle.ask("GET", "/livez")
        busy.send(request_bytes("GET", "/api/v1/queues/q/jobs?wait_ms=60000"))
        await at.gateway.until(waiting=1)

        stopping = asyncio.create_task(at.shell.stop(30))
        assert await idle.is_ended()
        at.gateway.waiting.pop().done(PulledOne(job=None))
        answer = await busy.answer()
        await stopping

        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await busy.is_ended()
        with pytest.raises(OSError, match="Connect call failed"):
            await at.connect()


async def test_a_connection_that_was_accepted_just_before_the_stop_has_no_place() -> None:
    """It would be idle, and the stop would wait for it to end."""
    async with running_shell() as at:
        await at.shell.stop(1)
        refusal = at.shell.opened(Connection(at.shell, asyncio.get_running_loop()))

    assert refusal is not None
    assert (refusal.status, refusal.code) == (503, "SHUTTING_DOWN")


async def test_stopping_does_not_wait_longer_than_it_may() -> None:
    async with running_shell() as at:
        busy = await at.connect()
        busy.send(request_bytes("GET", "/api/v1/queues/q/jobs?wait_ms=60000"))
        await at.gateway.until(waiting=1)

        await at.shell.stop(0.05)

        assert await busy.is_ended()
        await at.gateway.until(waiting=0)
