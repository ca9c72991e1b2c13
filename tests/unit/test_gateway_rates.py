"""The rate at which a queue takes pushes, and pulls that wait at a limit of active jobs."""

from typing import Any

import pytest

from rustqueue.gateway.rates import PushRates
from rustqueue.model.errors import ApiError, Limited
from rustqueue.model.jobs import Rate
from rustqueue.model.wire import decode_request
from tests.unit.factories import encode
from tests.unit.gateway_world import ManualClock, World


class Limits:
    """Admissions against a clock: each is the wait that a refusal asks for, 0 for a push that passes."""

    def __init__(self, count: int, per_ms: int) -> None:
        self.clock = ManualClock()
        self.rate: Rate | None = Rate(count, per_ms)
        self.rates = PushRates(self.clock, lambda queue: self.rate)
        self.behind = False
        self.rates.is_behind = lambda: self.behind

    def push(self, jobs_count: int = 1, queue: str = "q") -> int:
        try:
            self.rates.admit(queue, jobs_count)
        except Limited as error:
            return error.retry_after_s or -1
        return 0


def test_a_bucket_is_full_at_first_and_filled_evenly() -> None:
    queue = Limits(3, 1_000)
    assert [queue.push() for _ in range(4)] == [0, 0, 0, 1]

    queue.clock.pass_ms(333)
    assert queue.push() == 1
    queue.clock.pass_ms(1)
    assert [queue.push(), queue.push()] == [0, 1]
    queue.clock.pass_ms(60_000)
    assert [queue.push() for _ in range(4)] == [0, 0, 0, 1]


def test_a_refusal_says_how_long_to_wait() -> None:
    queue = Limits(1, 60_000)
    assert [queue.push(), queue.push()] == [0, 60]

    queue.clock.pass_ms(59_000)
    assert queue.push() == 1
    queue.clock.pass_ms(1_000)
    assert queue.push() == 0


def test_a_batch_is_all_or_nothing_and_one_beyond_the_bucket_waits_until_it_is_full_and_is_paid_for_later() -> None:
    queue = Limits(10, 1_000)
    assert [queue.push(6), queue.push(6), queue.push(4)] == [0, 1, 0]

    queue.clock.pass_ms(1_000)
    assert queue.push(25) == 0
    assert queue.push() == 2
    queue.clock.pass_ms(1_500)
    assert queue.push() == 1
    queue.clock.pass_ms(100)
    assert queue.push() == 0


def test_no_more_passes_than_the_rate_whatever_the_steps() -> None:
    queue = Limits(7, 300)
    passed = 0
    for step in range(3_000):
        passed += queue.push() == 0
        queue.clock.pass_ms(step % 3)
    assert passed == 7 + 2_997 * 7 // 300


def test_queues_do_not_share_a_bucket_and_a_new_limit_begins_full() -> None:
    queue = Limits(1, 60_000)
    assert [queue.push(), queue.push(queue="other"), queue.push()] == [0, 0, 60]

    queue.rate = Rate(2, 60_000)
    assert [queue.push(), queue.push(), queue.push()] == [0, 0, 30]
    queue.rate = None
    assert queue.push() == 0


def test_what_a_leader_let_through_that_had_yet_to_apply_the_limit_counts() -> None:
    # Given a limit that other members have applied, and their clients know of
    queue = Limits(3, 60_000)
    rate, queue.rate, queue.behind = queue.rate, None, True
    assert [queue.push(), queue.push()] == [0, 0]
    # When the leader has applied it as well
    queue.rate, queue.behind = rate, False
    # Then what came before counts, and what came while there was no limit does not.
    assert [queue.push(), queue.push()] == [0, 20]
    unlimited = Limits(1, 60_000)
    rate, unlimited.rate = unlimited.rate, None
    assert [unlimited.push(), unlimited.push()] == [0, 0]
    unlimited.rate = rate
    assert [unlimited.push(), unlimited.push()] == [0, 60]


def test_a_push_beyond_the_rate_never_reaches_the_log() -> None:
    world = World()
    world.ask("queue_settings", queue="q", limits={"rate": {"count": 2, "per_ms": 10_000}})
    world.run()
    entries = len(world.log.entries)
    world.push("q", 2)

    refused = world.ask("push", queue="q", name="n")

    assert refused.reply["error"] == {
        "code": "RATE_LIMITED",
        "message": "Rate limit exceeded",
        "details": {"field": "rate", "limit": 2, "per_ms": 10_000},
    }
    assert (len(world.log.entries), world.landed[-1]) == (entries + 1, ("PushJobs", 0))
    world.clock.pass_ms(5_000)
    world.push("q")


@pytest.mark.parametrize("limited", [{"concurrency": 1}, {"group_concurrency": 1}])
def test_a_pull_waits_at_a_limit_until_a_job_ends(limited: dict[str, int]) -> None:
    world = World()
    world.ask("queue_settings", queue="q", limits=limited)
    world.push("q", 2, group_id="g")
    first = world.ask("pull", queue="q")
    world.run()
    waiting = world.ask("pull", queue="q", wait_ms=60_000)
    world.run()
    entries = len(world.log.entries)
    world.clock.pass_ms(1_000)
    assert (waiting.is_answered, len(world.log.entries)) == (False, entries)

    world.ask("ack", id=first.reply["job"]["id"])
    world.run()

    assert waiting.reply["job"]["state"] == "active"


def test_a_pull_that_waits_hears_of_a_limit_that_was_lifted() -> None:
    world = World()
    world.ask("queue_settings", queue="q", limits={"concurrency": 1})
    world.push("q", 2)
    world.ask("pull", queue="q")
    world.run()
    waiting = world.ask("pull", queue="q", wait_ms=60_000)
    world.run()

    world.ask("queue_settings", queue="q")
    world.run()

    assert waiting.reply["job"]["state"] == "active"


@pytest.mark.parametrize(
    ("limited", "field"),
    [
        ({"rate": {"count": 0, "per_ms": 1}}, "limits.rate.count"),
        ({"rate": {"count": 1, "per_ms": 86_400_001}}, "limits.rate.per_ms"),
        ({"rate": {"count": 1}}, "limits.rate.per_ms"),
        ({"rate": {"count": 1.5, "per_ms": 1}}, "limits.rate.count"),
        ({"concurrency": 0}, "limits.concurrency"),
        ({"group_concurrency": -1}, "limits.group_concurrency"),
    ],
)
def test_a_bad_limit_is_refused_by_name(limited: Any, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode_request(encode({"cmd": "queue_settings", "queue": "q", "limits": limited}))
    assert caught.value.details is not None
    assert caught.value.details["field"] == field
