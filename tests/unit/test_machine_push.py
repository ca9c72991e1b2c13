"""Accepting jobs: order, options, defaults, keys, limits, all or nothing."""

from typing import Any

import pytest

from rustqueue.machine.ready import WindowLimits
from rustqueue.model.ids import make_ids
from rustqueue.model.jobs import NodeDefaults
from tests.unit.factories import START_MS, Rig, a_job, at

Json = dict[str, Any]

ALL_OPTIONS: Json = {
    "priority": -3,
    "max_attempts": 7,
    "backoff": "linear",
    "backoff_delay_ms": 50,
    "max_backoff_ms": 500,
    "ttl_ms": 60_000,
    "timeout_ms": 9_000,
    "unique_key": "u",
    "tags": ["a", "b"],
    "group_id": "g",
    "lifo": True,
    "remove_on_complete": True,
    "remove_on_fail": True,
    "custom_id": "c",
    "metadata": {"m": [1]},
    "flow_id": "f",
    "on_parent_failure": "continue",
    "traceparent": "00-abc",
}


def test_push_answers_the_id_and_stores_the_job() -> None:
    rig = Rig()

    reply = rig.do("push", queue="q", name="work", data={"a": 1})

    assert reply == {"ok": True, "id": reply["id"]}
    assert rig.job(reply["id"]) == a_job(id=reply["id"], data={"a": 1})
    assert rig.status("push", queue="q", name="work") == 201
    assert rig.told()[0] == ("pushed", [reply["id"]])


def test_a_batch_answers_ids_in_order_and_tells_one_fact() -> None:
    rig = Rig()

    ids = rig.push_many(150)

    assert len(set(ids)) == 150
    assert ids == sorted(ids)
    assert rig.told() == [("pushed", ids)]
    assert rig.pulled(1_000) == ids


def test_an_empty_batch_is_taken_and_makes_no_visible_queue() -> None:
    rig = Rig()

    assert rig.do("push_batch", queue="q", jobs=[]) == {"ok": True, "ids": []}
    assert (rig.ask("list_queues")["queues"], rig.told()) == ([], [])


def test_a_receipt_says_what_the_acknowledgement_means() -> None:
    rig = Rig()
    rig.push()
    expected = {"durability": "fsync-majority", "index": 2, "term": 1}

    single = rig.do("push", queue="q", name="n", receipt=True)
    batch = rig.do("push_batch", queue="q", jobs=[{"name": "n"}], receipt=True)

    assert single == {"ok": True, "id": single["id"], **expected}
    assert batch == {"ok": True, "ids": batch["ids"], **expected, "index": 3}


def test_a30_every_option_is_kept_and_shown() -> None:
    rig = Rig()
    job_id = rig.push(**ALL_OPTIONS)

    assert rig.job(job_id) == a_job(id=job_id, **ALL_OPTIONS)


def test_options_may_be_nested() -> None:
    rig = Rig()
    ids = [
        rig.push(options=ALL_OPTIONS),
        *rig.do("push_batch", queue="r", jobs=[{"name": "work", "options": ALL_OPTIONS}])["ids"],
    ]

    for job_id, queue in zip(ids, ("q", "r"), strict=True):
        assert rig.job(job_id) == a_job(id=job_id, **{**ALL_OPTIONS, "queue": queue})


def test_a_pulled_job_shows_its_options_too() -> None:
    rig = Rig()
    job_id = rig.push(**ALL_OPTIONS)
    (job,) = rig.pull(worker_id="w")

    assert job == a_job(
        id=job_id,
        **ALL_OPTIONS,
        state="active",
        started_at=at(0),
        worker_id="w",
        fence=1,
        attempt_token=job["attempt_token"],
        lease_expires_at=at(30_000),
    )


def test_a30_defaults_of_the_node_apply() -> None:
    node = NodeDefaults(max_attempts=9, backoff="fixed", backoff_delay_ms=5, timeout_ms=None)
    rig = Rig(defaults=node)

    plain, rich = rig.job(rig.push()), rig.job(rig.push(priority=1, max_attempts=2))

    shown = [(job["max_attempts"], job["backoff"], job["backoff_delay_ms"], job["timeout_ms"]) for job in (plain, rich)]
    assert shown == [(9, "fixed", 5, None), (2, "fixed", 5, None)]


