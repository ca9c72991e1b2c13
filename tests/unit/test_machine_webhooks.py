"""Webhooks in the machine: definitions, the outbox beside the events, and what becomes of deliveries."""

import pytest

from rustqueue.machine.audit import audit
from rustqueue.machine.webhooks import rows
from rustqueue.model import limits
from rustqueue.model.jobs import NodeDefaults
from tests.unit.factories import Json, Rig, at
from tests.unit.webhook_steps import counts, deliveries, fail, hook, outcome, settle, settle_all, waiting

# The outbox.


def test_each_matching_event_waits_in_the_outbox_in_order() -> None:
    # Given a webhook for everything
    rig = Rig()
    hook(rig)
    # When a job goes through its life
    (job_id,) = [rig.push(max_attempts=2)]
    (leased,) = rig.pull()
    rig.do("progress", id=job_id, progress=40)
    rig.do("fail", id=job_id, error="boom")
    rig.wait(60_000)
    rig.pull()
    rig.do("fail", id=job_id, error="boom")
    other = rig.push()
    rig.do("cancel", id=other)
    rig.do("queue_pause", queue="q")
    rig.do("queue_resume", queue="q")
    # Then each event has its delivery
    assert leased["id"] == job_id
    assert waiting(rig) == [
        ("job.pushed", job_id),
        ("job.started", job_id),
        ("job.progress", job_id),
        ("job.failed", job_id),
        ("job.started", job_id),
        ("job.failed", job_id),
        ("job.dlq", job_id),
        ("job.pushed", other),
        ("job.cancelled", other),
        ("queue.paused", None),
        ("queue.resumed", None),
    ]
    assert counts(rig) == {"waiting": 11}


def test_filters_choose_events_and_queues() -> None:
    rig = Rig()
    hook(rig, "completed", events=["job_completed"])
    hook(rig, "mail", queues=["mail"])
    hook(rig, "mails", queues=["mail*"], events=["job.pushed"])
    for queue in ("mail", "mail.eu", "sms"):
        rig.push(queue)
        rig.do("ack", id=rig.pulled(queue=queue)[0])
    told = {name: [delivery["queue"] for delivery in deliveries(rig, name)] for name in ("completed", "mail", "mails")}
    assert told == {
        "completed": ["mail", "mail.eu", "sms"],
        "mail": ["mail", "mail", "mail"],
        "mails": ["mail", "mail.eu"],
    }


def test_a_filter_that_changes_counts_from_then_on() -> None:
    rig = Rig()
    hook(rig, events=["job.pushed"])
    rig.push()
    hook(rig, events=["job.completed"])
    rig.push()
    assert counts(rig) == {"waiting": 1}


def test_a_refused_command_tells_nothing() -> None:
    rig = Rig()
    hook(rig)
    rig.refused("ack", id="01980000-0000-7000-8000-000000000000")
    assert waiting(rig) == []


def test_a_full_outbox_drops_and_counts_and_holds_nothing_up() -> None:
    # Given an outbox that is full but for two
    rig = Rig()
    rig.audited = False
    hook(rig, events=["job.pushed"])
    rig.push_many(limits.WEBHOOK_OUTBOX_MAX - 2)
    # When four more events come
    more = rig.push_many(4)
    # Then two are kept, two are counted as dropped, and the jobs are there
    assert counts(rig) == {"waiting": limits.WEBHOOK_OUTBOX_MAX, "dropped": 2}
    assert rig.counts() == {"waiting": limits.WEBHOOK_OUTBOX_MAX + 2}
    assert rig.refused("webhook_test", name="h")[:2] == (429, "RATE_LIMITED")
    # When another webhook wants the same from now on, then it has room of its own, as long as there is some for all
    hook(rig, "other", events=["job.pushed"])
    rig.push()
    assert counts(rig, "other") == {"waiting": 1}
    # And deleting gives the room back, and leaves nothing
    rig.do("webhook_delete", name="h")
    assert rig.machine.state.webhooks.waiting == 1
    assert audit(rig.kv) == []
    assert more != []


