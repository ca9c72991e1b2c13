"""The HTTP contract against a whole node: what the original's own tests assert, and the defects that it had.

The node has a memory store and a real journal. Every answer is compared as a whole, but for what time and chance make.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest_asyncio

from rustqueue.model import limits
from tests.fuzz.shell import Answer, Wire
from tests.unit.tcp_client import a_node, connected

UNKNOWN = "0193e7a0-1111-7000-8000-000000000000"
UNDECLARED: dict[str, object] = {"labels": {}, "owner": None, "revision": 0}
COUNTS = {"waiting": 0, "active": 0, "delayed": 0, "completed": 0, "failed": 0, "dlq": 0, "blocked": 0}


class Caller:
    """JSON over HTTP to one node."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def ask(self, method: str, target: str, body: object = None, **headers: str) -> Answer:
        data = None if body is None else msgspec.json.encode(body)
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return await self._wire.ask(method, f"/api/v1{target}", data, named)

    async def push(self, queue: str = "q", **job: Any) -> str:
        answer = await self.ask("POST", f"/queues/{queue}/jobs", {"name": "n", "data": 1, **job})
        assert answer.status == 201, answer.body
        job_id: str = answer.json["id"]
        return job_id

    async def pull(self, queue: str = "q") -> Any:
        return (await self.ask("GET", f"/queues/{queue}/jobs")).json["job"]

    async def job(self, job_id: str) -> Any:
        return (await self.ask("GET", f"/jobs/{job_id}")).json["job"]


@pytest_asyncio.fixture
async def http() -> AsyncIterator[Caller]:
    async with a_node() as node:
        wire = await connected_to(node.http.port)
        yield Caller(wire)
        await wire.close()


async def connected_to(port: int) -> Wire:
    return Wire(*await asyncio.open_connection("127.0.0.1", port))


def plain(answer: Answer) -> tuple[int, Any]:
    return answer.status, answer.json


# The life of a job.


async def test_a_job_is_pushed_pulled_and_acknowledged(http: Caller) -> None:
    job_id = await http.push(data={"to": "a"}, priority=3)
    pulled = await http.pull()
    acked = await http.ask("POST", f"/jobs/{job_id}/ack", {"result": {"sent": True}})
    job = await http.job(job_id)

    assert (pulled["id"], pulled["data"], pulled["priority"], pulled["state"]) == (job_id, {"to": "a"}, 3, "active")
    assert plain(acked) == (200, {"ok": True})
    assert (job["state"], job["result"], job["attempt"]) == ("completed", {"sent": True}, 0)
    assert "attempt_token" in pulled
    assert "attempt_token" not in job


async def test_a_batch_answers_ids_in_the_order_of_its_jobs(http: Caller) -> None:
    pushed = await http.ask("POST", "/queues/q/jobs", [{"name": f"n{number}", "data": number} for number in range(3)])
    pulled = await http.ask("GET", "/queues/q/jobs?count=5")
    empty = await http.ask("POST", "/queues/q/jobs", [])

    assert pushed.status == 201
    assert [job["id"] for job in pulled.json["jobs"]] == pushed.json["ids"]
    assert [job["name"] for job in pulled.json["jobs"]] == ["n0", "n1", "n2"]
    assert plain(empty) == (201, {"ok": True, "ids": []})


async def test_a_pull_answers_by_its_count(http: Caller) -> None:
    answers = [await http.ask("GET", f"/queues/q/jobs{query}") for query in ("", "?count=1", "?count=0", "?count=2")]

    assert [plain(answer) for answer in answers] == [
        (200, {"ok": True, "job": None}),
        (200, {"ok": True, "job": None}),
        (200, {"ok": True, "jobs": []}),
        (200, {"ok": True, "jobs": []}),
    ]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


async def test_what_needs_a_running_job_is_refused_otherwise(http: Caller) -> None:
    job_id = await http.push()
    bodies: dict[str, object] = {"ack": None, "fail": {"error": "e"}, "heartbeat": None, "progress": {"progress": 1}}
    waiting = [await http.ask("POST", f"/jobs/{job_id}/{verb}", body) for verb, body in bodies.items()]
    unknown = [await http.ask("POST", f"/jobs/{UNKNOWN}/{verb}", body) for verb, body in bodies.items()]

    text = "Job is in invalid state 'Waiting' for operation (expected: Active)"
    refusal = {"code": "INVALID_STATE", "message": text, "details": {"state": "waiting"}}
    assert [plain(answer) for answer in waiting] == [(409, {"ok": False, "error": refusal})] * 4
    missing = {"code": "JOB_NOT_FOUND", "message": f"Job '{UNKNOWN}' not found", "details": None}
    assert [plain(answer) for answer in unknown] == [(404, {"ok": False, "error": missing})] * 4


