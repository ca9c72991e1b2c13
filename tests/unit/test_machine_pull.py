"""Leasing: counts, modes, several queues by weight, size of an answer, tokens, and repeats under idempotency keys."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from rustqueue.machine import keys, rows
from rustqueue.model import limits
from rustqueue.model.commands import Tick
from tests.unit.factories import Rig, a_job, at

Json = dict[str, Any]

MISMATCH = (422, "IDEMPOTENCY_MISMATCH", {"field": "idempotency_key"})


def test_a_pull_of_one_answers_a_job_or_null() -> None:
    rig = Rig()
    assert rig.do("pull", queue="q") == {"ok": True, "job": None}
    job_id = rig.push(data=[1])
    rig.now_ms += 10
    rig.told()

    job = rig.do("pull", queue="q", worker_id="w")["job"]

    assert job == a_job(
        id=job_id,
        data=[1],
        state="active",
        started_at=at(10),
        updated_at=at(10),
        worker_id="w",
        fence=1,
        attempt_token=job["attempt_token"],
        lease_expires_at=at(30_010),
    )
    assert rig.told() == [("started", [job_id])]
    shown = {key: value for key, value in job.items() if key not in ("attempt_token", "lease_expires_at")}
    assert rig.job(job_id) == shown


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (2, 2), (3, 3), (1_000, 3)])
def test_a_pull_of_many_answers_a_list(count: int, expected: int) -> None:
    rig = Rig()
    ids = rig.push_many(3)

    assert [job["id"] for job in rig.do("pull", queue="q", count=count)["jobs"]] == ids[:expected]


def test_an_empty_pull_changes_nothing() -> None:
    rig = Rig()
    rig.push("other")
    before, digest = rig.rows(), rig.machine.state_hash

    assert rig.do("pull", queue="q", count=5, idempotency_key="k") == {"ok": True, "jobs": []}
    assert (rig.rows(), rig.machine.state_hash) == (before, digest)


def test_every_lease_has_its_own_token() -> None:
    rig = Rig()
    rig.push_many(3, backoff_delay_ms=0)
    seen = set()
    for _ in range(2):
        jobs = rig.pull(2) + rig.pull(1)
        seen |= {(job["id"], job["attempt_token"]) for job in jobs}
        rig.do("fail_batch", items=[{"id": job["id"]} for job in jobs])

    assert len(seen) == 6
    assert max(len(token) for _, token in seen) <= limits.ATTEMPT_TOKEN_BYTES_MAX


def test_a_pull_stops_at_its_size_but_gives_at_least_one() -> None:
    rig = Rig()
    rig.audited = False
    ids = [
        rig.push(data="x" * (limits.DATA_BYTES_MAX - 2))
        for _ in range(limits.PULL_BYTES_MAX // limits.DATA_BYTES_MAX + 2)
    ]
    other = rig.push("other")
    room = len(ids) - 2

    assert [job["id"] for job in rig.pull(100)] == ids[:room]
    queues = [{"queue": "q", "weight": 100}, {"queue": "other", "weight": 1}]
    assert {job["id"] for job in rig.do("pull", queues=queues, count=9)["jobs"]} == {*ids[room:], other}


def test_an_answer_filled_by_one_queue_takes_no_more_from_the_next() -> None:
    rig = Rig()
    rig.audited = False
    big = limits.DATA_BYTES_MAX - 2
    for queue in ("a", "b"):
        for _ in range(12):
            rig.push(queue, data="x" * big)

    jobs = rig.do("pull", queues=[{"queue": "a"}, {"queue": "b"}], count=100)["jobs"]

    assert Counter(job["queue"] for job in jobs) in ({"a": 12, "b": 4}, {"b": 12, "a": 4})


def test_the_pulls_of_one_entry_share_the_room_for_answers() -> None:
    # Given more payload than one entry may answer with
    rig = Rig()
    rig.audited = False
    per_pull = limits.PULL_BYTES_MAX // limits.DATA_BYTES_MAX
    pulls = limits.ENTRY_REPLIES_BYTES_MAX // limits.PULL_BYTES_MAX
    for _ in range(per_pull * (pulls + 2)):
        rig.push(data="x" * (limits.DATA_BYTES_MAX - 2))
    # When one entry holds one pull too many
    pull = {"cmd": "pull", "queue": "q", "count": 100}
    answers = rig.all(*[pull] * (pulls + 1))
    # Then the last one gets nothing now, and the next entry's gets the rest
    assert [len(answer["jobs"]) for answer in answers] == [per_pull] * pulls + [0]
    assert len(rig.pull(100)) == per_pull


def test_weights_say_how_often_a_queue_comes_first() -> None:
    rig = Rig()
    rig.audited = False
    rig.push_many(500, queue="heavy")
    rig.push_many(500, queue="light")
    queues = [{"queue": "light"}, {"queue": "heavy", "weight": 9}, {"queue": "none", "weight": 5}]
    first = Counter(rig.do("pull", queues=queues)["job"]["queue"] for _ in range(400))

    assert 330 <= first["heavy"] <= 385


def test_several_queues_fill_one_answer() -> None:
    rig = Rig()
    ids = {*rig.push_many(3, queue="a"), *rig.push_many(2, queue="b")}
    rig.do("queue_pause", queue="held", mode="hold")
    rig.push("held")

    jobs = rig.do("pull", queues=[{"queue": "a"}, {"queue": "b"}, {"queue": "held"}, {"queue": "a"}], count=9)["jobs"]

    assert {job["id"] for job in jobs} == ids


def test_a_pull_skips_expired_jobs_until_it_is_full() -> None:
    rig = Rig()
    expired = rig.push_many(5, ttl_ms=10)
    fresh = rig.push_many(3)
    rig.now_ms += 20

    assert rig.pulled(2) == fresh[:2]
    assert rig.states(*expired) == ["dlq"] * 5


def test_a_command_repeated_with_its_key_answers_the_same_and_does_nothing() -> None:
    rig = Rig()
    commands: list[tuple[str, Json]] = [
        ("push", {"queue": "q", "name": "n", "data": {"a": 1}}),
        ("push_batch", {"queue": "q", "jobs": [{"name": "n"}], "receipt": True}),
        ("queue_settings", {"queue": "q", "lease_ms": 5_000}),
        ("pull", {"queue": "q", "count": 2, "worker_id": "w"}),
        ("queue_pause", {"queue": "p"}),
        ("queue_drain", {"queue": "q"}),
    ]
    first = [rig.do(cmd, **fields, idempotency_key=f"k{place}") for place, (cmd, fields) in enumerate(commands)]
    ids = [job["id"] for job in first[3]["jobs"]]
    commands += [
        ("progress", {"id": ids[0], "progress": 5}),
        ("heartbeat", {"id": ids[0]}),
        ("ack_batch", {"ids": [ids[0], "??"]}),
        ("fail", {"id": ids[1]}),
    ]
    first += [
        rig.do(cmd, **fields, idempotency_key=f"k{place}") for place, (cmd, fields) in list(enumerate(commands))[6:]
    ]
    before = rig.rows()
    rig.told()
    rig.reopen()

    again = [
        rig.do(cmd, **fields, idempotency_key=f"k{place}", request_id=7) for place, (cmd, fields) in enumerate(commands)
    ]

    assert (rig.rows(), rig.told()) == (before, [])
    assert [*again[:3], *again[4:]] == [*first[:3], *first[4:]]
    assert again[3] == {"ok": True, "jobs": []}


def test_a_key_used_for_something_else_is_refused() -> None:
    rig = Rig()
    rig.push(data=1, idempotency_key="k")

    for cmd, fields in (
        ("push", {"queue": "q", "name": "work", "data": 2}),
        ("push", {"queue": "q", "name": "work", "data": 1, "priority": 1}),
        ("push_batch", {"queue": "q", "jobs": [{"name": "work", "data": 1}]}),
        ("pull", {"queue": "q"}),
    ):
        assert rig.refused(cmd, idempotency_key="k", **fields) == MISMATCH


def test_a_repeat_may_come_under_another_request_id_in_another_span_and_in_another_spelling() -> None:
    rig = Rig()
    given = {"priority": 3, "metadata": {"a": 1}}
    first = rig.do("push", queue="q", name="n", idempotency_key="k", request_id=1, traceparent="00-1", **given)
    plain = rig.do("push", queue="q", name="n", idempotency_key="p", request_id=1)
    pushes = [{"cmd": "push", "queue": "q", "name": "n", "traceparent": f"00-{number}", **given} for number in (1, 2)]
    several = rig.do("tx", operations=pushes[:1], idempotency_key="t")

    assert rig.do("push", queue="q", name="n", idempotency_key="k", request_id=2, options=given) == first
    assert rig.do("push", queue="q", name="n", idempotency_key="p", request_id=2, traceparent="00-2") == plain
    assert rig.do("tx", operations=pushes[1:], idempotency_key="t") == several
    other = {**given, "metadata": {"a": 2}}
    assert rig.refused("push", queue="q", name="n", idempotency_key="k", **other) == MISMATCH


def test_a_refusal_is_not_remembered() -> None:
    rig = Rig()
    rig.do("queue_pause", queue="q")
    assert rig.refused("push", queue="q", name="n", idempotency_key="k")[0] == 503
    rig.do("queue_resume", queue="q")

    rig.push(idempotency_key="k")


def test_an_empty_pull_is_not_remembered() -> None:
    rig = Rig()
    assert rig.pull(idempotency_key="k") == []
    job_id = rig.push()

    assert rig.pulled(idempotency_key="k") == [job_id]


def test_a_repeated_pull_shows_the_leases_that_still_hold() -> None:
    rig = Rig()
    parent = rig.push("p")
    rig.pulled(queue="p")
    rig.do("ack", id=parent, result={"n": 1})
    ids = [rig.push(depends_on=[parent]), rig.push(priority=-1), rig.push(priority=-2)]

    def pull() -> list[Json]:
        return rig.pull(3, worker_id="w", with_parent_results=True, idempotency_key="k")

    first = pull()
    assert [job["id"] for job in first] == ids
    assert first[0]["parent_results"] == {parent: {"n": 1}}
    assert pull() == first
    rig.do("ack", id=ids[1])
    rig.do("fail", id=ids[2])
    assert pull() == first[:1]
    rig.now_ms += 10_000
    rig.do("heartbeat", id=ids[0])
    assert pull() == [{**first[0], "lease_expires_at": at(40_000)}]
    rig.now_ms += 30_000
    assert pull() == []
    rig.apply(Tick())
    rig.wait(2_000)
    assert pull() == []


def test_a_repeated_pull_of_one() -> None:
    rig = Rig()
    rig.push()
    first = rig.do("pull", queue="q", idempotency_key="k")

    assert rig.do("pull", queue="q", idempotency_key="k") == first
    rig.do("ack", id=first["job"]["id"])
    assert rig.do("pull", queue="q", idempotency_key="k") == {"ok": True, "job": None}


def test_keys_lapse_after_ten_minutes() -> None:
    rig = Rig()
    first = rig.push(idempotency_key="k")
    rig.now_ms += limits.IDEMPOTENCY_WINDOW_MS - 1
    assert rig.push(idempotency_key="k") == first
    rig.now_ms += 1

    second = rig.push(idempotency_key="k", data=[2])

    assert second != first
    assert rig.push(idempotency_key="k", data=[2]) == second


def test_lapsed_keys_are_forgotten_by_ticks() -> None:
    rig = Rig()
    rig.push(idempotency_key="a")
    rig.now_ms += 60_000
    rig.push(idempotency_key="b")
    kept = sum(key[:1] == b"i" for key in rig.rows())
    rig.wait(limits.IDEMPOTENCY_WINDOW_MS)
    later = sum(key[:1] == b"i" for key in rig.rows())
    rig.wait(20_000)

    assert (kept, later, [key for key in rig.rows() if key[:1] in b"ik"]) == (2, 1, [])
    rig.push(idempotency_key="a")


def test_many_lapsed_keys_are_forgotten_in_steps() -> None:
    rig = Rig()
    rig.audited = False
    for _ in range(3):
        rig.apply(
            *[
                {"cmd": "push", "queue": "q", "name": "n", "idempotency_key": f"{len(rig.log)}-{number}"}
                for number in range(900)
            ]
        )
    rig.now_ms += limits.IDEMPOTENCY_WINDOW_MS + 20_000

    rig.apply(Tick())
    assert rig.machine.state.meta.keys == 1_700
    rig.audited = True
    rig.wait(30_000)
    assert rig.machine.state.meta.keys == 0


def test_the_oldest_key_gives_way_when_there_are_too_many() -> None:
    rig = Rig()
    rig.audited = False
    first = rig.push(idempotency_key="a")
    rig.now_ms += 1
    second = rig.push(idempotency_key="b")
    stored = rig.kv.get(keys.META)
    assert stored is not None
    meta = msgspec.structs.replace(rows.decode_meta(stored), keys=limits.IDEMPOTENCY_KEYS_MAX)
    rig.kv.write({keys.META: rows.encode(meta)})
    rig.reopen()

    rig.push(idempotency_key="c")

    assert rig.machine.state.meta.keys == limits.IDEMPOTENCY_KEYS_MAX
    assert rig.push(idempotency_key="b") == second
    assert rig.push(idempotency_key="a") != first
