"""Webhooks in the machine: what a definition is, who may change it, and that its secrets are nowhere in the open."""

import msgspec

from rustqueue.model import limits
from tests.unit.factories import SEALER, Rig, at
from tests.unit.webhook_steps import NO_DELIVERIES, URL, hook


def test_a_webhook_is_shown_without_what_it_keeps_secret() -> None:
    # When a webhook with everything is made
    rig = Rig()
    made = rig.do(
        "webhook_create",
        name="audit",
        url=URL,
        events=["job_completed", "job.dlq"],
        queues=["mail", "sms.*"],
        secret="canary-1",
        previous_secret="canary-2",
        headers={"X-B": "canary-3", "Authorization": "Bearer canary-4"},
        timeout_ms=700,
        retry={"max_retries": 9, "max_age_ms": 5_000, "max_delay_ms": 60},
        labels={"team": "a"},
        owner={"uid": "u1", "ref": "Webhook/x"},
    )
    # Then all of it is shown but the secrets
    assert made == {
        "ok": True,
        "created": True,
        "webhook": {
            "id": made["webhook"]["id"],
            "name": "audit",
            "url": URL,
            "events": ["job.completed", "job.dlq"],
            "queues": ["mail", "sms.*"],
            "active": True,
            "suspended": False,
            "created_at": at(0),
            "updated_at": at(0),
            "headers": ["Authorization", "X-B"],
            "has_secret": True,
            "has_previous_secret": True,
            "timeout_ms": 700,
            "retry": {"max_retries": 9, "max_age_ms": 5_000, "max_delay_ms": 60},
            "deliveries": NO_DELIVERIES,
            "labels": {"team": "a"},
            "owner": {"uid": "u1", "ref": "Webhook/x"},
            "revision": 1,
        },
    }
    assert rig.ask("webhook_get", name="audit")["webhook"] == made["webhook"]
    assert rig.ask("webhook_get", name=made["webhook"]["id"])["webhook"] == made["webhook"]
    assert rig.ask("webhook_list")["webhooks"] == [made["webhook"]]
    # And no secret is in a row or in the log
    stored = b"".join(key + value for key, value in rig.scan()) + b"".join(b"".join(e.commands) for e in rig.log)
    assert b"canary" not in stored
    row = rig.machine.state.webhooks.by_name["audit"].row
    assert SEALER.open("webhook secret", row.secret or b"") == b"canary-1"
    headers = msgspec.json.decode(SEALER.open("webhook headers", row.headers or b""))
    assert headers == {"Authorization": "Bearer canary-4", "X-B": "canary-3"}


def test_a_webhook_without_a_name_is_called_by_its_id() -> None:
    rig = Rig()
    made = rig.do("webhook_create", url=URL)["webhook"]
    assert made["name"] == made["id"]
    assert (made["events"], made["queues"], made["has_secret"]) == ([], [], False)
    assert rig.do("webhook_put", name=made["id"], url=URL + "2")["created"] is False


def test_a_name_is_taken_once_and_put_replaces() -> None:
    rig = Rig()
    hook(rig)
    assert rig.refused("webhook_create", name="h", url=URL) == (409, "DUPLICATE_KEY", {"field": "name"})
    replaced = rig.do("webhook_put", name="h", url=URL + "/2", events=["job.dlq"])
    assert (replaced["created"], replaced["webhook"]["url"], replaced["webhook"]["revision"]) == (False, URL + "/2", 2)


def test_a_put_of_the_same_changes_nothing_and_keeps_what_it_does_not_say() -> None:
    # Given a webhook with secrets, paused
    rig = Rig()
    first = hook(rig, secret="a", headers={"X-A": "1"}, suspended=True)
    # When it is put again without them, then nothing has changed
    rig.now_ms += 10
    assert hook(rig) == first
    assert hook(rig, secret="a", headers={"X-A": "1"}) == first
    # When they are cleared, then they are gone
    cleared = hook(rig, secret=None, headers=None, suspended=False)
    shown = (cleared["has_secret"], cleared["headers"], cleared["active"], cleared["revision"], cleared["updated_at"])
    assert shown == (False, [], True, 2, at(10))


def test_revisions_and_owners_guard_a_webhook() -> None:
    rig = Rig()
    hook(rig, owner={"uid": "u1"})
    for verb, fields in (("webhook_put", {"url": URL}), ("webhook_delete", {}), ("webhook_pause", {})):
        assert rig.refused(verb, name="h", if_match=7, **fields)[:2] == (412, "PRECONDITION_FAILED")
        assert rig.refused(verb, name="h", if_owner="u2", **fields)[:2] == (412, "PRECONDITION_FAILED")
    assert rig.refused("webhook_put", name="new", url=URL, if_match=1)[:2] == (412, "PRECONDITION_FAILED")
    assert rig.do("webhook_pause", name="h", if_match=1, if_owner="u1")["webhook"]["revision"] == 2


def test_unknown_webhooks_are_not_found() -> None:
    rig = Rig()
    for verb in ("webhook_delete", "webhook_pause", "webhook_resume", "webhook_test", "webhook_resend"):
        assert rig.refused(verb, name="none")[:2] == (404, "WEBHOOK_NOT_FOUND")
    assert rig.unanswered("webhook_get", name="none") == (404, "WEBHOOK_NOT_FOUND")
    assert rig.unanswered("webhook_deliveries", name="none") == (404, "WEBHOOK_NOT_FOUND")


def test_a_name_that_looks_like_an_id_is_refused() -> None:
    rig = Rig()
    name = "01980000-0000-7000-8000-000000000000"
    assert rig.refused("webhook_put", name=name, url=URL) == (400, "VALIDATION_ERROR", {"field": "name"})


def test_definitions_are_bounded() -> None:
    rig = Rig()
    rig.audited = False
    rig.apply(*({"cmd": "webhook_create", "url": URL} for _ in range(limits.WEBHOOKS_MAX)))
    refused = rig.refused("webhook_create", url=URL)
    assert refused == (400, "VALIDATION_ERROR", {"field": "name", "limit": limits.WEBHOOKS_MAX})