def test_defaults_of_the_queue_come_before_those_of_the_node() -> None:
    rig = Rig()
    rig.do(
        "queue_settings", queue="q", defaults={"priority": 5, "tags": ["t"], "max_attempts": 8, "metadata": {"a": 1}}
    )

    job = rig.job(rig.push())
    assert (job["priority"], job["tags"], job["max_attempts"], job["metadata"]) == (5, ["t"], 8, {"a": 1})
    job = rig.job(rig.push(priority=0, tags=[], metadata=None, max_attempts=0))
    assert (job["priority"], job["tags"], job["max_attempts"], job["metadata"]) == (0, [], 0, None)
    assert rig.job(rig.push("other"))["priority"] == 0


def test_order_is_priority_then_first_come() -> None:
    rig = Rig()
    low, normal, high, edge = (
        rig.push(priority=-1),
        rig.push(),
        rig.push(priority=2**31 - 1),
        rig.push(priority=-(2**31)),
    )
    second, batch = rig.push(), rig.push_many(2, priority=-1)

    assert rig.pulled(10) == [high, normal, second, low, *batch, edge]


def test_a30_lifo_jobs_come_before_all_others_of_their_priority() -> None:
    rig = Rig()
    first, last_in, newest = rig.push(), rig.push(lifo=True), rig.push(lifo=True)
    high = rig.push(priority=1)

    assert rig.pulled(10) == [high, newest, last_in, first]


@pytest.mark.parametrize("jobs_max", [1, 3, 64, 100])
def test_order_does_not_depend_on_how_much_a_window_holds(jobs_max: int) -> None:
    rig = Rig(WindowLimits(jobs_max, 0))
    ids = rig.push_many(200)
    high = rig.push_many(70, priority=1)
    front = [rig.push(lifo=True, priority=1) for _ in range(3)]
    rig.do("job_remove", id=ids[100])
    rig.do("job_priority", id=ids[5], priority=2)
    expected = [ids[5], *front[::-1], *high, *[job_id for place, job_id in enumerate(ids) if place not in (5, 100)]]

    taken = []
    for count in (1, 5, 60, 2, 1_000):
        taken += [job["id"] for job in rig.pull(count)]

    assert taken == expected


def test_a_unique_key_is_free_again_when_its_job_has_ended() -> None:
    rig = Rig()
    rig.push("other", unique_key="k")
    taken = (409, "DUPLICATE_KEY", {"field": "unique_key"})

    def held(**fields: Any) -> str:
        job_id = rig.push(unique_key="k", **fields)
        assert rig.refused("push", queue="q", name="n", unique_key="k") == taken
        return job_id

    rig.do("cancel", id=held(delay_ms=5))
    rig.do("job_remove", id=held())
    completed = held()
    rig.pulled()
    assert rig.refused("push", queue="q", name="n", unique_key="k") == taken
    rig.do("ack", id=completed)
    failed = held(max_attempts=2)
    rig.pulled()
    rig.do("fail", id=failed)
    assert rig.refused("push", queue="q", name="n", unique_key="k") == taken
    rig.wait(1_000)
    rig.pulled()
    rig.do("fail", id=failed)
    assert rig.state(failed) == "dlq"
    held()
    assert rig.refused("job_retry", id=failed) == taken


def test_a30_one_unique_key_has_one_winner() -> None:
    rig = Rig()
    replies = rig.all(*[{"cmd": "push", "queue": "q", "name": "n", "unique_key": "k"} for _ in range(50)])

    assert [reply["ok"] for reply in replies] == [True] + [False] * 49
    assert rig.counts() == {"waiting": 1}


@pytest.mark.parametrize("field", ["unique_key", "custom_id"])
def test_a_key_twice_in_a_batch_refuses_it_whole(field: str) -> None:
    rig = Rig()
    rig.push(**{field: "taken"})
    fresh, again, taken = ({"name": "n", field: key} for key in ("a", "a", "taken"))
    expected = (409, "DUPLICATE_KEY", {"field": field, "index": 1})

    assert rig.refused("push_batch", queue="q", jobs=[fresh, again]) == expected
    assert rig.refused("push_batch", queue="q", jobs=[fresh, taken]) == expected
    assert rig.refused("push_batch", queue="q", jobs=[taken]) == (409, "DUPLICATE_KEY", {"field": field, "index": 0})


