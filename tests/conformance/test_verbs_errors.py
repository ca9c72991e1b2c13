"""The rows of decisions A8: a mistake gets the same envelope on both protocols, and over HTTP the row's status."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from rustqueue.auth import Authenticator
from rustqueue.gateway import Gateway, Ticket
from rustqueue.model import limits
from rustqueue.raft.real import LoopClock
from rustqueue.tcp import TcpOptions, TcpShell
from tests.conformance.bodies import invalid, refused
from tests.conformance.protocols import NOBODY, RAW_WAYS, Json, Told, asking
from tests.fuzz.shell import Wire
from tests.unit.gateway_world import ManualClock
from tests.unit.tcp_client import RawClient, a_node, connected

BACKOFFS = ["decorrelated_jitter", "exponential", "fixed", "linear"]
STATES = ["waiting", "delayed", "blocked", "active", "completed", "dlq", "cancelled"]
TEN_YEARS_MS = limits.DURATION_MS_MAX


def a_push(**fields: Any) -> tuple[str, Json]:
    return "push", {"queue": "q", "name": "n", "data": 1, **fields}


# What is asked, the status, the reason, and where the mistake is. The names say which row of the table it is.
MISTAKES: dict[str, tuple[tuple[str, Json], int, Json]] = {
    "unknown key": (a_push(colour=1), 400, {"field": "colour"}),
    "unknown key of an option": (a_push(options={"colour": 1}), 400, {"field": "options.colour"}),
    "unknown key of a job in a batch": (
        ("push_batch", {"queue": "q", "jobs": [{"name": "n", "data": 1}, {"name": "n", "data": 1, "x": 1}]}),
        400,
        {"field": "jobs[1].x", "index": 1},
    ),
    "missing field": (("push", {"queue": "q", "data": 1}), 422, {"field": "name"}),
    "missing field of an item": (
        ("fail_batch", {"items": [{"error": "e"}]}),
        422,
        {"field": "items[0].id", "index": 0},
    ),
    "wrong type": (a_push(priority="high"), 422, {"field": "priority"}),
    "wrong type in a list": (a_push(tags=["a", 7]), 422, {"field": "tags[1]"}),
    "a count that is text": (("pull", {"queue": "q", "count": "5"}), 422, {"field": "count"}),
    "value out of range": (a_push(delay_ms=-1), 400, {"field": "delay_ms", "limit": 0}),
    "duration over ten years": (a_push(ttl_ms=TEN_YEARS_MS + 1), 400, {"field": "ttl_ms", "limit": TEN_YEARS_MS}),
    "number beyond 64 bits": (a_push(timeout_ms=2**64), 400, {"field": "timeout_ms", "limit": TEN_YEARS_MS}),
    "unknown value of an enum": (a_push(backoff="cubic"), 400, {"field": "backoff", "allowed": BACKOFFS}),
    "a verb that no transaction has": (
        ("tx", {"operations": [{"cmd": "pull", "queue": "q"}]}),
        400,
        {"field": "operations[0].cmd", "allowed": ["push", "push_batch", "ack", "fail", "cancel"], "operation": 0},
    ),
    "given twice with different values": (
        a_push(priority=1, options={"priority": 2}),
        400,
        {"field": "priority"},
    ),
    "bad queue name": (a_push(queue="a b"), 400, {"field": "queue"}),
    "bad job name": (a_push(name="a b"), 400, {"field": "name"}),
    "empty name": (a_push(name=""), 400, {"field": "name", "limit": 1}),
    "long queue name": (a_push(queue="q" * 257), 400, {"field": "queue", "limit": limits.QUEUE_NAME_BYTES_MAX}),
    "long name": (a_push(name="n" * 1_025), 400, {"field": "name", "limit": limits.NAME_BYTES_MAX}),
    "large payload": (a_push(data="x" * 1_048_576), 400, {"field": "data", "limit": limits.DATA_BYTES_MAX}),
    "large metadata": (a_push(metadata="x" * 65_536), 400, {"field": "metadata", "limit": limits.METADATA_BYTES_MAX}),
    "long error": (
        ("fail", {"id": NOBODY, "error": "x" * 10_241}),
        400,
        {"field": "error", "limit": limits.ERROR_BYTES_MAX},
    ),
    "large batch": (
        ("push_batch", {"queue": "q", "jobs": [{"name": "n", "data": 1}] * 1_001}),
        400,
        {"field": "jobs", "limit": limits.BATCH_JOBS_MAX},
    ),
    "many jobs at once": (
        ("pull", {"queue": "q", "count": 1_001}),
        400,
        {"field": "count", "limit": limits.PULL_COUNT_MAX},
    ),
    "progress over 255": (("progress", {"id": NOBODY, "progress": 256}), 400, {"field": "progress", "limit": 255}),
    "a time that is none": (a_push(run_at="tomorrow"), 400, {"field": "run_at"}),
    "two times to start": (a_push(run_at="2030-01-01T00:00:00Z", delay_ms=5), 400, {"field": "run_at"}),
    "a parent that is not there": (a_push(depends_on=[NOBODY]), 400, {"field": "depends_on"}),
    "a job that waits for itself": (
        ("push_batch", {"queue": "q", "jobs": [{"name": "n", "data": 1}, {"name": "n", "data": 1, "depends_on": [1]}]}),
        400,
        {"field": "jobs[1].depends_on", "index": 1},
    ),
    "a bad cursor": (("job_list", {"cursor": "x"}), 400, {"field": "cursor"}),
    "a bad value to filter by": (("job_list", {"state": "asleep"}), 400, {"field": "state", "allowed": STATES}),
    "identity as a default": (
        ("queue_settings", {"queue": "q", "defaults": {"custom_id": "c"}}),
        400,
        {"field": "defaults.custom_id"},
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_is_named_alike_on_both_protocols(name: str) -> None:
    (verb, fields), status, details = MISTAKES[name]
    told = {}
    async with a_node() as node:
        for way in RAW_WAYS:
            async with asking(way, node) as client:
                told[way] = await client.ask(verb, fields)
    body = told["process"].body

    assert told == {"process": Told(status, body), "http": Told(status, body), "tcp": Told(None, body)}
    assert (body["ok"], body["error"]["code"], body["error"]["details"]) == (False, "VALIDATION_ERROR", details)
    assert body["error"]["message"].startswith("Validation error: ")


# What is wrong with the bytes themselves.


class Both:
    """A node and a connection to it on each port."""

    def __init__(self, wire: Wire, raw: RawClient) -> None:
        self.wire = wire
        self.raw = raw

    async def push(self, job: bytes) -> tuple[tuple[int, Any], Any]:
        """The same job in a body and in a line."""
        over_http = await self.wire.ask("POST", "/api/v1/queues/q/jobs", job)
        self.raw.send_raw(b'{"cmd":"push","queue":"q",' + job[1:] + b"\n")
        return (over_http.status, over_http.json), await self.raw.answer()


@pytest_asyncio.fixture
async def both() -> AsyncIterator[Both]:
    async with a_node() as node, connected(node) as raw:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        try:
            yield Both(wire, raw)
        finally:
            await wire.close()


BROKEN = {
    "not JSON": (b'{"name":"n","data":nope}', "PARSE_ERROR"),
    "cut off": (b'{"name":"n","data":[1,', "PARSE_ERROR"),
    "not UTF-8": (b'{"name":"n","data":"\xff"}', "PARSE_ERROR"),
    "NaN": (b'{"name":"n","data":NaN}', "PARSE_ERROR"),
    "text behind it": (b'{"name":"n","data":1} x', "PARSE_ERROR"),
    "a key twice": (b'{"name":"n","name":"n","data":1}', "VALIDATION_ERROR"),
    "a key twice, spelled in two ways": (b'{"name":"n","n\\u0061me":"n","data":1}', "VALIDATION_ERROR"),
    "deep nesting": (b'{"name":"n","data":' + b"[" * 65 + b"]" * 65 + b"}", "VALIDATION_ERROR"),
    "very deep nesting": (b'{"name":"n","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "VALIDATION_ERROR"),
    "half a surrogate pair": (b'{"name":"n","data":1,"unique_key":"\\ud800"}', None),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_text_is_400_with_the_same_code(both: Both, name: str) -> None:
    text, code = BROKEN[name]
    (status, over_http), over_tcp = await both.push(text)

    assert (status, over_http["ok"], over_http["error"]["code"]) == (400, False, over_tcp["error"]["code"])
    assert over_http["error"]["details"] == over_tcp["error"]["details"]
    assert code in (None, over_tcp["error"]["code"])


async def test_a_payload_may_hold_a_key_twice_and_passes_unchanged(both: Both) -> None:
    payload = b'{"a":1,"a":2,"n":1.50,"big":123456789012345678901234567890}'
    (status, _), _ = await both.push(b'{"name":"n","data":' + payload + b"}")
    both.raw.send("pull", queue="q", count=2)
    pulled = await both.wire.ask("GET", "/api/v1/jobs?queue=q")

    assert status == 201
    assert pulled.body.count(b'"data":' + payload) == 2
    assert len((await both.raw.answer())["jobs"]) == 2


async def test_what_is_over_its_limit_is_too_large(both: Both) -> None:
    text = b'{"name":"n","data":"' + b"x" * limits.BODY_BYTES_MAX + b'"}'
    (status, over_http), over_tcp = await both.push(text)

    assert (status, over_http) == (
        413,
        refused("TOO_LARGE", "body is larger than 16777216 bytes", field="body", limit=limits.BODY_BYTES_MAX),
    )
    assert over_tcp == refused(
        "TOO_LARGE", "line is larger than 16777216 bytes", field="line", limit=limits.LINE_BYTES_MAX
    )


# What only one protocol can get wrong.

HTTP_ONLY: dict[str, tuple[tuple[str, str, Any], int, str]] = {
    "bad id in the path": (("GET", "/api/v1/jobs/no-id", None), 400, "VALIDATION_ERROR"),
    "bad query value": (("GET", "/api/v1/queues/q/jobs?count=many", None), 400, "VALIDATION_ERROR"),
    "unknown query key": (("GET", "/api/v1/queues/q/jobs?colour=1", None), 400, "VALIDATION_ERROR"),
    "unknown route": (("GET", "/api/v1/nothing", None), 404, "NOT_FOUND"),
    "wrong method": (("PATCH", "/api/v1/queues", None), 405, "METHOD_NOT_ALLOWED"),
    "no data": (("POST", "/api/v1/queues/q/jobs", {"name": "n"}), 422, "VALIDATION_ERROR"),
    "no error": (("POST", f"/api/v1/jobs/{NOBODY}/fail", {}), 422, "VALIDATION_ERROR"),
    "a verb in the body": (
        ("POST", "/api/v1/queues/q/jobs", {"cmd": "stats", "name": "n", "data": 1}),
        400,
        "VALIDATION_ERROR",
    ),
    "no verb in the body": (("POST", "/api/v1/queues/q/drain", {"cmd": "nothing"}), 400, "VALIDATION_ERROR"),
    "no body": (("POST", "/api/v1/queues/q/jobs", None), 400, "PARSE_ERROR"),
}


@pytest.mark.parametrize("name", HTTP_ONLY)
async def test_what_only_http_can_get_wrong(both: Both, name: str) -> None:
    (method, target, body), status, code = HTTP_ONLY[name]
    answer = await both.wire.ask(method, target, None if body is None else msgspec.json.encode(body))
    assert (answer.status, answer.code, answer.headers["content-type"]) == (status, code, "application/json")


async def test_a_body_of_another_type_is_415(both: Both) -> None:
    answer = await both.wire.ask("POST", "/api/v1/queues/q/jobs", b"a=1", (("Content-Type", "text/plain"),))
    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


class Defective(Gateway):
    """A gateway with a defect: every request meets it."""

    def __init__(self) -> None:
        """There is nothing behind it."""

    def submit(self, *_: Any, **__: Any) -> Ticket | None:
        raise ValueError("the secret of the machine")


async def test_a_defect_of_ours_is_redacted_on_tcp_too(caplog: pytest.LogCaptureFixture) -> None:
    """Over HTTP: `test_a_defect_of_ours_is_logged_and_not_shown`."""
    open_to_all = Authenticator(False, (), ManualClock())
    clock = LoopClock(asyncio.get_running_loop())
    shell = TcpShell(Defective(), open_to_all, clock, TcpOptions(host="127.0.0.1", port=0))
    await shell.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", shell.port)
    raw = RawClient(reader, writer)
    told = [await raw.ask("push", queue="q", name="n", request_id=5), await raw.ask("list_queues")]
    writer.close()
    await shell.stop(5)

    redacted = refused("INTERNAL_ERROR", "Internal error; the log of the node has the details")
    assert told == [{**redacted, "request_id": 5}, redacted]
    assert ["the secret of the machine" in str(record.exc_info) for record in caplog.records] == [True, True]


async def test_what_only_tcp_can_get_wrong(both: Both) -> None:
    assert await both.raw.ask("nothing") == refused("UNKNOWN_COMMAND", "Unknown command: nothing", field="cmd")
    both.raw.send_raw(b'{"queue":"q"}\n')
    assert (await both.raw.answer())["error"]["code"] == "VALIDATION_ERROR"
    both.raw.send_raw(b"[1]\n")
    assert (await both.raw.answer())["error"]["code"] == "VALIDATION_ERROR"
    assert await both.raw.ask("ack_batch") == invalid("give either 'items' or 'ids'", field="items")
    # What came before has not ended the connection.
    assert (await both.raw.ask("push", queue="q", name="n"))["ok"] is True
