"""The leader's deliveries: order, back-off, bounds, and that a receiver which hangs harms nobody else."""

import base64
import hashlib
import hmac

from rustqueue.effects.webhooks.duty import DutyLimits
from rustqueue.effects.webhooks.ports import Answer
from rustqueue.model.errors import Unavailable
from rustqueue.model.replies import Refused
from tests.unit.webhook_world import FAILED, TOOK, Deliveries


def test_an_event_is_delivered_signed_under_a_stable_id() -> None:
    # Given a webhook with two secrets and a header
    world = Deliveries()
    webhook = world.hook(secret="new", previous_secret="old", headers={"X-Team": "a"}, timeout_ms=700)
    world.begin()
    # When a job is pushed
    (job_id,) = world.push()
    # Then its receiver is called once, with everything
    (call,) = world.calls
    posting = call.posting
    assert (posting.url, posting.timeout_ms) == ("https://h.example/", 700)
    assert call.body == {
        "event": "job.pushed",
        "webhook_id": webhook["id"],
        "timestamp": call.body["timestamp"],
        "data": {"job_id": job_id, "queue": "q"},
    }
    headers = posting.headers
    assert (headers["X-RustQueue-Event"], headers["X-RustQueue-Webhook-Id"]) == ("job.pushed", webhook["id"])
    assert (headers["X-Team"], headers["Content-Type"]) == ("a", "application/json")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + posting.body
    digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in (b"new", b"old")]
    assert headers["webhook-signature"] == " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)
    # When the first try fails, then the next one comes a second later with the same id and body
    world.answer(call, FAILED)
    assert world.calls == []
    world.pass_ms(999)
    assert world.calls == []
    world.pass_ms(1)
    (again,) = world.calls
    assert (again.id, again.posting.body) == (call.id, posting.body)
    world.answer(again)
    assert world.counts() == {"delivered": 1, "failed_tries": 1}
    assert [succeeded for succeeded, _ in world.tried] == [False, True]


def test_events_of_one_job_go_one_after_the_other() -> None:
    world = Deliveries()
    world.hook()
    world.begin()
    (job_id,) = world.push()
    world.do("pull", queue="q")
    world.do("ack", id=job_id)
    # Given that the first delivery hangs, then the others wait
    (first,) = world.calls
    world.pass_ms(60_000)
    assert world.heard == [("job.pushed", job_id)]
    # When it fails, then they still wait, and only after it succeeded they follow in order
    world.answer(first, FAILED)
    world.pass_ms(1_000)
    for _ in range(3):
        world.answer(world.calls[0])
    events = ["job.pushed", "job.pushed", "job.started", "job.completed"]
    assert world.heard == [(event, job_id) for event in events]


def test_a_given_up_delivery_lets_the_next_one_of_its_job_go() -> None:
    world = Deliveries()
    world.hook(retry={"max_retries": 0})
    world.begin()
    (job_id,) = world.push()
    world.do("pull", queue="q")
    world.answer(world.calls[0], FAILED)
    world.answer(world.calls[0])
    assert world.heard == [("job.pushed", job_id), ("job.started", job_id)]
    assert world.counts() == {"delivered": 1, "failed_tries": 1, "given_up": 1, "given_up_kept": 1}
    # When it is sent again, then it goes under its old id
    world.do("webhook_resend", name="h")
    assert world.calls[0].id == world.receivers[0].heard[0].id


def test_deliveries_of_several_jobs_go_side_by_side_once_the_receiver_works() -> None:
    world = Deliveries(DutyLimits(sends_max=64, sends_each_max=4))
    world.hook(events=["job.pushed"])
    world.begin()
    ids = world.push(count=40)
    # A receiver that nobody has heard of gets one call, then two, and so on up to its bound.
    seen = []
    while world.calls:
        seen.append(len(world.calls))
        world.answer(world.calls[0])
    assert seen[:6] == [1, 2, 3, 4, 4, 4]
    assert max(seen) == 4
    assert sorted(job_id or "" for _, job_id in world.heard) == sorted(ids)
    assert world.counts() == {"delivered": 40}


