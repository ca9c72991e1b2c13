"""What workers say of jobs they hold: ack, fail, progress, heartbeat, and whose word counts."""

from typing import Any

import pytest

from rustqueue.machine.retry import backoff_ms
from rustqueue.model import limits, times
from tests.unit.factories import Rig, a_job, at

Json = dict[str, Any]

STALE = (409, "STALE_ATTEMPT", {"field": "attempt_token"})
WORDS: list[tuple[str, Json]] = [("ack", {}), ("fail", {}), ("heartbeat", {}), ("progress", {"progress": 1})]


def test_ack_completes_a_job_and_keeps_its_result() -> None:
    rig = Rig()
    job_id = rig.push(data={"n": 1})
    rig.now_ms += 10
    (leased,) = rig.pull(worker_id="w")
    rig.now_ms += 10
    rig.told()

    assert rig.do("ack", id=job_id, result={"x": [1]}, attempt_token=leased["attempt_token"]) == {"ok": True}
    assert rig.job(job_id) == a_job(
        id=job_id,
        data={"n": 1},
        result={"x": [1]},
        state="completed",
        started_at=at(10),
        updated_at=at(20),
        completed_at=at(20),
        fence=1,
        worker_id="w",
    )
    assert rig.told() == [("completed", [job_id])]
    assert rig.counts() == {"completed": 1}


@pytest.mark.parametrize(("given", "kept"), [({}, None), ({"result": None}, None), ({"result": False}, False)])
def test_a_null_result_is_no_result(given: Json, kept: Any) -> None:
    rig = Rig()
    job_id = rig.push()
    rig.pulled()

    rig.do("ack", id=job_id, **given)

    assert rig.job(job_id)["result"] is kept


def test_a_failed_try_is_delayed_and_tells_when_it_comes_back() -> None:
    rig = Rig()
    job_id = rig.push()
    rig.pulled()
    rig.now_ms += 5
    rig.told()

    assert rig.do("fail", id=job_id, error="boom") == {
        "ok": True,
        "retry": True,
        "will_retry": True,
        "next_attempt_at": at(1_005),
    }
    assert rig.told() == [("failed", [job_id])]
    assert rig.job(job_id) == a_job(
        id=job_id,
        state="delayed",
        attempt=1,
        fence=1,
        last_error="boom",
        started_at=at(0),
        updated_at=at(5),
        delay_until=at(1_005),
    )


def test_the_last_failed_try_ends_in_the_dlq() -> None:
    rig = Rig()
    job_id = rig.push(max_attempts=2, backoff_delay_ms=0)
    rig.pulled()
    assert rig.do("fail", id=job_id) == {"ok": True, "retry": True, "will_retry": True, "next_attempt_at": None}
    assert rig.job(job_id)["last_error"] == "unknown error"
    rig.pulled()
    rig.told()

    assert rig.do("fail", id=job_id, error="e2") == {
        "ok": True,
        "retry": False,
        "will_retry": False,
        "next_attempt_at": None,
    }
    assert rig.told() == [("failed", [job_id]), ("dlq", [job_id])]
    job = rig.job(job_id)
    assert (job["state"], job["attempt"], job["fence"], job["last_error"], job["completed_at"]) == (
        "dlq",
        2,
        2,
        "e2",
        None,
    )
    assert rig.ask("dlq", queue="q") == {"ok": True, "jobs": [job], "next_cursor": None}


@pytest.mark.parametrize("max_attempts", [0, 1])
def test_without_attempts_left_there_is_no_second_try(max_attempts: int) -> None:
    rig = Rig()
    rig.push(max_attempts=max_attempts)

    assert rig.do("fail", id=rig.pulled()[0])["retry"] is False


