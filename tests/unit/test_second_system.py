"""The second system's routes over HTTP: whole bodies, statuses, messages; both ports, tokens, restarts, a cluster."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV30SpecValidator

from rustqueue.model import limits
from rustqueue.node import NodeError, running_node
from rustqueue.settings import AuthSettings, CompatSettings, MetricsSettings, Settings
from rustqueue.settings.sections import ServerSettings, StorageSettings
from tests.fuzz.shell import Answer, Wire
from tests.openapi import second
from tests.unit.cluster_rig import cluster
from tests.unit.tcp_client import a_node

Json = Any

UNKNOWN = "0190f9a0-1234-7000-8000-000000000001"
MAIL = {"to": "a@b.c", "subject": "hi", "body": "hello"}
TEXT = {"text": "lorem"}
NOT_FOUND = (404, {"error": "not_found", "message": "resource not found"})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


class Caller:
    """JSON over HTTP to one port."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def ask(self, method: str, target: str, body: Json = None, **headers: str) -> Answer:
        data = None if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return await self._wire.ask(method, target, data, named)

    async def plain(self, method: str, target: str, body: Json = None, **headers: str) -> tuple[int, Json]:
        answer = await self.ask(method, target, body, **headers)
        return answer.status, answer.json

    async def create(self, kind: str = "send_email", payload: Json = MAIL, **fields: Any) -> Json:
        status, job = await self.plain("POST", "/jobs", {"kind": kind, "payload": payload, **fields})
        assert status == 201, job
        return job

    async def close(self) -> None:
        await self._wire.close()


async def calling(port: int) -> Caller:
    return Caller(Wire(*await asyncio.open_connection("127.0.0.1", port)))


@pytest_asyncio.fixture
async def http() -> AsyncIterator[Caller]:
    async with a_node() as node:
        caller = await calling(node.http.port)
        yield caller
        await caller.close()


def timeless(job: Json) -> Json:
    """The job with its times as `T`."""
    times = ("run_at", "created_at", "updated_at")
    assert [name for name in times if _TIME.fullmatch(job[name]) is None] == []
    return {**job, **dict.fromkeys(times, "T")}


def a_kind_job(**fields: Any) -> Json:
    return {
        "kind": "send_email",
        "status": "queued",
        "attempts": 0,
        "max_attempts": 3,
        "last_error": None,
        "payload": MAIL,
        "run_at": "T",
        "idempotency_key": None,
        "created_at": "T",
        "updated_at": "T",
        **fields,
    }


async def test_create_then_get_then_list(http: Caller) -> None:
    job = await http.create()

    assert timeless(job) == a_kind_job(id=job["id"])
    assert list(job) == list(second.document()["components"]["schemas"]["Job"]["properties"])
    assert await http.plain("GET", f"/jobs/{job['id']}") == (200, job)
    assert await http.plain("GET", "/jobs") == (200, [job])


async def test_a_key_finds_its_job_again(http: Caller) -> None:
    body = {"kind": "send_email", "payload": MAIL}
    first = await http.plain("POST", "/jobs", body, Idempotency_Key="user-42")
    again = await http.plain("POST", "/jobs", {"kind": "summarize_text", "payload": TEXT}, Idempotency_Key="user-42")
    by_body = await http.plain("POST", "/jobs", {**body, "idempotency_key": "user-42"})
    header_wins = await http.plain("POST", "/jobs", {**body, "idempotency_key": "user-42"}, Idempotency_Key="other")

    assert first[0] == 201
    assert timeless(first[1]) == a_kind_job(id=first[1]["id"], idempotency_key="user-42")
    assert again == (200, first[1])
    assert by_body == (200, first[1])
    assert (header_wins[0], header_wins[1]["idempotency_key"]) == (201, "other")


async def test_ten_with_one_key_make_one_job() -> None:
    async with a_node() as node:
        callers = [await calling(node.http.port) for _ in range(10)]
        body = {"kind": "send_email", "payload": MAIL, "idempotency_key": "same"}
        answers = await asyncio.gather(*(caller.plain("POST", "/jobs", body) for caller in callers))
        listed = await callers[0].plain("GET", "/jobs")
        for caller in callers:
            await caller.close()

    assert sorted(status for status, _ in answers) == [200] * 9 + [201]
    assert len({job["id"] for _, job in answers}) == 1
    assert len(listed[1]) == 1


