"""What the machine tells when asked why, what happened, and how many workers are needed."""

from typing import Any

import pytest

from rustqueue.model import limits
from tests.unit.factories import Json, Rig, at


def codes(rig: Rig, job_id: str) -> list[str]:
    return [reason["code"] for reason in rig.ask("job_why", id=job_id)["reasons"]]


def tries(rig: Rig, job_id: str) -> list[tuple[int, str | None, str | None]]:
    told = rig.ask("job_history", id=job_id)["attempts"]
    return [(one["attempt"], one["outcome"], one["error"]) for one in told]


def happened(rig: Rig, job_id: str) -> list[tuple[str, str]]:
    return [(event["event"], event["actor"]) for event in rig.ask("job_history", id=job_id)["events"]]


def test_why_names_everything_that_is_in_the_way() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", limits={"concurrency": 1, "group_concurrency": 1})
    jobs = [{"name": "n", "group_id": "g"} for _ in range(3)]
    first, second, third = rig.do("push_batch", queue="q", jobs=jobs)["ids"]
    assert rig.ask("job_why", id=second)["position"] == 2
    rig.pulled()
    rig.do("queue_pause", queue="q", mode="both")

    assert codes(rig, second) == ["QUEUE_HELD", "QUEUE_FULL", "GROUP_FULL"]
    assert [rig.ask("job_why", id=job_id)["position"] for job_id in (first, second, third)] == [None, 1, 2]
    assert codes(rig, first) == ["RUNNING"]


def test_why_of_a_job_that_failed_or_ended() -> None:
    rig = Rig()
    job_id = rig.push(max_attempts=2, backoff="fixed", backoff_delay_ms=5_000)
    rig.pulled()
    rig.do("fail", id=job_id, error="boom")
    told = rig.ask("job_why", id=job_id)
    assert (codes(rig, job_id), told["expected_start"]) == (["RETRY_BACKOFF"], at(5_000))
    assert told["reasons"][0]["details"] == {"last_error": "boom"}
    rig.wait(5_000)
    rig.pulled()
    rig.do("fail", id=job_id, error="bang")
    assert codes(rig, job_id) == ["DEAD"]
    rig.do("job_retry", id=job_id)
    rig.do("ack", id=rig.pulled()[0])
    assert codes(rig, job_id) == ["COMPLETED"]


def test_the_place_in_the_line_counts_priority_lifo_and_those_that_came_back() -> None:
    rig = Rig()
    plain = rig.push_many(70)
    urgent, last_in, low = rig.push(priority=5), rig.push(lifo=True), rig.push(priority=-5)
    rig.pulled()
    rig.do("fail", id=urgent)
    rig.do("job_retry", id=urgent)

    places = [rig.ask("job_why", id=job_id)["position"] for job_id in (urgent, last_in, plain[0], plain[69], low)]
    assert places == [1, 2, 3, 72, 73]


def test_a_place_far_behind_is_not_counted() -> None:
    rig = Rig()
    rig.audited = False
    ids = [rig.push() for _ in range(limits.WHY_ROWS_MAX + 1)]
    assert rig.ask("job_why", id=ids[-1])["position"] is None


def test_a_history_holds_every_try_over_retries_and_the_dead_letters() -> None:
    rig = Rig()
    job_id = rig.push(max_attempts=2, backoff="fixed", backoff_delay_ms=0)
    assert (tries(rig, job_id), happened(rig, job_id)) == ([], [("pushed", "client")])
    rig.pull(worker_id="w1", lease_ms=100)
    rig.wait(1_000)
    rig.pull(worker_id="w2")
    rig.do("fail", id=job_id, error="boom")
    assert tries(rig, job_id) == [(1, "stalled", "job stalled (no heartbeat)"), (2, "failed", "boom")]
    rig.do("job_retry", id=job_id)
    rig.pull()
    assert tries(rig, job_id)[2:] == [(3, None, None)]
    rig.reopen()
    rig.do("ack", id=job_id)

    assert tries(rig, job_id)[2:] == [(3, "completed", None)]
    assert happened(rig, job_id) == [
        ("pushed", "client"),
        ("started", "worker"),
        ("failed", "node"),
        ("started", "worker"),
        ("failed", "worker"),
        ("started", "worker"),
        ("completed", "worker"),
    ]
    workers = [one["worker_id"] for one in rig.ask("job_history", id=job_id)["attempts"]]
    assert workers == ["w1", "w2", None]


@pytest.mark.parametrize("end", ["remove", "clean", "retention", "drain", "remove_on_complete"])
def test_the_history_goes_with_its_job(end: str) -> None:
    rig = Rig()
    options: Json = {"remove_on_complete": True} if end == "remove_on_complete" else {}
    job_id = rig.push(backoff="fixed", backoff_delay_ms=0, **options)
    rig.pull()
    rig.do("fail", id=job_id)
    assert any(key[:1] == b"H" for key in rig.rows())

    if end == "drain":
        rig.do("queue_drain", queue="q")
    else:
        rig.do("ack", id=rig.pulled()[0])
    if end == "remove":
        rig.do("job_remove", id=job_id)
    elif end == "clean":
        rig.do("queue_clean", queue="q", state="completed")
    elif end == "retention":
        rig.wait(604_802_000)

    assert rig.state(job_id) == "JOB_NOT_FOUND"
    assert not any(key[:1] == b"H" for key in rig.rows())


