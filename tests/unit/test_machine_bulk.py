"""Bulk verbs: drain, clean, purge, DLQ retry, deletion of queues, and the sweeps that finish what one entry cannot."""

from typing import Any

import pytest

from rustqueue.machine.verbs.sweeps import fingerprint
from tests.unit.factories import Rig, at


def done(matched: int, moved: int | None = None) -> dict[str, Any]:
    return {"ok": True, "matched": matched, "moved": matched if moved is None else moved, "sweep": None}


def dead(rig: Rig, count: int, error: str = "boom", **fields: Any) -> list[str]:
    """So many jobs in the DLQ of `q`, which holds no waiting ones."""
    ids = rig.push_many(count, max_attempts=1, **fields)
    for first in range(0, count, 1_000):
        items = [{"id": job_id, "error": error} for job_id in ids[first : first + 1_000]]
        rig.pulled(len(items))
        rig.do("fail_batch", items=items)
    return ids


def completed(rig: Rig, count: int, **fields: Any) -> list[str]:
    ids = rig.push_many(count, **fields)
    for first in range(0, count, 1_000):
        rig.pulled(min(1_000, count))
        rig.do("ack_batch", ids=ids[first : first + 1_000])
    return ids


def test_drain_removes_waiting_and_delayed_jobs_only() -> None:
    rig = Rig()
    active = rig.push()
    rig.pulled()
    waiting, lifo = rig.push(), rig.push(lifo=True)
    delayed, promoted = rig.push(delay_ms=9_000), rig.push(delay_ms=9_000)
    rig.do("job_promote", id=promoted)
    blocked = rig.push(depends_on=[active])

    assert rig.do("queue_drain", queue="q") == done(4)
    assert rig.states(waiting, lifo, delayed, promoted) == ["JOB_NOT_FOUND"] * 4
    assert rig.states(active, blocked) == ["active", "blocked"]
    assert rig.counts() == {"active": 1, "blocked": 1}


def test_drain_settles_the_children_of_what_it_removes() -> None:
    rig = Rig()
    delayed = rig.push(delay_ms=9_000)
    dies = rig.push(depends_on=[delayed])
    lives = rig.push(depends_on=[delayed], on_parent_failure="ignore")

    assert rig.do("queue_drain", queue="q") == done(1)
    assert rig.states(dies, lives) == ["dlq", "waiting"]


def test_drain_of_an_unknown_queue_is_refused() -> None:
    for cmd, fields in (
        ("queue_drain", {}),
        ("queue_clean", {"state": "dlq"}),
        ("dlq_purge", {}),
        ("dlq_retry", {}),
        ("queue_delete", {}),
    ):
        assert Rig().refused(cmd, queue="q", **fields) == (404, "QUEUE_NOT_FOUND", None)


def test_drain_goes_on_in_ticks_and_leaves_later_jobs_alone() -> None:
    rig = Rig()
    rig.push_many(2_300)
    reply = rig.do("queue_drain", queue="q")
    assert (reply["matched"], reply["moved"]) == (1_000, 1_000)
    assert rig.status("queue_drain", queue="q") == 202
    later = rig.push_many(3)

    rig.wait(0)

    assert rig.counts() == {"waiting": 3}
    assert rig.states(*later) == ["waiting"] * 3
    assert rig.ask("sweep_get", id=reply["sweep"])["state"] == "done"


def test_an_ended_sweep_can_be_asked_for_an_hour() -> None:
    rig = Rig()
    rig.push_many(1_100)
    sweep = rig.do("queue_drain", queue="q")["sweep"]
    assert rig.ask("sweep_get", id=sweep) == {
        "ok": True,
        "id": sweep,
        "state": "running",
        "matched": 1_000,
        "moved": 1_000,
    }

    rig.wait(3_599_999)
    assert rig.ask("sweep_get", id=sweep) == {
        "ok": True,
        "id": sweep,
        "state": "done",
        "matched": 1_100,
        "moved": 1_100,
    }

    rig.wait(1)
    assert rig.unanswered("sweep_get", id=sweep) == (404, "SWEEP_NOT_FOUND")


