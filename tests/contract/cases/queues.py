"""Queues, dead letters and flows: the routes of contract A4, and A17."""

from typing import Final

from tests.conformance.bodies import ask, counts, declared, ok, refused
from tests.contract.cases.words import acked, dead, died, pull, push, pushed, running, started
from tests.contract.table import Case, Step, Was, held, job

PAUSED: Final = refused("QUEUE_PAUSED", "Queue '$q' is paused")
NO_JOBS: Final = dict.fromkeys(("total", "waiting", "active", "blocked", "completed", "failed", "dlq"), 0)

CASES: Final[dict[str, Case]] = {
    "queues and their counts": Case(
        "A4 queues, A4 stats, A7 stats",
        [
            pushed(queue="$b"),
            pushed("#2", queue="$a", delay_ms=60_000),
            Step(
                ask("list_queues"),
                200,
                ok(
                    queues=[
                        {"name": "$a", "counts": counts(delayed=1), "mode": "normal", **declared()},
                        {"name": "$b", "counts": counts(waiting=1), "mode": "normal", **declared()},
                    ]
                ),
            ),
            Step(pull(queue="$b"), 200, ok(job=held("#1", queue="$b"))),
            Step(ask("stats", queue="$b"), 200, ok(counts=counts(active=1), mode="normal")),
            acked(),
            Step(ask("stats", queue="$b"), 200, ok(counts=counts(completed=1), mode="normal")),
            Step(ask("cancel", id="#2"), 200, ok()),
            Step(ask("stats", queue="$a"), 200, ok(counts=counts(), mode="normal")),
            Step(ask("stats", queue="$none"), 200, ok(counts=counts(), mode="normal")),
        ],
    ),
    "pause": Case(
        "A4 pause, A4 resume, A17 queue pause, A7 queue_pause queue_resume, A5 order of checks",
        [
            pushed(),
            Step(ask("queue_pause", queue="$q"), 200, ok()),
            Step(push(), 503, PAUSED),
            Step(ask("push_batch", queue="$q", jobs=[{"name": "n", "data": 1}]), 503, PAUSED),
            started(),
            Step(ask("queue_resume", queue="$q"), 200, ok()),
            pushed("#2"),
            Step(ask("queue_resume", queue="$none"), 200, ok()),
        ],
        whole="the original forgets a pause; that ours is kept is a case of its own",
    ),
    "a pause that is kept": Case(
        "D 11, D detail mode of a queue",
        [
            Step(ask("queue_pause", queue="$q"), 200, ok()),
            Step(push(), 503, PAUSED),
            Step(ask("stats", queue="$q"), 200, ok(counts=counts(), mode="reject")),
            Step(push(), 503, PAUSED),
            Step(ask("queue_pause", queue="$q", mode="hold"), 200, ok()),
            pushed(),
            Step(pull(), 200, ok(job=None)),
            Step(ask("queue_pause", queue="$q", mode="both"), 200, ok()),
            Step(push(), 503, PAUSED),
            Step(pull(), 200, ok(job=None)),
            Step(
                ask("list_queues"),
                200,
                ok(queues=[{"name": "$q", "counts": counts(waiting=1), "mode": "both", **declared(3)}]),
            ),
            Step(ask("queue_resume", queue="$q"), 200, ok()),
            started(),
        ],
        differs="11",
    ),
    "dead letters": Case(
        "A4 dlq, A17 dlq",
        [
            pushed(max_attempts=1),
            started(max_attempts=1),
            died(),
            Step(ask("dlq", queue="$q"), 200, ok(jobs=[job("#1", **dead())], next_cursor=None)),
            Step(ask("dlq", queue="$q", limit=1), 200, ok(jobs=[job("#1", **dead())], next_cursor=None)),
            Step(ask("dlq", queue="$q", limit=0), 200, ok(jobs=[], next_cursor=None)),
            Step(ask("dlq", queue="$none"), 200, ok(jobs=[], next_cursor=None)),
            Step(ask("stats", queue="$q"), 200, ok(counts=counts(dlq=1), mode="normal")),
        ],
    ),
    "a flow": Case(
        "A4 flow, A12 flow status, A12 initial state",
        [
            pushed(flow_id="$f"),
            pushed("#2", flow_id="$f", depends_on=["#1"]),
            started(flow_id="$f"),
            Step(
                ask("flow", flow_id="$f"),
                200,
                ok(
                    flow_id="$f",
                    jobs=[
                        job("#1", **running(flow_id="$f")),
                        job("#2", state="blocked", depends_on=["#1"], flow_id="$f"),
                    ],
                    summary={**NO_JOBS, "total": 2, "active": 1, "blocked": 1},
                    next_cursor=None,
                ),
                Was("name lists", 200),
            ),
            Step(ask("flow", flow_id="$none"), 200, ok(flow_id="$none", jobs=[], summary=NO_JOBS, next_cursor=None)),
        ],
    ),
    "the rate of a queue": Case(
        "A17 rate limit, A19 queues",
        [
            pushed(),
            Step(
                ask("push_batch", queue="$q", jobs=[{"name": "n", "data": 1}] * 2),
                429,
                refused("RATE_LIMITED", "Rate limit exceeded", field="rate", limit=2, per_ms=2_000_000),
            ),
            pushed("#2"),
            Step(push(), 429, refused("RATE_LIMITED", "Rate limit exceeded", field="rate", limit=2, per_ms=2_000_000)),
            pushed("#3", queue="$other"),
        ],
        rates={"$q": (0.001, 2)},
        whole="a bucket is full again after a restart, as the original's",
    ),
}