INVALID = [
    (
        {"kind": "send_email", "payload": {"to": "a"}},
        "payload validation failed for send_email: missing field `subject`",
    ),
    (
        {"kind": "resize_image", "payload": {"source_url": "u", "width": "1", "height": 2}},
        'payload validation failed for resize_image: width: the value is not of type "integer"',
    ),
    (
        {"kind": "mine", "payload": {}},
        "unknown kind 'mine', expected one of send_email, resize_image, summarize_text, webhook_delivery, "
        "or a queue with a payload schema",
    ),
    ({"kind": "send_email"}, "missing field 'payload'"),
    ({"payload": {}}, "missing field 'kind'"),
    ({"kind": 1, "payload": {}}, "'kind' must be a text of 1 to 256 characters, not a number"),
    ({"kind": "a b", "payload": {}}, "'kind' may only hold ASCII letters, digits, '-', '_' and '.'"),
    (
        {"kind": "send_email", "payload": MAIL, "max_attempts": 0},
        "'max_attempts' must be a whole number from 1 to 1000000, not 0",
    ),
    (
        {"kind": "send_email", "payload": MAIL, "max_attempts": "3"},
        "'max_attempts' must be a whole number from 1 to 1000000, not a text",
    ),
    (
        {"kind": "send_email", "payload": MAIL, "idempotency_key": ""},
        "'idempotency_key' must be a text of 1 to 256 characters, not 0",
    ),
    ([], "'request' must be an object, not a list"),
    (b'{"kind":"send_email","kind":"send_email","payload":{}}', "the key 'kind' stands twice"),
    (b'{"x":1,"x":2,"kind":"send_email","payload":{}}', "a key stands twice"),
]


@pytest.mark.parametrize(("body", "message"), INVALID)
async def test_a_body_of_the_wrong_shape(http: Caller, body: Json, message: str) -> None:
    assert await http.plain("POST", "/jobs", body) == (422, {"error": "validation", "message": message})
    assert await http.plain("GET", "/jobs") == (200, [])


async def test_members_that_nobody_knows_are_passed_over(http: Caller) -> None:
    strange: Json = {"a:b": ":", 'c"d': {"kind": 1}}
    job = await http.create(payload={**MAIL, "cc": "d"}, priority="high", max_attempts=None, **strange)

    assert timeless(job) == a_kind_job(id=job["id"], payload={**MAIL, "cc": "d"})


BAD = [
    ("GET", "/jobs/nonsense", None, 400, "the job id is no UUID"),
    ("POST", "/jobs/custom:q:x/cancel", None, 400, "the job id is no UUID"),
    ("GET", "/jobs?limit=ten", None, 400, "'limit' is not a whole number"),
    ("GET", "/jobs?offset=1.5", None, 400, "'offset' is not a whole number"),
    ("GET", "/jobs?limit=1&limit=2", None, 400, "the query key 'limit' is given twice"),
    ("GET", "/jobs?kind=%00", None, 400, "'kind' may only hold ASCII letters, digits, '-', '_' and '.'"),
    (
        "GET",
        "/jobs?status=done",
        None,
        400,
        "unknown status 'done', expected one of queued, running, succeeded, retrying, failed_permanent, cancelled",
    ),
    ("POST", "/jobs", b"{", 400, "The request is not valid JSON: Input data was truncated"),
    ("POST", "/jobs", None, 400, "The request body is empty"),
    ("DELETE", "/jobs", None, 405, "DELETE is not allowed here, only GET, HEAD, OPTIONS, POST"),
]


@pytest.mark.parametrize(("method", "target", "body", "status", "message"), BAD)
async def test_requests_that_cannot_be_read(
    http: Caller, method: str, target: str, body: Json, status: int, message: str
) -> None:
    assert await http.plain(method, target, body) == (status, {"error": "bad_request", "message": message})


