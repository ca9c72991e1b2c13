"""Jobs as every client sees them: the routes of contract A4 and the bodies of A5, A6 and A9."""

from typing import Any, Final

from tests.conformance.bodies import ask, counts, invalid, no_job, ok, refused, wrong_state
from tests.conformance.protocols import NOBODY, Json
from tests.contract.cases.words import (
    AGAIN,
    ALIVE,
    acked,
    dead,
    died,
    done,
    get,
    nothing,
    pull,
    push,
    pushed,
    running,
    shown,
    started,
)
from tests.contract.table import TEXT, Case, Step, Was, held, http, job

EVERYTHING: Final[Json] = {
    "priority": 5,
    "max_attempts": 7,
    "backoff": "linear",
    "backoff_delay_ms": 10,
    "ttl_ms": 3_600_000,
    "timeout_ms": 5_000,
    "unique_key": "u",
    "tags": ["a", "b"],
    "group_id": "g",
    "lifo": True,
    "remove_on_complete": True,
    "remove_on_fail": True,
    "custom_id": "c-1",
    "metadata": {"by": "test"},
    "flow_id": "$f",
}
NO_JOB: Final = no_job(NOBODY)
NOT_CANCELLED: Final = "Waiting, Delayed, or Blocked"


def wrong(reason: str, **details: Any) -> Json:
    return invalid(reason, **details)


def text_of(code: str = "VALIDATION_ERROR", **details: Any) -> Json:
    """A refusal whose wording is ours alone."""
    return {"ok": False, "error": {"code": code, "message": TEXT, "details": details or None}}


