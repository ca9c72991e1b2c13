"""Single jobs: cancel, retry, promote, priority, remove, in every state; and the reads that show them."""

from typing import Any

import pytest

from rustqueue.machine import rows, transitions
from rustqueue.model import limits
from tests.unit.factories import Rig, a_job, at

Json = dict[str, Any]

STATES = ("waiting", "delayed", "retrying", "blocked", "active", "completed", "dlq", "cancelled")


def a_job_in(rig: Rig, state: str) -> str:
    """A job of queue `q` in a state; `retrying` is delayed after a failed try."""
    if state == "delayed":
        return rig.push(delay_ms=60_000)
    if state == "blocked":
        return rig.push(depends_on=[rig.push("parents")])
    job_id = rig.push(max_attempts=1 if state == "dlq" else 3)
    if state == "cancelled":
        rig.do("cancel", id=job_id)
    elif state != "waiting":
        assert rig.pulled() == [job_id]
    if state == "completed":
        rig.do("ack", id=job_id)
    elif state in ("dlq", "retrying"):
        rig.do("fail", id=job_id)
    return job_id


LEGAL = {
    "cancel": {"waiting": "cancelled", "delayed": "cancelled", "retrying": "cancelled", "blocked": "cancelled"},
    "job_retry": {"dlq": "waiting", "delayed": "waiting", "retrying": "waiting"},
    "job_promote": {"delayed": "waiting", "retrying": "waiting"},
    "job_priority": {
        "waiting": "waiting",
        "delayed": "delayed",
        "retrying": "delayed",
        "blocked": "blocked",
        "active": "active",
    },
    "job_remove": dict.fromkeys([state for state in STATES if state != "active"], "JOB_NOT_FOUND"),
}


@pytest.mark.parametrize("verb", LEGAL)
@pytest.mark.parametrize("state", STATES)
def test_what_is_legal_in_which_state(verb: str, state: str) -> None:
    rig = Rig()
    job_id = a_job_in(rig, state)
    fields = {"priority": 7} if verb == "job_priority" else {}
    shown = rig.state(job_id)

    if state in LEGAL[verb]:
        assert rig.do(verb, id=job_id, **fields) == {"ok": True}
        assert rig.state(job_id) == LEGAL[verb][state]
    else:
        assert rig.refused(verb, id=job_id, **fields) == (409, "INVALID_STATE", {"state": shown})
        assert rig.state(job_id) == shown


def test_the_table_of_moves_is_what_clients_see() -> None:
    names = {
        "cancel": "cancel",
        "job_retry": "retry",
        "job_promote": "promote",
        "job_priority": "prioritise",
        "job_remove": "remove",
    }
    for verb, name in names.items():
        allowed = {rows.STATE_NAMES[state] for state in transitions.TABLE[name]}  # type: ignore[index]
        assert allowed == {state for state in LEGAL[verb] if state != "retrying"}


@pytest.mark.parametrize("verb", LEGAL)
def test_a_job_that_is_not_there(verb: str) -> None:
    fields = {"priority": 7} if verb == "job_priority" else {}
    unknown = "019ab697-e800-7000-9e28-7f590d2dcbbf"

    assert Rig().refused(verb, id=unknown, **fields) == (404, "JOB_NOT_FOUND", None)
    assert Rig().refused(verb, id="nonsense", **fields) == (400, "VALIDATION_ERROR", {"field": "id"})


def test_cancel_with_running_is_only_different_for_active_jobs() -> None:
    rig = Rig()
    waiting, active = rig.push(priority=-1), rig.push()
    rig.pulled()

    assert rig.do("cancel", id=waiting, running=True) == {"ok": True}
    assert rig.refused("cancel", id=active) == (409, "INVALID_STATE", {"state": "active"})
    assert rig.do("cancel", id=active, running=True)["status"] == "cancelling"


def test_a_cancelled_job_shows_when_and_is_in_no_count() -> None:
    rig = Rig()
    job_id = rig.push()
    rig.now_ms += 10
    rig.told()
    rig.do("cancel", id=job_id)

    assert rig.job(job_id) == a_job(id=job_id, state="cancelled", updated_at=at(10))
    assert (rig.counts(), rig.told()) == ({}, [("cancelled", [job_id])])
    assert [queue["name"] for queue in rig.ask("list_queues")["queues"]] == ["q"]


