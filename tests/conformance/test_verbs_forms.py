"""Other spellings of a question that the contract allows: each means the same as the plain one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.conformance.bodies import job, leased, ok, refused, stale
from tests.conformance.protocols import Json, Names
from tests.fuzz.shell import Wire
from tests.unit.tcp_client import RawClient, a_node, connected


class Both:
    """One node, a connection to each of its ports, and one list of names."""

    def __init__(self, wire: Wire, raw: RawClient) -> None:
        self._wire = wire
        self._raw = raw
        self._names = Names()

    async def http(self, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(self._names.meant(body))
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        answer = await self._wire.ask(method, f"/api/v1{self._names.meant(target)}", data, named)
        return answer.status, self._names.told(answer.json)

    async def tcp(self, cmd: str, **fields: Any) -> Any:
        return self._names.told(await self._raw.ask(cmd, **self._names.meant(fields)))


@pytest_asyncio.fixture
async def both() -> AsyncIterator[Both]:
    async with a_node() as node, connected(node) as raw:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        try:
            yield Both(wire, raw)
        finally:
            await wire.close()


OPTIONS: Json = {"priority": 4, "tags": ["a"], "metadata": {"k": 1}, "remove_on_complete": True}


@pytest.mark.parametrize(
    "spelled",
    [OPTIONS, {"options": OPTIONS}, {"priority": 4, "options": OPTIONS}, {"options": {**OPTIONS, "lifo": None}}],
    ids=["flat", "nested", "both ways and alike", "null counts as not given"],
)
async def test_options_stand_flat_or_nested_on_both_protocols(both: Both, spelled: Json) -> None:
    """Decisions A1: the original ignored nested ones over HTTP, and dropped some of the flat ones on TCP."""
    item = {"name": "n", "data": 1, **spelled}
    pushed = [
        await both.http("POST", "/queues/q/jobs", item),
        await both.http("POST", "/queues/q/jobs", [item]),
        await both.tcp("push", queue="q", **item),
        await both.tcp("push_batch", queue="q", jobs=[item]),
    ]
    kept = [await both.tcp("get", id=f"#{number}") for number in (1, 2, 3, 4)]

    assert pushed == [(201, ok(id="#1")), (201, ok(ids=["#2"])), ok(id="#3"), ok(ids=["#4"])]
    assert kept == [ok(job=job(f"#{number}", **OPTIONS)) for number in (1, 2, 3, 4)]


async def test_the_get_that_pulls_is_the_original_s(both: Both) -> None:
    await both.tcp("push_batch", queue="q", jobs=[{"name": "n", "data": 1}] * 3)
    one = await both.http("GET", "/queues/q/jobs")
    more = await both.http("GET", "/queues/q/jobs?count=2&worker_id=w&lease_ms=60000")
    none = [await both.http("GET", f"/queues/q/jobs?count={count}") for count in (0, 1, 2)]

    assert one == (200, ok(job=leased("#1", "~1")))
    assert more == (200, ok(jobs=[leased("#2", "~2", worker_id="w"), leased("#3", "~2", worker_id="w")]))
    assert none == [(200, ok(jobs=[])), (200, ok(job=None)), (200, ok(jobs=[]))]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content_Type": "application/json"}, {"Content_Type": "application/json; charset=utf-8"}],
    ids=["none", "json", "json with its charset"],
)
async def test_an_ack_needs_no_body_whatever_its_type_says(both: Both, headers: dict[str, str]) -> None:
    """Decisions A28: published clients send the type of a body, and no body."""
    await both.tcp("push", queue="q", name="n", data=1)
    await both.http("GET", "/queues/q/jobs")
    assert await both.http("POST", "/jobs/#1/ack", None, **headers) == (200, ok())


@pytest.mark.parametrize("form", ["bare", "items", "ids"])
async def test_a_batch_is_acked_in_three_forms(both: Both, form: str) -> None:
    """Decisions A3 and C."""
    await both.tcp("push", queue="q", name="n", data=1)
    await both.tcp("pull", queue="q")
    body = {"bare": [{"id": "#1"}], "items": {"items": [{"id": "#1"}]}, "ids": {"ids": ["#1"]}}[form]
    acked = ok(acked=1, failed=0, results=[{"id": "#1", "ok": True}])
    again = {
        "id": "#1",
        "ok": False,
        "error": {
            "code": "INVALID_STATE",
            "message": "Job is in invalid state 'Completed' for operation (expected: Active)",
            "details": {"state": "completed"},
        },
    }

    assert await both.http("POST", "/jobs/ack-batch", body) == (200, acked)
    fields = body if isinstance(body, dict) else {"items": body}
    assert await both.tcp("ack_batch", **fields) == {"ok": False, "acked": 0, "failed": 1, "results": [again]}


async def test_each_item_of_a_batch_may_carry_its_token(both: Both) -> None:
    await both.tcp("push_batch", queue="q", jobs=[{"name": "n"}, {"name": "n"}])
    await both.tcp("pull", queue="q", count=2)
    told = await both.tcp(
        "ack_batch", items=[{"id": "#1", "attempt_token": "~1"}, {"id": "#2", "attempt_token": "0.1"}]
    )

    bad = {"id": "#2", "ok": False, "error": stale("#2")["error"]}
    assert told == {"ok": False, "acked": 1, "failed": 1, "results": [{"id": "#1", "ok": True}, bad]}


async def test_tcp_may_leave_out_what_http_must_give(both: Both) -> None:
    """Contract A5 and A6: `data` is `{}` and `error` is a text of its own; over HTTP both are required."""
    assert await both.tcp("push", queue="q", name="n", max_attempts=1) == ok(id="#1")
    await both.tcp("pull", queue="q")
    assert await both.tcp("fail", id="#1") == ok(retry=False, will_retry=False, next_attempt_at=None)
    dead = job(
        "#1", data={}, state="dlq", max_attempts=1, attempt=1, last_error="unknown error", fence=1, started_at="T"
    )
    assert await both.tcp("get", id="#1") == ok(job=dead)


async def test_a_custom_id_stands_wherever_an_id_does(both: Both) -> None:
    """Decisions A17."""
    await both.http("POST", "/queues/q/jobs", {"name": "n", "data": 1, "custom_id": "a/b c"})
    child = await both.tcp("push", queue="q", name="n", data=1, depends_on=["custom:q:a/b c"])
    await both.tcp("pull", queue="q")

    assert child == ok(id="#2")
    assert (await both.http("POST", "/jobs/custom:q:a%2Fb%20c/heartbeat"))[0] == 200
    assert await both.tcp("ack", id="custom:q:a/b c", result=7) == ok()
    parents = ok(parents=[{"id": "#1", "state": "completed", "result": 7}], next_cursor=None)
    assert await both.tcp("job_parents", id="#2") == parents


async def test_an_idempotency_key_means_the_same_in_header_and_field(both: Both) -> None:
    """The texts in the log differ between the protocols; the request in them does not."""
    first = await both.http("POST", "/queues/q/jobs", {"name": "n", "data": 1}, Idempotency_Key="k")
    again = await both.tcp("push", queue="q", name="n", data=1, idempotency_key="k")
    other = await both.tcp("push", queue="q", name="m", data=1, idempotency_key="k")

    assert (first, again) == ((201, ok(id="#1")), ok(id="#1"))
    text = "This idempotency key was used with another request"
    assert other == refused("IDEMPOTENCY_MISMATCH", text, field="idempotency_key")


async def test_a_line_s_request_id_comes_back_with_its_answer(both: Both) -> None:
    """Decisions D."""
    assert await both.tcp("stats", queue="q", request_id="r-1") == ok(
        counts={"waiting": 0, "active": 0, "delayed": 0, "completed": 0, "failed": 0, "dlq": 0, "blocked": 0},
        mode="normal",
        request_id="r-1",
    )
    assert (await both.tcp("ack", id="x", request_id=7))["request_id"] == 7


async def test_auth_on_an_open_server_is_granted(both: Both) -> None:
    """Decisions A9: a client that is set up with a token works against a server without tokens."""
    assert await both.tcp("auth", token="anything") == ok()
    assert (await both.http("GET", "/queues", None, Authorization="Bearer anything"))[0] == 200