CASES: Final[dict[str, Case]] = {
    "a job's whole life": Case(
        "A4 push, A4 pull, A4 get, A4 ack, A6 ack, A10 push, A10 pull, A10 ack, A9 id, A9 name queue, "
        "A9 data, A9 result, A9 state, A9 started_at, A9 completed_at, A9 created_at updated_at, A5 name, "
        "A5 data, A9 worker_id, A7 push, A7 pull, A7 ack",
        [
            pushed(data={"to": ["a", 1.5, None]}),
            shown(data={"to": ["a", 1.5, None]}),
            started(data={"to": ["a", 1.5, None]}),
            shown(data={"to": ["a", 1.5, None]}, **running()),
            acked(result={"sent": True}),
            shown(data={"to": ["a", 1.5, None]}, result={"sent": True}, **done()),
            Step(ask("ack", id="#1"), 409, wrong_state("completed")),
            nothing(),
        ],
    ),
    "a job with everything": Case(
        "A5 priority, A5 max_attempts, A5 backoff, A5 backoff_delay_ms, A5 ttl_ms, A5 timeout_ms, A5 tags, "
        "A5 unique_key, A5 group_id, A5 lifo, A5 remove_on_fail, A5 custom_id, A5 metadata, A5 flow_id, "
        "A9 custom_id, A9 priority, A9 max_attempts, A9 backoff, A9 ttl_ms timeout_ms, A9 unique_key, "
        "A9 tags, A9 group_id, A9 metadata, A9 flow_id, A9 lifo and removals",
        [pushed(**EVERYTHING), shown(**EVERYTHING), started(**EVERYTHING), shown(**EVERYTHING, **running())],
    ),
    "a batch": Case(
        "A4 push, A7 push_batch, A7 ack_batch",
        [
            Step(
                ask("push_batch", queue="$q", jobs=[{"name": "n", "data": 1, "priority": 1}, {"name": "m", "data": 2}]),
                201,
                ok(ids=["#1", "#2"]),
            ),
            Step(ask("push_batch", queue="$q", jobs=[]), 201, ok(ids=[])),
            Step(pull(count=5), 200, ok(jobs=[held("#1", priority=1), held("#2", name="m", data=2)])),
            Step(pull(count=5), 200, ok(jobs=[])),
            Step(pull(count=0), 200, ok(jobs=[])),
            acked("#1"),
            acked("#2", result=None),
            shown("#2", name="m", data=2, **done()),
        ],
    ),
    "a batch with a bad job": Case(
        "A5 order of checks",
        [
            Step(
                ask("push_batch", queue="$q", jobs=[{"name": "n", "data": 1}, {"name": "a b", "data": 2}]),
                400,
                wrong(
                    "'jobs[1].name' may only hold ASCII letters, digits, '-', '_' and '.'",
                    field="jobs[1].name",
                    index=1,
                ),
            ),
            nothing(),
            pushed(unique_key="k"),
            Step(
                ask(
                    "push_batch",
                    queue="$q",
                    jobs=[{"name": "n", "data": 1}, {"name": "n", "data": 2, "unique_key": "k"}],
                ),
                409,
                refused("DUPLICATE_KEY", "Duplicate unique key 'k'", field="unique_key", index=1),
            ),
            Step(ask("stats", queue="$q"), 200, ok(counts=counts(waiting=1), mode="normal")),
        ],
    ),
    "what must be in a push": Case(
        "A5 name, A5 data, A5 queue name, A5 metadata, A5 unique_key",
        [
            Step(
                ask("push", queue="$q", name="a b", data=1),
                400,
                wrong("'name' may only hold ASCII letters, digits, '-', '_' and '.'", field="name"),
            ),
            Step(ask("push", queue="$q", name="", data=1), 400, text_of(field="name", limit=1)),
            Step(ask("push", queue="$q", name="n" * 1_025, data=1), 400, text_of(field="name", limit=1_024)),
            Step(
                ask("push", queue="a b", name="n", data=1),
                400,
                wrong("'queue' may only hold ASCII letters, digits, '-', '_' and '.'", field="queue"),
            ),
            Step(push(queue="q" * 257), 400, text_of(field="queue", limit=256)),
            Step(push(data="x" * 1_048_576), 400, text_of(field="data", limit=1_048_576)),
            Step(push(metadata="x" * 65_536), 400, text_of(field="metadata", limit=65_536)),
            Step(push(unique_key="x" * 1_025), 400, text_of(field="unique_key", limit=1_024)),
            nothing(),
        ],
    ),
    "a delay": Case(
        "A5 delay_ms, A9 delay_until, A10 push, A10 delay reached",
        [
            pushed(delay_ms=60_000),
            shown(state="delayed", delay_until="T"),
            nothing(),
            pushed("#2", delay_ms=200),
            Step(get("#2"), 200, ok(job=job("#2")), until=True),
            started("#2"),
        ],
    ),
    "fail": Case(
        "A4 fail, A6 fail, A7 fail, A9 attempt, A9 last_error, A10 fail and retry, A10 fail for good, "
        "A5 backoff_delay_ms, A11 max_attempts",
        [
            pushed(max_attempts=2, backoff="fixed", backoff_delay_ms=100),
            started(max_attempts=2, backoff="fixed", backoff_delay_ms=100),
            Step(ask("fail", id="#1", error="one"), 200, AGAIN),
            Step(
                pull(),
                200,
                ok(
                    job=held(
                        "#1",
                        "~2",
                        max_attempts=2,
                        backoff="fixed",
                        backoff_delay_ms=100,
                        attempt=1,
                        last_error="one",
                        fence=2,
                    )
                ),
                until=True,
            ),
            died(error="two"),
            shown(**dead(max_attempts=2, backoff="fixed", backoff_delay_ms=100, attempt=2, last_error="two", fence=2)),
            Step(ask("fail", id="#1", error="three"), 409, wrong_state("dlq")),
            Step(ask("fail", id=NOBODY, error="e"), 404, NO_JOB),
            Step(ask("fail", id="#1", error="x" * 10_241), 400, text_of(field="error", limit=10_240)),
        ],
    ),
    "fail without a delay": Case(
        "A4 fail, A10 fail and retry",
        [
            pushed(backoff_delay_ms=0),
            started(backoff_delay_ms=0),
            Step(ask("fail", id="#1", error="e"), 200, ok(retry=True, will_retry=True, next_attempt_at=None)),
            started("#1", "~2", backoff_delay_ms=0, attempt=1, last_error="e", fence=2),
        ],
    ),
    "cancel": Case(
        "A4 cancel, A7 cancel and heartbeat, A10 cancel",
        [
            pushed(),
            Step(ask("cancel", id="#1"), 200, ok()),
            shown(state="cancelled"),
            Step(ask("cancel", id="#1"), 409, wrong_state("cancelled", NOT_CANCELLED)),
            Step(ask("cancel", id=NOBODY), 404, NO_JOB),
            pushed("#2", delay_ms=60_000),
            Step(ask("cancel", id="#2"), 200, ok()),
            pushed("#3"),
            pushed("#4", depends_on=["#3"]),
            Step(ask("cancel", id="#4"), 200, ok()),
            started("#3"),
            Step(ask("cancel", id="#3"), 409, wrong_state("active", NOT_CANCELLED)),
            acked("#3"),
            Step(ask("cancel", id="#3"), 409, wrong_state("completed", NOT_CANCELLED)),
            nothing(),
        ],
    ),
    "progress": Case(
        "A4 progress, A6 progress, A7 progress, A9 progress, A9 logs",
        [
            pushed(),
            Step(ask("progress", id="#1", progress=1), 409, wrong_state("waiting")),
            started(),
            Step(ask("progress", id="#1", progress=40, message="nearly"), 200, ALIVE),
            Step(ask("progress", id="#1", progress=255), 200, ALIVE),
            shown(**running(progress=100, logs=[{"timestamp": "T", "message": "nearly"}])),
            Step(ask("progress", id=NOBODY, progress=1), 404, NO_JOB),
        ],
    ),
    "heartbeat": Case(
        "A4 heartbeat, A7 cancel and heartbeat, A9 last_heartbeat",
        [
            pushed(),
            Step(ask("heartbeat", id="#1"), 409, wrong_state("waiting")),
            started(),
            Step(ask("heartbeat", id="#1"), 200, ALIVE),
            shown(**running(last_heartbeat="T")),
            Step(ask("heartbeat", id=NOBODY), 404, NO_JOB),
        ],
    ),
    "no such job": Case("A4 get, A4 ack", [Step(get(NOBODY), 404, NO_JOB), Step(ask("ack", id=NOBODY), 404, NO_JOB)]),
    "a job removed when it is complete": Case(
        "A5 remove_on_complete",
        [
            pushed(remove_on_complete=True),
            started(remove_on_complete=True),
            acked(),
            Step(get(), 404, no_job("#1")),
            Step(ask("stats", queue="$q"), 200, ok(counts=counts(), mode="normal")),
        ],
    ),
    "an ack without a body": Case(
        "A4 ack, D 28",
        [
            pushed(),
            started(),
            Step(http("POST", "/jobs/#1/ack"), 200, ok()),
            pushed("#2"),
            started("#2", "~2"),
            Step(
                http("POST", "/jobs/#2/ack", b"", content_type="application/json"),
                200,
                ok(),
                Was("28", 400),
            ),
        ],
    ),
    "the get that pulls": Case(
        "A4 pull, D 25",
        [
            pushed(),
            pushed("#2"),
            pushed("#3"),
            Step(http("GET", "/queues/$q/jobs"), 200, ok(job=held("#1"))),
            Step(http("GET", "/queues/$q/jobs?count=2"), 200, ok(jobs=[held("#2", "~2"), held("#3", "~2")])),
            Step(http("GET", "/queues/$q/jobs?count=0"), 200, ok(jobs=[])),
            Step(http("GET", "/queues/$q/jobs"), 200, ok(job=None)),
        ],
    ),
}