def test_a_retry_from_the_dlq_starts_anew_behind_the_others() -> None:
    rig = Rig()
    dead = a_job_in(rig, "dlq")
    other = rig.push()
    rig.now_ms += 5
    rig.told()
    rig.do("job_retry", id=dead)

    assert rig.told() == [("ready", [dead])]
    job = rig.job(dead)
    assert (job["attempt"], job["fence"], job["started_at"], job["updated_at"]) == (0, 1, None, at(5))
    assert rig.pulled(2) == [other, dead]


def test_a_retry_that_comes_forward_keeps_attempts_and_place() -> None:
    rig = Rig()
    retrying = a_job_in(rig, "retrying")
    other = rig.push()

    rig.do("job_retry", id=retrying)

    assert rig.job(retrying)["attempt"] == 1
    assert rig.pulled(2) == [retrying, other]
    rig.wait(5_000)
    assert rig.state(retrying) == "active"


def test_a_new_priority_moves_the_job_at_once() -> None:
    rig = Rig()
    first, second, third, parked = rig.push(), rig.push(), rig.push(lifo=True), rig.push(delay_ms=10)
    rig.do("job_priority", id=second, priority=5)
    rig.do("job_priority", id=first, priority=-5)
    rig.do("job_priority", id=parked, priority=6)
    rig.wait(10)

    assert rig.pulled(4) == [parked, second, third, first]
    assert rig.job(second)["priority"] == 5


def test_an_active_job_keeps_a_new_priority_for_its_next_try() -> None:
    rig = Rig()
    active = rig.push(backoff_delay_ms=0)
    rig.pulled()
    rig.do("job_priority", id=active, priority=-1)
    assert rig.job(active)["priority"] == -1
    other = rig.push()
    rig.do("fail", id=active)

    assert rig.pulled(2) == [other, active]


def test_a_removed_job_leaves_nothing() -> None:
    rig = Rig()
    for state in STATES:
        if state != "active":
            rig.do("job_remove", id=a_job_in(rig, state))
    rig.do("job_remove", id=rig.push(custom_id="c", unique_key="u", flow_id="f", lifo=True))
    rig.do("job_remove", id=rig.ask("job_list", queue="parents")["jobs"][0]["id"])

    assert {chr(key[0]) for key in rig.rows()} == {"n", "d"}


def ids_of(reply: Json) -> list[str]:
    return [job["id"] for job in reply["jobs"]]


def test_lists_are_newest_first_and_paged() -> None:
    rig = Rig()
    ids = []
    for _ in range(5):
        ids.append(rig.push())
        rig.now_ms += 10

    first = rig.ask("job_list", limit=2)
    assert (ids_of(first), first["next_cursor"]) == (ids[:2:-1], ids[3])
    second = rig.ask("job_list", limit=2, cursor=ids[3])
    assert ids_of(second) == [ids[2], ids[1]]
    assert rig.ask("job_list", limit=2, cursor=ids[1]) == {"ok": True, "jobs": [rig.job(ids[0])], "next_cursor": None}
    forward = rig.ask("job_list", order="asc", limit=3)
    assert (ids_of(forward), ids_of(rig.ask("job_list", order="asc", cursor=forward["next_cursor"]))) == (
        ids[:3],
        ids[3:],
    )
    assert rig.unanswered("job_list", cursor="x") == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "fedcba"),
        ({"queue": "r"}, "f"),
        ({"state": "waiting"}, "fdb"),
        ({"state": "completed"}, "a"),
        ({"state": "active"}, "c"),
        ({"state": "delayed"}, "e"),
        ({"name": "special"}, "b"),
        ({"tag": "t2"}, "dc"),
        ({"flow_id": "f"}, "dc"),
        ({"flow_id": "f", "order": "asc"}, "cd"),
        ({"flow_id": "f", "state": "waiting"}, "d"),
        ({"flow_id": "none"}, ""),
        ({"metadata": {"k": "v"}}, "e"),
        ({"metadata": {"n": "5"}}, "ed"),
        ({"metadata": {"k": "v", "n": "6"}}, ""),
        ({"metadata": {"none": "v"}}, ""),
        ({"created_after": at(3)}, "fe"),
        ({"created_after": at(1_000)}, ""),
        ({"queue": "q", "tag": "t1", "state": "waiting"}, "d"),
    ],
)
def test_lists_are_filtered(wanted: Json, found: str) -> None:
    rig = Rig()
    jobs: dict[str, Json] = {
        "a": {},
        "b": {"name": "special", "priority": -1},
        "c": {"tags": ["t2"], "flow_id": "f"},
        "d": {"tags": ["t1", "t2"], "flow_id": "f", "metadata": {"n": 5}, "priority": -1},
        "e": {"metadata": {"k": "v", "n": 5}, "delay_ms": 9_000},
        "f": {"queue": "r", "metadata": [1]},
    }
    names = {}
    for name, fields in jobs.items():
        names[rig.push(**fields)] = name
        rig.now_ms += 1
    for job_id in rig.pulled(2)[:1]:
        rig.do("ack", id=job_id)

    assert "".join(names[job_id] for job_id in ids_of(rig.ask("job_list", **wanted))) == found


