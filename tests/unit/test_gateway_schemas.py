"""Payload schemas: what fits, what is told of what does not, and schemas that are refused."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from rustqueue.gateway.kinds import KindRules
from rustqueue.gateway.schemas import Misfit, Schema
from rustqueue.model import limits
from rustqueue.model.commands import JobCreate
from rustqueue.model.errors import ApiError
from rustqueue.model.wire import creation
from tests.unit.gateway_world import World

MAIL = {
    "type": "object",
    "required": ["to"],
    "properties": {
        "to": {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}},
        "copies": {"type": "integer", "minimum": 1},
    },
    "$defs": {
        "part": {"type": "object", "required": ["text"], "properties": {"parts": {"$ref": "#/properties/parts"}}}
    },
}


def text(schema: Any) -> bytes:
    return msgspec.json.encode(schema)


def misfit(schema: Any, payload: Any) -> tuple[str, str] | None:
    try:
        Schema(text(schema)).check(text(payload))
    except Misfit as found:
        return found.path, found.reason
    return None


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"to": "a@example.org"}, None),
        ({"to": "a@example.org", "copies": 2**70, "other": [None]}, None),
        ({"to": "a@example.org", "parts": [{"text": 1, "parts": [{"text": 2}]}]}, None),
        ({}, ("", '"to" is a required property')),
        (5, ("", 'the value is not of type "object"')),
        ({"to": 5}, (".to", 'the value is not of type "string"')),
        ({"to": "secret"}, (".to", 'the value does not match "^[^@ ]+@[^@ ]+$"')),
        ({"to": "a@b", "copies": 0}, (".copies", "the value is less than the minimum of 1")),
        ({"to": "a@b", "parts": [{"text": 1}, {}]}, (".parts[1]", '"text" is a required property')),
        ({"to": "a@b", "parts": [{"text": 1, "parts": [{}]}]}, (".parts[0].parts[0]", '"text" is a required property')),
    ],
)
def test_a_payload_that_does_not_fit_is_named_by_its_place_and_not_repeated(payload: Any, expected: Any) -> None:
    assert misfit(MAIL, payload) == expected


def laughs(depth: int) -> dict[str, Any]:
    """Each definition asks the one before twice."""
    twice = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, depth + 1)}
    return {"$defs": {"d0": {"type": "object"}, **twice}, "$ref": f"#/$defs/d{depth}"}


BAD: dict[str, tuple[Any, str]] = {
    "a list": ([], "payload_schema"),
    "a bool": (True, "payload_schema"),
    "an unknown type": ({"type": "nope"}, "payload_schema"),
    "a broken pattern": ({"pattern": "("}, "payload_schema"),
    "a pattern that goes back": ({"pattern": "(?=a)b"}, "payload_schema"),
    "a pattern that is huge": ({"pattern": "((a{1000}){1000}){1000}"}, "payload_schema"),
    "a web address": ({"$ref": "https://example.org/schema.json"}, "payload_schema.$ref"),
    "a file": ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "payload_schema.properties.a.$ref"),
    "an unknown draft": ({"$schema": "https://example.org/draft"}, "payload_schema"),
    "a name of its own": ({"$id": "https://example.org/x", "type": "object"}, "payload_schema.$id"),
    "an anchor": ({"allOf": [{"$anchor": "a"}]}, "payload_schema.allOf[0].$anchor"),
    "a reference to nothing": ({"$ref": "#/$defs/nope"}, "payload_schema.$ref"),
    "a reference that is no text": ({"$ref": 5}, "payload_schema.$ref"),
    "too many steps": (laughs(20), "payload_schema"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_schema_that_is_none_or_could_do_harm_is_refused(name: str) -> None:
    schema, field = BAD[name]
    with pytest.raises(ApiError) as caught:
        Schema(text(schema))

    assert caught.value.details is not None
    assert caught.value.details["field"] == field


def test_names_of_members_are_no_keywords_and_data_is_no_schema() -> None:
    schema = {
        "properties": {"id": {"type": "integer"}, "$ref": {"type": "string"}, "$anchor": {}},
        "enum": [{"id": 1, "$ref": "x"}, {"$id": "y"}],
        "default": {"$ref": "https://example.org"},
    }
    assert misfit(schema, {"id": 1, "$ref": "x"}) is None
    assert misfit(schema, {"id": 2, "$ref": "x"}) is not None


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}])
def test_a_schema_that_contains_itself_ends(schema: Any) -> None:
    payload: Any = {}
    for _ in range(limits.JSON_DEPTH_MAX - 1):
        payload = {"a": payload}

    assert misfit(schema, payload) is None
    assert Schema(text(laughs(8))) is not None


def test_numbers_beyond_a_float_do_not_fit() -> None:
    with pytest.raises(Misfit):
        Schema(b"{}").check(b"1e999")


def declared(world: World, schema: Any, queue: str = "q") -> str | None:
    asked = world.ask("queue_settings", queue=queue, payload_schema=schema)
    world.run()
    return asked.code


def test_a_push_that_does_not_fit_is_refused_before_the_log() -> None:
    world = World()
    assert declared(world, MAIL) is None
    entries = len(world.log.entries)

    single = world.ask("push", queue="q", name="n", data={"to": 5})
    batch = world.ask("push_batch", queue="q", jobs=[{"name": "n", "data": {"to": "a@b"}}, {"name": "n", "data": {}}])

    assert (single.replies[0].status, single.reply["error"]["details"]) == (422, {"field": "data.to"})  # type: ignore[attr-defined]
    assert batch.reply["error"] == {
        "code": "VALIDATION_ERROR",
        "message": "Validation error: 'jobs[1].data' does not fit the schema of queue 'q':"
        ' "to" is a required property',
        "details": {"field": "jobs[1].data", "index": 1},
    }
    assert len(world.log.entries) == entries
    good = world.ask("push", queue="q", name="n", data={"to": "a@b"})
    world.run()
    assert good.code is None


def test_a_schema_is_replaced_and_taken_away_with_the_settings() -> None:
    world = World()
    declared(world, {"type": "integer"})
    declared(world, {"type": "string"})
    assert world.ask("push", queue="q", name="n", data=1).code == "VALIDATION_ERROR"
    assert world.ask("queue_get", queue="q").reply["settings"] == {"payload_schema": {"type": "string"}}

    assert declared(world, None) is None
    world.push("q", data=1)
    assert world.ask("queue_get", queue="q").reply["settings"] == {}


def test_a_bad_schema_never_reaches_the_log() -> None:
    world = World()
    assert declared(world, {"$ref": "https://example.org/schema.json"}) == "VALIDATION_ERROR"
    assert world.log.entries == []


def test_the_size_of_a_schema_is_bounded() -> None:
    with pytest.raises(ApiError, match="payload_schema"):
        declared(World(), {"x": "y" * limits.SCHEMA_BYTES_MAX})


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("send_email", {"to": "a", "subject": "b", "body": "c", "more": 1}, None),
        ("send_email", {"to": "a", "subject": "b"}, "missing field `body`"),
        ("resize_image", {"source_url": "u", "width": 2**32 - 1, "height": 0}, None),
        (
            "resize_image",
            {"source_url": "u", "width": -1, "height": 0},
            "width: the value is less than the minimum of 0",
        ),
        ("resize_image", {"source_url": "u", "width": 1.5, "height": 0}, 'width: the value is not of type "integer"'),
        ("summarize_text", {"text": "t"}, None),
        ("summarize_text", {"text": "t", "max_words": None}, None),
        ("webhook_delivery", {"url": "u", "body": None}, None),
        ("webhook_delivery", {"url": "u"}, "missing field `body`"),
        ("webhook_delivery", {"url": 1, "body": 1}, 'url: the value is not of type "string"'),
    ],
)
def test_the_kinds_that_are_built_in(kind: str, payload: Any, expected: str | None) -> None:
    rules = KindRules(lambda queue: None)
    job = creation(JobCreate(kind=kind, payload=Raw(text(payload))))
    if expected is None:
        rules.check(job)
        return
    with pytest.raises(ApiError) as refused:
        rules.check(job)
    assert refused.value.message == f"Validation error: payload validation failed for {kind}: {expected}"
    assert refused.value.status == 422


def test_a_name_that_is_no_kind_creates_no_job() -> None:
    rules = KindRules({"own": text({"type": "integer"}), "send_email": text({"type": "string"})}.get)
    rules.check(creation(JobCreate(kind="own", payload=Raw(b"1"))))
    rules.check(creation(JobCreate(kind="send_email", payload=Raw(b'"declared anew"'))))
    with pytest.raises(ApiError, match="unknown kind 'other', expected one of send_email, "):
        rules.check(creation(JobCreate(kind="other", payload=Raw(b"1"))))


def test_the_pushes_of_a_transaction_are_checked_too() -> None:
    world = World()
    declared(world, {"type": "integer"})

    pushes = [{"cmd": "push", "queue": "free", "name": "n", "data": "x"}, {"cmd": "push", "queue": "q", "name": "n"}]
    several = world.ask("tx", operations=pushes)

    assert several.reply["error"]["details"] == {"field": "data", "operation": 1}


def test_a_transaction_with_a_push_is_refused_at_the_limits_of_pushes() -> None:
    world = World()
    world.push("q")
    leased = world.ask("pull", queue="q")
    world.ask("queue_settings", queue="q", limits={"rate": {"count": 1, "per_ms": 60_000}})
    world.run()
    ack = {"cmd": "ack", "id": leased.reply["job"]["id"]}
    push = {"cmd": "push", "queue": "q", "name": "n"}
    assert world.ask("tx", operations=[push, push]).code == "RATE_LIMITED"

    world.log.disk_full = True
    assert world.ask("tx", operations=[ack, push]).code == "DISK_FULL"
    acked = world.ask("tx", operations=[ack])
    world.run()

    assert acked.reply["results"] == [{"ok": True}]