def test_clean_takes_the_oldest_of_one_outcome_up_to_the_limit() -> None:
    rig = Rig()
    first = completed(rig, 2)
    rig.now_ms += 5_000
    second = completed(rig, 2, flow_id="f")
    failed = dead(rig, 1)
    rig.now_ms += 5_000

    assert rig.do("queue_clean", queue="q", state="completed", older_than_ms=10_001) == done(0)
    assert rig.do("queue_clean", queue="q", state="completed", older_than_ms=10_000, limit=1) == done(1)
    assert rig.states(*first) == ["JOB_NOT_FOUND", "completed"]
    assert rig.do("queue_clean", queue="q", state="completed", limit=0) == done(0)
    assert rig.do("queue_clean", queue="q", state="completed", limit=2) == done(2)
    assert rig.states(*first, *second) == ["JOB_NOT_FOUND"] * 3 + ["completed"]
    assert rig.do("queue_clean", queue="q", state="completed") == done(1)
    assert rig.ask("flow", flow_id="f")["jobs"] == []
    assert rig.counts() == {"dlq": len(failed)}


def test_clean_knows_cancelled_jobs() -> None:
    rig = Rig()
    job_id = rig.push(custom_id="c")
    rig.do("cancel", id=job_id)

    assert rig.do("queue_clean", queue="q", state="cancelled") == done(1)
    assert rig.state("custom:q:c") == "JOB_NOT_FOUND"


def test_clean_with_a_limit_counts_over_several_entries() -> None:
    rig = Rig()
    completed(rig, 2_600)

    reply = rig.do("queue_clean", queue="q", state="completed", limit=2_500)
    assert (reply["matched"], reply["sweep"] is None) == (1_000, False)
    rig.wait(0)

    assert rig.counts() == {"completed": 100}
    assert rig.ask("sweep_get", id=reply["sweep"])["moved"] == 2_500


def test_purge_empties_the_dlq_only() -> None:
    rig = Rig()
    dead(rig, 3)
    completed(rig, 1)

    assert rig.do("dlq_purge", queue="q") == done(3)
    assert rig.counts() == {"completed": 1}


def test_dead_jobs_come_back_with_attempts_at_zero_and_the_fence_going_on() -> None:
    rig = Rig()
    old = rig.push(backoff_delay_ms=0, max_attempts=2, name="first")
    for _ in range(2):
        rig.pulled()
        rig.do("fail", id=old, error="e")
    young = rig.push(name="second")
    rig.now_ms += 10

    assert rig.do("dlq_retry", queue="q") == done(1)
    job = rig.job(old)
    assert {key: job[key] for key in ("state", "attempt", "fence", "last_error", "updated_at")} == {
        "state": "waiting",
        "attempt": 0,
        "fence": 2,
        "last_error": "e",
        "updated_at": at(10),
    }
    assert [(job["id"], job["fence"]) for job in rig.pull(2)] == [(young, 1), (old, 3)]


def test_dlq_retry_filters() -> None:
    rig = Rig()
    timeouts = dead(rig, 2, "timeout after 31 s", name="mail")
    rig.now_ms += 1_000
    other = dead(rig, 1, "refused", name="sms")

    def matching(**wanted: Any) -> int:
        matched: int = rig.do("dlq_retry", queue="q", filter=wanted, dry_run=True)["matched"]
        return matched

    assert fingerprint("timeout after 31 s") == fingerprint("timeout after 7 s") != fingerprint("refused")
    assert matching() == 3
    assert matching(fingerprint=fingerprint("timeout after 900 s")) == 2
    assert matching(name="sms") == 1
    assert matching(error_contains="after") == 2
    assert matching(error_contains="after", name="sms") == 0
    assert matching(before=at(1_000)) == 2
    assert matching(after=at(0)) == 1
    assert matching(after=at(999), before=at(1_001)) == 1
    assert rig.counts() == {"dlq": 3}
    assert rig.do("dlq_retry", queue="q", filter={"name": "mail"}) == done(2)
    assert rig.states(*timeouts, *other) == ["waiting", "waiting", "dlq"]