def test_a_list_looks_at_a_bounded_number_of_rows() -> None:
    rig = Rig()
    rig.audited = False
    wanted = rig.push(name="wanted")
    rig.now_ms += 1
    rig.push_many(limits.LIST_SCANNED_MAX + 100)

    page = rig.ask("job_list", name="wanted")
    assert (page["jobs"], page["next_cursor"] is None) == ([], False)
    assert ids_of(rig.ask("job_list", name="wanted", cursor=page["next_cursor"])) == [wanted]


def test_a_list_stops_at_its_size() -> None:
    rig = Rig()
    rig.audited = False
    big = limits.DATA_BYTES_MAX - 2
    for _ in range(20):
        rig.push(data="x" * big, flow_id="f")
        rig.now_ms += 1

    for query in ({"cmd": "job_list"}, {"cmd": "flow", "flow_id": "f"}):
        page = rig.ask(**query)
        assert (len(page["jobs"]), page["next_cursor"] is None) == (16, False)
        rest = rig.ask(**query, cursor=page["next_cursor"])
        assert (len(rest["jobs"]), rest["next_cursor"]) == (4, None)
        assert len({*ids_of(page), *ids_of(rest)}) == 20


def test_the_dlq_is_listed_latest_first_and_paged() -> None:
    rig = Rig()
    batch = rig.push_many(3, max_attempts=1)
    rig.pulled(3)
    rig.do("fail_batch", items=[{"id": job_id} for job_id in batch])
    rig.now_ms += 5
    last = a_job_in(rig, "dlq")
    everything = [last, *batch[::-1]]

    assert ids_of(rig.ask("dlq", queue="q")) == everything
    assert rig.ask("dlq", queue="q", limit=0) == {"ok": True, "jobs": [], "next_cursor": None}
    assert rig.ask("dlq", queue="none") == {"ok": True, "jobs": [], "next_cursor": None}
    seen, cursor = [], None
    for _ in range(4):
        page = rig.ask("dlq", queue="q", limit=1, **({} if cursor is None else {"cursor": cursor}))
        seen += ids_of(page)
        cursor = page["next_cursor"]
    assert (seen, cursor) == (everything, None)
    assert rig.unanswered("dlq", queue="q", cursor="zz.1") == (400, "VALIDATION_ERROR")
    assert rig.unanswered("dlq", queue="q", cursor="00.x") == (400, "VALIDATION_ERROR")


def test_parents_are_paged() -> None:
    rig = Rig()
    parents = rig.push_many(3, queue="p")
    child = rig.push(depends_on=parents)

    page = rig.ask("job_parents", id=child, limit=2)
    assert ([parent["id"] for parent in page["parents"]], page["next_cursor"]) == (parents[:2], parents[1])
    rest = rig.ask("job_parents", id=child, limit=2, cursor=parents[1])
    assert rest == {
        "ok": True,
        "parents": [{"id": parents[2], "state": "waiting", "result": None}],
        "next_cursor": None,
    }
    assert rig.ask("job_parents", id=parents[0])["parents"] == []


def test_a_parent_that_went_before_it_completed_is_shown_as_removed() -> None:
    rig = Rig()
    parent = rig.push("p")
    child = rig.push(depends_on=[parent], on_parent_failure="ignore")
    rig.do("job_remove", id=parent)

    assert rig.ask("job_parents", id=child)["parents"] == [{"id": parent, "state": "removed", "result": None}]
