"""How fresh a read is: what has been applied, an entry that somebody has seen, or no matter what."""

import pytest

from rustqueue.gateway.ports import GatewayLimits
from rustqueue.model.replies import Seen
from tests.unit.gateway_world import Asked, World


def seen(asked: Asked) -> tuple[int, bool]:
    [reply] = asked.replies
    assert isinstance(reply, Seen)
    return reply.index, reply.stale


def test_a_local_read_says_up_to_which_entry_it_saw() -> None:
    # Given a queue with a job
    world = World()
    world.push("mail")
    # When it is read as this node has it
    asked = world.ask("list_queues", consistency="local")
    # Then the answer names the entry that it was read from.
    assert seen(asked) == (world.machine.applied_index, False)
    assert asked.reply["reply"]["queues"][0]["name"] == "mail"


def test_a_local_read_of_nothing_is_marked_too() -> None:
    world = World()
    asked = world.ask("queue_get", queue="none", consistency="local")
    assert seen(asked) == (0, False)
    assert asked.reply["reply"]["error"]["code"] == "QUEUE_NOT_FOUND"


@pytest.mark.parametrize("consistency", ["local", "linearizable"])
def test_a_read_waits_for_the_entry_that_it_asks_for(consistency: str) -> None:
    # Given a read of what two more entries will have done
    world = World()
    asked = world.ask("list_queues", consistency=consistency, min_index=2)
    # When one of them is applied
    world.push("a")
    assert asked.replies == []
    # Then it waits for the second.
    world.push("b")
    assert asked.is_answered
    shown = asked.reply["reply"] if consistency == "local" else asked.reply
    assert [queue["name"] for queue in shown["queues"]] == ["a", "b"]


def test_an_entry_that_does_not_come_is_a_refusal_at_the_deadline() -> None:
    # Given two reads of an entry that nobody writes
    world = World(GatewayLimits(command_deadline_ms=500))
    late, gone = (world.ask("list_queues", min_index=7) for _ in range(2))
    # When one client goes, and the deadline of the other comes
    assert gone.ticket is not None
    gone.ticket.cancel()
    world.clock.pass_ms(600)
    # Then it is told how far this node is, and the other one nothing.
    assert (late.code, gone.is_answered) == ("INDEX_NOT_REACHED", False)
    assert late.reply["error"]["details"] == {"field": "min_index", "applied": 0}
    # And the entry, when it comes after all, answers nobody twice.
    for queue in "abcdefg":
        world.push(queue)
    assert (len(late.replies), len(gone.replies)) == (1, 0)


def test_reads_that_wait_are_bounded_and_answered_when_the_node_stops() -> None:
    world = World(GatewayLimits(waiting_pulls_max=1))
    first, second = (world.ask("list_queues", min_index=7) for _ in range(2))
    assert second.code == "OVERLOADED"
    world.gateway.close()
    assert first.code == "INDEX_NOT_REACHED"
    assert world.ask("list_queues", min_index=7).code == "SHUTTING_DOWN"


def test_clients_that_went_away_take_nobodys_place() -> None:
    # Given many reads of entries that never come, whose clients have gone
    world = World(GatewayLimits(waiting_pulls_max=1))
    for _ in range(200):
        asked = world.ask("list_queues", min_index=1_000_000)
        assert asked.ticket is not None
        asked.ticket.cancel()
    # When another one waits for the next entry
    asked = world.ask("list_queues", min_index=1)
    world.push("mail")
    # Then it is answered.
    assert asked.reply["queues"][0]["name"] == "mail"


def test_a_result_that_is_waited_for_can_be_read_from_here() -> None:
    # Given a local wait for the result of a job
    world = World()
    world.push("mail")
    pulled = world.ask("pull", queue="mail")
    world.run()
    job = pulled.reply["job"]
    asked = world.ask("job_result", id=job["id"], wait_ms=60_000, consistency="local")
    assert not asked.is_answered
    # When the job ends
    world.ask("ack", id=job["id"], attempt_token=job["attempt_token"], result={"n": 1})
    world.run()
    # Then it comes with the entry that ended it.
    assert seen(asked) == (3, False)
    assert asked.reply["reply"]["result"] == {"n": 1}