def test_dlq_retry_has_a_limit_and_can_be_tried_dry() -> None:
    rig = Rig()
    ids = dead(rig, 3)

    assert rig.do("dlq_retry", queue="q", dry_run=True) == done(3, 0)
    assert rig.do("dlq_retry", queue="q", limit=2) == done(2)
    assert sorted(rig.states(*ids)) == ["dlq", "waiting", "waiting"]


def test_dlq_retry_leaves_a_job_whose_unique_key_is_taken() -> None:
    rig = Rig()
    (old,) = dead(rig, 1, unique_key="k")
    rig.push(unique_key="k")

    assert rig.do("dlq_retry", queue="q") == done(1, 0)
    assert rig.state(old) == "dlq"


def test_dlq_retry_at_a_rate_moves_a_second_worth_at_a_time() -> None:
    rig = Rig()
    dead(rig, 25)

    reply = rig.do("dlq_retry", queue="q", rate_per_s=10)
    assert (reply["moved"], rig.counts()) == (10, {"waiting": 10, "dlq": 15})
    rig.wait(999)
    assert rig.counts() == {"waiting": 10, "dlq": 15}
    rig.wait(1)
    assert rig.counts() == {"waiting": 20, "dlq": 5}
    rig.wait(1_000)
    assert rig.counts() == {"waiting": 25}
    assert rig.ask("sweep_get", id=reply["sweep"])["moved"] == 25


def test_a_step_that_ends_inside_a_block_goes_on_there() -> None:
    rig = Rig()
    completed(rig, 600)
    completed(rig, 600)
    completed(rig, 600)

    rig.do("queue_clean", queue="q", state="completed", limit=700)
    assert rig.counts() == {"completed": 1_100}
    rig.do("queue_clean", queue="q", state="completed")
    rig.wait(0)
    assert rig.counts() == {}


def test_dlq_retry_of_many_does_not_see_a_job_twice() -> None:
    rig = Rig()
    dead(rig, 2_200)

    reply = rig.do("dlq_retry", queue="q", dry_run=True)
    rig.wait(0)
    assert rig.ask("sweep_get", id=reply["sweep"])["matched"] == 2_200

    rig.do("dlq_retry", queue="q")
    rig.wait(0)
    assert rig.counts() == {"waiting": 2_200}


def test_a_cancelled_sweep_stops_and_can_still_be_asked() -> None:
    rig = Rig()
    dead(rig, 25)
    sweep = rig.do("dlq_retry", queue="q", rate_per_s=10)["sweep"]

    rig.do("sweep_cancel", id=sweep)
    rig.wait(5_000)

    assert rig.counts() == {"waiting": 10, "dlq": 15}
    assert rig.ask("sweep_get", id=sweep) == {"ok": True, "id": sweep, "state": "cancelled", "matched": 10, "moved": 10}
    rig.do("sweep_cancel", id=sweep)
    rig.wait(3_600_000)
    assert rig.refused("sweep_cancel", id=sweep) == (404, "SWEEP_NOT_FOUND", None)


@pytest.mark.parametrize("text", ["x", "019ab697-e800-7000-9e28-7f590d2dcbbf"])
def test_an_unknown_sweep_cannot_be_cancelled(text: str) -> None:
    assert Rig().refused("sweep_cancel", id=text) == (404, "SWEEP_NOT_FOUND", None)
    assert Rig().unanswered("sweep_get", id=text) == (404, "SWEEP_NOT_FOUND")


def test_a_queue_with_jobs_is_not_deleted_without_force() -> None:
    rig = Rig()
    rig.push_many(2)
    rig.do("cancel", id=rig.push())

    status, code, details = rig.refused("queue_delete", queue="q")

    assert (status, code) == (409, "QUEUE_NOT_EMPTY")
    assert details == {
        "counts": {"waiting": 2, "active": 0, "delayed": 0, "completed": 0, "failed": 0, "dlq": 0, "blocked": 0}
    }


