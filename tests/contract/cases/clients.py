"""What the published clients send, down to headers and empty bodies (contract A25)."""

from typing import Final

from tests.conformance.bodies import counts, ok, refused
from tests.conformance.protocols import NOBODY
from tests.contract.cases.words import AGAIN, ALIVE
from tests.contract.table import ANY, Case, Http, Step, Was, held, http, line

JSON: Final = "application/json"
DAY_MS: Final = 86_400_000
SCHEDULE: Final = {"name": "$s", "queue": "$other", "job_name": "n", "every_ms": DAY_MS}
OPTIONS: Final = {"priority": 2, "max_attempts": 5, "tags": ["a"], "lifo": False}


def empty(method: str, target: str) -> Http:
    """No body, and a header that says it were JSON."""
    return http(method, target, b"" if method == "POST" else None, Content_Type=JSON, Accept=JSON)


CASES: Final[dict[str, Case]] = {
    "the client for Node over HTTP": Case(
        "A25 node http, A25 go http",
        [
            Step(http("POST", "/queues/$q/jobs", {"name": "n", "data": 1, **OPTIONS}), 201, ok(id="#1")),
            Step(
                http("POST", "/queues/$q/jobs", [{"name": "n", "data": 1, **OPTIONS}, {"name": "n", "data": 1}]),
                201,
                ok(ids=["#2", "#3"]),
            ),
            Step(empty("GET", "/queues/$q/jobs"), 200, ok(job=held("#1", **OPTIONS))),
            Step(
                empty("GET", "/queues/$q/jobs?count=2"), 200, ok(jobs=[held("#2", "~2", **OPTIONS), held("#3", "~2")])
            ),
            Step(empty("POST", "/jobs/#1/heartbeat"), 200, ALIVE),
            Step(http("POST", "/jobs/#1/progress", {"progress": 5, "message": "m"}), 200, ALIVE),
            Step(empty("POST", "/jobs/#1/ack"), 200, ok(), Was("28", 400)),
            Step(http("POST", "/jobs/#2/fail", {"error": "e"}), 200, AGAIN),
            Step(empty("POST", "/jobs/#2/cancel"), 200, ok()),
            Step(empty("GET", f"/jobs/{NOBODY}"), 404, ANY),
            Step(
                empty("GET", "/queues/$q/stats"),
                200,
                ok(counts=counts(active=1, completed=1), mode="normal"),
                Was("28", 200),
            ),
            Step(empty("GET", "/queues/$q/dlq?limit=5"), 200, ok(jobs=[], next_cursor=None)),
            Step(http("POST", "/schedules", SCHEDULE), 201, ok(schedule=ANY)),
            Step(empty("POST", "/schedules/$s/pause"), 200, ok(schedule=ANY)),
            Step(empty("POST", "/schedules/$s/resume"), 200, ok(schedule=ANY)),
            Step(empty("DELETE", "/schedules/$s"), 200, ok()),
            Step(empty("GET", "/schedules/$s"), 404, refused("SCHEDULE_NOT_FOUND", "Schedule not found: $s")),
            Step(empty("POST", "/queues/$q/pause"), 200, ok()),
            Step(empty("POST", "/queues/$q/resume"), 200, ok()),
            Step(empty("GET", "/health"), 200, ANY),
        ],
    ),
    "the client for Python": Case(
        "A25 python http",
        [
            Step(http("POST", "/queues/$q/jobs", {"name": "n", "data": {}, "custom_id": NOBODY}), 201, ok(id="#1")),
            Step(empty("GET", "/queues/$q/jobs"), 200, ok(job=held("#1", data={}, custom_id=NOBODY))),
            Step(http("POST", "/jobs/#1/heartbeat", {}), 200, ALIVE),
            Step(http("POST", "/jobs/#1/ack", {}), 200, ok()),
            Step(http("POST", "/queues/$q/jobs", {"name": "n", "data": {}}), 201, ok(id="#2")),
            Step(http("POST", "/jobs/#2/cancel", {}), 200, ok()),
            Step(
                empty("GET", "/queues/$q/dlq?limit=100"),
                200,
                ok(jobs=[], next_cursor=None),
            ),
            Step(http("POST", "/schedules", {**SCHEDULE, "job_data": None}), 201, ok(schedule=ANY)),
            Step(http("POST", "/schedules/$s/pause", {}), 200, ok(schedule=ANY)),
            Step(empty("DELETE", "/schedules/$s"), 200, ok()),
        ],
    ),
    "the clients for Node and Go over TCP": Case(
        "A25 node tcp, A25 go tcp",
        [
            Step(line({"cmd": "push", "queue": "$q", "name": "n", "data": None, "options": OPTIONS}), 0, ok(id="#1")),
            Step(
                line({"cmd": "push_batch", "queue": "$q", "jobs": [{"name": "n", "data": 1, "options": {}}]}),
                0,
                ok(ids=["#2"]),
            ),
            Step(
                line({"cmd": "pull", "queue": "$q", "count": 2}),
                0,
                ok(jobs=[held("#1", data=None, **OPTIONS), held("#2")]),
            ),
            Step(
                line({"cmd": "ack_batch", "items": [{"id": "#1"}, {"id": "#2", "result": {"r": 1}}]}),
                0,
                ok(acked=2, failed=0, results=[{"id": "#1", "ok": True}, {"id": "#2", "ok": True}]),
            ),
            Step(
                line({"cmd": "get", "id": NOBODY}),
                0,
                refused("NOT_FOUND", f"Job '{NOBODY}' not found"),
                Was("3", 0, ANY),
            ),
            Step(line({"cmd": "schedule_create", **SCHEDULE, "job_data": {}, "job_options": {}}), 0, ok(schedule=ANY)),
            Step(line({"cmd": "schedule_pause", "name": "$s"}), 0, ok(schedule=ANY)),
            Step(line({"cmd": "schedule_delete", "name": "$s"}), 0, ok()),
            Step(line({"cmd": "stats", "queue": "$q"}), 0, ok(counts=counts(completed=2), mode="normal")),
        ],
    ),
}