@pytest.mark.parametrize(
    ("options", "delays"),
    [
        ({"backoff": "fixed", "backoff_delay_ms": 700}, [700, 700, 700]),
        ({"backoff": "linear", "backoff_delay_ms": 700}, [700, 1_400, 2_100]),
        ({"backoff": "exponential", "backoff_delay_ms": 700}, [700, 1_400, 2_800]),
        ({"backoff": "exponential", "backoff_delay_ms": 700, "max_backoff_ms": 1_000}, [700, 1_000, 1_000]),
        ({"backoff": "fixed", "backoff_delay_ms": 700, "max_backoff_ms": 0}, [0, 0, 0]),
        ({}, [1_000, 2_000, 4_000]),
    ],
)
def test_back_off(options: Json, delays: list[int]) -> None:
    rig = Rig()
    job_id = rig.push(max_attempts=9, **options)
    for delay_ms in delays:
        assert rig.pulled() == [job_id]
        text = rig.do("fail", id=job_id)["next_attempt_at"]
        assert text == (times.to_text(rig.now_ms + delay_ms) if delay_ms else None)
        rig.wait(delay_ms)


def test_jitter_stays_between_its_bounds_and_differs() -> None:
    rig = Rig()
    job_id = rig.push(max_attempts=99, backoff="decorrelated_jitter", backoff_delay_ms=1_000)
    drawn = []
    for attempt in range(1, 9):
        assert rig.pulled() == [job_id]
        rig.do("fail", id=job_id)
        delay_ms = (times.from_text(rig.job(job_id)["delay_until"]) or 0) - rig.now_ms
        assert 1_000 <= delay_ms <= min(60_000, 1_000 * 3**attempt)
        drawn.append(delay_ms)
        rig.wait(delay_ms)

    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(
    ("strategy", "base_ms", "attempt", "cap_ms", "draw", "expected"),
    [
        ("exponential", 1, 10_000, None, 0, limits.DURATION_MS_MAX),
        ("exponential", limits.DURATION_MS_MAX, 1_000_000, None, 0, limits.DURATION_MS_MAX),
        ("exponential", 0, 5, None, 0, 0),
        ("linear", limits.DURATION_MS_MAX, 1_000_000, None, 0, limits.DURATION_MS_MAX),
        ("decorrelated_jitter", 1_000, 1, None, 0, 1_000),
        ("decorrelated_jitter", 1_000, 1, None, 2_000, 3_000),
        ("decorrelated_jitter", 1_000, 1, None, 2_001, 1_000),
        ("decorrelated_jitter", 1_000, 1_000_000, None, 59_000, 60_000),
        ("decorrelated_jitter", 90_000, 3, None, 77, 90_000),
        ("decorrelated_jitter", 1_000, 5, 500, 3, 500),
        ("decorrelated_jitter", 1_000, 5, 0, 3, 0),
        ("decorrelated_jitter", 0, 5, None, 9, 0),
    ],
)
def test_back_off_arithmetic_has_bounds(
    strategy: str, base_ms: int, attempt: int, cap_ms: int | None, draw: int, expected: int
) -> None:
    assert backoff_ms(strategy, base_ms, attempt, cap_ms, draw) == expected


def test_retries_keep_their_place_before_younger_jobs() -> None:
    rig = Rig()
    first, second, third = rig.push(backoff_delay_ms=0), rig.push(backoff_delay_ms=50), rig.push()
    rig.pulled(2)
    rig.do("fail", id=first)
    rig.do("fail", id=second)
    rig.wait(100)

    assert rig.pulled(3) == [first, second, third]


@pytest.mark.parametrize(("cmd", "fields"), WORDS)
def test_a_job_nobody_holds_can_not_be_spoken_for(cmd: str, fields: Json) -> None:
    rig = Rig()
    job_id = rig.push()

    assert rig.refused(cmd, id=job_id, **fields) == (409, "INVALID_STATE", {"state": "waiting"})
    assert rig.refused(cmd, id=job_id, attempt_token="t", **fields) == STALE
    assert rig.refused(cmd, id="019ab697-e800-7000-9e28-7f590d2dcbbf", **fields) == (404, "JOB_NOT_FOUND", None)
    assert rig.refused(cmd, id="nonsense", **fields) == (400, "VALIDATION_ERROR", {"field": "id"})


@pytest.mark.parametrize(("cmd", "fields"), WORDS)
def test_a30_an_older_attempt_changes_nothing(cmd: str, fields: Json) -> None:
    rig = Rig()
    job_id = rig.push(backoff_delay_ms=0)
    (old,) = rig.pull()
    rig.wait(31_000)
    (new,) = rig.pull()
    assert (old["fence"], new["fence"]) == (1, 2)
    assert old["attempt_token"] != new["attempt_token"]

    assert rig.refused(cmd, id=job_id, attempt_token=old["attempt_token"], **fields) == STALE
    assert rig.refused(cmd, id=job_id, attempt_token="unknown", **fields) == STALE
    rig.do(cmd, id=job_id, attempt_token=new["attempt_token"], **fields)


