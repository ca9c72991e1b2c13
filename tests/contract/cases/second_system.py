"""The second system's routes (part B of the contract, decisions B): its bodies, statuses and messages.

A kind of the case is a queue of the case with a payload schema, since all cases share a server.
"""

from typing import Any, Final

from tests.conformance.bodies import ask, ok
from tests.conformance.protocols import NOBODY, Json
from tests.contract.cases.surface import TRACE, TRACE_SHOWN
from tests.contract.table import ANY, Case, Step, http, job

SCHEMA: Final = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
BODY: Final = {"kind": "$q", "payload": {"text": "lorem"}}
NOT_FOUND: Final = {"error": "not_found", "message": "resource not found"}


def kind_job(job_id: str, **fields: Any) -> Json:
    """The job object of contract B2."""
    return {
        "id": job_id,
        "kind": "$q",
        "status": "queued",
        "attempts": 0,
        "max_attempts": 3,
        "last_error": None,
        "payload": {"text": "lorem"},
        "run_at": "T",
        "idempotency_key": None,
        "created_at": "T",
        "updated_at": "T",
        **fields,
    }


def error(slug: str, message: str) -> Json:
    return {"error": slug, "message": message}


def create(status: int, body: Json, **fields: Any) -> Step:
    return Step(http("POST", "//jobs", {**BODY, **fields}), status, body)


DECLARED: Final = Step(ask("queue_settings", queue="$q", payload_schema=SCHEMA), 201, ANY)
PULL: Final = Step(ask("pull", queue="$q"), 200, ANY)


