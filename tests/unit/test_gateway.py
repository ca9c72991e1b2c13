"""The gateway: where requests go, how they fail, and that nobody waits in silence."""

import asyncio

import pytest

from rustqueue.auth import NOBODY
from rustqueue.gateway import GatewayLimits
from rustqueue.model.wire import decode_request
from tests.unit.gateway_world import World


def test_a_command_is_answered_when_its_entry_is_applied() -> None:
    # Given a push that was proposed
    world = World()
    asked = world.ask("push", queue="mail", name="n")
    assert not asked.is_answered
    # When its entry is applied
    world.clock.now_us += 700
    world.run()
    # Then it is answered, and its duration is told
    assert asked.reply["ok"] is True
    assert world.landed == [("PushJobs", 700)]
    assert world.gateway.in_flight_count == 0


def test_commands_of_one_turn_share_an_entry() -> None:
    world = World()
    for _ in range(3):
        world.ask("push", queue="mail", name="n")
    world.run()
    assert world.log.entries == [["PushJobs", "PushJobs", "PushJobs"]]


def test_queries_are_answered_at_once_and_never_logged() -> None:
    world = World()
    assert world.ask("stats", queue="mail").reply["counts"]["waiting"] == 0
    assert world.ask("health").reply["status"] == "healthy"
    assert world.ask("get", id="01980000-0000-7000-8000-000000000000").code == "JOB_NOT_FOUND"
    assert world.log.entries == []


def test_an_empty_pull_does_not_touch_the_log() -> None:
    world = World()
    one, many = world.ask("pull", queue="mail"), world.ask("pull", queue="mail", count=5)
    assert (one.reply, many.reply) == ({"ok": True, "job": None}, {"ok": True, "jobs": []})
    world.push("mail")
    assert world.log.entries == [["PushJobs"]]


def test_a_pull_behind_own_commands_is_logged_after_them() -> None:
    # Given a client that sent a push and, without waiting for the answer, a pull
    world = World()
    world.ask("push", queue="mail", name="n")
    pulled = world.ask("pull", queue="mail", behind_own=True)
    # When both are applied, then the pull sees the push
    world.run()
    assert pulled.jobs_count == 1
    assert world.log.entries == [["PushJobs", "Pull"]]


def test_a_pull_with_an_idempotency_key_is_always_logged() -> None:
    """The queue may be empty because this very pull took the last job, and its answer was lost."""
    world = World()
    world.push("mail")
    first = world.ask("pull", queue="mail", idempotency_key="k")
    world.run()
    repeated = world.ask("pull", queue="mail", idempotency_key="k")
    world.run()
    assert first.reply["job"]["id"] == repeated.reply["job"]["id"]


def test_a_command_that_the_log_does_not_answer_has_an_unknown_outcome() -> None:
    # Given a log that takes commands and does not answer
    world = World(GatewayLimits(command_deadline_ms=10_000))
    early = world.ask("push", queue="mail", name="n")
    world.clock.pass_ms(6_000)
    late = world.ask("push", queue="mail", name="n")
    # When the deadline of the first one comes, then it alone is answered
    world.clock.pass_ms(3_999)
    assert not early.is_answered
    world.clock.pass_ms(1)
    assert early.code == "OUTCOME_UNKNOWN"
    assert not late.is_answered
    world.clock.pass_ms(6_000)
    assert late.code == "OUTCOME_UNKNOWN"
    # And an answer that comes afterwards is not given to anybody
    world.run()
    assert (len(early.replies), len(late.replies)) == (1, 1)


def test_the_deadline_timer_rests_while_nothing_is_on_its_way() -> None:
    world = World()
    world.push("mail")
    world.clock.pass_ms(20_000)
    assert world.clock.timers_count == 0
    world.push("mail")
    assert world.clock.timers_count == 1


def test_a_full_disk_refuses_pushes_only() -> None:
    world = World()
    world.push("mail")
    world.log.disk_full = True
    refused = world.ask("push", queue="mail", name="n")
    assert refused.code == "DISK_FULL"
    pulled = world.ask("pull", queue="mail")
    world.run()
    acked = world.ask("ack", id=pulled.reply["job"]["id"])
    world.run()
    assert acked.reply["ok"] is True


def test_who_has_shown_no_token_may_only_ask_for_health() -> None:
    world = World()
    assert world.ask("push", principal=NOBODY, queue="mail", name="n").code == "UNAUTHORIZED"
    assert world.ask("stats", principal=NOBODY, queue="mail").code == "UNAUTHORIZED"
    assert world.ask("pull", principal=NOBODY, queue="mail", wait_ms=5).code == "UNAUTHORIZED"
    assert world.ask("health", principal=NOBODY).code is None
    assert world.log.entries == []


def test_a_closed_door_refuses_commands_answers_waiters_and_still_reads() -> None:
    # Given a command on its way and a waiting pull
    world = World()
    pushed = world.ask("push", queue="mail", name="n")
    waiting = world.ask("pull", queue="other", wait_ms=60_000, count=2)
    # When the door closes
    world.gateway.close()
    # Then the waiter has an empty answer, new commands are refused, reads go on, and what was on its way lands
    assert waiting.reply == {"ok": True, "jobs": []}
    assert world.ask("push", queue="mail", name="n").code == "SHUTTING_DOWN"
    assert world.ask("pull", queue="other", wait_ms=60_000).reply == {"ok": True, "job": None}
    assert world.ask("stats", queue="mail").code is None
    world.run()
    assert pushed.reply["ok"] is True


def test_an_abandoned_gateway_leaves_nobody_waiting() -> None:
    world = World()
    pushed, waiting = world.ask("push", queue="mail", name="n"), world.ask("pull", queue="mail", wait_ms=60_000)
    world.gateway.abandon()
    assert pushed.code == "OUTCOME_UNKNOWN"
    assert waiting.reply == {"ok": True, "job": None}


async def test_ask_gives_the_reply_to_a_coroutine() -> None:
    world = World()
    line = b'{"cmd":"stats","queue":"mail"}'
    reply = await world.gateway.ask(decode_request(line), line)
    assert reply.ok


async def test_cancelling_ask_leaves_the_line() -> None:
    # Given a coroutine that waits for a job
    world = World()
    line = b'{"cmd":"pull","queue":"mail","wait_ms":60000}'
    asking = asyncio.ensure_future(world.gateway.ask(decode_request(line), line))
    await asyncio.sleep(0)
    assert world.gateway.waiting_count == 1
    # When it is cancelled
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # Then nobody waits, and a push brings its job to nobody
    assert world.gateway.waiting_count == 0
    world.push("mail")
    assert world.machine.ready_count("mail") == 1
