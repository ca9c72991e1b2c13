"""Verbs about webhooks, asked in every way that a client can ask. Nothing is delivered: the webhooks are paused."""

import pytest

from tests.conformance.bodies import Step, ask, invalid, ok, push, refused
from tests.conformance.protocols import NOBODY, WAYS, Json, play

URL = "https://hooks.example/in"


def hook(**fields: object) -> Json:
    """The whole object of a paused webhook without options."""
    return {
        "id": "#1",
        "name": "h",
        "url": URL,
        "events": [],
        "queues": [],
        "active": False,
        "suspended": True,
        "created_at": "T",
        "updated_at": "T",
        "headers": [],
        "has_secret": False,
        "has_previous_secret": False,
        "timeout_ms": None,
        "retry": {},
        "deliveries": deliveries(),
        "labels": {},
        "owner": None,
        "revision": 1,
        **fields,
    }


def deliveries(**counts: object) -> Json:
    none: Json = dict.fromkeys(("last_success_at", "last_failure_at", "last_error"))
    zero = dict.fromkeys(("waiting", "delivered", "failed_tries", "given_up", "given_up_kept", "dropped"), 0)
    return {**zero, "consecutive_failures": 0, **none, **counts}


def delivery(**fields: object) -> Json:
    none: Json = dict.fromkeys(("next_attempt_at", "tried_at", "duration_ms", "status", "error"))
    return {"state": "waiting", "created_at": "T", "attempts": 0, **none, **fields}


def missing(name: str) -> Json:
    return refused("WEBHOOK_NOT_FOUND", f"Webhook '{name}' not found")


CASES: dict[str, list[Step]] = {
    "webhooks": [
        (ask("webhook_list"), 200, ok(webhooks=[])),
        (
            ask(
                "webhook_create",
                name="h",
                url=URL,
                suspended=True,
                events=["job_completed", "job.dlq"],
                queues=["mail", "a*"],
                secret="canary",
                headers={"X-A": "canary"},
                timeout_ms=500,
                retry={"max_retries": 1},
            ),
            201,
            ok(
                created=True,
                webhook=hook(
                    events=["job.completed", "job.dlq"],
                    queues=["a*", "mail"],
                    has_secret=True,
                    headers=["X-A"],
                    timeout_ms=500,
                    retry={"max_retries": 1},
                ),
            ),
        ),
        (
            ask("webhook_create", name="h", url=URL),
            409,
            refused("DUPLICATE_KEY", "There is a webhook named 'h' already", field="name"),
        ),
        (
            ask("webhook_put", name="h", url=URL, secret=None, headers=None, labels={"team": "a"}),
            200,
            ok(created=False, webhook=hook(labels={"team": "a"}, revision=2)),
        ),
        (ask("webhook_get", name="#1"), 200, ok(webhook=hook(labels={"team": "a"}, revision=2))),
        (
            ask("webhook_put", name="new", url=URL, suspended=True),
            201,
            ok(created=True, webhook=hook(id="#2", name="new")),
        ),
        (ask("webhook_delete", name="new"), 200, ok()),
        (ask("webhook_list"), 200, ok(webhooks=[hook(labels={"team": "a"}, revision=2)])),
        (ask("webhook_pause", name="h"), 200, ok(webhook=hook(labels={"team": "a"}, revision=2))),
        (
            ask("webhook_put", name="h", url=URL, if_match=1),
            412,
            refused("PRECONDITION_FAILED", "The record has revision 2, not 1", field="if_match", revision=2),
        ),
    ],
    "deliveries": [
        (ask("webhook_put", name="h", url=URL, suspended=True), 201, ok(created=True, webhook=hook())),
        (ask("webhook_test", name="h"), 202, ok(delivery="#2")),
        (push(), 201, ok(id="#3")),
        (
            ask("webhook_deliveries", name="h", show="waiting", limit=1),
            200,
            ok(deliveries=[delivery(id="#2", event="webhook.test", queue=None, job_id=None)], next_cursor="#2"),
        ),
        (
            ask("webhook_deliveries", name="h", show="waiting", cursor="#2"),
            200,
            ok(deliveries=[delivery(id="#4", event="job.pushed", queue="q", job_id="#3")], next_cursor=None),
        ),
        (
            ask("webhook_deliveries", name="h", show="waiting", cursor="later"),
            400,
            invalid("'cursor' must be the 'next_cursor' of the page before", field="cursor"),
        ),
        (
            ask("webhook_deliveries", name="h", cursor="#2"),
            400,
            invalid("'cursor' goes with 'show' waiting or given_up; 'recent' is one page", field="cursor"),
        ),
        (ask("webhook_deliveries", name="h"), 200, ok(deliveries=[], next_cursor=None)),
        (ask("webhook_get", name="h"), 200, ok(webhook=hook(deliveries=deliveries(waiting=2)))),
        (ask("webhook_resend", name="h"), 200, ok(moved=0, left=0)),
        (
            ask("webhook_resend", name="h", delivery=NOBODY),
            404,
            refused("DELIVERY_NOT_FOUND", f"Delivery '{NOBODY}' is not among those that were given up"),
        ),
    ],
    "no such webhook": [
        (ask("webhook_get", name="none"), 404, missing("none")),
        (ask("webhook_delete", name="none"), 404, missing("none")),
        (ask("webhook_pause", name="none"), 404, missing("none")),
        (ask("webhook_resume", name="none"), 404, missing("none")),
        (ask("webhook_test", name="none"), 404, missing("none")),
        (ask("webhook_resend", name="none"), 404, missing("none")),
        (ask("webhook_deliveries", name="none"), 404, missing("none")),
    ],
    "webhooks that cannot be": [
        (ask("webhook_create", url=""), 400, refused("VALIDATION_ERROR", "url is required", field="url")),
        (
            ask("webhook_create", url="http://user@hooks.example/"),
            400,
            invalid(
                "'url' must be http://HOST[:PORT][/PATH] or https://..., in ASCII, without user, password or fragment",
                field="url",
            ),
        ),
        (
            ask("webhook_create", url="http://169.254.169.254/latest"),
            400,
            invalid("'url' cannot be called: address 169.254.169.254 is not a public one", field="url"),
        ),
        (
            ask("webhook_create", url="http://hooks.example:22/"),
            400,
            invalid("'url' cannot be called: port 22 is not among those that webhooks may call", field="url"),
        ),
        (
            ask("webhook_create", url=URL, name="a/b"),
            400,
            invalid("'name' may only hold ASCII letters, digits, '-', '_' and '.'", field="name"),
        ),
        (
            ask("webhook_create", url=URL, queues=["ok", "*.no"]),
            400,
            invalid("'queues[1]' is no name of a queue, with or without '*' at its end", field="queues[1]"),
        ),
        (
            ask("webhook_create", url=URL, headers={"Host": "inner"}),
            400,
            invalid("'headers.Host' is set by the node itself", field="headers.Host"),
        ),
        (
            ask("webhook_create", url=URL, headers={"X-A": "a\r\nX-B: b"}),
            400,
            invalid("'headers.X-A' may only hold visible ASCII and spaces between", field="headers.X-A"),
        ),
    ],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
async def test_every_way_gives_the_same_whole_answer(case: str, way: str) -> None:
    steps = CASES[case]
    assert await play(steps, way) == [(status, body) for _, status, body in steps]
