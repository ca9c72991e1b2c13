"""Waiting for the result of a job, and pulls of workers that drain."""

from typing import Any

import pytest

from rustqueue.gateway import GatewayLimits
from tests.unit.gateway_world import Asked, World


def a_job(world: World) -> str:
    pushed = world.ask("push", queue="q", name="n", data={})
    world.run()
    job_id: str = pushed.reply["id"]
    return job_id


def waiting(world: World, job_id: str, wait_ms: int = 60_000) -> Asked:
    return world.ask("job_result", id=job_id, wait_ms=wait_ms)


@pytest.mark.parametrize(
    ("verb", "state", "result"),
    [("ack", "completed", {"sent": True}), ("fail", "dlq", None), ("cancel", "cancelled", None)],
)
def test_a_client_hears_of_the_end_of_a_job(verb: str, state: str, result: object) -> None:
    world = World()
    world.ask("queue_settings", queue="q", defaults={"max_attempts": 1})
    job_id = a_job(world)
    clients = [waiting(world, job_id), waiting(world, job_id)]
    other = waiting(world, a_job(world))
    if verb != "cancel":
        world.ask("pull", queue="q")
        world.run()
    assert not any(client.is_answered for client in clients)

    fields: dict[str, Any] = {"result": result} if verb == "ack" else {}
    world.ask(verb, id=job_id, **fields)
    world.run()

    error = "unknown error" if verb == "fail" else None
    expected = {"ok": True, "id": job_id, "state": state, "result": result, "last_error": error}
    assert [client.reply for client in clients] == [expected, expected]
    assert waiting(world, job_id).reply == expected
    assert not other.is_answered


def test_when_the_time_is_over_the_answer_says_where_the_job_is() -> None:
    world = World()
    job_id = a_job(world)
    asked = waiting(world, job_id, 500)
    world.clock.pass_ms(400)
    assert not asked.is_answered

    world.clock.pass_ms(200)

    assert asked.reply == {"ok": True, "id": job_id, "state": "waiting", "result": None, "last_error": None}
    assert world.clock.timers_count == 0 or world.gateway.waiting_count == 0


def test_a_client_that_went_away_is_not_answered_and_a_node_that_stops_answers_all() -> None:
    world = World()
    job_id = a_job(world)
    gone, patient = waiting(world, job_id), waiting(world, job_id)
    assert gone.ticket is not None
    gone.ticket.cancel()

    world.gateway.close()

    assert (gone.is_answered, patient.reply["state"]) == (False, "waiting")
    assert waiting(world, job_id).code == "SHUTTING_DOWN"


def test_those_who_wait_are_bounded() -> None:
    world = World(GatewayLimits(waiting_pulls_max=1))
    job_id = a_job(world)
    waiting(world, job_id)

    assert waiting(world, job_id).code == "OVERLOADED"


def test_a_job_that_leaves_nothing_behind_is_not_found() -> None:
    world = World()
    pushed = world.ask("push", queue="q", name="n", remove_on_complete=True)
    world.run()
    world.ask("pull", queue="q")
    world.run()
    asked = waiting(world, pushed.reply["id"])

    world.ask("ack", id=pushed.reply["id"], result=1)
    world.run()

    assert asked.code == "JOB_NOT_FOUND"
    assert waiting(world, "custom:q:none").code == "JOB_NOT_FOUND"


def test_a_worker_that_drains_waits_in_no_line() -> None:
    world = World()
    world.push("q")
    world.ask("pull", queue="q", worker_id="w")
    world.run()
    before = world.ask("pull", queue="q", worker_id="w", wait_ms=60_000)
    world.ask("worker_drain", worker_id="w")
    world.run()
    after = world.ask("pull", queue="q", worker_id="w", wait_ms=1_000)
    other = world.ask("pull", queue="q", wait_ms=60_000)
    assert world.ask("pull", queue="q", worker_id="w").reply == {"ok": True, "job": None}

    world.push("q")

    assert (before.reply["job"], after.is_answered, other.reply["job"]["state"]) == (None, False, "active")
    world.clock.pass_ms(1_100)
    assert after.reply["job"] is None
