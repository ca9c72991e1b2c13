"""Jobs that a completed job asks for: what they inherit, what is refused, and where they may go."""

from typing import Any

import pytest

from rustqueue.model.jobs import NodeDefaults
from tests.unit.factories import Rig

Json = dict[str, Any]


def follow(rig: Rig, metadata: Any, result: Any = None, **fields: Any) -> Json:
    job_id = rig.push(metadata=metadata, **fields)
    rig.pulled()
    return rig.do("ack", id=job_id, **({} if result is None else {"result": result}))


def test_follow_ups_run_after_their_parent_and_inherit_from_it() -> None:
    rig = Rig()
    metadata = {
        "engine": "x",
        "follow_ups": [
            {"queue": "n", "name": "inherits"},
            {"queue": "n", "name": "own", "data": {"d": 1}, "flow_id": "g", "options": {"priority": 9, "metadata": 5}},
            {"queue": "n", "name": "third", "options": {"flow_id": "h"}, "flow_id": "g"},
        ],
    }

    assert follow(rig, metadata, {"r": 1}, flow_id="f") == {"ok": True}
    parent = rig.ask("flow", flow_id="f")["jobs"][0]["id"]
    jobs = {job["name"]: job for job in rig.pull(3, queue="n")}
    assert [job["name"] for job in jobs.values()] == ["own", "inherits", "third"]
    assert all(job["depends_on"] == [parent] for job in jobs.values())
    shown = {name: (job["data"], job["flow_id"], job["metadata"]) for name, job in jobs.items()}
    assert shown == {
        "inherits": ({"r": 1}, "f", {"engine": "x"}),
        "own": ({"d": 1}, "g", 5),
        "third": ({"r": 1}, "h", {"engine": "x"}),
    }


def test_a_follow_up_without_anything_to_inherit() -> None:
    rig = Rig()
    follow(rig, {"follow_ups": [{"queue": "n", "name": "a"}]})

    (job,) = rig.pull(queue="n")
    assert (job["data"], job["flow_id"], "metadata" in job) == ({}, None, False)


def test_bad_follow_ups_are_named_and_good_ones_run() -> None:
    rig = Rig()
    rig.push("u", unique_key="k")
    metadata = {
        "follow_ups": [
            {"queue": "n", "name": "good"},
            {"queue": "n"},
            5,
            {"queue": "n n", "name": "a"},
            {"queue": "n", "name": "a", "colour": 1},
            {"queue": "n", "name": "a", "options": {"priority": "high"}},
            {"queue": "u", "name": "a", "options": {"unique_key": "k"}},
            {"queue": "n", "name": "a", "options": {"depends_on": [0]}},
            {"queue": "n", "name": "also good"[:4]},
        ]
    }

    refused = follow(rig, metadata)["follow_ups_refused"]

    assert [text.split(":")[0] for text in refused] == [f"follow_ups[{place}]" for place in range(1, 8)]
    assert [job["name"] for job in rig.pull(9, queue="n")] == ["good", "also"]


@pytest.mark.parametrize(
    "metadata", [{"follow_ups": 5}, {"follow_ups": None}, ["follow_ups"], {"follow_ups": [{}] * 101}]
)
def test_follow_ups_that_are_no_list_do_not_break_the_ack(metadata: Any) -> None:
    rig = Rig()
    reply = follow(rig, metadata)

    assert (reply["ok"], len(reply["follow_ups_refused"]), rig.counts()) == (True, 1, {"completed": 1})


def test_metadata_that_only_mentions_follow_ups_asks_for_none() -> None:
    assert follow(Rig(), {"note": "follow_ups later"}) == {"ok": True}


def test_follow_ups_pass_a_pause_but_no_limit_and_no_deletion() -> None:
    rig = Rig(defaults=NodeDefaults(auto_create=False))
    for queue in ("q", "paused", "full"):
        rig.do("queue_settings", queue=queue)
    rig.do("queue_pause", queue="paused")
    rig.do("queue_settings", queue="full", limits={"max_waiting": 0})
    names = ("paused", "full", "unknown")

    refused = follow(rig, {"follow_ups": [{"queue": name, "name": "a"} for name in names]})["follow_ups_refused"]

    assert [text.split(":")[0] for text in refused] == ["follow_ups[1]", "follow_ups[2]"]
    assert rig.counts("paused") == {"waiting": 1}


def test_follow_ups_of_a_job_that_goes_at_once() -> None:
    rig = Rig()
    follow(rig, {"follow_ups": [{"queue": "n", "name": "a"}]}, {"r": 1}, remove_on_complete=True)

    (job,) = rig.pull(queue="n")
    assert (job["depends_on"], job["data"]) == ([], {"r": 1})


def test_follow_ups_in_a_batch_of_acks_are_reported_per_item() -> None:
    rig = Rig()
    ids = [rig.push(metadata={"follow_ups": [{"queue": "n", "name": name}]}) for name in ("good", "bad name")]
    rig.pulled(2)

    reply = rig.do("ack_batch", ids=ids)

    assert (reply["ok"], reply["acked"]) == (True, 2)
    assert "follow_ups_refused" not in reply["results"][0]
    assert len(reply["results"][1]["follow_ups_refused"]) == 1
    assert rig.counts("n") == {"waiting": 1}


def test_a_chain_of_follow_ups_is_as_deep_as_any_other() -> None:
    rig = Rig(defaults=NodeDefaults(dag_depth=2))
    metadata: Json = {}
    for _ in range(3):
        metadata = {"follow_ups": [{"queue": "q", "name": "n", "options": {"metadata": metadata}}]}
    assert follow(rig, metadata) == {"ok": True}
    assert rig.do("ack", id=rig.pulled()[0]) == {"ok": True}

    reply = rig.do("ack", id=rig.pulled()[0])

    assert reply["follow_ups_refused"] == ["follow_ups[0]: Validation error: dependency depth 3 exceeds 2"]
