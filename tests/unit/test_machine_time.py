"""What time alone does: delays, time to live, time-outs, lapsed leases, retention, and the budget of a tick."""

from typing import Any

import pytest

from rustqueue.model import limits
from rustqueue.model.commands import Configure, Tick
from rustqueue.model.jobs import NodeDefaults
from tests.unit.factories import START_MS, Rig, a_job, at

STALLED = "job stalled (no heartbeat)"
TIMED_OUT = "job timed out"


def ended(rig: Rig, count: int = 1, **fields: Any) -> list[str]:
    """Completed jobs."""
    ids = rig.push_many(count, **fields)
    for first in range(0, count, 1_000):
        part = ids[first : first + 1_000]
        assert rig.pulled(max(len(part), 2)) == part
        rig.do("ack_batch", ids=part)
    return ids


def test_a_delayed_job_becomes_ready_at_its_time_and_not_before() -> None:
    rig = Rig()
    job_id = rig.push(delay_ms=5_000)
    assert rig.machine.next_due_ms() == START_MS + 5_000
    assert rig.job(job_id) == a_job(id=job_id, state="delayed", delay_until=at(5_000))

    rig.tick(4_999)
    assert (rig.state(job_id), rig.pull()) == ("delayed", [])
    rig.told()
    rig.tick(1)

    assert rig.job(job_id) == a_job(id=job_id, updated_at=at(5_000))
    assert rig.told() == [("ready", [job_id])]
    assert rig.machine.next_due_ms() is None


def test_run_at_is_a_delay_until_a_time() -> None:
    rig = Rig()
    future, past, now = rig.push(run_at=at(1_500)), rig.push(run_at=at(-1)), rig.push(run_at=at(0))

    assert rig.states(future, past, now) == ["delayed", "waiting", "waiting"]
    assert rig.job(future)["delay_until"] == at(1_500)
    rig.wait(1_500)
    assert rig.state(future) == "waiting"


def test_run_at_of_a_job_wins_over_a_delay_of_its_queue() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", defaults={"delay_ms": 9_000})

    assert rig.job(rig.push())["delay_until"] == at(9_000)
    assert rig.job(rig.push(run_at=at(700)))["delay_until"] == at(700)
    assert rig.state(rig.push(delay_ms=0)) == "waiting"


def test_a30_a_delay_of_zero_waits_at_once() -> None:
    rig = Rig()

    assert rig.state(rig.push(delay_ms=0)) == "waiting"


def test_a30_ttl_ends_a_job_that_was_not_started_in_time() -> None:
    rig = Rig()
    waiting, delayed = rig.push(ttl_ms=1_000), rig.push(ttl_ms=1_000, delay_ms=9_000)
    blocked = rig.push(ttl_ms=1_000, depends_on=[waiting], on_parent_failure="ignore")
    rig.wait(999)
    assert rig.states(waiting, delayed, blocked) == ["waiting", "delayed", "blocked"]
    rig.told()

    rig.wait(1)

    assert rig.states(waiting, delayed, blocked) == ["dlq", "dlq", "dlq"]
    job = rig.job(waiting)
    assert (job["last_error"], job["attempt"], job["fence"]) == ("expired", 0, 0)
    assert [event for event, _ in rig.told() if event != "ready"] == ["expired", "dlq"] * 3
    rig.wait(20_000)
    assert rig.states(waiting, delayed, blocked) == ["dlq", "dlq", "dlq"]


def test_a_job_that_has_expired_is_not_leased_even_before_the_tick() -> None:
    rig = Rig()
    parent = rig.push(ttl_ms=50)
    child = rig.push(depends_on=[parent])
    patient = rig.push(depends_on=[parent], on_parent_failure="ignore", ttl_ms=50_000)
    fresh = rig.push()
    rig.now_ms += 60

    assert rig.pulled(4) == [fresh, patient]
    assert rig.states(parent, child) == ["dlq", "dlq"]
    assert rig.counts() == {"dlq": 2, "active": 2}


def test_a_job_that_was_started_does_not_expire_any_more() -> None:
    rig = Rig()
    job_id = rig.push(ttl_ms=5_000, backoff="fixed", backoff_delay_ms=0)
    rig.pulled()
    rig.do("fail", id=job_id)
    rig.wait(6_000)

    assert rig.pulled() == [job_id]