def test_a_history_keeps_the_latest_tries() -> None:
    rig = Rig()
    rig.audited = False
    job_id = rig.push(max_attempts=1_000, backoff="fixed", backoff_delay_ms=0)
    for number in range(limits.HISTORY_ATTEMPTS_MAX + 5):
        rig.pull()
        rig.do("fail", id=job_id, error=f"{number} " + "x" * 10_000)

    kept = tries(rig, job_id)
    assert [number for number, _, _ in kept] == list(range(6, limits.HISTORY_ATTEMPTS_MAX + 6))
    assert {len(error or "") for _, _, error in kept} == {limits.HISTORY_ERROR_BYTES_MAX}


def test_a_job_that_was_cancelled_or_expired_says_so() -> None:
    rig = Rig()
    cancelled, stopped, expired = rig.push(), rig.push(), rig.push(ttl_ms=100)
    rig.do("cancel", id=cancelled)
    rig.do("ack", id=rig.pulled()[0], cancelled=True)
    rig.wait(100)

    assert happened(rig, cancelled)[1:] == [("cancelled", "client")]
    assert happened(rig, stopped)[1:] == [("started", "worker"), ("cancelled", "worker")]
    assert happened(rig, expired)[1:] == [("dlq", "node")]


def scaled(rig: Rig, **query: Any) -> list[int]:
    told = rig.ask("queue_scale", queue="q", **query)
    assert told.pop("ok") is True
    return list(told.values())


def test_scale() -> None:
    rig = Rig()
    assert scaled(rig, min=2) == [0, 0, 0, 2, 0]
    rig.push_many(5)
    rig.now_ms += 1_000
    rig.push(delay_ms=60_000)
    rig.push(priority=3)
    rig.push("other", delay_ms=60_000)

    assert scaled(rig) == [6, 0, 0, 6, 1_000]
    assert scaled(rig, per_worker=4, due_within_ms=59_000) == [6, 0, 0, 2, 1_000]
    assert scaled(rig, per_worker=2, due_within_ms=60_000) == [6, 0, 1, 4, 1_000]
    assert scaled(rig, max=3) == [6, 0, 0, 3, 1_000]
    rig.pulled(6)
    assert scaled(rig) == [0, 6, 0, 6, 0]


def test_scale_of_a_queue_with_limits_or_held() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", limits={"concurrency": 2, "group_concurrency": 1})
    rig.push(group_id="a")
    rig.now_ms += 500
    rig.push_many(5, group_id="a")
    rig.push_many(5, group_id="b", priority=-1)
    assert scaled(rig) == [11, 0, 0, 2, 500]
    rig.pulled(5)
    assert scaled(rig)[:4] == [0, 2, 0, 2]
    rig.do("queue_pause", queue="q", mode="hold")
    assert scaled(rig) == [0, 2, 0, 2, 0]


def test_dead_jobs_by_cause() -> None:
    rig = Rig()
    for number in range(5):
        rig.push(max_attempts=1)
        rig.do("fail", id=rig.pulled()[0], error=f"timeout after {number} ms" if number != 3 else "no such host")
        rig.now_ms += 10
    told = rig.ask("dlq_groups", queue="q")

    shown = [(one["count"], one["error"], one["first_at"], one["last_at"]) for one in told["groups"]]
    assert shown == [(4, "timeout after 4 ms", at(0), at(40)), (1, "no such host", at(30), at(30))]
    assert (told["looked_at"], told["next_cursor"]) == (5, None)
    rig.do("dlq_retry", queue="q", filter={"fingerprint": told["groups"][1]["fingerprint"]})
    assert [one["count"] for one in rig.ask("dlq_groups", queue="q")["groups"]] == [4]


def test_dead_jobs_by_cause_are_looked_at_page_by_page() -> None:
    rig = Rig()
    rig.audited = False
    total = 2 * limits.LIST_LIMIT_MAX + 10
    rig.push_many(total, max_attempts=1)
    for _ in range(0, total, 70):
        ids = rig.pulled(70)
        rig.do("fail_batch", items=[{"id": job_id, "error": f"e{place % 2}x"} for place, job_id in enumerate(ids)])
    looked, cursor = 0, None
    for _ in range(4):
        page = rig.ask("dlq_groups", queue="q", **({"cursor": cursor} if cursor else {}))
        assert page["looked_at"] <= limits.LIST_LIMIT_MAX + 70
        looked, cursor = looked + sum(one["count"] for one in page["groups"]), page["next_cursor"]
        if cursor is None:
            break

    assert (looked, cursor) == (total, None)
    assert rig.unanswered("dlq_groups", queue="q", cursor="x") == (400, "VALIDATION_ERROR")