async def test_a_failed_job_is_tried_again_until_it_is_dead(http: Caller) -> None:
    job_id = await http.push(max_attempts=2, backoff="fixed", backoff_delay_ms=0)
    await http.pull()
    first = await http.ask("POST", f"/jobs/{job_id}/fail", {"error": "one"})
    await http.pull()
    second = await http.ask("POST", f"/jobs/{job_id}/fail", {"error": "two"})
    dead = await http.ask("GET", "/queues/q/dlq?limit=5")

    assert plain(first) == (200, {"ok": True, "retry": True, "will_retry": True, "next_attempt_at": None})
    assert plain(second) == (200, {"ok": True, "retry": False, "will_retry": False, "next_attempt_at": None})
    assert [(job["id"], job["last_error"], job["attempt"]) for job in dead.json["jobs"]] == [(job_id, "two", 2)]


async def test_a_waiting_job_can_be_cancelled_once(http: Caller) -> None:
    job_id = await http.push()
    first, second = [await http.ask("POST", f"/jobs/{job_id}/cancel") for _ in range(2)]

    assert plain(first) == (200, {"ok": True})
    assert (second.status, second.code) == (409, "INVALID_STATE")
    assert (await http.job(job_id))["state"] == "cancelled"


async def test_progress_above_100_counts_as_100(http: Caller) -> None:
    job_id = await http.push()
    await http.pull()
    answer = await http.ask("POST", f"/jobs/{job_id}/progress", {"progress": 255, "message": "nearly"})
    job = await http.job(job_id)

    assert sorted(answer.json) == ["cancel_requested", "drain", "lease_expires_at", "ok"]
    assert (job["progress"], [line["message"] for line in job["logs"]]) == (100, ["nearly"])


async def test_an_acknowledged_batch_names_what_failed(http: Caller) -> None:
    job_id = await http.push()
    await http.pull()
    for body in ([{"id": job_id}, {"id": UNKNOWN}], {"ids": [UNKNOWN]}):
        answer = await http.ask("POST", "/jobs/ack-batch", body)
        assert answer.status == 200
        assert answer.json["ok"] is False
        assert answer.json["results"][-1]["error"]["code"] == "JOB_NOT_FOUND"
    assert (await http.job(job_id))["state"] == "completed"


# Queues and flows.


async def test_queues_are_listed_with_their_counts(http: Caller) -> None:
    for queue in ("b", "a"):
        await http.push(queue)
    await http.push("a", delay_ms=60_000)

    answer = await http.ask("GET", "/queues")

    assert plain(answer) == (
        200,
        {
            "ok": True,
            "queues": [
                {"name": "a", "counts": {**COUNTS, "waiting": 1, "delayed": 1}, "mode": "normal", **UNDECLARED},
                {"name": "b", "counts": {**COUNTS, "waiting": 1}, "mode": "normal", **UNDECLARED},
            ],
        },
    )


async def test_what_is_not_there_is_empty_as_in_the_original(http: Caller) -> None:
    summary = {"total": 0, "waiting": 0, "active": 0, "blocked": 0, "completed": 0, "failed": 0, "dlq": 0}

    assert plain(await http.ask("GET", "/queues/none/stats")) == (
        200,
        {"ok": True, "counts": COUNTS, "mode": "normal"},
    )
    assert plain(await http.ask("GET", "/flows/none")) == (
        200,
        {"ok": True, "flow_id": "none", "jobs": [], "summary": summary, "next_cursor": None},
    )
    assert plain(await http.ask("GET", "/queues/none/dlq")) == (200, {"ok": True, "jobs": [], "next_cursor": None})


async def test_a_paused_queue_refuses_pushes_and_is_pulled(http: Caller) -> None:
    job_id = await http.push()
    paused = await http.ask("POST", "/queues/q/pause")
    refused = await http.ask("POST", "/queues/q/jobs", {"name": "n", "data": 1})
    pulled = await http.pull()
    await http.ask("POST", "/queues/q/resume")

    assert plain(paused) == (200, {"ok": True})
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "QUEUE_PAUSED", "1")
    assert pulled["id"] == job_id
    assert await http.push()


async def test_a_put_says_whether_the_queue_is_new(http: Caller) -> None:
    first, second = [await http.ask("PUT", "/queues/q", {"lease_ms": 500}) for _ in range(2)]

    assert (first.status, first.json["created"]) == (201, True)
    assert (second.status, second.json["created"]) == (200, False)
    assert second.json["settings"] == {"lease_ms": 500}