@pytest.mark.parametrize(("cmd", "fields"), WORDS)
def test_a_token_whose_lease_has_lapsed_is_stale_before_the_tick_too(cmd: str, fields: Json) -> None:
    rig = Rig()
    job_id = rig.push()
    (leased,) = rig.pull()
    rig.now_ms += 30_000

    assert rig.refused(cmd, id=job_id, attempt_token=leased["attempt_token"], **fields) == STALE
    rig.do(cmd, id=job_id, **fields)


@pytest.mark.parametrize(("cmd", "fields"), WORDS)
def test_a_token_of_another_job_is_stale(cmd: str, fields: Json) -> None:
    rig = Rig()
    job_id = rig.push()
    rig.push(backoff_delay_ms=0)
    first, second = rig.pull(2)
    rig.do("fail", id=second["id"])
    (again,) = rig.pull()

    assert rig.refused(cmd, id=job_id, attempt_token=again["attempt_token"], **fields) == STALE
    assert rig.status(cmd, id=job_id, attempt_token=first["attempt_token"], **fields) == 200


def test_a_repeated_ack_with_its_token_is_taken_for_ten_minutes() -> None:
    rig = Rig()
    job_id = rig.push()
    token = rig.pull()[0]["attempt_token"]
    rig.do("ack", id=job_id, attempt_token=token, result=1)
    rig.told()
    before = rig.rows()

    assert rig.do("ack", id=job_id, attempt_token=token, result=2) == {"ok": True}
    assert (rig.rows(), rig.told()) == (before, [])
    assert rig.refused("ack", id=job_id) == (409, "INVALID_STATE", {"state": "completed"})
    assert rig.refused("ack", id=job_id, attempt_token="other") == STALE
    for cmd, fields in WORDS[1:]:
        assert rig.refused(cmd, id=job_id, attempt_token=token, **fields) == (
            409,
            "INVALID_STATE",
            {"state": "completed"},
        )
    rig.now_ms += limits.COMPLETED_TOKEN_WINDOW_MS - 1
    rig.do("ack", id=job_id, attempt_token=token)
    rig.now_ms += 1
    assert rig.refused("ack", id=job_id, attempt_token=token) == STALE


def test_a_repeated_fail_is_stale() -> None:
    rig = Rig()
    job_id = rig.push(max_attempts=1)
    token = rig.pull()[0]["attempt_token"]
    rig.do("fail", id=job_id, attempt_token=token)

    assert rig.refused("fail", id=job_id, attempt_token=token) == STALE
    assert rig.refused("fail", id=job_id) == (409, "INVALID_STATE", {"state": "dlq"})


@pytest.mark.parametrize("cmd", ["ack", "fail"])
def test_a_worker_may_end_a_job_as_cancelled_and_say_so_twice(cmd: str) -> None:
    rig = Rig()
    job_id = rig.push()
    token = rig.pull()[0]["attempt_token"]
    rig.told()
    for _ in range(2):
        rig.do(cmd, id=job_id, cancelled=True, attempt_token=token)

    assert rig.told() == [("cancelled", [job_id])]
    assert (rig.state(job_id), rig.counts()) == ("cancelled", {})
    assert rig.refused("heartbeat", id=job_id, attempt_token=token) == (409, "INVALID_STATE", {"state": "cancelled"})


def test_fail_with_cancelled_does_not_repeat_what_ended_otherwise() -> None:
    rig = Rig()
    job_id = rig.push()
    token = rig.pull()[0]["attempt_token"]
    rig.do("ack", id=job_id, attempt_token=token)

    refused = rig.refused("fail", id=job_id, cancelled=True, attempt_token=token)
    assert refused == (409, "INVALID_STATE", {"state": "completed"})