def test_all_outboxes_together_are_bounded() -> None:
    rig = Rig()
    rig.audited = False
    names = [f"h{place:02}" for place in range(limits.WEBHOOK_OUTBOX_ALL_MAX // limits.WEBHOOK_OUTBOX_MAX + 1)]
    for name in names:
        hook(rig, name, events=["job.pushed"])
    rig.push_many(limits.WEBHOOK_OUTBOX_MAX)
    held = [counts(rig, name) for name in names]
    assert sum(count["waiting"] for count in held) == limits.WEBHOOK_OUTBOX_ALL_MAX
    assert sum(count.get("dropped", 0) for count in held) == limits.WEBHOOK_OUTBOX_MAX
    assert held[0]["waiting"] >= held[-1]["waiting"] > 0


# What becomes of deliveries.


def test_a_delivery_that_was_taken_leaves_the_outbox() -> None:
    rig = Rig()
    hook(rig, events=["job.pushed"])
    job_id = rig.push()
    (delivery,) = deliveries(rig)
    rig.now_ms += 5
    assert settle(rig, outcome(rig, delivery, status=204)) == [0]
    assert waiting(rig) == []
    assert counts(rig) == {"delivered": 1, "last_success_at": at(5)}
    assert deliveries(rig, show="recent") == [
        {
            "id": delivery["id"],
            "event": "job.pushed",
            "queue": "q",
            "job_id": job_id,
            "state": "delivered",
            "created_at": at(0),
            "attempts": 1,
            "next_attempt_at": None,
            "tried_at": at(5),
            "duration_ms": 7,
            "status": 204,
            "error": None,
        }
    ]


def test_a_failed_delivery_is_tried_as_the_original_does_and_then_given_up() -> None:
    # Given a receiver that is down
    rig = Rig()
    hook(rig, events=["job.pushed"])
    rig.push()
    waits = []
    # When each try fails at its time
    while found := deliveries(rig):
        next_at = fail(rig, found[0])
        waits.append(next_at - rig.now_ms if next_at else None)
        rig.now_ms = next_at or rig.now_ms
    # Then there were four, and the delivery is kept where it can be sent again
    assert waits == [1_000, 2_000, 4_000, None]
    shown = [(tried["state"], tried["attempts"]) for tried in deliveries(rig, show="recent")]
    assert shown == [("given_up", 4), ("failed", 3), ("failed", 2), ("failed", 1)]
    (kept,) = deliveries(rig, show="given_up")
    assert (kept["attempts"], kept["status"], kept["error"]) == (4, 500, "answered 500")
    assert counts(rig) == {
        "failed_tries": 4,
        "given_up": 1,
        "given_up_kept": 1,
        "consecutive_failures": 4,
        "last_failure_at": at(7_000),
        "last_error": "answered 500",
    }
    # When it is sent again, then it is the same delivery, with all its tries before it
    assert rig.do("webhook_resend", name="h", delivery=kept["id"]) == {"ok": True, "moved": 1, "left": 0}
    (again,) = deliveries(rig)
    assert (again["id"], again["attempts"], again["created_at"]) == (kept["id"], 0, at(0))
    assert rig.refused("webhook_resend", name="h", delivery=kept["id"])[:2] == (404, "DELIVERY_NOT_FOUND")


@pytest.mark.parametrize(
    ("retry", "asked_ms", "expected"),
    [
        ({}, 0, [1_000, 2_000, 4_000, None]),
        ({"max_retries": 0}, 0, [None]),
        ({"max_retries": 5, "max_delay_ms": 3_000}, 0, [1_000, 2_000, 3_000, 3_000, 3_000, None]),
        ({"max_retries": 50, "max_age_ms": 6_000}, 0, [1_000, 2_000, None]),
        ({"max_retries": 2}, 9_000, [9_000, 9_000, None]),
        ({"max_retries": 1, "max_delay_ms": 2_000}, 9_000, [2_000, None]),
    ],
)
def test_the_rules_of_a_webhook_say_when_it_is_tried_again(
    retry: Json, asked_ms: int, expected: list[int | None]
) -> None:
    rig = Rig()
    hook(rig, events=["job.pushed"], retry=retry)
    rig.push()
    waits = []
    while found := deliveries(rig):
        next_at = fail(rig, found[0], retry_after_ms=asked_ms)
        waits.append(next_at - rig.now_ms if next_at else None)
        rig.now_ms = next_at or rig.now_ms
    assert waits == expected


def test_the_configuration_says_how_webhooks_without_rules_are_tried() -> None:
    rig = Rig(defaults=NodeDefaults(webhook_max_retries=1, webhook_retry_base_ms=50))
    hook(rig, events=["job.pushed"])
    rig.push()
    assert fail(rig, deliveries(rig)[0]) == rig.now_ms + 50
    assert fail(rig, deliveries(rig)[0]) == 0


def test_an_outcome_counts_once() -> None:
    # Given a delivery that was tried once
    rig = Rig()
    hook(rig, events=["job.pushed"])
    rig.push()
    (delivery,) = deliveries(rig)
    fail(rig, delivery)
    before = rig.rows()
    # When the same outcome comes again, as from a leader that was deposed, then nothing changes
    assert fail(rig, delivery) == -1
    assert settle(rig, outcome(rig, delivery)) == [-1]
    assert rig.rows() == before
    # And one for a delivery that is over, or a webhook that is gone, changes nothing either
    (now,) = deliveries(rig)
    assert settle(rig, outcome(rig, now), outcome(rig, now)) == [0, 0]
    gone = outcome(rig, now)
    rig.do("webhook_delete", name="h")
    assert settle(rig, gone) == [0]


def test_given_up_deliveries_are_bounded_and_the_oldest_gives_way() -> None:
    # Given as many given-up deliveries as are kept, and two more
    rig = Rig()
    rig.audited = False
    hook(rig, events=["job.pushed"], retry={"max_retries": 0})
    ids = rig.push_many(limits.WEBHOOK_GIVEN_UP_MAX + 2)
    settle_all(rig)
    assert counts(rig)["given_up"] == len(ids)
    kept = deliveries(rig, show="given_up", limit=limits.WEBHOOK_GIVEN_UP_MAX)
    assert [delivery["job_id"] for delivery in kept] == ids[2:]
    # When all are sent again and given up once more, the oldest one last, then they are all kept again
    assert rig.do("webhook_resend", name="h") == {"ok": True, "moved": len(kept), "left": 0}
    settle_all(rig, reverse=True)
    assert deliveries(rig, show="given_up")[0]["job_id"] == ids[2]
    # And the next one takes the place of the oldest
    rig.push()
    settle_all(rig)
    assert deliveries(rig, show="given_up")[0]["job_id"] == ids[3]
    assert audit(rig.kv) == []


def test_the_log_of_tries_is_a_ring() -> None:
    rig = Rig()
    hook(rig, events=["job.pushed"])
    ids = rig.push_many(limits.WEBHOOK_LOG_MAX + 5)
    settle(rig, *(outcome(rig, delivery) for delivery in deliveries(rig, limit=1_000)))
    assert [tried["job_id"] for tried in deliveries(rig, show="recent", limit=1_000)] == ids[:4:-1]
    assert [tried["job_id"] for tried in deliveries(rig, show="recent", limit=1)] == ids[-1:]


def test_lists_of_deliveries_have_pages() -> None:
    rig = Rig()
    hook(rig, events=["job.pushed"])
    ids = rig.push_many(5)
    seen, cursor = [], None
    while True:
        fields: Json = {} if cursor is None else {"cursor": cursor}
        page = rig.ask("webhook_deliveries", name="h", show="waiting", limit=2, **fields)
        seen += [delivery["job_id"] for delivery in page["deliveries"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids
    for show in ("waiting", "given_up", "recent"):
        assert rig.unanswered("webhook_deliveries", name="h", show=show, cursor="x") == (400, "VALIDATION_ERROR")


def test_a_paused_webhook_collects() -> None:
    rig = Rig()
    hook(rig, events=["job.pushed"])
    paused = rig.do("webhook_pause", name="h")["webhook"]
    assert (paused["active"], paused["suspended"], paused["revision"]) == (False, True, 2)
    assert rig.do("webhook_pause", name="h")["webhook"] == paused
    rig.push()
    assert counts(rig) == {"waiting": 1}
    assert rig.do("webhook_resume", name="h")["webhook"]["active"] is True


def test_a_test_is_delivered_to_that_webhook_alone_whatever_it_filters() -> None:
    rig = Rig()
    hook(rig, events=["job.dlq"], queues=["none"])
    hook(rig, "other")
    told = rig.do("webhook_test", name="h")
    assert [(delivery["id"], delivery["event"], delivery["queue"]) for delivery in deliveries(rig)] == [
        (told["delivery"], "webhook.test", None)
    ]
    assert waiting(rig, "other") == []


def test_deleting_takes_everything_along() -> None:
    rig = Rig()
    before = rig.rows()
    hook(rig, events=["job.pushed"], retry={"max_retries": 0})
    rig.push_many(3)
    fail(rig, deliveries(rig)[0])
    settle(rig, outcome(rig, deliveries(rig)[0]))
    rig.do("webhook_delete", name="h")
    assert {key for key in rig.rows() if key[:1] == b"h"} == {key for key in before if key[:1] == b"h"} == set()


def test_a_restart_changes_nothing() -> None:
    # Given webhooks with deliveries in every state, in two machines of which one is reopened each time
    rigs = Rig(), Rig()
    for place, rig in enumerate(rigs):
        for step in range(4):
            hook(rig, events=["job.pushed"], retry={"max_retries": step % 2}, timeout_ms=100 + step)
            rig.push_many(2)
            fail(rig, deliveries(rig)[0])
            rig.do("webhook_test", name="h")
            if place:
                rig.reopen()
    assert rigs[0].machine.state_hash == rigs[1].machine.state_hash
    assert rigs[0].rows() == rigs[1].rows()


def test_codes_of_events_stay_as_they_are() -> None:
    """They are in rows: a new event goes to the end."""
    assert rows.EVENTS[:10] == (
        *("job.pushed", "job.started", "job.progress", "job.completed", "job.failed", "job.dlq", "job.cancelled"),
        *("job.expired", "queue.paused", "queue.resumed"),
    )