def test_an_expired_job_that_is_brought_back_can_run() -> None:
    rig = Rig()
    job_id = rig.push(ttl_ms=50)
    rig.wait(100)

    rig.do("job_retry", id=job_id)

    assert rig.pulled() == [job_id]
    assert rig.job(job_id)["ttl_ms"] is None


def test_a_lease_that_lapses_is_a_failed_try() -> None:
    rig = Rig()
    job_id = rig.push()
    (job,) = rig.pull(worker_id="w")
    assert (job["lease_expires_at"], job["started_at"]) == (at(30_000), at(0))
    rig.wait(29_999)
    assert rig.state(job_id) == "active"
    rig.told()

    rig.wait(501)

    assert rig.told() == [("failed", [job_id])]
    assert rig.job(job_id) == a_job(
        id=job_id,
        state="delayed",
        attempt=1,
        fence=1,
        last_error=STALLED,
        started_at=at(0),
        updated_at=at(30_000),
        delay_until=at(31_000),
        worker_id="w",
    )


@pytest.mark.parametrize(
    ("node", "queue", "job", "pull", "expected"),
    [
        (None, None, None, None, 30_000),
        (7_000, None, None, None, 7_000),
        (7_000, 6_000, None, None, 6_000),
        (7_000, 6_000, 5_000, None, 5_000),
        (7_000, 6_000, 5_000, 4_000, 4_000),
    ],
)
def test_the_nearest_setting_of_a_lease_wins(
    node: int | None, queue: int | None, job: int | None, pull: int | None, expected: int
) -> None:
    rig = Rig(defaults=NodeDefaults(lease_ms=node) if node is not None else None)
    if queue is not None:
        rig.do("queue_settings", queue="q", lease_ms=queue)
    job_id = rig.push(lease_ms=job)

    (leased,) = rig.pull(lease_ms=pull)
    assert leased["lease_expires_at"] == at(expected)
    rig.wait(expected - 1)
    assert rig.state(job_id) == "active"
    rig.wait(501)
    assert rig.job(job_id)["last_error"] == STALLED


def test_jobs_of_one_pull_may_have_leases_of_different_length() -> None:
    rig = Rig()
    ids = [rig.push(lease_ms=5_000), rig.push(), rig.push(lease_ms=5_000)]

    assert [(job["id"], job["lease_expires_at"]) for job in rig.pull(3)] == [
        (ids[0], at(5_000)),
        (ids[1], at(30_000)),
        (ids[2], at(5_000)),
    ]
    rig.wait(6_000)
    assert rig.states(*ids) == ["waiting", "active", "waiting"]


def test_a30_a_lease_is_renewed_by_heartbeats_and_not_by_progress() -> None:
    rig = Rig()
    beating, silent = rig.push(timeout_ms=None), rig.push()
    rig.pulled(2)
    for _ in range(3):
        rig.wait(20_000)
        rig.do("heartbeat", id=beating)
        if rig.state(silent) == "active":
            rig.do("progress", id=silent, progress=50)

    assert rig.states(beating, silent) == ["active", "waiting"]
    assert rig.job(beating)["last_heartbeat"] == at(60_000)
    rig.wait(30_500)
    assert rig.job(beating)["last_error"] == STALLED


def test_a30_a_heartbeat_of_an_earlier_try_does_not_stall_the_next() -> None:
    rig = Rig()
    job_id = rig.push(backoff="fixed", backoff_delay_ms=60_000)
    rig.pulled()
    rig.do("heartbeat", id=job_id)
    rig.do("fail", id=job_id)
    rig.wait(60_000)
    rig.pulled()

    rig.wait(29_999)

    assert rig.state(job_id) == "active"


def test_a_time_out_ends_a_try_whatever_heartbeats_say() -> None:
    rig = Rig()
    job_id = rig.push(timeout_ms=10_000)
    rig.pulled()
    rig.wait(9_999)
    rig.do("heartbeat", id=job_id)
    rig.wait(502)

    assert (rig.state(job_id), rig.job(job_id)["last_error"]) == ("delayed", TIMED_OUT)