async def test_children_wait_for_their_parents_in_a_batch(http: Caller) -> None:
    jobs = [{"name": "parent", "data": 1}, {"name": "child", "data": 2, "depends_on": [0]}]
    parent, child = (await http.ask("POST", "/queues/q/jobs", jobs)).json["ids"]
    blocked = await http.job(child)
    await http.pull()
    await http.ask("POST", f"/jobs/{parent}/ack", {"result": 7})
    parents = await http.ask("GET", f"/jobs/{child}/parents")

    assert (blocked["state"], blocked["depends_on"]) == ("blocked", [parent])
    assert (await http.pull())["id"] == child
    assert plain(parents) == (
        200,
        {"ok": True, "parents": [{"id": parent, "state": "completed", "result": 7}], "next_cursor": None},
    )


async def test_a_queue_with_jobs_is_deleted_by_force_only(http: Caller) -> None:
    await http.push()
    refused = await http.ask("DELETE", "/queues/q")
    forced = await http.ask("DELETE", "/queues/q?force=true")

    assert (refused.status, refused.code) == (409, "QUEUE_NOT_EMPTY")
    assert refused.json["error"]["details"] == {"counts": {**COUNTS, "waiting": 1}}
    assert plain(forced) == (200, {"ok": True, "matched": 1, "moved": 1, "sweep": None})


async def test_a_listing_goes_on_where_its_cursor_says(http: Caller) -> None:
    jobs = [{"name": "n", "data": number, "metadata": {"user": number % 2}} for number in range(5)]
    pushed = (await http.ask("POST", "/queues/q/jobs", jobs)).json["ids"]
    first = await http.ask("GET", "/jobs?queue=q&order=asc&limit=3")
    rest = await http.ask("GET", f"/jobs?queue=q&order=asc&limit=3&cursor={first.json['next_cursor']}")
    odd = await http.ask("GET", "/jobs?queue=q&metadata.user=1&order=asc")

    assert [job["id"] for job in first.json["jobs"] + rest.json["jobs"]] == pushed
    assert rest.json["next_cursor"] is None
    assert [job["id"] for job in odd.json["jobs"]] == [pushed[1], pushed[3]]


# Repeats.


async def test_a_repeat_with_the_same_key_answers_as_the_first_did(http: Caller) -> None:
    job = {"name": "n", "data": 1}
    first = await http.ask("POST", "/queues/q/jobs", job, Idempotency_Key="k")
    repeat = await http.ask("POST", "/queues/q/jobs", job, Idempotency_Key="k")
    other = await http.ask("POST", "/queues/q/jobs", {"name": "n", "data": 2}, Idempotency_Key="k")

    assert plain(repeat) == plain(first)
    assert (other.status, other.code) == (422, "IDEMPOTENCY_MISMATCH")
    assert (await http.ask("GET", "/queues/q/stats")).json["counts"]["waiting"] == 1


async def test_a_unique_key_has_one_winner(http: Caller) -> None:
    """The original checked and then stored: of fifty parallel pushes two to eight won."""
    await http.push(unique_key="u")
    answer = await http.ask("POST", "/queues/q/jobs", {"name": "n", "data": 1, "unique_key": "u"})

    assert (answer.status, answer.code) == (409, "DUPLICATE_KEY")


# Numbers that broke the original.


async def test_a_delay_of_nothing_is_no_delay(http: Caller) -> None:
    assert (await http.job(await http.push(delay_ms=0)))["state"] == "waiting"


async def test_huge_numbers_are_refused_by_name_and_limit(http: Caller) -> None:
    values = [("delay_ms", 9 * 10**15), ("delay_ms", 2**64 - 1), ("timeout_ms", 2**64 - 1), ("backoff_delay_ms", 2**63)]
    for field, value in values:
        answer = await http.ask("POST", "/queues/q/jobs", {"name": "n", "data": 1, field: value})
        assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
        assert answer.json["error"]["details"] == {"field": field, "limit": limits.DURATION_MS_MAX}
    pull = await http.ask("GET", "/queues/q/jobs?count=4294967295")
    assert (pull.status, pull.code) == (400, "VALIDATION_ERROR")
    assert pull.json["error"]["details"] == {"field": "count", "limit": limits.PULL_COUNT_MAX}


# The other protocol.


async def test_what_one_protocol_pushes_the_other_pulls() -> None:
    async with a_node() as node:
        wire = await connected_to(node.http.port)
        http = Caller(wire)
        job_id = await http.push(data={"k": [1, 2.5, None, "\u00e9"]})
        async with connected(node) as tcp:
            pulled = await tcp.ask("pull", queue="q")
            seen = await http.job(job_id)
            shared = {key: value for key, value in pulled["job"].items() if key in seen}
        await wire.close()

    assert shared == seen