def test_ack_batch_lets_each_item_stand_alone() -> None:
    rig = Rig()
    ids = rig.push_many(3)
    custom = rig.push(custom_id="c")
    leased = {job["id"]: job["attempt_token"] for job in rig.pull(4)}
    rig.told()
    items = [
        {"id": ids[0], "result": 1},
        {"id": ids[0], "attempt_token": leased[ids[0]]},
        {"id": ids[0]},
        {"id": ids[1], "attempt_token": "stale"},
        {"id": ids[2], "cancelled": True},
        {"id": "custom:q:c"},
        {"id": "??"},
    ]

    reply = rig.do("ack_batch", items=items)

    assert (reply["ok"], reply["acked"], reply["failed"]) == (False, 4, 3)
    assert [(item["id"], item["ok"], item.get("error", {}).get("code")) for item in reply["results"]] == [
        (ids[0], True, None),
        (ids[0], True, None),
        (ids[0], False, "INVALID_STATE"),
        (ids[1], False, "STALE_ATTEMPT"),
        (ids[2], True, None),
        ("custom:q:c", True, None),
        ("??", False, "VALIDATION_ERROR"),
    ]
    assert rig.states(*ids, custom) == ["completed", "active", "cancelled", "completed"]
    assert rig.told() == [("completed", [ids[0], custom]), ("cancelled", [ids[2]])]


def test_ack_batch_of_ids() -> None:
    rig = Rig()
    ids = rig.push_many(3)
    rig.pulled(2)

    assert rig.do("ack_batch", ids=ids[:2]) == {
        "ok": True,
        "acked": 2,
        "failed": 0,
        "results": [{"id": ids[0], "ok": True}, {"id": ids[1], "ok": True}],
    }
    assert rig.status("ack_batch", ids=ids) == 200


def test_fail_batch_lets_each_item_stand_alone() -> None:
    rig = Rig()
    ids = [rig.push(), rig.push(max_attempts=1), rig.push(backoff_delay_ms=0), rig.push(), rig.push()]
    rig.pulled(4)
    items = [{"id": job_id, "error": "e"} for job_id in ids[:3]] + [{"id": ids[3], "cancelled": True}, {"id": ids[4]}]

    reply = rig.do("fail_batch", items=items)

    assert (reply["ok"], reply["retried"], reply["dead"], reply["failed"]) == (False, 2, 2, 1)
    assert reply["results"][:4] == [
        {"id": ids[0], "ok": True, "retry": True, "will_retry": True, "next_attempt_at": at(1_000)},
        {"id": ids[1], "ok": True, "retry": False, "will_retry": False, "next_attempt_at": None},
        {"id": ids[2], "ok": True, "retry": True, "will_retry": True, "next_attempt_at": None},
        {"id": ids[3], "ok": True, "retry": False, "will_retry": False, "next_attempt_at": None},
    ]
    assert reply["results"][4]["error"]["code"] == "INVALID_STATE"
    assert rig.states(*ids) == ["delayed", "dlq", "waiting", "cancelled", "waiting"]


def test_progress_is_kept_over_tries_and_messages_become_log_lines() -> None:
    rig = Rig()
    job_id = rig.push(backoff_delay_ms=0)
    rig.pulled()
    rig.told()

    assert rig.do("progress", id=job_id, progress=40, message="half") == {
        "ok": True,
        "cancel_requested": False,
        "drain": False,
        "lease_expires_at": at(30_000),
    }
    assert rig.told() == [("progress", [job_id])]
    rig.now_ms += 10
    rig.do("progress", id=job_id, progress=200)
    rig.do("fail", id=job_id)
    rig.pulled()
    rig.do("progress", id=job_id, progress=5, message="again")
    rig.do("ack", id=job_id)

    job = rig.job(job_id)
    assert job["progress"] == 5
    assert job["logs"] == [{"timestamp": at(0), "message": "half"}, {"timestamp": at(10), "message": "again"}]


def test_a30_progress_over_one_hundred_counts_as_one_hundred() -> None:
    rig = Rig()
    job_id = rig.push()
    rig.pulled()
    rig.do("progress", id=job_id, progress=255)

    assert rig.job(job_id)["progress"] == 100