def test_a_time_out_counts_from_each_start() -> None:
    rig = Rig()
    job_id = rig.push(timeout_ms=10_000, backoff_delay_ms=0)
    rig.pulled()
    rig.wait(10_500)
    assert rig.state(job_id) == "waiting"
    rig.pulled()
    rig.wait(9_000)

    assert rig.state(job_id) == "active"


def test_leases_of_one_pull_end_one_by_one() -> None:
    rig = Rig()
    short, long, acked = rig.push(timeout_ms=5_000), rig.push(), rig.push()
    rig.pulled(3)
    rig.do("ack", id=acked)

    rig.wait(10_000)
    assert rig.states(short, long, acked) == ["waiting", "active", "completed"]
    rig.wait(21_000)
    assert rig.states(short, long) == ["waiting", "waiting"]


def test_a30_a_back_off_near_the_end_of_time_stops_nothing() -> None:
    rig = Rig()
    job_id = rig.push(backoff_delay_ms=limits.DURATION_MS_MAX, timeout_ms=limits.DURATION_MS_MAX, max_attempts=10)
    other = rig.push(delay_ms=40_000)
    rig.pulled()
    rig.wait(31_000)
    rig.do("job_retry", id=job_id)
    rig.pulled()

    rig.wait(31_000)

    assert rig.job(job_id)["delay_until"] == "2035-11-22T16:01:01Z"
    assert rig.state(other) == "waiting"


def test_retention_by_age() -> None:
    rig = Rig(defaults=NodeDefaults(completed_age_ms=10_000, dlq_age_ms=20_000, cancelled_age_ms=30_000))
    (completed,) = ended(rig)
    dead = rig.push(max_attempts=1)
    rig.pulled()
    rig.do("fail", id=dead)
    cancelled = rig.push()
    rig.do("cancel", id=cancelled)

    rig.wait(10_000)
    assert rig.states(completed, dead, cancelled) == ["completed", "dlq", "cancelled"]
    rig.wait(1_000)
    assert rig.states(completed, dead, cancelled) == ["JOB_NOT_FOUND", "dlq", "cancelled"]
    rig.wait(10_000)
    assert rig.states(dead, cancelled) == ["JOB_NOT_FOUND", "cancelled"]
    rig.wait(10_000)
    assert rig.state(cancelled) == "JOB_NOT_FOUND"
    assert rig.rows().keys() == {b"nq\0"}


def test_retention_by_count_keeps_the_latest() -> None:
    rig = Rig(defaults=NodeDefaults(completed_count=2))
    first = ended(rig, 2)
    rig.now_ms += 10
    second = ended(rig, 2)
    single = ended(rig, 1)

    rig.wait(200)

    assert rig.states(*first, *second, *single) == ["JOB_NOT_FOUND"] * 3 + ["completed"] * 2
    assert rig.counts() == {"completed": 2}


def test_a_queue_has_its_own_retention() -> None:
    rig = Rig(defaults=NodeDefaults(completed_age_ms=10_000, completed_count=50))
    rig.do("queue_settings", queue="q", retention={"completed": {"count": 0}, "dlq": {"age_ms": 1_000}})
    other = rig.push("p")
    rig.pulled(queue="p")
    rig.do("ack", id=other)
    ended(rig, 3)

    rig.wait(100)
    assert (rig.counts(), rig.counts("p")) == ({}, {"completed": 1})
    rig.wait(11_000)
    assert rig.counts("p") == {}


def test_settings_apply_to_jobs_that_have_ended_before() -> None:
    rig = Rig()
    ended(rig, 3)
    rig.wait(5_000)

    rig.do("queue_settings", queue="q", retention={"completed": {"count": 1}})
    rig.wait(100)
    assert rig.counts() == {"completed": 1}
    rig.do("queue_settings", queue="q", retention={"completed": {"age_ms": 1_000}})
    rig.wait(0)
    assert rig.counts() == {}