def test_a30_a_custom_id_names_the_job_as_long_as_it_is_there() -> None:
    rig = Rig()
    job_id = rig.push(custom_id="a:b c/é")
    name = "custom:q:a:b c/é"
    assert rig.refused("push", queue="q", name="n", custom_id="a:b c/é") == (
        409,
        "DUPLICATE_KEY",
        {"field": "custom_id"},
    )
    assert rig.job(name)["id"] == job_id
    rig.pulled()
    rig.do("progress", id=name, progress=3)
    rig.do("ack", id=name)
    assert rig.state(name) == "completed"
    assert rig.refused("push", queue="q", name="n", custom_id="a:b c/é")[1] == "DUPLICATE_KEY"
    rig.do("job_remove", id=name)
    assert rig.state(name) == "JOB_NOT_FOUND"
    rig.push(custom_id="a:b c/é")


@pytest.mark.parametrize("text", ["custom:q:none", "custom:", "custom:q", "custom:é:x", "custom:q\0:x"])
def test_names_that_lead_nowhere(text: str) -> None:
    rig = Rig()
    rig.push(custom_id="x")

    assert rig.refused("cancel", id=text) == (404, "JOB_NOT_FOUND", None)


@pytest.mark.parametrize(
    "spell", [str.upper, "{{{}}}".format, "urn:uuid:{}".format, lambda text: text.replace("-", "")]
)
def test_ids_are_taken_in_any_usual_spelling(spell: Any) -> None:
    rig = Rig()
    job_id = rig.push()

    assert rig.job(spell(job_id))["id"] == job_id


@pytest.mark.parametrize("text", ["x", "0123456789abcdef0123456789ab  cd", "0" * 31, "0" * 33, "-" * 36, "é" * 32])
def test_text_that_is_no_id(text: str) -> None:
    assert Rig().unanswered("get", id=text) == (400, "VALIDATION_ERROR")


def test_max_waiting_refuses_what_would_not_fit() -> None:
    rig = Rig()
    rig.do("queue_settings", queue="q", limits={"max_waiting": 3})
    rig.push_many(2)
    full = (429, "RATE_LIMITED", {"field": "max_waiting", "limit": 3})

    assert rig.refused("push_batch", queue="q", jobs=[{"name": "a"}] * 2) == full
    rig.push()
    assert rig.refused("push", queue="q", name="a") == full
    rig.pulled()
    rig.push()


def test_without_auto_create_only_declared_queues_take_jobs() -> None:
    rig = Rig(defaults=NodeDefaults(auto_create=False))
    assert rig.refused("push", queue="q", name="a") == (404, "QUEUE_NOT_FOUND", None)

    rig.do("queue_settings", queue="q")

    rig.push()


def test_ids_are_uuids_of_version_7_with_a_partition() -> None:
    (job_id, other) = make_ids(START_MS, b"\xff" * 16, 7, 0, 2, partition=0xABC)

    text = job_id.hex()
    assert (text[:12], text[12], text[13:16], text[16] in "89ab") == (f"{START_MS:012x}", "7", "abc", True)
    assert job_id < other


def test_ids_of_one_millisecond_stand_in_order_of_creation() -> None:
    seeds = (b"\xff" * 16, b"\0" * 16, b"\x80" * 16)

    made = [job_id for index, seed in enumerate(seeds) for job_id in make_ids(START_MS, seed, index, 0, 2)]

    assert made == sorted(set(made))


def test_jobs_of_one_entry_get_different_ids() -> None:
    rig = Rig()
    replies = rig.all(
        *[{"cmd": "push", "queue": "q", "name": "n"} for _ in range(3)],
        {"cmd": "push_batch", "queue": "r", "jobs": [{"name": "n"}] * 3},
    )

    ids = [reply["id"] for reply in replies[:3]] + replies[3]["ids"]
    assert len(set(ids)) == 6
    assert ids == sorted(ids)


def test_a_repeated_batch_answers_every_id_and_remembers_one() -> None:
    # Given a batch pushed with a key
    rig = Rig()
    batch = {"queue": "q", "jobs": [{"name": "work"}] * 100, "idempotency_key": "once", "receipt": True}
    first = rig.do("push_batch", **batch)
    # When it is sent again
    again = rig.do("push_batch", **batch)
    # Then the answer is the same, nothing was pushed, and what is stored does not grow with the batch
    assert again == first
    assert rig.counts()["waiting"] == 100
    assert [len(value) < 250 for key, value in rig.scan() if key[:1] == b"i"] == [True]
