"""Verbs about jobs, each asked in every way that a client can ask it: the same question gets the same whole answer.

Ids stand as `#1`, `#2` in order of appearance, attempt tokens and cursors as `~1`, times as `T` (`protocols.Names`).
"""

import pytest

from tests.conformance.bodies import Step, ask, counts, job, leased, no_job, ok, pull, push, refused, stale, wrong_state
from tests.conformance.protocols import NOBODY, RAW_WAYS, WAYS, Json, play

TWICE: Json = {"max_attempts": 2, "backoff_delay_ms": 60_000}
"""A job whose second try does not come by itself while the case is played, however slowly."""
CASES: dict[str, list[Step]] = {
    "push and get": [
        (
            ask(
                "push",
                queue="q",
                name="n",
                data={"to": ["a", 1.5, None]},
                priority=5,
                delay_ms=60000,
                max_attempts=7,
                backoff="linear",
                backoff_delay_ms=10,
                max_backoff_ms=20,
                ttl_ms=3600000,
                timeout_ms=5000,
                unique_key="u",
                tags=["a", "b"],
                group_id="g",
                lifo=True,
                remove_on_complete=True,
                remove_on_fail=True,
                custom_id="c/1",
                metadata={"by": "test"},
                flow_id="f",
                on_parent_failure="ignore",
                traceparent="00-1",
            ),
            201,
            ok(id="#1"),
        ),
        (
            ask("get", id="#1"),
            200,
            ok(
                job=job(
                    "#1",
                    custom_id="c/1",
                    data={"to": ["a", 1.5, None]},
                    state="delayed",
                    priority=5,
                    delay_until="T",
                    max_attempts=7,
                    backoff="linear",
                    backoff_delay_ms=10,
                    ttl_ms=3600000,
                    timeout_ms=5000,
                    unique_key="u",
                    tags=["a", "b"],
                    group_id="g",
                    flow_id="f",
                    lifo=True,
                    remove_on_complete=True,
                    remove_on_fail=True,
                    max_backoff_ms=20,
                    on_parent_failure="ignore",
                    traceparent="00-1",
                    metadata={"by": "test"},
                )
            ),
        ),
        (
            ask("get", id="custom:q:c/1"),
            200,
            ok(
                job=job(
                    "#1",
                    custom_id="c/1",
                    data={"to": ["a", 1.5, None]},
                    state="delayed",
                    priority=5,
                    delay_until="T",
                    max_attempts=7,
                    backoff="linear",
                    backoff_delay_ms=10,
                    ttl_ms=3600000,
                    timeout_ms=5000,
                    unique_key="u",
                    tags=["a", "b"],
                    group_id="g",
                    flow_id="f",
                    lifo=True,
                    remove_on_complete=True,
                    remove_on_fail=True,
                    max_backoff_ms=20,
                    on_parent_failure="ignore",
                    traceparent="00-1",
                    metadata={"by": "test"},
                )
            ),
        ),
    ],
    "push with a receipt": [
        (push(receipt=True), 201, ok(id="#1", durability="fsync-majority", index=1, term=1)),
        (
            ask("push_batch", queue="q", jobs=[{"name": "n", "data": 1}], receipt=True),
            201,
            ok(ids=["#2"], durability="fsync-majority", index=2, term=1),
        ),
    ],
    "push batch": [
        (
            ask(
                "push_batch", queue="q", jobs=[{"name": "n", "data": 1}, {"name": "m", "data": None, "depends_on": [0]}]
            ),
            201,
            ok(ids=["#1", "#2"]),
        ),
        (ask("push_batch", queue="q", jobs=[]), 201, ok(ids=[])),
        (
            ask("job_list", queue="q", order="asc"),
            200,
            ok(jobs=[job("#1"), job("#2", name="m", data=None, state="blocked", depends_on=["#1"])], next_cursor=None),
        ),
    ],
    "pull one": [
        (pull(), 200, ok(job=None)),
        (push(), 201, ok(id="#1")),
        (pull(worker_id="w"), 200, ok(job=leased("#1", "~1", worker_id="w"))),
        (pull(), 200, ok(job=None)),
        (ask("get", id="#1"), 200, ok(job=job("#1", state="active", started_at="T", worker_id="w", fence=1))),
    ],
    "pull many": [
        (
            ask("push_batch", queue="q", jobs=[{"name": "n", "data": 1}, {"name": "n", "data": 1}]),
            201,
            ok(ids=["#1", "#2"]),
        ),
        (pull(count=5), 200, ok(jobs=[leased("#1", "~1"), leased("#2", "~1")])),
        (pull(count=5), 200, ok(jobs=[])),
        (pull(count=0), 200, ok(jobs=[])),
    ],
    "pull several queues": [
        (push(queue="b"), 201, ok(id="#1")),
        (
            ask("pull", queues=[{"queue": "a", "weight": 2}, {"queue": "b"}], count=5),
            200,
            ok(jobs=[leased("#1", "~1", queue="b")]),
        ),
        (ask("pull", queues=[{"queue": "a", "weight": 2}, {"queue": "b"}]), 200, ok(job=None)),
    ],
    "pull with the results of parents": [
        (push(), 201, ok(id="#1")),
        (push(depends_on=["#1"]), 201, ok(id="#2")),
        (pull(), 200, ok(job=leased("#1", "~1"))),
        (ask("ack", id="#1", result={"x": 1}), 200, ok()),
        (
            pull(with_parent_results=True),
            200,
            ok(
                job=leased(
                    "#2", "~2", depends_on=["#1"], parent_results={"#1": {"x": 1}}, parent_results_truncated=False
                )
            ),
        ),
        (
            ask("job_parents", id="#2"),
            200,
            ok(parents=[{"id": "#1", "state": "completed", "result": {"x": 1}}], next_cursor=None),
        ),
    ],
    "ack": [
        (push(), 201, ok(id="#1")),
        (pull(), 200, ok(job=leased("#1", "~1"))),
        (ask("ack", id="#1", result={"sent": True}, attempt_token="~1"), 200, ok()),
        (ask("ack", id="#1", attempt_token="~1"), 200, ok()),
        (ask("ack", id="#1"), 409, wrong_state("completed")),
        (ask("ack", id="#1", attempt_token="ab.1"), 409, stale("#1")),
        (ask("ack", id=NOBODY), 404, no_job(NOBODY)),
        (
            ask("get", id="#1"),
            200,
            ok(job=job("#1", result={"sent": True}, state="completed", started_at="T", completed_at="T", fence=1)),
        ),
    ],
    "ack as cancelled": [
        (push(), 201, ok(id="#1")),
        (pull(), 200, ok(job=leased("#1", "~1"))),
        (ask("cancel", id="#1"), 409, wrong_state("active", "Waiting, Delayed, or Blocked")),
        (ask("cancel", id="#1", running=True), 202, ok(status="cancelling")),
        (ask("heartbeat", id="#1"), 200, ok(cancel_requested=True, drain=False, lease_expires_at="T")),
        (ask("ack", id="#1", cancelled=True), 200, ok()),
        (ask("get", id="#1"), 200, ok(job=job("#1", state="cancelled", started_at="T", last_heartbeat="T", fence=1))),
    ],
    "ack batch": [
        (
            ask("push_batch", queue="q", jobs=[{"name": "n", "data": 1}, {"name": "n", "data": 1}]),
            201,
            ok(ids=["#1", "#2"]),
        ),
        (pull(count=2), 200, ok(jobs=[leased("#1", "~1"), leased("#2", "~1")])),
        (
            ask("ack_batch", items=[{"id": "#1", "result": 1}, {"id": "#2", "result": None}]),
            200,
            ok(acked=2, failed=0, results=[{"id": "#1", "ok": True}, {"id": "#2", "ok": True}]),
        ),
        (
            ask("ack_batch", items=[{"id": "#1", "result": 1}, {"id": NOBODY, "result": 1}]),
            200,
            {
                "ok": False,
                "acked": 0,
                "failed": 2,
                "results": [{**wrong_state("completed"), "id": "#1"}, {**no_job(NOBODY), "id": NOBODY}],
            },
        ),
    ],
    "fail and try again": [
        (push(**TWICE), 201, ok(id="#1")),
        (pull(), 200, ok(job=leased("#1", "~1", **TWICE))),
        (
            ask("fail", id="#1", error="one", attempt_token="~1"),
            200,
            ok(retry=True, will_retry=True, next_attempt_at="T"),
        ),
        (ask("job_promote", id="#1"), 200, ok()),
        (pull(), 200, ok(job=leased("#1", "~2", **TWICE, attempt=1, last_error="one", fence=2))),
        (ask("fail", id="#1", error="two"), 200, ok(retry=False, will_retry=False, next_attempt_at=None)),
        (ask("fail", id="#1", error="three"), 409, wrong_state("dlq")),
        (ask("fail", id=NOBODY, error="e"), 404, no_job(NOBODY)),
        (
            ask("get", id="#1"),
            200,
            ok(job=job("#1", state="dlq", started_at="T", **TWICE, attempt=2, last_error="two", fence=2)),
        ),
    ],
    "fail batch": [
        (
            ask("push_batch", queue="q", jobs=[{"name": "n", "data": 1, "max_attempts": 1}, {"name": "n", "data": 1}]),
            201,
            ok(ids=["#1", "#2"]),
        ),
        (pull(count=2), 200, ok(jobs=[leased("#1", "~1", max_attempts=1), leased("#2", "~1")])),
        (
            ask(
                "fail_batch",
                items=[{"id": "#1", "error": "a"}, {"id": "#2", "error": "b"}, {"id": NOBODY, "error": "c"}],
            ),
            200,
            {
                "ok": False,
                "retried": 1,
                "dead": 1,
                "failed": 1,
                "results": [
                    {"id": "#1", "ok": True, "retry": False, "will_retry": False, "next_attempt_at": None},
                    {"id": "#2", "ok": True, "retry": True, "will_retry": True, "next_attempt_at": "T"},
                    {**no_job(NOBODY), "id": NOBODY},
                ],
            },
        ),
    ],
    "progress and heartbeat": [
        (push(), 201, ok(id="#1")),
        (ask("progress", id="#1", progress=1), 409, wrong_state("waiting")),
        (ask("heartbeat", id="#1"), 409, wrong_state("waiting")),
        (pull(), 200, ok(job=leased("#1", "~1"))),
        (
            ask("progress", id="#1", progress=255, message="nearly"),
            200,
            ok(cancel_requested=False, drain=False, lease_expires_at="T"),
        ),
        (
            ask("heartbeat", id="#1", attempt_token="~1"),
            200,
            ok(cancel_requested=False, drain=False, lease_expires_at="T"),
        ),
        (ask("heartbeat", id="#1", attempt_token="ab.9"), 409, stale("#1")),
        (ask("heartbeat", id=NOBODY), 404, no_job(NOBODY)),
        (
            ask("get", id="#1"),
            200,
            ok(
                job=job(
                    "#1",
                    state="active",
                    progress=100,
                    logs=[{"timestamp": "T", "message": "nearly"}],
                    started_at="T",
                    last_heartbeat="T",
                    fence=1,
                )
            ),
        ),
    ],
    "cancel": [
        (push(), 201, ok(id="#1")),
        (ask("cancel", id="#1"), 200, ok()),
        (ask("cancel", id="#1"), 409, wrong_state("cancelled", "Waiting, Delayed, or Blocked")),
        (ask("cancel", id=NOBODY), 404, no_job(NOBODY)),
        (ask("get", id="#1"), 200, ok(job=job("#1", state="cancelled"))),
    ],
    "retry a dead job": [
        (push(max_attempts=1), 201, ok(id="#1")),
        (pull(), 200, ok(job=leased("#1", "~1", max_attempts=1))),
        (ask("fail", id="#1", error="e"), 200, ok(retry=False, will_retry=False, next_attempt_at=None)),
        (ask("job_retry", id="#1"), 200, ok()),
        (ask("job_retry", id="#1"), 409, wrong_state("waiting", "Dlq or Delayed")),
        (ask("job_retry", id=NOBODY), 404, no_job(NOBODY)),
        (pull(), 200, ok(job=leased("#1", "~2", max_attempts=1, last_error="e", fence=2))),
    ],
    "promote": [
        (push(delay_ms=60000), 201, ok(id="#1")),
        (ask("job_promote", id="#1"), 200, ok()),
        (ask("job_promote", id="#1"), 409, wrong_state("waiting", "Delayed")),
        (ask("job_promote", id=NOBODY), 404, no_job(NOBODY)),
        (pull(), 200, ok(job=leased("#1", "~1"))),
    ],
    "priority": [
        (push(), 201, ok(id="#1")),
        (push(), 201, ok(id="#2")),
        (ask("job_priority", id="#2", priority=9), 200, ok()),
        (pull(), 200, ok(job=leased("#2", "~1", priority=9))),
        (ask("job_priority", id=NOBODY, priority=1), 404, no_job(NOBODY)),
    ],
    "remove": [
        (push(), 201, ok(id="#1")),
        (ask("job_remove", id="#1"), 200, ok()),
        (ask("get", id="#1"), 404, no_job("#1")),
        (ask("job_remove", id="#1"), 404, no_job("#1")),
        (push(), 201, ok(id="#2")),
        (pull(), 200, ok(job=leased("#2", "~1"))),
        (ask("job_remove", id="#2"), 409, wrong_state("active", "any but Active")),
    ],
    "list jobs": [
        (
            ask(
                "push_batch",
                queue="q",
                jobs=[
                    {"name": "n", "data": 1, "tags": ["t"], "metadata": {"user": 1}},
                    {"name": "n", "data": 1, "tags": ["t"], "metadata": {"user": 2}},
                ],
            ),
            201,
            ok(ids=["#1", "#2"]),
        ),
        (
            ask("job_list", queue="q", limit=1),
            200,
            ok(jobs=[job("#2", tags=["t"], metadata={"user": 2})], next_cursor="#2"),
        ),
        (
            ask("job_list", queue="q", limit=1, cursor="#2"),
            200,
            ok(jobs=[job("#1", tags=["t"], metadata={"user": 1})], next_cursor=None),
        ),
        (
            ask(
                "job_list",
                queue="q",
                tag="t",
                state="waiting",
                name="n",
                metadata={"user": "2"},
                created_after="2020-01-01T00:00:00Z",
            ),
            200,
            ok(jobs=[job("#2", tags=["t"], metadata={"user": 2})], next_cursor=None),
        ),
        (ask("job_list", flow_id="none"), 200, ok(jobs=[], next_cursor=None)),
    ],
    "a repeat": [
        (push(idempotency_key="k"), 201, ok(id="#1")),
        (push(idempotency_key="k"), 201, ok(id="#1")),
        (
            ask("push", queue="q", name="n", data=2, idempotency_key="k"),
            422,
            refused(
                "IDEMPOTENCY_MISMATCH", "This idempotency key was used with another request", field="idempotency_key"
            ),
        ),
        (ask("stats", queue="q"), 200, ok(counts=counts(waiting=1), mode="normal")),
    ],
}

# What the Python client does not ask for, or asks for again until it is granted.
RAW_ONLY = {"push with a receipt"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
async def test_the_answer_is_the_same_however_it_is_asked(name: str, way: str) -> None:
    if name not in RAW_ONLY or way in RAW_WAYS:
        assert await play(CASES[name], way) == [(status, body) for _, status, body in CASES[name]]