CASES: Final[dict[str, Case]] = {
    "kinds: create, get, list": Case(
        "B2 create, B2 get, B2 list, B2 job, B7 api_jobs, D second 1, D second 2",
        [
            DECLARED,
            create(201, kind_job("#1")),
            create(
                201,
                kind_job("#2", max_attempts=5, payload={"text": "a", "more": 1}),
                max_attempts=5,
                payload={"text": "a", "more": 1},
                unknown="passed over",
            ),
            Step(http("GET", "//jobs/#1"), 200, kind_job("#1")),
            Step(
                http("GET", "//jobs?kind=$q&limit=0"),
                200,
                [kind_job("#2", max_attempts=5, payload={"text": "a", "more": 1})],
            ),
            Step(http("GET", "//jobs?kind=$q&offset=1&limit=7000"), 200, [kind_job("#1")]),
            Step(http("GET", "//jobs?kind=$q&status=running"), 200, []),
            Step(http("GET", f"//jobs/{NOBODY}"), 404, NOT_FOUND),
        ],
        differs="second 1",
    ),
    "kinds: a trace": Case(
        "D second 1",
        [
            DECLARED,
            Step(http("POST", "//jobs", BODY, traceparent=TRACE), 201, kind_job("#1")),
            Step(
                http("GET", "/jobs/#1"),
                200,
                ok(
                    job=job(
                        "#1",
                        name="$q",
                        data=BODY["payload"],
                        traceparent=TRACE_SHOWN,
                        backoff="decorrelated_jitter",
                    )
                ),
            ),
        ],
        differs="second 1",
    ),
    "kinds: a key": Case(
        "B2 create, B3 idempotency_key, B7 idempotency, D second 4",
        [
            DECLARED,
            create(201, kind_job("#1", idempotency_key="$key"), idempotency_key="$key"),
            create(200, kind_job("#1", idempotency_key="$key"), idempotency_key="$key", max_attempts=9),
            PULL,
            create(200, kind_job("#1", idempotency_key="$key", status="running", attempts=1), idempotency_key="$key"),
            Step(ask("ack", id="#1"), 200, ANY),
            create(200, kind_job("#1", idempotency_key="$key", status="succeeded", attempts=1), idempotency_key="$key"),
            create(201, kind_job("#2", idempotency_key="$other"), idempotency_key="$other"),
        ],
        differs="second 4",
    ),
    "kinds: tries": Case(
        "B3 status, B3 attempts, B3 last_error, B4 dequeue, B4 success, B4 failure, B4 failure at max, "
        "B7 retry_and_cancel, D second 3, D second 5",
        [
            Step(ask("queue_settings", queue="$q", payload_schema=SCHEMA, defaults={"backoff_delay_ms": 1}), 201, ANY),
            create(201, kind_job("#1", max_attempts=2), max_attempts=2),
            PULL,
            Step(http("GET", "//jobs/#1"), 200, kind_job("#1", status="running", attempts=1, max_attempts=2)),
            Step(ask("fail", id="#1", error="no"), 200, ANY),
            Step(
                http("GET", "//jobs/#1"),
                200,
                kind_job("#1", status="retrying", attempts=1, max_attempts=2, last_error="no"),
            ),
            Step(ask("pull", queue="$q", wait_ms=5_000), 200, ANY),
            Step(
                http("GET", "//jobs/#1"),
                200,
                kind_job("#1", status="running", attempts=2, max_attempts=2, last_error="no"),
            ),
            Step(ask("fail", id="#1", error="again"), 200, ANY),
            Step(
                http("GET", "//jobs/#1"),
                200,
                kind_job("#1", status="failed_permanent", attempts=2, max_attempts=2, last_error="again"),
            ),
            Step(
                http("POST", "//jobs/#1/cancel"),
                409,
                error("conflict", "job is already in terminal state failed_permanent"),
            ),
        ],
        differs="second 3",
        whole="a lease of the time before the kill may lapse meanwhile",
    ),
    "kinds: cancel": Case(
        "B2 cancel, B4 cancel waiting, B4 cancel running, B4 terminal, B7 cancel_running, D second 3",
        [
            DECLARED,
            create(201, kind_job("#1")),
            Step(http("POST", "//jobs/#1/cancel"), 200, {"status": "cancelled", "job_id": "#1"}),
            Step(http("GET", "//jobs/#1"), 200, kind_job("#1", status="cancelled")),
            Step(
                http("POST", "//jobs/#1/cancel"), 409, error("conflict", "job is already in terminal state cancelled")
            ),
            create(201, kind_job("#2")),
            PULL,
            Step(http("POST", "//jobs/#2/cancel"), 202, {"status": "pending", "job_id": "#2"}),
            Step(http("POST", "//jobs/#2/cancel"), 202, {"status": "pending", "job_id": "#2"}),
            Step(http("GET", "//jobs/#2"), 200, kind_job("#2", status="running", attempts=1)),
            Step(ask("fail", id="#2", cancelled=True), 200, ANY),
            Step(
                http("GET", "//jobs?kind=$q&status=cancelled"),
                200,
                [kind_job("#2", status="cancelled", attempts=1), kind_job("#1", status="cancelled")],
            ),
            Step(http("POST", f"//jobs/{NOBODY}/cancel"), 404, NOT_FOUND),
        ],
        differs="second 3",
        whole="a lease of the time before the kill may lapse meanwhile",
    ),
    "kinds: the four that are there": Case(
        "B2 payloads, B2 errors, D second 2",
        [
            Step(
                http("POST", "//jobs", {"kind": kind, "payload": {}}),
                422,
                error("validation", f"payload validation failed for {kind}: missing field `{field}`"),
            )
            for kind, field in (
                ("send_email", "to"),
                ("resize_image", "source_url"),
                ("summarize_text", "text"),
                ("webhook_delivery", "url"),
            )
        ],
        differs="second 2",
    ),
    "kinds: mistakes": Case(
        "B2 errors, B2 rejections, D second 1",
        [
            Step(
                http("POST", "//jobs", b"{"),
                400,
                error("bad_request", "The request is not valid JSON: Input data was truncated"),
            ),
            Step(
                http("POST", "//jobs", b"{}", Content_Type="text/plain"),
                415,
                error("bad_request", "Content-Type is 'text/plain', expected application/json"),
            ),
            Step(http("POST", "//jobs", {"kind": "send_email"}), 422, error("validation", "missing field 'payload'")),
            create(
                422,
                error("validation", "'max_attempts' must be a whole number from 1 to 1000000, not 0"),
                max_attempts=0,
            ),
            Step(http("GET", "//jobs/x"), 400, error("bad_request", "the job id is no UUID")),
            Step(http("GET", "//jobs?limit=x"), 400, error("bad_request", "'limit' is not a whole number")),
            Step(http("GET", "//jobs/a/b"), 404, NOT_FOUND),
            Step(
                http("DELETE", "//jobs"),
                405,
                error("bad_request", "DELETE is not allowed here, only GET, HEAD, OPTIONS, POST"),
            ),
        ],
        differs="second 1",
    ),
    "kinds: health and description": Case(
        "B2 health, B2 docs, D second 1",
        [
            Step(http("GET", "//health"), 200, {"status": "ok"}),
            Step(http("GET", "//api-docs/openapi.json"), 200, ANY),
        ],
        differs="second 1",
    ),
}
