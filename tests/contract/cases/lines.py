"""The line protocol (contract A7), and what goes wrong on either protocol (A3)."""

from typing import Any, Final

from tests.conformance.bodies import no_job, ok, refused
from tests.conformance.protocols import NOBODY, Json
from tests.contract.table import TEXT, Case, Step, Was, held, http, job, line


def told(code: str, **details: Any) -> Json:
    """A refusal whose wording is free."""
    return {"ok": False, "error": {"code": code, "message": TEXT, "details": details or None}}


def cmd(verb: str, /, **fields: Any) -> Any:
    return line({"cmd": verb, **fields})


def missing(field: str, **place: int) -> Json:
    return told("VALIDATION_ERROR", field=field, **place)


THREE: Final = [{"name": "n", "data": 1}] * 3

CASES: Final[dict[str, Case]] = {
    "lines in and lines out": Case(
        "A7 framing, A7 push, A7 pull, A7 ack, A31 tcp_protocol",
        [
            Step(cmd("push", queue="$q", name="n"), 0, ok(id="#1")),
            Step(cmd("pull", queue="$q"), 0, ok(job=held("#1", data={}))),
            Step(cmd("ack", id="#1", result=1), 0, ok()),
            Step(cmd("pull", queue="$q"), 0, ok(job=None)),
            Step(cmd("pull", queue="$q", count=2), 0, ok(jobs=[])),
        ],
    ),
    "options on a line": Case(
        "A7 options, D 1",
        [
            Step(cmd("push", queue="$q", name="n", data=1, options={"priority": 2}), 0, ok(id="#1")),
            Step(cmd("push", queue="$q", name="n", data=1, priority=2), 0, ok(id="#2")),
            Step(
                cmd("push_batch", queue="$q", jobs=[{"name": "n", "data": 1, "options": {"priority": 2}}]),
                0,
                ok(ids=["#3"]),
            ),
            Step(cmd("push_batch", queue="$q", jobs=[{"name": "n", "data": 1, "priority": 2}]), 0, ok(ids=["#4"])),
            Step(
                cmd("pull", queue="$q", count=9),
                0,
                ok(jobs=[held(f"#{number}", priority=2) for number in range(1, 5)]),
            ),
            Step(cmd("push", queue="$q", name="n", data=1, tags=["t"], remove_on_complete=True), 0, ok(id="#5")),
            Step(cmd("pull", queue="$q"), 0, ok(job=held("#5", "~2", tags=["t"], remove_on_complete=True))),
        ],
    ),
    "acks in one line": Case(
        "A7 ack_batch, A31 tcp_protocol",
        [
            Step(cmd("push_batch", queue="$q", jobs=THREE), 0, ok(ids=["#1", "#2", "#3"])),
            Step(cmd("pull", queue="$q", count=3), 0, ok(jobs=[held("#1"), held("#2"), held("#3")])),
            Step(
                cmd("ack_batch", items=[{"id": "#1", "result": 1}]),
                0,
                ok(acked=1, failed=0, results=[{"id": "#1", "ok": True}]),
            ),
            Step(
                cmd("ack_batch", ids=["#2", NOBODY]),
                0,
                {
                    "ok": False,
                    "acked": 1,
                    "failed": 1,
                    "results": [{"id": "#2", "ok": True}, {**no_job(NOBODY), "id": NOBODY}],
                },
            ),
        ],
    ),
    "a fail without a text": Case(
        "A7 fail, A6 fail",
        [
            Step(cmd("push", queue="$q", name="n", data=1, max_attempts=1), 0, ok(id="#1")),
            Step(cmd("pull", queue="$q"), 0, ok(job=held("#1", max_attempts=1))),
            Step(cmd("fail", id="#1"), 0, ok(retry=False, will_retry=False, next_attempt_at=None)),
            Step(
                http("GET", "/jobs/#1"),
                200,
                ok(
                    job=job(
                        "#1",
                        state="dlq",
                        started_at="T",
                        max_attempts=1,
                        attempt=1,
                        last_error="unknown error",
                        fence=1,
                    )
                ),
            ),
        ],
    ),
    "wrong lines": Case(
        "A7 errors, A31 tcp_protocol",
        [
            Step(line(b"nope"), 0, told("PARSE_ERROR")),
            Step(line({"queue": "$q"}), 0, missing("cmd")),
            Step(cmd("fly"), 0, refused("UNKNOWN_COMMAND", "Unknown command: fly", field="cmd")),
            Step(cmd("push", queue="$q", name="n"), 0, ok(id="#1")),
        ],
    ),
    "missing fields of a line": Case(
        "A7 missing fields",
        [
            Step(cmd("push", name="n"), 0, missing("queue")),
            Step(cmd("push", queue="$q"), 0, missing("name")),
            Step(cmd("pull"), 0, missing("queue")),
            Step(cmd("ack"), 0, missing("id")),
            Step(cmd("ack", id="no id"), 0, missing("id")),
            Step(cmd("push_batch", queue="$q"), 0, missing("jobs")),
            Step(cmd("push_batch", queue="$q", jobs=[{"name": "n"}, 7]), 0, missing("jobs[1]", index=1)),
            Step(cmd("push_batch", queue="$q", jobs=[{"name": "n"}, {"data": 7}]), 0, missing("jobs[1].name", index=1)),
            Step(cmd("ack_batch"), 0, missing("items")),
            Step(cmd("progress", id=NOBODY), 0, missing("progress")),
            Step(cmd("stats"), 0, missing("queue")),
        ],
    ),
    "auth on an open server": Case(
        "A7 auth on an open server, D 9",
        [Step(cmd("auth", token="any"), 0, ok(), Was("9", 0)), Step(cmd("pull", queue="$q"), 0, ok(job=None))],
    ),
    "tokens on lines": Case(
        "A7 auth good, A7 auth bad, A7 auth without token, A7 before auth, A31 tcp_auth_tests",
        [
            Step(cmd("stats", queue="$q"), 0, told("UNAUTHORIZED")),
            Step(cmd("auth"), 0, missing("token")),
            Step(cmd("auth", token="wrong"), 0, told("UNAUTHORIZED")),
            Step(cmd("auth", token="first-token"), 0, ok()),
            Step(cmd("pull", queue="$q"), 0, ok(job=None)),
        ],
        stage="tokens",
        whole="a connection does not outlive a restart, nor what it has shown",
    ),
    "missing jobs have two codes": Case(
        "D 29",
        [
            Step(http("GET", f"/jobs/{NOBODY}"), 404, no_job(NOBODY)),
            Step(cmd("get", id=NOBODY), 0, refused("NOT_FOUND", f"Job '{NOBODY}' not found")),
            Step(cmd("ack", id=NOBODY), 0, no_job(NOBODY)),
        ],
        differs="29",
    ),
    "requests that no verb sees": Case(
        "D 8",
        [
            Step(http("POST", "/queues/$q/jobs", b"{nope"), 400, told("PARSE_ERROR"), Was("8", 400)),
            Step(http("POST", "/queues/$q/jobs", b'{"name":"n"}'), 422, missing("data"), Was("8", 422)),
            Step(http("POST", "/queues/$q/jobs", b'{"data":1}'), 422, missing("name"), Was("8", 422)),
            Step(
                http("POST", "/queues/$q/jobs", b'{"name":"n","data":1,"priority":"high"}'),
                422,
                missing("priority"),
                Was("8", 422),
            ),
            Step(
                http("POST", "/queues/$q/jobs", b'{"name":"n","data":1}', content_type="text/plain"),
                415,
                told("UNSUPPORTED_MEDIA_TYPE", field="content-type"),
                Was("8", 415),
            ),
            Step(http("GET", "/jobs/nobody"), 400, missing("id"), Was("8", 400)),
            Step(http("GET", "/queues/$q/jobs?count=x"), 400, missing("count"), Was("8", 400)),
            Step(http("GET", "/nowhere"), 404, told("NOT_FOUND"), Was("8", 404)),
            Step(
                http("PATCH", "/queues"),
                405,
                told("METHOD_NOT_ALLOWED", allowed=["GET", "HEAD", "OPTIONS"]),
                Was("8", 405),
            ),
            Step(
                http("POST", f"/jobs/{NOBODY}/progress", {"progress": 256}),
                400,
                told("VALIDATION_ERROR", field="progress", limit=255),
                Was("8", 422),
            ),
        ],
    ),
    "a body that is too large": Case(
        "D 8",
        [
            Step(
                http("POST", "/queues/$q/jobs", b" " * (17 << 20)),
                413,
                told("TOO_LARGE", field="body", limit=16_777_216),
                Was("8", 413),
            )
        ],
        differs="8",
    ),
}