async def test_other_refusals_have_the_same_shape(http: Caller) -> None:
    key = await http.plain("POST", "/jobs", {"kind": "send_email", "payload": MAIL}, Idempotency_Key="k" * 257)
    media = await http.plain("POST", "/jobs", b"{}", Content_Type="text/plain")

    assert key == (400, {"error": "bad_request", "message": "'Idempotency-Key' must have 1 to 256 bytes"})
    assert media[0] == 415
    assert media[1]["error"] == "bad_request"
    assert await http.plain("GET", f"/jobs/{UNKNOWN}") == NOT_FOUND
    assert await http.plain("GET", "/jobs/a/b/c") == NOT_FOUND
    assert await http.plain("POST", f"/jobs/{UNKNOWN}/cancel") == NOT_FOUND


async def test_a_body_that_is_too_large() -> None:
    async with a_node() as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.http.port)
        writer.write(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = msgspec.json.decode(await reader.readuntil(b"}"))
        writer.close()

    assert head.startswith(b"HTTP/1.1 413 ")
    assert body == {"error": "bad_request", "message": f"body is larger than {limits.BODY_BYTES_MAX} bytes"}


async def test_cancelling(http: Caller) -> None:
    waiting, running = await http.create(), await http.create("summarize_text", TEXT)
    pulled = await http.plain("POST", "/api/v1/queues/summarize_text/pull", {})
    token = pulled[1]["job"]["attempt_token"]

    now = await http.plain("POST", f"/jobs/{waiting['id'].upper()}/cancel")
    again = await http.plain("POST", f"/jobs/{waiting['id']}/cancel")
    asked = [await http.plain("POST", f"/jobs/{running['id']}/cancel") for _ in range(2)]
    heard = await http.plain("POST", f"/api/v1/jobs/{running['id']}/heartbeat", {"attempt_token": token})
    still = await http.plain("GET", f"/jobs/{running['id']}")
    await http.plain("POST", f"/api/v1/jobs/{running['id']}/fail", {"error": "cancelled", "cancelled": True})
    ended = await http.plain("GET", f"/jobs/{running['id']}")

    assert now == (200, {"status": "cancelled", "job_id": waiting["id"]})
    assert again == (409, {"error": "conflict", "message": "job is already in terminal state cancelled"})
    assert asked == [(202, {"status": "pending", "job_id": running["id"]})] * 2
    assert heard[1]["cancel_requested"] is True
    assert (still[1]["status"], still[1]["attempts"]) == ("running", 1)
    assert ended[1]["status"] == "cancelled"


@pytest.mark.parametrize("ending", ["succeeded", "failed_permanent"])
async def test_what_has_ended_cannot_be_cancelled(http: Caller, ending: str) -> None:
    job = await http.create(max_attempts=1)
    await http.plain("POST", "/api/v1/queues/send_email/pull", {})
    verb, body = ("ack", {}) if ending == "succeeded" else ("fail", {"error": "no"})
    await http.plain("POST", f"/api/v1/jobs/{job['id']}/{verb}", body)

    refused = await http.plain("POST", f"/jobs/{job['id']}/cancel")

    assert refused == (409, {"error": "conflict", "message": f"job is already in terminal state {ending}"})
    shown = await http.plain("GET", f"/jobs/{job['id']}")
    error = None if ending == "succeeded" else "no"
    assert timeless(shown[1]) == a_kind_job(id=job["id"], status=ending, attempts=1, max_attempts=1, last_error=error)


async def test_lists_are_filtered_and_bounded(http: Caller) -> None:
    ids = [(await http.create())["id"] for _ in range(3)]
    text = (await http.create("summarize_text", TEXT))["id"]
    await http.plain("POST", f"/jobs/{ids[1]}/cancel")

    async def listed(query: str) -> list[str]:
        status, jobs = await http.plain("GET", f"/jobs{query}")
        assert status == 200
        return [job["id"] for job in jobs]

    assert await listed("") == [text, *ids[::-1]]
    assert await listed("?status=queued&kind=send_email") == [ids[2], ids[0]]
    assert await listed("?status=cancelled") == [ids[1]]
    assert await listed("?limit=-5") == [text]
    assert await listed("?limit=100000&offset=-1&unknown=x") == [text, *ids[::-1]]
    assert await listed("?limit=1&offset=1") == [ids[2]]
    assert await listed("?offset=999999999999999999") == []
    assert await listed("?kind=nobodys") == []


async def test_a_request_id_is_taken_or_made(http: Caller) -> None:
    given = await http.ask("GET", "/jobs", X_Request_Id="mine-1")
    made = await http.ask("GET", "/jobs/nonsense")

    assert given.headers["x-request-id"] == "mine-1"
    assert made.headers["x-request-id"] != ""


async def test_health_and_metrics(http: Caller) -> None:
    assert await http.plain("GET", "/health") == (200, {"status": "ok"})
    metrics = await http.ask("GET", "/metrics")
    assert metrics.status == 200
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"rustqueue_jobs_pushed_total" in metrics.body


async def test_the_description(http: Caller) -> None:
    described = await http.plain("GET", "/api-docs/openapi.json")
    page = await http.ask("GET", "/docs")
    script = await http.ask("GET", "/docs/docs.js")

    assert second.FILE.read_text(encoding="utf-8") == second.text(), "run `python -m tests.openapi`"
    assert [error.message for error in OpenAPIV30SpecValidator(described[1]).iter_errors()] == []
    assert (described[1]["openapi"], list(described[1]["paths"])) == (
        "3.0.3",
        ["/jobs", "/jobs/{id}", "/jobs/{id}/cancel", "/health", "/metrics"],
    )
    assert b'"/docs/docs.js"' in page.body
    assert b'fetch("/api-docs/openapi.json")' in script.body


async def test_kinds_of_our_own(tmp_path: Path) -> None:
    schema = tmp_path / "invoice.json"
    schema.write_text('{"type": "object", "required": ["number"]}')
    async with a_node(compat=CompatSettings(kinds=[f"invoice={schema}"])) as node:
        http = await calling(node.http.port)
        await http.plain("PUT", "/api/v1/queues/receipt", {"payload_schema": {"type": "integer"}})
        by_file = await http.create("invoice", {"number": 7})
        by_queue = await http.create("receipt", 7)
        misfit = await http.plain("POST", "/jobs", {"kind": "invoice", "payload": {}})
        pushed = await http.plain("POST", "/api/v1/queues/invoice/jobs", {"name": "n", "data": {}})
        await http.close()

    assert (by_file["kind"], by_queue["kind"], by_queue["payload"]) == ("invoice", "receipt", 7)
    assert misfit[1]["message"] == "payload validation failed for invoice: missing field `number`"
    assert (pushed[0], pushed[1]["error"]["code"]) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ('{"type": 5}', "is no JSON Schema"),
        ("[]", "must be an object"),
    ],
)
async def test_a_kind_whose_schema_is_none_stops_the_start(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "kind.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NodeError, match=reason):
        async with a_node(compat=CompatSettings(kinds=[f"mine={path}"])):
            pass


async def test_a_port_for_these_routes_alone() -> None:
    async with a_node(compat=CompatSettings(jobs_port=0)) as node:
        assert node.jobs_http is not None
        jobs, whole = await calling(node.jobs_http.port), await calling(node.http.port)
        job = await jobs.create()
        seen = await whole.plain("GET", f"/jobs/{job['id']}")
        alone = [(await jobs.ask("GET", path)).status for path in ("/health", "/metrics", "/docs", "/readyz")]
        ours = await jobs.plain("GET", "/api/v1/jobs")
        landing = (await jobs.ask("GET", "/")).status
        await jobs.close()
        await whole.close()

    assert seen == (200, job)
    assert alone == [200, 200, 200, 200]
    assert (ours[0], landing) == (404, 404)


async def test_metrics_stand_where_the_settings_say() -> None:
    async with a_node(metrics=MetricsSettings(prometheus_path="/metrics")) as node:
        http = await calling(node.http.port)
        assert (await http.ask("GET", "/metrics")).status == 200
        await http.close()
    async with a_node(metrics=MetricsSettings(prometheus_enabled=False)) as node:
        http = await calling(node.http.port)
        assert (await http.ask("GET", "/metrics")).status == 404
        await http.close()


async def test_tokens_guard_these_routes_too() -> None:
    async with a_node(auth=AuthSettings(enabled=True, tokens=["chief"])) as node:
        http = await calling(node.http.port)
        chief = {"Authorization": "Bearer chief"}

        async def token(name: str, verbs: list[str], queues: list[str]) -> dict[str, str]:
            body = {"name": name, "scopes": [{"verbs": verbs, "queues": queues}]}
            made = await http.plain("POST", "/api/v1/tokens", body, **chief)
            return {"Authorization": f"Bearer {made[1]['token']}"}

        pusher = await token("pusher", ["push"], ["send_*"])
        other = await token("other", ["push", "read"], ["send_*"])
        body = {"kind": "send_email", "payload": MAIL, "idempotency_key": "k"}

        nobody = await http.plain("GET", "/jobs")
        made = await http.plain("POST", "/jobs", body, **pusher)
        again = await http.plain("POST", "/jobs", body, **pusher)
        others = await http.plain("POST", "/jobs", body, **other)
        path = f"/jobs/{made[1]['id']}"
        foreign = await http.plain("POST", "/jobs", {"kind": "summarize_text", "payload": TEXT}, **pusher)
        unread = await http.plain("GET", path, **pusher)
        everywhere = await http.plain("GET", "/jobs", **other)
        own = await http.plain("GET", "/jobs?kind=send_email", **other)
        cancel = await http.plain("POST", f"{path}/cancel", **other)
        public = await http.plain("GET", "/health")
        await http.close()

    assert (nobody[0], nobody[1]["error"]) == (401, "unauthorized")
    assert (made[0], made[1]["idempotency_key"]) == (201, "k")
    assert again == (200, made[1])
    assert (others[0], others[1]["id"] != made[1]["id"]) == (201, True)
    assert (foreign[0], foreign[1]["error"]) == (403, "forbidden")
    assert unread == (403, {"error": "forbidden", "message": "This token has no 'read' scope on queue 'send_email'"})
    assert (everywhere[0], cancel[0]) == (403, 403)
    assert (own[0], len(own[1])) == (200, 2)
    assert public[0] == 200


async def test_jobs_and_keys_outlive_a_restart(tmp_path: Path) -> None:
    settings = Settings(
        server=ServerSettings(host="127.0.0.1", http_port=0, tcp_port=0), storage=StorageSettings(path=str(tmp_path))
    )
    body = {"kind": "send_email", "payload": MAIL, "idempotency_key": "k"}
    async with running_node(settings) as node:
        http = await calling(node.http.port)
        first = await http.plain("POST", "/jobs", body)
        await http.close()
    async with running_node(settings) as node:
        http = await calling(node.http.port)
        again, listed = await http.plain("POST", "/jobs", body), await http.plain("GET", "/jobs")
        await http.close()

    assert again == (200, first[1])
    assert listed == (200, [first[1]])


async def test_every_node_of_a_cluster_answers_the_same(tmp_path: Path) -> None:
    async with asyncio.timeout(180), cluster(tmp_path) as rig:
        await rig.led()
        callers = [await calling(node.http.port) for node in rig.nodes.values()]
        body = {"kind": "send_email", "payload": MAIL, "idempotency_key": "k"}
        answers = await asyncio.gather(*(caller.plain("POST", "/jobs", body) for caller in callers))
        job = answers[0][1]
        reads = [await caller.plain("GET", f"/jobs/{job['id']}") for caller in callers]
        lists = [await caller.plain("GET", "/jobs?status=queued") for caller in callers]
        misfits = [await caller.plain("POST", "/jobs", {"kind": "send_email", "payload": {}}) for caller in callers]
        cancels = [await caller.plain("POST", f"/jobs/{job['id']}/cancel") for caller in callers]
        healthy = [await caller.plain("GET", "/health") for caller in callers]
        # When the majority is gone
        for name in list(rig.nodes)[1:]:
            await rig.stop(name)
        await rig.until(lambda: not next(iter(rig.nodes.values())).ready()[0])
        alone = await callers[0].plain("GET", "/health")
        for caller in callers:
            await caller.close()

    assert sorted(status for status, _ in answers) == [200, 200, 201]
    assert [answer[1] for answer in answers] == [job] * 3
    assert reads == [(200, job)] * 3
    assert lists == [(200, [job])] * 3
    assert {status for status, _ in misfits} == {422}
    assert [status for status, _ in cancels] == [200, 409, 409]
    assert healthy == [(200, {"status": "ok"})] * 3
    assert alone == (500, {"error": "internal", "message": "internal server error"})
