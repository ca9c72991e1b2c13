"""Verbs about queues, dead letters, flows and dependencies, each asked in every way that a client can ask it.

The same question gets the same whole answer. Ids stand as `#1`, `#2` in order of appearance, attempt tokens and cursors
as `~1`, times as `T` (`protocols.Names`).
"""

import asyncio

import pytest

import rustqueue
from tests.conformance.bodies import (
    Step,
    ask,
    bulk,
    counts,
    declared,
    job,
    leased,
    no_job,
    no_queue,
    ok,
    pull,
    push,
    refused,
)
from tests.conformance.protocols import NOBODY, RAW_WAYS, WAYS, Names, asking, play
from tests.unit.tcp_client import a_node, connected, until

CASES: dict[str, list[Step]] = {
    "queues": [
        (ask("list_queues"), 200, ok(queues=[])),
        (push(queue="b"), 201, ok(id="#1")),
        (push(queue="a", delay_ms=9999), 201, ok(id="#2")),
        (
            ask("list_queues"),
            200,
            ok(
                queues=[
                    {"name": "a", "counts": counts(delayed=1), "mode": "normal", **declared()},
                    {"name": "b", "counts": counts(waiting=1), "mode": "normal", **declared()},
                ]
            ),
        ),
        (ask("stats", queue="a"), 200, ok(counts=counts(delayed=1), mode="normal")),
        (ask("stats", queue="none"), 200, ok(counts=counts(), mode="normal")),
        (
            ask("queue_get", queue="a"),
            200,
            ok(name="a", counts=counts(delayed=1), settings={}, mode="normal", **declared()),
        ),
        (ask("queue_get", queue="none"), 404, no_queue("none")),
    ],
    "settings of a queue": [
        (
            ask(
                "queue_settings",
                queue="q",
                defaults={"max_attempts": 9, "tags": ["x"]},
                limits={"max_waiting": 1},
                retention={"completed": {"age_ms": 5, "count": 6}},
                lease_ms=5000,
                mode="hold",
            ),
            201,
            ok(
                name="q",
                counts=counts(),
                settings={
                    "defaults": {"max_attempts": 9, "tags": ["x"]},
                    "limits": {"max_waiting": 1},
                    "retention": {"completed": {"age_ms": 5, "count": 6}},
                    "lease_ms": 5000,
                    "mode": "hold",
                },
                mode="hold",
                created=True,
                **declared(1),
            ),
        ),
        (
            ask("queue_settings", queue="q", lease_ms=60000),
            200,
            ok(
                name="q",
                counts=counts(),
                settings={"lease_ms": 60000, "mode": "hold"},
                mode="hold",
                created=False,
                **declared(2),
            ),
        ),
        (
            ask("queue_get", queue="q"),
            200,
            ok(name="q", counts=counts(), settings={"lease_ms": 60000, "mode": "hold"}, mode="hold", **declared(2)),
        ),
    ],
    "defaults of a queue": [
        (
            ask("queue_settings", queue="q", defaults={"max_attempts": 9, "tags": ["x"]}),
            201,
            ok(
                name="q",
                counts=counts(),
                settings={"defaults": {"max_attempts": 9, "tags": ["x"]}},
                mode="normal",
                created=True,
                **declared(1),
            ),
        ),
        (push(), 201, ok(id="#1")),
        (ask("get", id="#1"), 200, ok(job=job("#1", max_attempts=9, tags=["x"]))),
    ],
    "a queue that is full": [
        (
            ask("queue_settings", queue="q", limits={"max_waiting": 1}),
            201,
            ok(
                name="q",
                counts=counts(),
                settings={"limits": {"max_waiting": 1}},
                mode="normal",
                created=True,
                **declared(1),
            ),
        ),
        (push(), 201, ok(id="#1")),
        (
            push(),
            429,
            refused("RATE_LIMITED", "Queue 'q' holds 1 waiting jobs, its limit", field="max_waiting", limit=1),
        ),
    ],
    "pause": [
        (ask("queue_pause", queue="q"), 200, ok()),
        (push(), 503, refused("QUEUE_PAUSED", "Queue 'q' is paused")),
        (ask("stats", queue="q"), 200, ok(counts=counts(), mode="reject")),
        (ask("queue_resume", queue="q"), 200, ok()),
        (push(), 201, ok(id="#1")),
        (ask("queue_pause", queue="q", mode="hold"), 200, ok()),
        (push(), 201, ok(id="#2")),
        (pull(), 200, ok(job=None)),
        (ask("queue_pause", queue="q", mode="both"), 200, ok()),
        (push(), 503, refused("QUEUE_PAUSED", "Queue 'q' is paused")),
        (pull(), 200, ok(job=None)),
        (
            ask("list_queues"),
            200,
            ok(queues=[{"name": "q", "counts": counts(waiting=2), "mode": "both", **declared(4)}]),
        ),
        (ask("queue_resume", queue="q"), 200, ok()),
        (pull(count=2), 200, ok(jobs=[leased("#1", "~1"), leased("#2", "~1")])),
    ],
    "drain": [
        (push(), 201, ok(id="#1")),
        (push(delay_ms=60000), 201, ok(id="#2")),
        (push(), 201, ok(id="#3")),
        (pull(), 200, ok(job=leased("#1", "~1"))),
        (ask("queue_drain", queue="q"), 200, bulk(2, 2)),
        (ask("stats", queue="q"), 200, ok(counts=counts(active=1), mode="normal")),
        (ask("queue_drain", queue="none"), 404, no_queue("none")),
    ],
    "clean": [
        (push(), 201, ok(id="#1")),
        (ask("cancel", id="#1"), 200, ok()),
        (ask("queue_clean", queue="q", state="completed"), 200, bulk(0, 0)),
        (ask("queue_clean", queue="q", state="cancelled", older_than_ms=60000), 200, bulk(0, 0)),
        (ask("queue_clean", queue="q", state="cancelled", limit=5), 200, bulk(1, 1)),
        (ask("get", id="#1"), 404, no_job("#1")),
        (ask("queue_clean", queue="none", state="dlq"), 404, no_queue("none")),
    ],
    "delete a queue": [
        (push(), 201, ok(id="#1")),
        (
            ask("queue_delete", queue="q"),
            409,
            refused("QUEUE_NOT_EMPTY", "Queue 'q' still holds 1 jobs", counts=counts(waiting=1)),
        ),
        (ask("queue_delete", queue="q", force=True), 200, bulk(1, 1)),
        (ask("list_queues"), 200, ok(queues=[])),
        (ask("queue_delete", queue="q"), 404, no_queue("q")),
        (ask("get", id="#1"), 404, no_job("#1")),
    ],
    "dead letters": [
        (push(max_attempts=1), 201, ok(id="#1")),
        (pull(), 200, ok(job=leased("#1", "~1", max_attempts=1))),
        (ask("fail", id="#1", error="boom"), 200, ok(retry=False, will_retry=False, next_attempt_at=None)),
        (
            ask("dlq", queue="q"),
            200,
            ok(
                jobs=[job("#1", state="dlq", started_at="T", max_attempts=1, attempt=1, last_error="boom", fence=1)],
                next_cursor=None,
            ),
        ),
        (ask("dlq", queue="q", limit=0), 200, ok(jobs=[], next_cursor=None)),
        (ask("dlq_retry", queue="q", filter={"error_contains": "boom"}, dry_run=True), 200, bulk(1, 0)),
        (ask("dlq_retry", queue="q", filter={"name": "other"}), 200, bulk(0, 0)),
        (ask("dlq_retry", queue="q", limit=1), 200, bulk(1, 1)),
        (ask("stats", queue="q"), 200, ok(counts=counts(waiting=1), mode="normal")),
        (pull(), 200, ok(job=leased("#1", "~2", max_attempts=1, last_error="boom", fence=2))),
        (ask("fail", id="#1", error="boom"), 200, ok(retry=False, will_retry=False, next_attempt_at=None)),
        (ask("dlq_purge", queue="q"), 200, bulk(1, 1)),
        (ask("dlq", queue="q"), 200, ok(jobs=[], next_cursor=None)),
        (ask("dlq_purge", queue="none"), 404, no_queue("none")),
        (ask("dlq_retry", queue="none"), 404, no_queue("none")),
        (ask("dlq", queue="none"), 200, ok(jobs=[], next_cursor=None)),
    ],
    "flow": [
        (
            ask(
                "push_batch",
                queue="q",
                jobs=[
                    {"name": "n", "data": 1, "flow_id": "f"},
                    {"name": "n", "data": 1, "flow_id": "f", "depends_on": [0]},
                    {"name": "n", "data": 1, "flow_id": "f", "depends_on": [0], "on_parent_failure": "continue"},
                ],
            ),
            201,
            ok(ids=["#1", "#2", "#3"]),
        ),
        (pull(), 200, ok(job=leased("#1", "~1", flow_id="f"))),
        (
            ask("flow", flow_id="f"),
            200,
            ok(
                flow_id="f",
                jobs=[
                    job("#1", state="active", started_at="T", flow_id="f", fence=1),
                    job("#2", state="blocked", depends_on=["#1"], flow_id="f"),
                    job("#3", state="blocked", depends_on=["#1"], flow_id="f", on_parent_failure="continue"),
                ],
                summary={"total": 3, "waiting": 0, "active": 1, "blocked": 2, "completed": 0, "failed": 0, "dlq": 0},
                next_cursor=None,
            ),
        ),
        (ask("cancel", id="#2"), 200, ok()),
        (ask("ack", id="#1"), 200, ok()),
        (
            ask("flow", flow_id="none"),
            200,
            ok(
                flow_id="none",
                jobs=[],
                summary={"total": 0, "waiting": 0, "active": 0, "blocked": 0, "completed": 0, "failed": 0, "dlq": 0},
                next_cursor=None,
            ),
        ),
    ],
    "a parent that dies": [
        (push(max_attempts=1), 201, ok(id="#1")),
        (push(depends_on=["#1"]), 201, ok(id="#2")),
        (push(depends_on=["#2"]), 201, ok(id="#3")),
        (pull(), 200, ok(job=leased("#1", "~1", max_attempts=1))),
        (ask("fail", id="#1", error="e"), 200, ok(retry=False, will_retry=False, next_attempt_at=None)),
        (
            ask("get", id="#2"),
            200,
            ok(job=job("#2", state="dlq", last_error="parent job '#1' moved to DLQ", depends_on=["#1"])),
        ),
        (
            ask("get", id="#3"),
            200,
            ok(job=job("#3", state="dlq", last_error="parent job '#2' moved to DLQ", depends_on=["#2"])),
        ),
        (
            push(depends_on=["#1"]),
            400,
            refused("VALIDATION_ERROR", "Validation error: dependency '#1' is dlq", field="depends_on"),
        ),
        (
            push(depends_on=[NOBODY]),
            400,
            refused(
                "VALIDATION_ERROR",
                "Validation error: dependency '00000000-0000-7000-8000-000000000000' does not exist",
                field="depends_on",
            ),
        ),
    ],
    "unique keys": [
        (push(unique_key="u"), 201, ok(id="#1")),
        (push(unique_key="u"), 409, refused("DUPLICATE_KEY", "Duplicate unique key 'u'", field="unique_key")),
        (push(queue="other", unique_key="u"), 201, ok(id="#2")),
        (ask("cancel", id="#1"), 200, ok()),
        (push(unique_key="u"), 201, ok(id="#3")),
        (push(custom_id="c"), 201, ok(id="#4")),
        (push(custom_id="c"), 409, refused("DUPLICATE_KEY", "Duplicate custom id 'c'", field="custom_id")),
    ],
    "follow-ups": [
        (
            push(
                metadata={
                    "by": "me",
                    "follow_ups": [{"queue": "next", "name": "then"}, {"queue": "bad name", "name": "x"}],
                }
            ),
            201,
            ok(id="#1"),
        ),
        (
            pull(),
            200,
            ok(
                job=leased(
                    "#1",
                    "~1",
                    metadata={
                        "by": "me",
                        "follow_ups": [{"queue": "next", "name": "then"}, {"queue": "bad name", "name": "x"}],
                    },
                )
            ),
        ),
        (
            ask("ack", id="#1", result={"r": 1}),
            200,
            ok(
                follow_ups_refused=[
                    "follow_ups[1]: Validation error: 'queue' may only hold ASCII letters, digits, '-', '_' and '.'"
                ]
            ),
        ),
        (
            ask("job_list", queue="next"),
            200,
            ok(
                jobs=[job("#2", name="then", queue="next", data={"r": 1}, depends_on=["#1"], metadata={"by": "me"})],
                next_cursor=None,
            ),
        ),
    ],
    "sweeps": [
        (
            ask("sweep_get", id=NOBODY),
            404,
            refused("SWEEP_NOT_FOUND", "Sweep '00000000-0000-7000-8000-000000000000' not found"),
        ),
        (
            ask("sweep_cancel", id=NOBODY),
            404,
            refused("SWEEP_NOT_FOUND", "Sweep '00000000-0000-7000-8000-000000000000' not found"),
        ),
    ],
}