def test_an_empty_queue_is_deleted_at_once() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", lease_ms=500)

    assert rig.do("queue_delete", queue="q") == done(0)
    assert rig.ask("list_queues")["queues"] == []
    assert rig.unanswered("queue_get", queue="q") == (404, "QUEUE_NOT_FOUND")


def test_deletion_with_force_leaves_no_row_and_nothing_to_speak_for() -> None:
    rig = Rig()
    completed(rig, 1, custom_id="c")
    dead(rig, 1)
    active = rig.push(unique_key="u")
    rig.pulled()
    rig.push(delay_ms=500, ttl_ms=400)
    rig.push(lifo=True)
    rig.push(depends_on=[active], flow_id="f", unique_key="b")
    rig.do("cancel", id=rig.push())

    assert rig.do("queue_delete", queue="q", force=True) == done(7)
    assert {chr(key[0]) for key in rig.rows()} == {"d"}
    assert rig.refused("ack", id=active) == (404, "JOB_NOT_FOUND", None)
    rig.wait(10_000)
    assert rig.counts() == {}


def test_a_queue_being_deleted_takes_nothing_and_gives_nothing() -> None:
    rig = Rig()
    rig.push_many(1_200)
    sweep = rig.do("queue_delete", queue="q", force=True)["sweep"]

    assert rig.refused("push", queue="q", name="n") == (503, "QUEUE_PAUSED", None)
    assert rig.pull() == []
    assert rig.machine.ready_count("q") == 0
    assert rig.refused("queue_delete", queue="q") == (409, "INVALID_STATE", {"field": "queue"})
    assert rig.refused("queue_settings", queue="q", lease_ms=500) == (409, "INVALID_STATE", {"field": "queue"})
    assert rig.refused("sweep_cancel", id=sweep) == (409, "INVALID_STATE", {"state": "running"})
    rig.wait(0)
    assert rig.unanswered("queue_get", queue="q") == (404, "QUEUE_NOT_FOUND")
    assert rig.counts() == {}


def test_jobs_that_move_while_their_queue_is_deleted_go_too() -> None:
    rig = Rig()
    ids = dead(rig, 2_500)
    rig.do("queue_delete", queue="q", force=True)
    left = [job_id for job_id in ids if rig.state(job_id) == "dlq"]

    rig.do("job_retry", id=left[-1])
    rig.wait(0)

    assert rig.unanswered("queue_get", queue="q") == (404, "QUEUE_NOT_FOUND")
    assert {chr(key[0]) for key in rig.rows()} == {"d", "z"}


def test_a_running_job_that_fails_while_its_queue_is_deleted_goes_too() -> None:
    rig = Rig()
    parent = rig.push("p")
    active = rig.push()
    rig.pulled()
    rig.push_many(1_500, depends_on=[parent])
    rig.do("queue_delete", queue="q", force=True)

    rig.do("fail", id=active)
    rig.wait(0)

    assert rig.unanswered("queue_get", queue="q") == (404, "QUEUE_NOT_FOUND")
    assert rig.counts("p") == {"waiting": 1}


def test_deletion_of_a_chain_of_blocked_jobs() -> None:
    rig = Rig()
    first = rig.push("p")
    second = rig.push(depends_on=[first])
    third = rig.push(depends_on=[second])
    rig.push("r", depends_on=[third])

    assert rig.do("queue_delete", queue="q", force=True) == done(2)
    assert (rig.counts("p"), rig.counts("q"), rig.counts("r")) == ({"waiting": 1}, {}, {"dlq": 1})


def test_a_deleted_queue_starts_anew() -> None:
    rig = Rig()
    completed(rig, 2)
    rig.do("queue_settings", queue="q", limits={"max_waiting": 1})
    rig.do("queue_delete", queue="q", force=True)

    replies = rig.all({"cmd": "push_batch", "queue": "q", "jobs": [{"name": "a"}, {"name": "b"}]})

    assert rig.pulled(2) == replies[0]["ids"]
    assert rig.ask("queue_get", queue="q")["settings"] == {}
