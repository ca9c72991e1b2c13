"""What becomes of a job: states, options, dependencies, follow-ups (contract A10 to A12)."""

from typing import Any, Final

from tests.conformance.bodies import ask, invalid, ok, refused
from tests.conformance.protocols import NOBODY, Json
from tests.contract.cases.words import AGAIN, acked, dead, died, get, nothing, pull, push, pushed, shown, started
from tests.contract.table import ANY, Case, Step, held, job

ONCE: Final[Json] = {"max_attempts": 1}
NEXT: Final[Json] = {"follow_ups": [{"queue": "$next", "name": "then"}]}
SPECS: Final[list[Json]] = [
    {"queue": "$next", "name": "a", "data": {"d": 1}},
    {"queue": "$next", "name": "b", "flow_id": "$other", "options": {"priority": -1, "metadata": {"own": True}}},
]


def backing_off(strategy: str, *delays_ms: int) -> Case:
    """Tries of one job; each comes back later than it was failed, and in the order of its delay."""
    options: Json = {"backoff": strategy, "backoff_delay_ms": delays_ms[0], "max_attempts": len(delays_ms) + 1}
    steps = [pushed(**options), started(**options)]
    for failures, _ in enumerate(delays_ms, start=1):
        again = held("#1", f"~{failures + 1}", **options, attempt=failures, last_error="e", fence=failures + 1)
        steps += [
            Step(ask("fail", id="#1", error="e"), 200, AGAIN),
            Step(pull(), 200, ok(job=again), until=True),
        ]
    return Case("A11 backoff, A5 backoff, A9 backoff, A11 retry latency", steps)


def unmet(reason: str, **details: Any) -> Json:
    return invalid(reason, field="depends_on", **details)


