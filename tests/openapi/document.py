"""The table of routes as an OpenAPI 3.1 document."""

import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

import rustqueue
from rustqueue.api.routes import METADATA, ROUTES, Body, Kind, Route, Source
from rustqueue.model import limits
from rustqueue.model.requests import Guarded, Write
from tests.openapi.answers import ANSWERS, MEANING, has_body, refusals
from tests.openapi.prose import Told, told
from tests.openapi.schemas import (
    NAME_PATTERN,
    REQUESTS,
    Schema,
    body_schema,
    components,
    described,
    fields_of,
    reference,
)

FILE = Path(__file__).resolve().parents[2] / "rustqueue" / "dashboard" / "static" / "openapi.json"
BEARER = "bearer"
CONTEXT: Schema = {
    "name": "traceparent",
    "in": "header",
    "description": "W3C trace context that jobs carry unless they name one; what is none is passed over.",
    "schema": {"type": "string"},
}
_ABOUT = """A durable job queue. TCP on port 6789 takes the same verbs, a JSON line each.

Every answer is a JSON object with `ok`; times are RFC 3339 in UTC, durations milliseconds. Unknown keys are refused by
name. Answers may gain members: ignore those that you do not know."""
_KINDS: dict[Kind, Schema] = {
    Kind.TEXT: {"type": "string"},
    Kind.NUMBER: {"type": "integer"},
    Kind.FLAG: {"enum": ["1", "true", "0", "false"]},
}
_IDS = {
    "GET /api/v1/queues/{queue}/jobs": "pull_by_get",
    "POST /api/v1/pull": "pull_from_queues",
}
"""Verbs with several routes have several names."""


def text() -> str:
    return msgspec.json.format(msgspec.json.encode(document()), indent=1).decode() + "\n"


def document() -> Schema:
    pages = told()
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route, pages[_name(route)])
    answers: set[type[Struct]] = {kind for found in ANSWERS.values() for kinds in found.values() for kind in kinds}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "RustQueue API",
            "version": rustqueue.__version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": section} for section in dict.fromkeys(page.section for page in pages.values())],
        "security": [{}, {BEARER: []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed when the node has `[auth] enabled`.",
                }
            },
            "responses": {str(status): _refusal(status) for status in sorted(MEANING)},
            "headers": {
                "X-Request-Id": {"description": "Taken from the request or made.", "schema": {"type": "string"}},
                "X-RustQueue-Index": {
                    "description": "The entry of the log that a local or stale read saw.",
                    "schema": {"type": "integer", "minimum": 0},
                },
                "X-RustQueue-Stale": {
                    "description": "Nobody leads: others may have written more since.",
                    "schema": {"const": "true"},
                },
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}},
            },
            "schemas": components(answers),
        },
    }


def operation(route: Route, page: Told) -> Schema:
    path = re.findall(r"\{(\w+)\}", route.path)
    found: Schema = {
        "operationId": _IDS.get(_name(route), route.verb),
        "summary": page.summary,
        "description": page.text or described(route.verb),
        "tags": [page.section],
        "parameters": [
            *[_path_parameter(route, name, page) for name in path],
            *_query_parameters(route, page),
            *_header_parameters(route),
        ],
        "responses": _responses(route, page),
    }
    if route.is_public:
        found["security"] = []
    if has_body(route):
        content: Schema = {"schema": body_schema(route, set(path))}
        bodies = [body for _, body in page.requests if body is not None]
        if bodies:
            content["examples"] = {f"example{number}": {"value": body} for number, body in enumerate(bodies, 1)}
        needed = route.body is not Body.OPTIONAL
        found["requestBody"] = {"required": needed, "content": {"application/json": content}}
    return found


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _path_parameter(route: Route, name: str, page: Told) -> Schema:
    schema = fields_of(route.verb).get(name, {"type": "string"})
    if name == "queue":
        schema = {**schema, "pattern": NAME_PATTERN}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(route: Route, page: Told) -> list[Schema]:
    known = fields_of(route.verb) if route.verb in REQUESTS else {}
    examples = {key: value for query, _ in page.requests for key, value in query.items()}
    found = []
    for name, kind in route.query.items():
        if name == METADATA:
            continue  # A family of keys, which OpenAPI cannot name; the description does.
        schema = _KINDS[kind] if kind is Kind.FLAG else known.get(name, _KINDS[kind])
        parameter: Schema = {"name": name, "in": "query", "schema": _not_null(schema)}
        if name in examples:
            parameter["example"] = _typed(kind, examples[name])
        found.append(parameter)
    return found