def test_defaults_of_the_node_apply_to_jobs_that_have_ended_before() -> None:
    rig = Rig()
    ended(rig, 3)

    rig.apply(Configure(defaults=NodeDefaults(completed_age_ms=1_000)))
    rig.wait(2_000)

    assert rig.counts() == {}


def test_jobs_that_are_kept_for_ever_plan_nothing() -> None:
    rig = Rig(defaults=NodeDefaults(completed_age_ms=None, completed_count=None))

    ended(rig, 2)

    assert [key for key in rig.rows() if key[:1] == b"d" and key[9] == 4] == []


def test_retention_of_many_is_done_in_steps_and_to_the_end() -> None:
    rig = Rig(defaults=NodeDefaults(completed_age_ms=10_000))
    ended(rig, 2_500)

    rig.tick(11_000)
    assert rig.counts() == {"completed": 1_500}
    rig.wait(0)
    assert rig.counts() == {}


def test_retention_forgets_what_a_job_left_elsewhere() -> None:
    rig = Rig(defaults=NodeDefaults(completed_age_ms=10_000))
    parent = rig.push(custom_id="c", flow_id="f", metadata={"a": 1})
    child = rig.push(depends_on=[parent], delay_ms=60_000)
    rig.pulled()
    rig.do("ack", id=parent, result={"n": 1})

    rig.wait(12_000)

    assert rig.state("custom:q:c") == "JOB_NOT_FOUND"
    assert rig.ask("flow", flow_id="f")["jobs"] == []
    assert rig.ask("job_parents", id=child)["parents"] == [{"id": parent, "state": "removed", "result": {"n": 1}}]
    (job,) = rig.pull(with_parent_results=True)
    assert job["parent_results"] == {parent: {"n": 1}}
    rig.do("ack", id=child)
    rig.wait(60_000)
    assert rig.rows().keys() == {b"nq\0"}


def test_what_dies_in_a_tick_is_forgotten_by_a_rule_that_keeps_none() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", retention={"dlq": {"count": 0}})
    rig.push(max_attempts=1)
    (first,) = rig.pulled()
    rig.push(ttl_ms=95)
    rig.do("fail", id=first)

    rig.tick(300)
    rig.wait(1_000)

    assert rig.counts() == {}


def test_a_tick_does_a_bounded_amount_of_work() -> None:
    rig = Rig()
    rig.push_many(2_500, delay_ms=1_000)
    rig.now_ms += 1_000

    rig.apply(Tick())
    assert rig.counts() == {"waiting": 1_000, "delayed": 1_500}
    rig.apply(Tick())
    assert rig.counts() == {"waiting": 2_000, "delayed": 500}
    rig.apply(Tick())
    assert (rig.counts(), rig.machine.next_due_ms()) == ({"waiting": 2_500}, None)


def test_a_tick_with_nothing_due_changes_nothing() -> None:
    rig = Rig()
    rig.push(delay_ms=5_000)
    before, digest = rig.rows(), rig.machine.state_hash

    rig.tick(100)

    assert (rig.rows(), rig.machine.state_hash, rig.machine.now_ms) == (before, digest, START_MS + 100)


def test_stale_due_rows_are_skipped() -> None:
    rig = Rig()
    removed, promoted = rig.push(delay_ms=1_000, ttl_ms=2_000), rig.push(delay_ms=1_000, ttl_ms=2_000)
    cancelled, acked = rig.push(ttl_ms=1_500), rig.push(ttl_ms=1_000)
    rig.do("job_remove", id=removed)
    rig.do("job_promote", id=promoted)
    rig.do("cancel", id=cancelled)
    assert rig.pulled(5) == [promoted, acked]
    rig.do("ack", id=acked)

    rig.wait(29_000)

    assert rig.states(removed, promoted, cancelled, acked) == ["JOB_NOT_FOUND", "active", "cancelled", "completed"]


def test_time_never_runs_backwards() -> None:
    rig = Rig()
    rig.now_ms += 5_000
    first = rig.push()
    rig.now_ms -= 3_000
    second = rig.push(delay_ms=1)

    assert rig.machine.now_ms == START_MS + 5_000
    assert rig.job(second)["created_at"] == rig.job(first)["created_at"] == at(5_000)
    assert rig.job(second)["delay_until"] == at(5_001)
