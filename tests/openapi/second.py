"""The second system's routes as an OpenAPI 3.0 document: what its clients' generators read."""

from pathlib import Path
from typing import Any, Final

import msgspec

import rustqueue
from rustqueue.gateway.kinds import BUILT_IN
from rustqueue.model import limits
from rustqueue.model.kinds.values import MAX_ATTEMPTS_DEFAULT, Status
from tests.openapi.document import CONTEXT
from tests.openapi.schemas import Schema

FILE: Final = Path(__file__).resolve().parents[2] / "rustqueue" / "dashboard" / "static" / "jobs-openapi.json"
_ABOUT: Final = """Jobs by kind, as rust-job-queue-api-worker-system 0.1.0 serves them, on RustQueue's own engine.

A kind is a queue whose payloads have a JSON Schema. Four ship with the node; any queue with a payload schema is one
more. Members of a body that are not named here are passed over; errors have an `error` that is a word, and a `message`.
"""
_JOB: Final = {
    "id": "0190f9a0-1234-7000-8000-000000000001",
    "kind": "send_email",
    "status": "queued",
    "attempts": 0,
    "max_attempts": 3,
    "last_error": None,
    "payload": {"to": "a@b.c", "subject": "hi", "body": "hello"},
    "run_at": "2026-11-22T11:30:07Z",
    "idempotency_key": "user-42-welcome",
    "created_at": "2026-11-22T11:30:07Z",
    "updated_at": "2026-11-22T11:30:07Z",
}
_SLUGS: Final = (
    *("not_found", "bad_request", "conflict", "validation", "internal"),
    *("unauthorized", "forbidden", "too_many_requests", "unavailable"),
)
MEANING: Final = {
    400: "Not JSON, a path or query that cannot be read, or an idempotency key that is none.",
    401: "A token is needed, or this one is not good.",
    403: "The token may not do this with this kind.",
    404: "There is no such job.",
    405: "Not with this method.",
    409: "The job has ended already.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    421: "This server has another name.",
    422: "The body is not as it should be, or the payload does not fit its kind.",
    429: "A limit of the kind is reached, or the node is overloaded.",
    500: "A failure of the server; its log has the details under the request id.",
    503: "Not now: no leader, a paused kind, a full disk, an unknown outcome. Ask again, with the same key.",
}
_ALWAYS: Final = (401, 403, 421, 429, 500, 503)


def text() -> str:
    return msgspec.json.format(msgspec.json.encode(document()), indent=1).decode() + "\n"


def document() -> Schema:
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Jobs by kind",
            "version": rustqueue.__version__,
            "description": _ABOUT.strip(),
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "Jobs"}, {"name": "Service"}],
        "security": [{}, {"bearer": []}],
        "paths": {
            "/jobs": {"post": _create(), "get": _list()},
            "/jobs/{id}": {"get": _get()},
            "/jobs/{id}/cancel": {"post": _cancel()},
            "/health": {"get": _health()},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed when the node has `[auth] enabled`.",
                }
            },
            "responses": {str(status): _refusal(status) for status in MEANING},
            "headers": {
                "X-Request-Id": {"description": "Taken from the request or made.", "schema": {"type": "string"}}
            },
            "schemas": _schemas(),
        },
    }


def _schemas() -> Schema:
    time = {"type": "string", "format": "date-time"}
    nullable = {"type": "string", "nullable": True}
    fields: Schema = {
        "id": {"type": "string", "format": "uuid"},
        "kind": {"type": "string"},
        "status": _ref("Status"),
        "attempts": {"type": "integer", "minimum": 0},
        "max_attempts": {"type": "integer", "minimum": 0},
        "last_error": nullable,
        "payload": {},
        "run_at": time,
        "idempotency_key": nullable,
        "created_at": time,
        "updated_at": time,
    }
    return {
        "Status": {"type": "string", "enum": list(Status)},
        "Job": {"type": "object", "required": list(fields), "properties": fields, "additionalProperties": False},
        "NewJob": {
            "type": "object",
            "required": ["kind", "payload"],
            "properties": {
                "kind": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": limits.QUEUE_NAME_BYTES_MAX,
                    "pattern": "^[A-Za-z0-9._-]+$",
                    "example": "send_email",
                },
                "payload": {"anyOf": [*(_ref(kind) for kind in BUILT_IN), {}]},
                "max_attempts": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": limits.ATTEMPTS_MAX,
                    "nullable": True,
                    "default": MAX_ATTEMPTS_DEFAULT,
                },
                "idempotency_key": {**_KEY, "nullable": True},
            },
        },
        "Cancelled": {
            "type": "object",
            "required": ["status", "job_id"],
            "properties": {
                "status": {"type": "string", "enum": ["cancelled", "pending"]},
                "job_id": {"type": "string", "format": "uuid"},
            },
            "additionalProperties": False,
        },
        "Health": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"type": "string", "enum": ["ok"]}},
            "additionalProperties": False,
        },
        "Error": {
            "type": "object",
            "required": ["error", "message"],
            "properties": {"error": {"type": "string", "enum": list(_SLUGS)}, "message": {"type": "string"}},
            "additionalProperties": False,
        },
        **{kind: _in_three_zero(msgspec.json.decode(schema)) for kind, schema in BUILT_IN.items()},
    }