def test_receivers_that_hang_hold_up_nobody_else() -> None:
    # Given thirty receivers of which half hang for ever, and few places
    world = Deliveries(DutyLimits(sends_max=12, sends_each_max=4))
    for place in range(30):
        world.hook(f"h{place:02}", events=["job.pushed"])
        if place % 2:
            world.receivers[0].by_url[f"https://h{place:02}.example/"] = lambda: TOOK
    world.begin()
    # When jobs are pushed, and calls that hang end in a time-out
    world.push(count=50)
    healthy = [f"h{place:02}" for place in range(1, 30, 2)]
    for _ in range(10):
        world.pass_ms(1_000)
        for call in world.calls:
            world.answer(call, Answer(None, "no answer within 5000 ms"))
    # Then those that work have all their deliveries
    assert [world.counts(name) for name in healthy] == [{"delivered": 50}] * len(healthy)
    assert world.receivers[0].most_open <= 12


def test_a_receiver_that_is_down_for_a_day_holds_up_nobody_and_gets_everything_then() -> None:
    # Given two receivers of the same events, one of which answers with errors, tried again for two days
    day_ms = 86_400_000
    world = Deliveries()
    lasting = {"max_retries": 100, "max_age_ms": 2 * day_ms, "max_delay_ms": 3_600_000}
    world.hook("down", events=["job.pushed"], retry=lasting)
    world.hook("up", events=["job.pushed"])
    receivers = world.receivers[0]
    receivers.by_url = {"https://down.example/": lambda: FAILED, "https://up.example/": lambda: TOOK}
    world.begin()
    # When events come all day
    for hour in range(24):
        world.push(count=2)
        assert world.counts("up") == {"delivered": 2 * (hour + 1)}
        world.pass_ms(day_ms // 24)
    # Then the one that works was never behind, and the other one was not called without end
    tries = sum(call.posting.url == "https://down.example/" for call in receivers.heard)
    assert tries < 48 * 40
    assert world.counts("down") == {"waiting": 48, "failed_tries": tries, "consecutive_failures": tries}
    # When it is up again, then it gets all of them within its longest pause
    receivers.by_url["https://down.example/"] = lambda: TOOK
    for _ in range(60):
        world.pass_ms(2 * 3_600_000 // 60)
    assert world.counts("down") == {"delivered": 48, "failed_tries": tries}


def test_a_receiver_that_fails_is_probed_by_one_call_at_a_time() -> None:
    world = Deliveries(DutyLimits(sends_max=64, sends_each_max=8))
    world.hook(events=["job.pushed"], retry={"max_retries": 0})
    world.begin()
    world.push(count=100)
    while len(world.calls) < 8:
        world.answer(world.calls[0])
    while len(world.calls) > 1:
        world.answer(world.calls[0], FAILED)
    world.answer(world.calls[0], FAILED)
    assert len(world.calls) == 1


def test_a_paused_webhook_sends_nothing_until_it_is_resumed() -> None:
    world = Deliveries()
    world.hook(suspended=True)
    world.begin()
    world.push()
    world.pass_ms(60_000)
    assert world.heard == []
    world.do("webhook_resume", name="h")
    assert len(world.calls) == 1


def test_what_changes_in_a_definition_counts_for_the_next_try() -> None:
    world = Deliveries()
    world.hook()
    world.begin()
    world.push()
    first = world.calls[0]
    world.hook(url="https://elsewhere.example/")
    world.answer(first, FAILED)
    world.pass_ms(1_000)
    assert [call.posting.url for call in world.calls] == ["https://elsewhere.example/"]
    assert world.calls[0].id == first.id


def test_a_deleted_webhook_is_called_no_more() -> None:
    world = Deliveries()
    world.hook()
    world.begin()
    world.push()
    call = world.calls[0]
    world.do("webhook_delete", name="h")
    assert world.calls == []
    assert world.duty.on_way_count == 0
    call.answer(TOOK)
    world.pass_ms(10_000)
    assert len(world.heard) == 1


def test_outcomes_of_one_turn_share_a_command() -> None:
    world = Deliveries()
    world.hook(events=["job.pushed"])
    world.begin()
    world.push(count=20)
    for _ in range(4):
        world.answer(world.calls[0])
    entries = len(world.world.log.entries)
    calls = world.calls
    assert len(calls) > 2
    for call in calls:
        call.answer(TOOK)
    world.world.run()
    new = world.world.log.entries[entries:]
    assert new[0] == ["WebhookOutcomes"]
    assert world.counts()["delivered"] == 4 + len(calls)


def test_an_outcome_that_the_log_did_not_take_is_said_again() -> None:
    world = Deliveries()
    world.hook()
    world.begin()
    (job_id,) = world.push()
    world.do("pull", queue="q")
    world.refusals += [Refused.of(Unavailable.unknown_outcome()), Refused.of(Unavailable.no_leader())]
    world.answer(world.calls[0])
    assert world.calls == []  # The next one of the job waits for the outcome.
    world.pass_ms(1_000)
    assert world.counts() == {"waiting": 1, "delivered": 1}
    assert world.heard == [("job.pushed", job_id), ("job.started", job_id)]


def test_a_new_leader_goes_on_where_the_old_one_stood() -> None:
    # Given a leader whose call is under way
    world = Deliveries(leaders=2)
    world.hook()
    old, new = world.duties
    old.begin()
    world.world.run()
    (job_id,) = world.push()
    call = world.calls[0]
    # When another one takes over
    old.end()
    new.begin()
    world.world.run()
    call.answer(TOOK)
    world.world.run()
    # Then the old one says nothing more, and the new one delivers under the same id
    (again,) = world.receivers[1].heard
    assert (again.id, again.told) == (call.id, ("job.pushed", job_id))
    assert world.counts() == {"waiting": 1}
    world.answer(again)
    assert world.counts() == {"delivered": 1}


def test_two_leaders_at_once_count_each_outcome_once() -> None:
    # Given two that both take themselves for the leader
    world = Deliveries(leaders=2)
    world.hook(events=["job.pushed"])
    for duty in world.duties:
        duty.begin()
    world.push(count=5)
    # When both deliver everything, and one of them fails at first
    world.receivers[0].by_url["https://h.example/"] = lambda: TOOK
    for _ in range(20):
        for place, receivers in enumerate(world.receivers):
            for call in list(receivers.open.values()):
                call.answer(TOOK if place else FAILED)
        world.pass_ms(2_000)
    # Then the counters say five, although the receiver heard more
    assert world.counts()["delivered"] == 5
    assert "waiting" not in world.counts()
    assert len({call.id for receivers in world.receivers for call in receivers.heard}) == 5


def test_a_receiver_may_ask_for_time() -> None:
    world = Deliveries()
    world.hook()
    world.begin()
    world.push()
    world.answer(world.calls[0], Answer(429, "answered 429", 30_000))
    world.pass_ms(29_999)
    assert world.calls == []
    world.pass_ms(1)
    assert len(world.calls) == 1


def test_a_big_outbox_is_read_piece_by_piece_and_sent_in_order() -> None:
    # Given many deliveries that waited while nobody led
    world = Deliveries(DutyLimits(sends_max=8, sends_each_max=1))
    world.hook(events=["job.pushed"])
    ids = world.push(count=900)
    world.receivers[0].by_url["https://h.example/"] = lambda: TOOK
    # When somebody does
    world.begin()
    # Then all are sent, in the order of their events
    assert [job_id for _, job_id in world.heard] == ids
    assert world.counts() == {"delivered": 900}