def test_a30_log_lines_are_bounded_in_number_and_size() -> None:
    rig = Rig()
    job_id = rig.push()
    rig.pulled()
    for number in range(limits.LOG_LINES_MAX + 5):
        rig.do("progress", id=job_id, progress=1, message=str(number))
    lines = [line["message"] for line in rig.job(job_id)["logs"]]
    assert lines == [str(number) for number in range(5, limits.LOG_LINES_MAX + 5)]

    for _ in range(20):
        rig.do("progress", id=job_id, progress=1, message="x" * limits.MESSAGE_BYTES_MAX)
    assert len(rig.job(job_id)["logs"]) == limits.LOG_BYTES_MAX // limits.MESSAGE_BYTES_MAX


def test_a_heartbeat_renews_by_the_length_of_the_lease() -> None:
    rig = Rig()
    job_id = rig.push()
    rig.pulled(lease_ms=5_000)
    rig.now_ms += 4_000

    assert rig.do("heartbeat", id=job_id)["lease_expires_at"] == at(9_000)
    assert rig.job(job_id)["last_heartbeat"] == at(4_000)


def test_a_wish_to_cancel_reaches_the_worker() -> None:
    rig = Rig()
    job_id = rig.push(backoff_delay_ms=0)
    rig.pulled()
    rig.do("progress", id=job_id, progress=7, message="m")
    rig.do("fail", id=job_id)
    rig.pulled()

    assert rig.do("cancel", id=job_id, running=True) == {"ok": True, "status": "cancelling"}
    assert rig.status("cancel", id=job_id, running=True) == 202
    job = rig.job(job_id)
    assert (job["cancel_requested"], job["state"], job["progress"], len(job["logs"])) == (True, "active", 7, 1)
    assert rig.do("heartbeat", id=job_id)["cancel_requested"] is True
    assert rig.do("progress", id=job_id, progress=8)["cancel_requested"] is True
    rig.do("fail", id=job_id, cancelled=True)
    assert rig.state(job_id) == "cancelled"


def test_a_wish_to_cancel_dies_with_its_try() -> None:
    rig = Rig()
    job_id = rig.push(backoff_delay_ms=0)
    rig.pulled()
    rig.do("cancel", id=job_id, running=True)
    rig.do("fail", id=job_id)
    rig.pulled()

    assert "cancel_requested" not in rig.job(job_id)


def test_remove_on_complete_leaves_nothing() -> None:
    rig = Rig()
    job_id = rig.push(remove_on_complete=True, unique_key="u", custom_id="c", flow_id="f")
    token = rig.pull()[0]["attempt_token"]
    rig.told()
    rig.do("ack", id=job_id, result=1, attempt_token=token)

    assert rig.state(job_id) == "JOB_NOT_FOUND"
    assert rig.told() == [("completed", [job_id])]
    assert {chr(key[0]) for key in rig.rows()} == {"n", "d"}
    assert rig.refused("ack", id=job_id, attempt_token=token) == (404, "JOB_NOT_FOUND", None)
    rig.push(unique_key="u", custom_id="c")


def test_a30_remove_on_fail_leaves_nothing() -> None:
    rig = Rig()
    job_id = rig.push(remove_on_fail=True, max_attempts=2, backoff_delay_ms=0, unique_key="u")
    rig.pulled()
    rig.do("fail", id=job_id)
    assert rig.state(job_id) == "waiting"
    rig.pulled()

    assert rig.do("fail", id=job_id)["retry"] is False
    assert rig.state(job_id) == "JOB_NOT_FOUND"
    assert {chr(key[0]) for key in rig.rows()} == {"n", "d"}


def test_what_workers_hold_survives_a_restart() -> None:
    rig = Rig()
    ids = rig.push_many(3, backoff_delay_ms=0, metadata={"follow_ups": [{"queue": "n", "name": "next"}]})
    rig.pulled(3)
    rig.do("fail", id=ids[0])
    (again,) = rig.pull(worker_id="w")
    rig.do("heartbeat", id=ids[1])
    rig.do("cancel", id=ids[1], running=True)
    rig.do("ack", id=ids[2])
    shown = [rig.job(job_id) for job_id in ids]

    rig.reopen()

    assert [rig.job(job_id) for job_id in ids] == shown
    assert again["fence"] == 2
    assert rig.do("heartbeat", id=ids[1])["cancel_requested"] is True
    rig.do("ack", id=ids[0], attempt_token=again["attempt_token"])
    assert (rig.counts(), rig.counts("n")) == ({"active": 1, "completed": 2}, {"waiting": 2})