_KEY: Final = {"type": "string", "minLength": 1, "maxLength": limits.IDEMPOTENCY_KEY_BYTES_MAX}
_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}


def _in_three_zero(schema: Any) -> Any:
    """OpenAPI 3.0 has no type null and no schema `true`."""
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        return schema
    parts = schema.get("anyOf")
    if parts is not None and {"type": "null"} in parts:
        [other] = [part for part in parts if part != {"type": "null"}]
        return {**_in_three_zero(other), "nullable": True}
    properties = {name: _in_three_zero(value) for name, value in schema.get("properties", {}).items()}
    return {**schema, "properties": properties} if properties else schema


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _create() -> Schema:
    key = {"name": "Idempotency-Key", "in": "header", "schema": _KEY}
    key["description"] = "A repeat answers with the same job, as long as it is there. Wins over the member of the body."
    body = {name: _JOB[name] for name in ("kind", "payload", "max_attempts", "idempotency_key")}
    content = {"schema": _ref("NewJob"), "examples": {"example": {"value": body}}}
    return {
        "operationId": "create_job",
        "summary": "Create a job",
        "description": "Creates a job, or finds the one that was created under the same key before.",
        "tags": ["Jobs"],
        "parameters": [key, CONTEXT],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "201": _job("A new job."),
            "200": _job("The job that the key names."),
            **_refused(400, 409, 413, 415, 422),
        },
    }


def _list() -> Schema:
    def query(name: str, schema: Schema, about: str) -> Schema:
        return {"name": name, "in": "query", "schema": schema, "description": about}

    number = {"type": "integer"}
    content = {
        "schema": {"type": "array", "items": _ref("Job")},
        "examples": {"example": {"value": [_JOB]}},
    }
    headers = {
        **_HEADERS,
        "X-RustQueue-Incomplete": {
            "description": "There when not all jobs were looked at, of very many.",
            "schema": {"type": "string", "enum": ["true"]},
        },
    }
    return {
        "operationId": "list_jobs",
        "summary": "List jobs",
        "description": "Newest first.",
        "tags": ["Jobs"],
        "parameters": [
            query("status", _ref("Status"), "Only those of this status."),
            query("kind", {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"}, "Only those of this kind."),
            query("limit", {**number, "default": 50}, "How many, 1 to 200; taken as the nearest of these."),
            query("offset", {**number, "default": 0}, "How many of the newest to leave out."),
        ],
        "responses": {
            "200": {"description": "The jobs.", "headers": headers, "content": {"application/json": content}},
            **_refused(400),
        },
    }


def _get() -> Schema:
    return {
        "operationId": "get_job",
        "summary": "Get a job",
        "description": "One job by its id.",
        "tags": ["Jobs"],
        "parameters": [_ID],
        "responses": {"200": _job("The job."), **_refused(400, 404)},
    }


def _cancel() -> Schema:
    def answer(about: str, status: str) -> Schema:
        value = {"status": status, "job_id": _JOB["id"]}
        content = {"schema": _ref("Cancelled"), "examples": {"example": {"value": value}}}
        return {"description": about, "headers": _HEADERS, "content": {"application/json": content}}

    return {
        "operationId": "cancel_job",
        "summary": "Cancel a job",
        "description": "A job that waits is cancelled at once; one that runs is asked to stop, and may be asked again.",
        "tags": ["Jobs"],
        "parameters": [_ID],
        "responses": {
            "200": answer("Cancelled.", "cancelled"),
            "202": answer("Its worker will hear of it.", "pending"),
            **_refused(400, 404, 409, 413, 415),
        },
    }


def _health() -> Schema:
    content = {"schema": _ref("Health"), "examples": {"example": {"value": {"status": "ok"}}}}
    return {
        "operationId": "health",
        "summary": "Health",
        "description": "Whether this node can do its work now: its store is well and it knows a leader.",
        "tags": ["Service"],
        "parameters": [],
        "security": [],
        "responses": {
            "200": {"description": "Well.", "headers": _HEADERS, "content": {"application/json": content}},
            "500": {"$ref": "#/components/responses/500"},
        },
    }


def _metrics() -> Schema:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "metrics",
        "summary": "Metrics",
        "description": "The exposition text of Prometheus, format 0.0.4.",
        "tags": ["Service"],
        "parameters": [],
        "security": [],
        "responses": {"200": {"description": "The metrics of this node.", "headers": _HEADERS, "content": content}},
    }


_HEADERS: Final = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}


def _job(about: str) -> Schema:
    content = {"schema": _ref("Job"), "examples": {"example": {"value": _JOB}}}
    return {"description": about, "headers": _HEADERS, "content": {"application/json": content}}


def _refused(*statuses: int) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*statuses, *_ALWAYS})}


def _refusal(status: int) -> Schema:
    content = {"application/json": {"schema": _ref("Error")}}
    return {"description": MEANING[status], "headers": _HEADERS, "content": content}


def with_nulls(schema: Any) -> Any:
    """The same for validators of JSON Schema, which know a type null and no `nullable`."""
    if isinstance(schema, list):
        return [with_nulls(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: with_nulls(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [changed, {"type": "null"}]} if schema.get("nullable") is True else changed