def _not_null(schema: Schema) -> Schema:
    """A query key is there or not: it cannot be null."""
    if "anyOf" not in schema:
        return schema
    parts = [part for part in schema["anyOf"] if part != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**parts[0], **rest} if len(parts) == 1 else {**rest, "anyOf": parts}


def _typed(kind: Kind, value: str) -> Any:
    return int(value) if kind is Kind.NUMBER else value


def _header_parameters(route: Route) -> list[Schema]:
    kind = REQUESTS.get(route.verb)
    if kind is None:
        return []
    found = []
    if route.is_read:
        fields = fields_of(route.verb)
        for name, header, text in (
            ("consistency", "X-RustQueue-Consistency", "The same as the query key `consistency`."),
            ("min_index", "X-RustQueue-Min-Index", "The same as the query key `min_index`."),
        ):
            found.append({"name": header, "in": "header", "description": text, "schema": fields[name]})
    if issubclass(kind, Write) or route.verb == "push":
        schema: Schema = {"type": "string", "minLength": 1, "maxLength": limits.IDEMPOTENCY_KEY_BYTES_MAX}
        text = "A repeat with the same key within ten minutes answers as the first did."
        found.append({"name": "Idempotency-Key", "in": "header", "description": text, "schema": schema})
    if route.body is Body.PUSH:
        found.append(CONTEXT)
    if issubclass(kind, Guarded):
        fields = fields_of(route.verb)
        texts = {
            "if_match": ("If-Match", "Only if the record has this revision; 0: only if there is none."),
            "if_owner": ("If-Owner", "Only if the record belongs to this uid, or to nobody."),
        }
        for name, (header, text) in texts.items():
            schema = _not_null(fields[name])
            found.append({"name": header, "in": "header", "description": text, "schema": schema})
    return found


def _responses(route: Route, page: Told) -> Schema:
    found: Schema = {}
    if route.source is Source.METRICS:
        metrics = {"text/plain": {"schema": {"type": "string"}}}
        found["200"] = {"description": "The exposition text of Prometheus, format 0.0.4.", "content": metrics}
    elif route.source is Source.EVENTS:
        found["101"] = {"description": "The connection is a WebSocket now."}
    else:
        for status, kinds in ANSWERS[route.verb].items():
            found[str(status)] = _success(route, status, kinds, page)
    kind = REQUESTS.get(route.verb)
    guarded = kind is not None and issubclass(kind, Guarded)
    for status in refusals(route, guarded=guarded):
        found.setdefault(str(status), {"$ref": f"#/components/responses/{status}"})
    return dict(sorted(found.items()))


_SUCCESS = {200: "Done.", 201: "Made.", 202: "Begun; it goes on by itself."}


def _success(route: Route, status: int, kinds: tuple[type[Struct], ...], page: Told) -> Schema:
    schemas = [reference(kind.__name__) for kind in kinds]
    content: Schema = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
    examples = [answer for answer in page.answers if any(_fits(answer, kind) for kind in kinds)]
    if examples:
        content["examples"] = {f"example{number}": {"value": value} for number, value in enumerate(examples, 1)}
    names = ["X-Request-Id", *(["X-RustQueue-Index", "X-RustQueue-Stale"] if route.is_read else [])]
    return {
        "description": _SUCCESS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {"application/json": content},
    }


def _fits(answer: dict[str, Any], kind: type[Struct]) -> bool:
    """Whether an example is an answer of this shape: it has what is required, and nothing else."""
    fields = msgspec.structs.fields(kind)
    required = {field.encode_name for field in fields if field.required}
    return required <= answer.keys() <= {field.encode_name for field in fields}


def _refusal(status: int) -> Schema:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if status in (429, 503):
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    content = {"application/json": {"schema": reference("ErrorEnvelope")}}
    return {"description": MEANING[status], "headers": headers, "content": content}
