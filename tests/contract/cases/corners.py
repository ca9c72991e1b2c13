"""Corners of the contract that clients have been seen to stand in."""

from typing import Final

from tests.conformance.bodies import ask, counts, no_job, ok, refused
from tests.contract.cases.lines import told
from tests.contract.cases.words import AT_ONCE, acked, dead, died, nothing, pull, push, pushed, shown, started
from tests.contract.table import ANY, Case, Step, Was, held, http, job, line

OTHER: Final = "abcdef00-0000-4000-8000-00000000abcd"
WIDE: Final = {"big": 18_446_744_073_709_551_615, "small": -9_223_372_036_854_775_808, "text": "\u00fc\u4e2d\U0001f600"}

CASES: Final[dict[str, Case]] = {
    "spellings of an id": Case(
        "A4 get",
        [
            Step(http("GET", f"/jobs/{spelled}"), 404, no_job(OTHER))
            for spelled in (OTHER, OTHER.upper(), OTHER.replace("-", ""), f"urn:uuid:{OTHER}", f"%7B{OTHER}%7D")
        ],
    ),
    "one try at most": Case(
        "A11 max_attempts",
        [pushed(max_attempts=0), started(max_attempts=0), died(), shown(**dead(max_attempts=0))],
    ),
    "the ends of priorities": Case(
        "A5 priority, A11 order",
        [
            pushed(priority=-2_147_483_648),
            pushed("#2", priority=2_147_483_647),
            started("#2", priority=2_147_483_647),
            started("#1", "~2", priority=-2_147_483_648),
            Step(push(priority=2_147_483_648), 400, ANY, Was("8", 422)),
        ],
    ),
    "payloads as they were": Case(
        "A5 data, A9 data, A9 result",
        [
            pushed(data=WIDE),
            started(data=WIDE),
            acked(result=[None, {"": 0}, 0.1]),
            shown(data=WIDE, result=[None, {"": 0}, 0.1], state="completed", started_at="T", completed_at="T", fence=1),
        ],
    ),
    "a delay and a parent": Case(
        "A10 parents completed, A10 push",
        [
            pushed(),
            pushed("#2", depends_on=["#1", "#1"], delay_ms=60_000),
            Step(ask("stats", queue="$q"), 200, ok(counts=counts(waiting=1, blocked=1), mode="normal")),
            started(),
            acked(),
            Step(pull(), 200, ANY),
        ],
    ),
    "a fail says why": Case(
        "A4 fail, A6 fail",
        [
            pushed(),
            started(),
            Step(http("POST", "/jobs/#1/fail", {}), 422, told("VALIDATION_ERROR", field="error"), Was("8", 422)),
            Step(
                http("POST", "/jobs/#1/fail", {"error": ""}), 200, ok(retry=True, will_retry=True, next_attempt_at="T")
            ),
        ],
    ),
    "acks of one job twice": Case(
        "A7 ack_batch",
        [
            pushed(),
            started(),
            Step(
                line({"cmd": "ack_batch", "ids": ["#1", "#1"]}),
                0,
                {"ok": False, "acked": 1, "failed": 1, "results": ANY},
            ),
        ],
    ),
    "unique keys in one batch": Case(
        "A5 order of checks, A11 unique_key",
        [
            Step(
                ask("push_batch", queue="$q", jobs=[{"name": "n", "data": 1, "unique_key": "u"}] * 2),
                409,
                refused("DUPLICATE_KEY", "Duplicate unique key 'u'", field="unique_key", index=1),
            ),
            nothing(),
        ],
    ),
    "addresses that are nearly right": Case(
        "A4 push",
        [
            Step(http("GET", "/queues/$q/jobs/"), 404, ANY, Was("8", 404)),
            Step(http("DELETE", "/queues/$q/jobs"), 405, ANY, Was("8", 405)),
            Step(
                http("POST", "/queues/a%20b/jobs", {"name": "n", "data": 1}),
                400,
                told("VALIDATION_ERROR", field="queue"),
            ),
            Step(http("GET", "/queues/$q/jobs?count=-1"), 400, ANY, Was("8", 400)),
            Step(http("GET", "/queues/$q/jobs?count=4294967296"), 400, ANY, Was("8", 400)),
            Step(http("GET", "/queues/$q/jobs?other=1"), 400, ANY, Was("2", 200)),
            Step(http("POST", "/queues/$q/jobs", []), 201, ok(ids=[])),
            Step(http("POST", "/queues/$q/jobs", "text"), 422, ANY, Was("8", 422)),
            Step(http("POST", "/queues/$q/jobs", {"name": "n", "data": None}), 201, ok(id="#1")),
            Step(http("GET", "/queues/$q/jobs"), 200, ok(job=held("#1", data=None))),
        ],
    ),
    "retries without end": Case(
        "A11 backoff",
        [
            pushed(backoff_delay_ms=0, max_attempts=4),
            *(
                step
                for failures in range(3)
                for step in (
                    Step(
                        pull(),
                        200,
                        ok(
                            job=held(
                                "#1",
                                f"~{failures + 1}",
                                backoff_delay_ms=0,
                                max_attempts=4,
                                attempt=failures,
                                last_error="e" if failures else None,
                                fence=failures + 1,
                            )
                        ),
                    ),
                    Step(ask("fail", id="#1", error="e"), 200, AT_ONCE),
                )
            ),
            started("#1", "~4", backoff_delay_ms=0, max_attempts=4, attempt=3, last_error="e", fence=4),
            died(),
            Step(
                ask("dlq", queue="$q"),
                200,
                ok(jobs=[job("#1", **dead(backoff_delay_ms=0, max_attempts=4, attempt=4, fence=4))], next_cursor=None),
            ),
        ],
    ),
}
