"""What can be declared of a queue beside its plain settings, each asked in every way that a client can ask it."""

from typing import Any

import pytest

from tests.conformance.bodies import Step, ask, bulk, counts, declared, invalid, leased, ok, pull, push, refused
from tests.conformance.protocols import WAYS, Json, play

OWNER = {"uid": "u1", "ref": "Queue/mail/q"}
OWNED = declared(1, OWNER, team="mail")


SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}}
CAPS = {"rate": {"count": 4, "per_ms": 600_000}, "concurrency": 2, "group_concurrency": 1}


def queue(**members: Any) -> Json:
    """The answer about queue `q` without jobs and settings."""
    return ok(name="q", counts=counts(), settings={}, mode="normal", **members)


CASES: dict[str, list[Step]] = {
    "several things or none": [
        (push(), 201, ok(id="#1")),
        (pull(), 200, ok(job=leased("#1", "~1"))),
        (
            ask(
                "tx",
                operations=[
                    {"cmd": "ack", "id": "#1", "attempt_token": "~1", "result": 5},
                    {"cmd": "push", "queue": "q", "name": "n", "data": 1},
                    {"cmd": "push", "queue": "q", "name": "n", "data": 1, "depends_on": [1]},
                ],
            ),
            200,
            ok(results=[ok(), ok(id="#2"), ok(id="#3")]),
        ),
        (ask("stats", queue="q"), 200, ok(counts=counts(waiting=1, completed=1, blocked=1), mode="normal")),
        (
            ask(
                "tx",
                operations=[{"cmd": "cancel", "id": "#2"}, {"cmd": "fail", "id": "#3"}],
            ),
            409,
            refused(
                "INVALID_STATE",
                "Job is in invalid state 'Dlq' for operation (expected: Active)",
                state="dlq",
                operation=1,
            ),
        ),
        (ask("stats", queue="q"), 200, ok(counts=counts(waiting=1, completed=1, blocked=1), mode="normal")),
    ],
    "who declared a queue": [
        (
            ask("queue_settings", queue="q", labels={"team": "mail"}, owner=OWNER, if_match=0, if_owner="u1"),
            201,
            queue(created=True, **declared(1, OWNER, team="mail")),
        ),
        (ask("queue_settings", queue="q", labels={"team": "mail"}, if_match=1), 200, queue(created=False, **OWNED)),
        (ask("list_queues"), 200, ok(queues=[{"name": "q", "counts": counts(), "mode": "normal", **OWNED}])),
        (
            ask("queue_settings", queue="q", if_match=0),
            412,
            refused("PRECONDITION_FAILED", "The record has revision 1, not 0", field="if_match", revision=1),
        ),
        (
            ask("queue_settings", queue="q", if_owner="u2"),
            412,
            refused("PRECONDITION_FAILED", "The record belongs to another owner", field="if_owner", owner="u1"),
        ),
        (
            ask("queue_settings", queue="new", if_match=7),
            412,
            refused("PRECONDITION_FAILED", "There is no such record yet", field="if_match", revision=0),
        ),
        (
            ask("queue_delete", queue="q", if_owner="u2"),
            412,
            refused("PRECONDITION_FAILED", "The record belongs to another owner", field="if_owner", owner="u1"),
        ),
        (
            ask("queue_settings", queue="q", labels={}, owner=None, if_owner="u1"),
            200,
            queue(created=False, **declared(2)),
        ),
        (
            ask("queue_delete", queue="q", if_owner="u1"),
            412,
            refused("PRECONDITION_FAILED", "The record belongs to nobody", field="if_owner", owner=None),
        ),
        (ask("queue_delete", queue="q", if_match=2), 200, bulk(0, 0)),
    ],
    "payloads with a schema": [
        (
            ask("queue_settings", queue="q", payload_schema=SCHEMA),
            201,
            {**queue(created=True, **declared(1)), "settings": {"payload_schema": SCHEMA}},
        ),
        (push(data={"to": "x"}), 201, ok(id="#1")),
        (
            push(data={"to": [5]}),
            422,
            invalid(
                "'data.to' does not fit the schema of queue 'q': the value is not of type \"string\"", field="data.to"
            ),
        ),
        (
            ask("push_batch", queue="q", jobs=[{"name": "n", "data": {"to": "x"}}, {"name": "n", "data": 5}]),
            422,
            invalid(
                "'jobs[1].data' does not fit the schema of queue 'q': the value is not of type \"object\"",
                field="jobs[1].data",
                index=1,
            ),
        ),
        (
            ask("queue_settings", queue="q", payload_schema={"$ref": "https://example.org"}),
            400,
            invalid(
                "'payload_schema.$ref' must lead to a place in this schema: '#' or '#/...'",
                field="payload_schema.$ref",
            ),
        ),
        (ask("stats", queue="q"), 200, ok(counts=counts(waiting=1), mode="normal")),
    ],
    "limits of a queue": [
        (
            ask("queue_settings", queue="q", limits=CAPS),
            201,
            {**queue(created=True, **declared(1)), "settings": {"limits": CAPS}},
        ),
        (push(), 201, ok(id="#1")),
        (push(group_id="a"), 201, ok(id="#2")),
        (push(group_id="a"), 201, ok(id="#3")),
        (push(group_id="b"), 201, ok(id="#4")),
        (
            push(),
            429,
            refused("RATE_LIMITED", "Rate limit exceeded", field="rate", limit=4, per_ms=600000),
        ),
        (pull(count=9), 200, ok(jobs=[leased("#1", "~1"), leased("#2", "~1", group_id="a")])),
        (ask("ack", id="#1"), 200, ok()),
        (pull(count=9), 200, ok(jobs=[leased("#4", "~2", group_id="b")])),
        (ask("ack", id="#4"), 200, ok()),
        (pull(count=9), 200, ok(jobs=[])),
        (ask("ack", id="#2"), 200, ok()),
        (pull(count=9), 200, ok(jobs=[leased("#3", "~3", group_id="a")])),
    ],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
async def test_the_answer_is_the_same_however_it_is_asked(name: str, way: str) -> None:
    assert await play(CASES[name], way) == [(status, body) for _, status, body in CASES[name]]