# What the Python client does not ask for, or asks for again until it is granted.
RAW_ONLY = {"a queue that is full"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
async def test_the_answer_is_the_same_however_it_is_asked(name: str, way: str) -> None:
    if name not in RAW_ONLY or way in RAW_WAYS:
        assert await play(CASES[name], way) == [(status, body) for _, status, body in CASES[name]]


@pytest.mark.parametrize("way", WAYS)
async def test_more_than_a_thousand_jobs_go_by_a_sweep(way: str) -> None:
    names = Names()
    async with a_node() as node, asking(way, node) as client:
        # Given more jobs than one entry may remove
        for _ in range(2):
            await client.ask("push_batch", {"queue": "q", "jobs": [{"name": "n", "data": 1}] * 900})
        # When they are drained
        status, drained = await client.ask("queue_drain", {"queue": "q"})
        sweep = drained["sweep"]
        # Then the answer tells what is done so far and names a sweep, which ends
        so_far = drained["moved"]
        assert 1_000 <= so_far < 1_800
        assert (status or 202, names.told(drained)) == (202, ok(matched=so_far, moved=so_far, sweep="#1"))
        told = await client.ask("sweep_get", {"id": sweep})
        while told.body["state"] == "running":
            told = await client.ask("sweep_get", {"id": sweep})
        assert names.told(told.body) == ok(id="#1", state="done", matched=1_800, moved=1_800)
        assert (await client.ask("stats", {"queue": "q"})).body == ok(counts=counts(), mode="normal")
        assert (await client.ask("sweep_cancel", {"id": sweep})).body == ok()


@pytest.mark.parametrize("way", WAYS)
async def test_a_waiting_pull_is_answered_by_the_push(way: str) -> None:
    names = Names()
    async with a_node() as node, asking(way, node) as client, connected(node) as other:
        # Given a pull that waits
        waiting = asyncio.create_task(client.ask("pull", {"queue": "q", "wait_ms": 60_000}))
        await until(lambda: node.gateway.waiting_count == 1, other)
        # When a job comes
        pushed = await other.ask("push", **push().fields)
        # Then it is answered with that job
        told = await waiting
        assert (told.status or 200, names.told([pushed, told.body])) == (
            200,
            [ok(id="#1"), ok(job=leased("#1", "~1"))],
        )


@pytest.mark.parametrize("way", WAYS)
async def test_health_names_the_node(way: str) -> None:
    async with a_node() as node, asking(way, node) as client:
        await client.ask("push", push().fields)
        status, body = await client.ask("health", {})
        assert (status or 200, {**body, "uptime_seconds": 0}) == (
            200,
            ok(
                status="healthy",
                version=rustqueue.__version__,
                uptime_seconds=0,
                role="leader",
                leader="n0",
                term=1,
                applied=1,
                lag=0,
            ),
        )
