"""Jobs created by their kind: statuses, keys that last as long as their jobs, pages."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from rustqueue.machine import queries
from rustqueue.machine.ready import WindowLimits
from rustqueue.model import limits, times
from rustqueue.model.commands import JobCreate
from rustqueue.model.errors import ApiError
from rustqueue.model.kinds.requests import KindJobGet, KindJobList
from rustqueue.model.replies import Refused
from tests.unit.factories import START_MS, Json, Rig, at, plain

KIND = "summarize_text"
PAYLOAD: Json = {"text": "lorem"}


def created(rig: Rig, **fields: Any) -> Json:
    """The reply to a creation that must succeed."""
    payload = Raw(msgspec.json.encode(fields.pop("payload", PAYLOAD)))
    [reply] = rig.apply(JobCreate(**{"kind": KIND, "payload": payload, **fields}))
    assert not isinstance(reply, Refused), reply
    return plain(reply)


def refused(rig: Rig, **fields: Any) -> tuple[int, str]:
    before = rig.rows()
    [reply] = rig.apply(JobCreate(**{"kind": KIND, "payload": Raw(b"{}"), **fields}))
    assert isinstance(reply, Refused)
    assert rig.rows() == before
    return reply.status, reply.error.code


def got(rig: Rig, job_id: str) -> Json:
    answer: Json = plain(queries.answer(rig.machine, KindJobGet(id=job_id)))["job"]
    return answer


def listed(rig: Rig, **fields: Any) -> list[str]:
    page = plain(queries.answer(rig.machine, KindJobList(**fields)))
    assert page["whole"] is True
    return [job["id"] for job in page["jobs"]]


def a_kind_job(**fields: Any) -> Json:
    return {
        "kind": KIND,
        "status": "queued",
        "attempts": 0,
        "max_attempts": 3,
        "last_error": None,
        "payload": PAYLOAD,
        "run_at": at(0),
        "idempotency_key": None,
        "created_at": at(0),
        "updated_at": at(0),
        **fields,
    }


def test_a_new_job_is_answered_whole() -> None:
    rig = Rig()

    reply = created(rig)

    job_id = reply["job"]["id"]
    assert reply == {"ok": True, "created": True, "job": a_kind_job(id=job_id)}
    assert got(rig, job_id) == reply["job"]
    assert rig.told() == [("pushed", [job_id])]
    assert rig.job(job_id)["backoff"] == "decorrelated_jitter"
    assert rig.pulled(1, queue=KIND) == [job_id]


def test_a_job_carries_the_trace_of_the_request_that_created_it() -> None:
    rig = Rig()
    job_id = created(rig, traceparent="00-1", key="k")["job"]["id"]

    assert created(rig, traceparent="00-2", key="k")["job"]["id"] == job_id
    assert rig.job(job_id)["traceparent"] == "00-1"


def test_a_job_goes_through_its_statuses() -> None:
    rig = Rig()
    job_id = created(rig, max_attempts=2)["job"]["id"]

    rig.now_ms += 1_000
    rig.do("pull", queue=KIND)
    running = got(rig, job_id)
    rig.now_ms += 1_000
    will = rig.do("fail", id=job_id, error="no")
    waiting = got(rig, job_id)
    rig.wait(3_000)
    due = got(rig, job_id)
    rig.do("pull", queue=KIND)
    again = got(rig, job_id)
    rig.do("ack", id=job_id)
    done = got(rig, job_id)

    assert running == a_kind_job(id=job_id, status="running", attempts=1, max_attempts=2, updated_at=at(1_000))
    expected = a_kind_job(id=job_id, status="retrying", attempts=1, max_attempts=2, last_error="no")
    assert waiting == {**expected, "updated_at": at(2_000), "run_at": will["next_attempt_at"]}
    assert START_MS + 3_000 <= (times.from_text(will["next_attempt_at"]) or 0) <= START_MS + 5_000
    assert due["status"] == "retrying"
    assert (times.from_text(due["run_at"]) or 0) >= (times.from_text(will["next_attempt_at"]) or 0)
    assert (again["status"], again["attempts"], again["last_error"]) == ("running", 2, "no")
    assert (done["status"], done["attempts"], done["last_error"]) == ("succeeded", 2, "no")
    assert done["run_at"] == at(5_000)


def test_a_job_that_has_no_try_left_has_failed_for_good() -> None:
    rig = Rig()
    job_id = created(rig, max_attempts=1)["job"]["id"]
    rig.do("pull", queue=KIND)

    rig.do("fail", id=job_id, error="no")

    assert got(rig, job_id) == a_kind_job(
        id=job_id, status="failed_permanent", attempts=1, max_attempts=1, last_error="no"
    )


def test_cancelling() -> None:
    rig = Rig()
    waiting, running = created(rig)["job"]["id"], created(rig)["job"]["id"]
    rig.do("cancel", id=waiting, running=True)
    assert rig.pulled(1, queue=KIND) == [running]
    rig.do("cancel", id=running, running=True)
    rig.do("cancel", id=running, running=True)
    asked = got(rig, running)
    rig.do("fail", id=running, cancelled=True)

    assert got(rig, waiting) == a_kind_job(id=waiting, status="cancelled")
    assert asked["status"] == "running"
    assert got(rig, running) == a_kind_job(id=running, status="cancelled", attempts=1)


def test_a_known_key_answers_its_job_whatever_else_is_asked() -> None:
    rig = Rig()
    first = created(rig, key="k", max_attempts=5)
    rig.do("pull", queue=KIND)

    again = created(rig, kind="send_email", payload={"other": 1}, key="k")
    foreign = created(rig, key="k", scope="somebody")

    job_id = first["job"]["id"]
    assert first["job"] == a_kind_job(id=job_id, max_attempts=5, idempotency_key="k")
    running = {**first["job"], "status": "running", "attempts": 1}
    assert again == {"ok": True, "created": False, "job": running}
    assert foreign["created"] is True
    assert foreign["job"]["id"] != job_id


def test_a_key_lasts_as_long_as_its_job() -> None:
    rig = Rig()
    job_id = created(rig, key="k")["job"]["id"]
    rig.do("pull", queue=KIND)
    rig.do("ack", id=job_id)
    rig.wait(limits.IDEMPOTENCY_WINDOW_MS * 3)
    rig.reopen()

    again = created(rig, key="k")
    rig.do("job_remove", id=job_id)
    anew = created(rig, key="k")

    assert (again["created"], again["job"]["status"]) == (False, "succeeded")
    assert anew["created"] is True


def test_a_key_lasts_as_long_as_the_window_though_its_job_is_gone() -> None:
    rig = Rig()
    rig.do("queue_settings", queue=KIND, defaults={"remove_on_complete": True})
    job_id = created(rig, key="k")["job"]["id"]
    rig.do("pull", queue=KIND)
    rig.do("ack", id=job_id)

    within = refused(rig, key="k")
    rig.wait(limits.IDEMPOTENCY_WINDOW_MS)
    beyond = created(rig, key="k")

    assert within == (409, "DUPLICATE_KEY")
    assert beyond["created"] is True


def test_retention_takes_the_key_with_the_job() -> None:
    rig = Rig()
    rig.do("queue_settings", queue=KIND, retention={"completed": {"count": 0}})
    job_id = created(rig, key="k")["job"]["id"]
    rig.do("pull", queue=KIND)
    rig.do("ack", id=job_id)

    rig.wait(limits.IDEMPOTENCY_WINDOW_MS)

    with pytest.raises(ApiError):
        got(rig, job_id)
    assert created(rig, key="k")["created"] is True


def test_what_the_queue_says_comes_before_what_the_routes_mean() -> None:
    rig = Rig()
    rig.do("queue_settings", queue=KIND, defaults={"backoff": "fixed", "max_attempts": 9, "priority": 2})

    job = rig.job(created(rig)["job"]["id"])
    asked = created(rig, max_attempts=2)["job"]

    assert (job["backoff"], job["backoff_delay_ms"], job["max_attempts"], job["priority"]) == ("fixed", 1_000, 9, 2)
    assert asked["max_attempts"] == 2


def test_a_queue_that_takes_no_jobs_takes_none_here() -> None:
    rig = Rig()
    rig.do("queue_settings", queue=KIND, limits={"max_waiting": 1})
    created(rig)
    full = refused(rig)
    rig.do("queue_pause", queue=KIND)

    assert full == (429, "RATE_LIMITED")
    assert refused(rig) == (503, "QUEUE_PAUSED")


@pytest.mark.parametrize("window", [1, 4_096])
def test_lists_are_filtered_and_newest_first(window: int) -> None:
    rig = Rig(WindowLimits(window, 1_000_000))
    ids = [created(rig, kind=kind)["job"]["id"] for kind in ("a", "b", "a", "a")]
    other = rig.push("b", delay_ms=5_000)
    rig.do("pull", queue="a")
    rig.do("pull", queue="a")
    rig.do("fail", id=ids[0])
    rig.do("cancel", id=ids[1])

    assert listed(rig) == [other, *ids[::-1]]
    assert listed(rig, limit=2, offset=1) == [ids[3], ids[2]]
    assert listed(rig, offset=9) == []
    assert listed(rig, kind="a") == [ids[3], ids[2], ids[0]]
    assert listed(rig, kind="nobody's") == []
    assert listed(rig, status="queued") == [other, ids[3]]
    assert listed(rig, status="running") == [ids[2]]
    assert listed(rig, status="retrying", kind="a") == [ids[0]]
    assert listed(rig, status="cancelled") == [ids[1]]
    assert listed(rig, status="succeeded") == []


def test_a_list_says_when_it_has_not_seen_everything() -> None:
    rig = Rig()
    rig.audited = False
    first = created(rig, kind="rare")["job"]["id"]
    rig.push_many(limits.KIND_LIST_SCANNED_MAX + 64)  # It looks at whole chunks of rows.

    near = plain(queries.answer(rig.machine, KindJobList(limit=1, offset=limits.KIND_LIST_SCANNED_MAX - 1)))
    far = plain(queries.answer(rig.machine, KindJobList(kind="rare")))

    assert (len(near["jobs"]), near["whole"]) == (1, True)
    assert far == {"ok": True, "jobs": [], "whole": False}
    assert first
