"""Pulls that wait: first come, first served, one commit from push to delivery, and no job left lying."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rustqueue.gateway import GatewayLimits
from tests.unit.gateway_world import Asked, World


def wait(world: World, queue: str = "mail", **fields: Any) -> Asked:
    return world.ask("pull", queue=queue, **{"wait_ms": 60_000, **fields})


def test_a_push_delivers_to_a_waiter_in_the_same_entry() -> None:
    # Given a waiting pull
    world = World()
    waiting = wait(world)
    world.run()
    assert world.log.entries == []
    # When a job is pushed
    world.push("mail")
    # Then one entry does both, and the waiter has the job
    assert world.log.entries == [["PushJobs", "Pull"]]
    assert waiting.jobs_count == 1
    assert world.gateway.waiting_count == 0


def test_a_line_is_first_come_first_served() -> None:
    world = World()
    first, second = wait(world), wait(world)
    world.push("mail")
    assert (first.jobs_count, second.is_answered) == (1, False)
    world.push("mail")
    assert second.jobs_count == 1


def test_no_more_pulls_are_asked_than_jobs_were_pushed() -> None:
    world = World()
    waiters = [wait(world, count=2) for _ in range(4)]
    world.push("mail", 3)
    assert world.log.entries == [["PushJobs", "Pull", "Pull"]]
    assert [waiter.jobs_count for waiter in waiters if waiter.is_answered] == [2, 1]


def test_jobs_that_are_not_ready_bring_nobody_to_the_log() -> None:
    world = World()
    waiting = wait(world)
    world.push("mail", delay_ms=50)
    assert (world.log.entries, waiting.is_answered) == ([["PushJobs"]], False)


def test_a_job_that_becomes_ready_later_is_delivered() -> None:
    # Given a delayed job and a waiter
    world = World()
    waiting = wait(world)
    world.push("mail", delay_ms=50)
    # When its time comes
    world.clock.pass_ms(60)
    world.log.tick()
    world.run()
    # Then the waiter has it
    assert waiting.jobs_count == 1


def test_a_failed_job_that_is_ready_again_is_delivered() -> None:
    world = World()
    world.push("mail", backoff_delay_ms=0)
    pulled = world.ask("pull", queue="mail")
    world.run()
    waiting = wait(world)
    world.ask("fail", id=pulled.reply["job"]["id"], error="x")
    world.run()
    assert waiting.jobs_count == 1


def test_a_resumed_queue_serves_those_who_wait() -> None:
    world = World()
    world.push("mail")
    world.ask("queue_pause", queue="mail", mode="hold")
    world.run()
    waiting = wait(world)
    assert not waiting.is_answered
    world.ask("queue_resume", queue="mail")
    world.run()
    assert waiting.jobs_count == 1


def test_a_waiter_on_several_queues_takes_from_the_first_that_has_a_job() -> None:
    world = World()
    queues = [{"queue": "a"}, {"queue": "b"}]
    both = world.ask("pull", queues=queues, wait_ms=60_000)
    only_b = wait(world, "b")
    world.push("b")
    assert (both.jobs_count, only_b.is_answered) == (1, False)
    # It has left both lines.
    world.push("a")
    world.push("b")
    assert only_b.jobs_count == 1
    assert world.machine.ready_count("a") == 1


def test_a_job_that_a_waiter_left_behind_for_a_better_one_goes_to_the_next() -> None:
    # Given a waiter that prefers b and one on a, and a job of a that has just become ready for the first of them
    world = World()
    picky = world.ask("pull", queues=[{"queue": "a", "weight": 1}, {"queue": "b", "weight": 100}], wait_ms=60_000)
    plain = wait(world, "a")
    world.push("a", delay_ms=50)
    world.clock.pass_ms(60)
    world.ask("push", queue="b", name="n")
    # When the job of b gets into the entry before its pull
    world.log.tick()
    world.run()
    # Then the other one has the job of a
    assert picky.reply["job"]["queue"] == "b"
    assert plain.jobs_count == 1


def test_one_whose_pull_came_back_empty_keeps_its_place() -> None:
    # Given two waiters, and a plain pull that gets into the entry of the push before them
    world = World()
    first, second = wait(world), wait(world)
    world.ask("push", queue="mail", name="n")
    thief = world.ask("pull", queue="mail", behind_own=True)
    world.run()
    assert (thief.jobs_count, first.is_answered) == (1, False)
    assert world.log.entries == [["PushJobs", "Pull", "Pull"]]
    # When another job comes, then the first waiter has it
    world.push("mail")
    assert (first.jobs_count, second.is_answered) == (1, False)


def test_a_repeated_pull_whose_leases_have_ended_does_not_hold_up_the_line() -> None:
    # Given a pull with a key that took a job, whose lease has ended and which somebody else has completed since
    world = World()
    world.push("mail")
    keyed: dict[str, Any] = {"idempotency_key": "k", "lease_ms": 100}
    taken = wait(world, **keyed)
    world.run()
    world.ask("ack", id=taken.reply["job"]["id"])
    world.run()
    # When it is repeated and waits, and another waiter stands behind it
    repeated = wait(world, **keyed)
    world.run()
    behind = wait(world)
    world.push("mail")
    # Then the other one has the next job
    assert behind.jobs_count == 1
    assert repeated.reply == {"ok": True, "job": None}


def test_a_wait_ends_at_its_deadline_and_not_before() -> None:
    world = World()
    one, many = wait(world, wait_ms=1_000), wait(world, wait_ms=1_000, count=3)
    world.clock.pass_ms(999)
    assert not one.is_answered
    world.clock.pass_ms(11)
    assert (one.reply, many.reply) == ({"ok": True, "job": None}, {"ok": True, "jobs": []})
    assert world.log.entries == []


def test_a_wait_that_ends_while_its_pull_is_on_its_way_is_answered_by_the_pull() -> None:
    world = World()
    waiting = wait(world, wait_ms=1_000)
    world.ask("push", queue="mail", name="n")
    world.ask("pull", queue="mail", behind_own=True)
    assert world.log.on_assemble is not None
    # The entry is assembled, and takes longer than the wait.
    world.push("other")
    world.clock.pass_ms(2_000)
    world.run()
    assert waiting.reply == {"ok": True, "job": None}


def test_a_job_behind_the_first_pull_of_a_waiter_in_the_same_entry_is_delivered() -> None:
    # Given a pull that waits, logged because its client has commands on their way, and a push after it in that entry
    world = World()
    waiting = wait(world, behind_own=True)
    world.ask("push", queue="mail", name="n")
    # When both are applied, then the waiter is asked again
    world.run()
    assert waiting.jobs_count == 1


def test_a_waiter_that_leaves_makes_room_for_the_next() -> None:
    world = World()
    first, second = wait(world), wait(world)
    assert first.ticket is not None
    first.ticket.cancel()
    first.ticket.cancel()
    world.push("mail")
    assert (first.is_answered, second.jobs_count) == (False, 1)


def test_a_count_of_zero_does_not_wait() -> None:
    world = World()
    assert wait(world, count=0).reply == {"ok": True, "jobs": []}


def test_the_number_of_waiters_is_bounded() -> None:
    world = World(GatewayLimits(waiting_pulls_max=2))
    kept = [wait(world), wait(world)]
    refused = wait(world)
    assert refused.code == "OVERLOADED"
    assert refused.reply["error"]["details"] == {"field": "wait_ms", "limit": 2}
    assert not any(waiter.is_answered for waiter in kept)


def test_a_thousand_waiters_cost_one_timer() -> None:
    world = World()
    for _ in range(1_000):
        wait(world)
    assert (world.gateway.waiting_count, world.clock.timers_count) == (1_000, 1)


steps = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from("ab"), st.integers(1, 3)),
    st.tuples(st.just("wait_many"), st.just("ab"), st.integers(1, 3)),
    st.tuples(st.just("push"), st.sampled_from("ab"), st.integers(1, 4)),
    st.tuples(st.just("delay"), st.sampled_from("ab"), st.integers(1, 2)),
    st.tuples(st.just("pull"), st.sampled_from("ab"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["hold", "resume"]), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.sampled_from(["turn", "tick", "leave"]), st.just(""), st.integers(0, 5)),
)


class History:
    """Anything that can happen to waiters, step by step."""

    def __init__(self) -> None:
        self.world = World()
        self.waiters: list[tuple[str, Asked]] = []
        self.gone: list[Asked] = []

    def step(self, verb: str, queues: str, count: int) -> None:
        world = self.world
        if verb in ("wait", "wait_many"):
            several = [{"queue": queue} for queue in queues]
            self.waiters.append((queues, world.ask("pull", queues=several, wait_ms=60_000, count=count)))
        elif verb == "leave":
            self._leave(count)
        elif verb == "turn":
            world.log.turn()
            world.clock.run_soon()
        elif verb == "tick":
            world.clock.pass_ms(3)
            world.log.tick()
        else:
            self._command(verb, queues, count)

    def _command(self, verb: str, queue: str, count: int) -> None:
        world = self.world
        match verb:
            case "push":
                world.ask("push_batch", queue=queue, jobs=[{"name": "n"}] * count)
            case "delay":
                world.ask("push", queue=queue, name="n", delay_ms=count)
            case "pull":
                world.ask("pull", queue=queue, count=count, behind_own=True)
            case "hold":
                world.ask("queue_pause", queue=queue, mode="hold")
            case _:
                world.ask("queue_resume", queue=queue)

    def _leave(self, position: int) -> None:
        for _, waiter in self.waiters[position : position + 1]:
            if waiter.ticket is not None and not waiter.is_answered:
                waiter.ticket.cancel()
                self.gone.append(waiter)

    def settle(self) -> None:
        """Let everything happen that is on its way, and all delays pass."""
        self.world.run()
        self.world.clock.pass_ms(20)
        self.world.log.tick()
        self.world.run()


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=40))
def test_no_job_lies_ready_while_somebody_waits_for_it(script: list[tuple[str, str, int]]) -> None:
    # Given any history of waits, pushes, pulls, pauses and turns of the log in between
    history = History()
    for verb, queues, count in script:
        history.step(verb, queues, count)
    # When everything has settled
    history.settle()
    # Then nobody who still waits could have had a job, and everybody else was answered once, or not when gone
    world, gone = history.world, history.gone
    waiting = [(queues, waiter) for queues, waiter in history.waiters if not waiter.is_answered and waiter not in gone]
    assert world.gateway.waiting_count == len(waiting)
    assert [queue for queues, _ in waiting for queue in queues if world.machine.ready_count(queue)] == []
    assert all(len(waiter.replies) <= 1 for _, waiter in history.waiters)
    assert [waiter for waiter in gone if waiter.is_answered] == []
