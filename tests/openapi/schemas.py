"""Structs of the vocabulary as JSON Schemas, and what a request's body may hold."""

import inspect
import re
from typing import Any, get_args

import msgspec
from msgspec import Struct

from rustqueue.api.routes import Body, Route
from rustqueue.model import commands, queries
from rustqueue.model.commands import Push, PushBatch
from rustqueue.model.jobs import JobItem
from rustqueue.model.replies import ErrorEnvelope, Reply

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"
_SOURCE = re.compile(r"\s*\([^()]*\b(?:contract|decisions|design)\b[^()]*\)", re.IGNORECASE)
NAME_PATTERN = r"^[A-Za-z0-9._-]+$"
"""Names of jobs and queues; the program checks it beside the structs."""
_BESIDE_BODY = {"cmd", "request_id", "idempotency_key", "if_match", "if_owner", "receipt"}
"""The verb, what only TCP needs, and what travels in headers and query over HTTP."""

REQUESTS: dict[str, type[Struct]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        *get_args(commands.WireCommand),
        *get_args(commands.SecretCommand),
        *get_args(queries.Query),
        *get_args(queries.ShellQuery),
    )
    if kind.__struct_config__.tag is not None
}


_OPERATIONS = {"Push", "PushBatch", "Ack", "Fail", "Cancel"}
"""Requests that stand inside a transaction too."""


def reference(name: str) -> Schema:
    return {"$ref": _REF.format(name=name)}


def components(answers: set[type[Struct]]) -> dict[str, Schema]:
    """Everything that answers and bodies refer to."""
    kinds = [*sorted(answers, key=lambda kind: kind.__name__), ErrorEnvelope, JobItem, *REQUESTS.values()]
    _, found = msgspec.json.schema_components(kinds, ref_template=_REF)
    names = {kind.__name__ for kind in REQUESTS.values()} - _OPERATIONS
    schemas = {name: _tidied(schema) for name, schema in found.items() if name not in names}
    for kind in answers:
        if issubclass(kind, Reply):
            _say_ok(schemas[kind.__name__])
    schemas["JobItem"]["required"] = ["name", "data"]
    schemas["JobItem"]["properties"]["name"]["pattern"] = NAME_PATTERN
    return dict(sorted(schemas.items()))


def _say_ok(schema: Schema) -> None:
    """Every success says so. Batches are the exception: theirs is false when an item failed."""
    schema["properties"]["ok"] = {"type": "boolean"}
    schema["required"] = ["ok", *[name for name in schema.get("required", []) if name != "ok"]]


def _tidied(schema: Any) -> Any:
    """Descriptions for readers, no titles, no defaults that only say that nothing was given."""
    if isinstance(schema, list):
        return [_tidied(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: _tidied(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
    }
    if isinstance(kept.get("description"), str):
        kept["description"] = clean(kept["description"])
    if isinstance(kept.get("pattern"), str):
        kept["pattern"] = kept["pattern"].replace(r"\Z", "$")
    return kept


def clean(text: str) -> str:
    return _SOURCE.sub("", inspect.cleandoc(text))


def fields_of(verb: str) -> Schema:
    """The schemas of a verb's fields by name."""
    kind = REQUESTS[verb]
    _, found = msgspec.json.schema_components([kind], ref_template=_REF)
    properties: Schema = _tidied(found[kind.__name__]["properties"])
    return properties


def described(verb: str) -> str:
    kind = REQUESTS.get(verb)
    return clean(kind.__doc__ or "") if kind is not None and "__doc__" in vars(kind) else ""


def body_schema(route: Route, path: set[str]) -> Schema:
    """What the body of a request may be."""
    if route.verb == "push":
        batch = {"type": "array", "items": reference("JobItem"), "maxItems": _batch_max()}
        return {"oneOf": [reference("JobItem"), batch]}
    kind = REQUESTS[route.verb]
    fields = {
        name: schema
        for name, schema in fields_of(route.verb).items()
        if name not in path | _BESIDE_BODY and name not in route.query
    }
    needed = {field.encode_name for field in msgspec.structs.fields(kind) if field.required} | set(route.required)
    required = sorted(needed - path)
    whole: Schema = {"type": "object", "properties": fields, "additionalProperties": False}
    if required:
        whole["required"] = required
    if route.body is Body.ITEMS:
        items = fields["items"]
        return {"oneOf": [whole, items["anyOf"][0] if "anyOf" in items else items]}
    return whole


def _batch_max() -> int:
    jobs = {field.encode_name: field for field in msgspec.inspect.type_info(PushBatch).fields}["jobs"]  # type: ignore[attr-defined]
    return int(jobs.type.max_length)


__all__ = ["Push", "Schema", "body_schema", "components", "described", "fields_of", "reference"]