CASES: Final[dict[str, Case]] = {
    "order": Case(
        "A11 order, A5 priority",
        [
            pushed(),
            pushed("#2", priority=1),
            pushed("#3", priority=-1),
            pushed("#4"),
            Step(
                pull(count=9),
                200,
                ok(jobs=[held("#2", priority=1), held("#1"), held("#4"), held("#3", priority=-1)]),
            ),
        ],
    ),
    "a retry goes ahead of newer jobs": Case(
        "A11 order",
        [
            pushed(backoff_delay_ms=0),
            pushed("#2"),
            started(backoff_delay_ms=0),
            Step(ask("fail", id="#1", error="e"), 200, ok(retry=True, will_retry=True, next_attempt_at=None)),
            started("#1", "~2", backoff_delay_ms=0, attempt=1, last_error="e", fence=2),
        ],
    ),
    "fixed back-off": backing_off("fixed", 40, 40),
    "linear back-off": backing_off("linear", 40, 80),
    "exponential back-off": backing_off("exponential", 40, 80, 160),
    "unique keys": Case(
        "A5 unique_key, A11 unique_key, A9 unique_key",
        [
            pushed(unique_key="u"),
            Step(push(unique_key="u"), 409, refused("DUPLICATE_KEY", "Duplicate unique key 'u'", field="unique_key")),
            pushed("#2", queue="$other", unique_key="u"),
            Step(ask("cancel", id="#1"), 200, ok()),
            pushed("#3", unique_key="u"),
            started("#3", unique_key="u"),
            Step(push(unique_key="u"), 409, refused("DUPLICATE_KEY", "Duplicate unique key 'u'", field="unique_key")),
            acked("#3"),
            pushed("#4", unique_key="u", **ONCE),
            started("#4", "~2", unique_key="u", **ONCE),
            died("#4"),
            pushed("#5", unique_key="u"),
        ],
    ),
    "max_attempts of none": Case(
        "A11 max_attempts",
        [
            pushed(max_attempts=1),
            started(max_attempts=1),
            died(),
            shown(**dead()),
        ],
    ),
    "a job that takes too long": Case(
        "A10 timeout or stall, A11 timeout_ms",
        [
            pushed(timeout_ms=100, max_attempts=1),
            started(timeout_ms=100, max_attempts=1),
            Step(get(), 200, ok(job=job("#1", **dead(timeout_ms=100, last_error="job timed out"))), until=True),
        ],
    ),
    "a job that stalls": Case(
        "A10 timeout or stall, A11 stall, D 14",
        [
            pushed(max_attempts=1),
            Step(pull(lease_ms=1_000), 200, ok(job=held("#1", max_attempts=1))),
            Step(get(), 200, ok(job=job("#1", **dead(last_error="job stalled (no heartbeat)"))), until=True),
        ],
        differs="14",
    ),
    "parents and children": Case(
        "A5 depends_on, A9 depends_on, A10 parents completed, A12 initial state, A12 promotion, A12 index",
        [
            pushed(),
            pushed("#2"),
            pushed("#3", depends_on=["#1", "#2"]),
            shown("#3", state="blocked", depends_on=["#1", "#2"]),
            Step(pull(count=2), 200, ok(jobs=[held("#1"), held("#2")])),
            acked("#1"),
            shown("#3", state="blocked", depends_on=["#1", "#2"]),
            acked("#2"),
            started("#3", "~2", depends_on=["#1", "#2"]),
            pushed("#4", depends_on=["#1"]),
            shown("#4", depends_on=["#1"]),
        ],
    ),
    "a parent that dies": Case(
        "A10 parent dead, A12 failure, A12 validation",
        [
            pushed(**ONCE),
            pushed("#2", depends_on=["#1"]),
            pushed("#3", depends_on=["#2"]),
            started(**ONCE),
            died(),
            Step(
                get("#2"),
                200,
                ok(job=job("#2", state="dlq", last_error="parent job '#1' moved to DLQ", depends_on=["#1"])),
            ),
            Step(
                get("#3"),
                200,
                ok(job=job("#3", state="dlq", last_error="parent job '#2' moved to DLQ", depends_on=["#2"])),
            ),
            Step(push(depends_on=["#1"]), 400, unmet("dependency '#1' is dlq")),
            Step(push(depends_on=[NOBODY]), 400, unmet(f"dependency '{NOBODY}' does not exist")),
            pushed("#4"),
            Step(ask("cancel", id="#4"), 200, ok()),
            Step(push(depends_on=["#4"]), 400, unmet("dependency '#4' is cancelled")),
        ],
    ),
    "a chain that is too deep": Case(
        "A12 depth, D 4",
        [
            pushed(),
            *(pushed(f"#{number}", depends_on=[f"#{number - 1}"]) for number in range(2, 12)),
            Step(push(depends_on=["#11"]), 400, unmet("dependency depth 11 exceeds 10")),
        ],
    ),
    "a parent that is cancelled": Case(
        "A12 parent cancelled, D 13",
        [
            pushed(),
            pushed("#2", depends_on=["#1"]),
            pushed("#3", depends_on=["#1"], on_parent_failure="continue"),
            pushed("#4", depends_on=["#1"], on_parent_failure="ignore"),
            Step(ask("cancel", id="#1"), 200, ok()),
            Step(
                get("#2"),
                200,
                ok(
                    job=job("#2", state="dlq", last_error="parent job '#1' was cancelled or removed", depends_on=["#1"])
                ),
            ),
            shown("#3", depends_on=["#1"], on_parent_failure="continue"),
            shown("#4", depends_on=["#1"], on_parent_failure="ignore"),
        ],
        differs="13",
    ),
    "a parent that is removed": Case(
        "A11 removed parents, D 13",
        [
            pushed(remove_on_complete=True),
            pushed("#2", depends_on=["#1"]),
            started(remove_on_complete=True),
            acked(result=7),
            Step(
                pull(with_parent_results=True),
                200,
                ok(job=held("#2", "~2", depends_on=["#1"], parent_results={"#1": 7}, parent_results_truncated=False)),
            ),
        ],
        differs="13",
    ),
    "dependencies in a batch": Case(
        "A12 batch push, D 4",
        [
            pushed(custom_id="c"),
            Step(
                ask(
                    "push_batch",
                    queue="$q",
                    jobs=[
                        {"name": "n", "data": 1, "depends_on": [1]},
                        {"name": "n", "data": 1, "depends_on": ["custom:$q:c"]},
                        {"name": "n", "data": 1, "depends_on": [0, "#1"]},
                    ],
                ),
                201,
                ok(ids=["#2", "#3", "#4"]),
            ),
            started(custom_id="c"),
            nothing(),
            acked(),
            started("#3", "~2", depends_on=["#1"]),
            acked("#3"),
            started("#2", "~3", depends_on=["#3"]),
            acked("#2"),
            started("#4", "~4", depends_on=["#2", "#1"]),
            Step(
                ask(
                    "push_batch",
                    queue="$q",
                    jobs=[{"name": "n", "data": 1, "depends_on": [1]}, {"name": "n", "data": 1, "depends_on": [0]}],
                ),
                400,
                ANY,
            ),
            nothing(),
        ],
        differs="4",
    ),
    "follow-ups": Case(
        "A12 follow-ups",
        [
            pushed(flow_id="$f", metadata={"by": "me", "follow_ups": SPECS}),
            started(flow_id="$f", metadata={"by": "me", "follow_ups": SPECS}),
            acked(result={"r": 1}),
            Step(
                pull(queue="$next"),
                200,
                ok(
                    job=held(
                        "#2",
                        "~2",
                        queue="$next",
                        name="a",
                        data={"d": 1},
                        depends_on=["#1"],
                        flow_id="$f",
                        metadata={"by": "me"},
                    )
                ),
            ),
            Step(
                pull(queue="$next"),
                200,
                ok(
                    job=held(
                        "#3",
                        "~3",
                        queue="$next",
                        name="b",
                        data={"r": 1},
                        depends_on=["#1"],
                        flow_id="$other",
                        priority=-1,
                        metadata={"own": True},
                    )
                ),
            ),
        ],
    ),
    "a follow-up of nothing": Case(
        "A12 follow-ups",
        [
            pushed(metadata=NEXT),
            started(metadata=NEXT),
            acked(),
            Step(
                pull(queue="$next"),
                200,
                ok(job=held("#2", "~2", queue="$next", name="then", data={}, depends_on=["#1"])),
            ),
        ],
    ),
    "a bad follow-up": Case(
        "D 31, A12 follow-ups",
        [
            pushed(metadata={"follow_ups": [{"queue": "$next", "name": "ok"}, {"queue": "a b", "name": "x"}]}),
            started(metadata={"follow_ups": [{"queue": "$next", "name": "ok"}, {"queue": "a b", "name": "x"}]}),
            Step(
                ask("ack", id="#1"),
                200,
                ok(
                    follow_ups_refused=[
                        "follow_ups[1]: Validation error: 'queue' may only hold ASCII letters, digits, '-', '_' and '.'"
                    ]
                ),
            ),
            Step(
                pull(queue="$next"),
                200,
                ok(job=held("#2", "~2", queue="$next", name="ok", data={}, depends_on=["#1"])),
            ),
        ],
    ),
}
