"""Workers that say who they are: listed, drained, forgotten."""

from typing import Any

from rustqueue.model import limits
from tests.unit.factories import Json, Rig, at


def listed(rig: Rig, **query: Any) -> list[Json]:
    found: list[Json] = rig.ask("worker_list", **query)["workers"]
    return found


def worker(worker_id: str, leases: int = 0, seen_ms: int = 0, **fields: Any) -> Json:
    held = {"queues": ["q"] if leases else [], "leases": leases, "oldest_lease_age_ms": 0}
    return {"worker_id": worker_id, **held, "last_seen": at(seen_ms), "draining": False, **fields}


def test_a_worker_is_known_by_what_it_pulled() -> None:
    rig = Rig()
    rig.push_many(3)
    rig.push("a")
    rig.pull(worker_id="nobody", queue="empty")
    rig.pull(2, worker_id="w2")
    rig.now_ms += 4_000
    first = rig.pulled(worker_id="w1")
    rig.pulled(queue="a", worker_id="w2")
    rig.pulled()

    for _ in range(2):
        assert listed(rig) == [
            worker("w1", 1, 4_000),
            worker("w2", 3, 0, queues=["a", "q"], oldest_lease_age_ms=4_000),
        ]
        rig.reopen()
    rig.do("ack_batch", ids=first)
    assert listed(rig, limit=1) == [worker("w1", 0, 4_000)]
    assert rig.ask("worker_list", limit=1)["next_cursor"] == b"w1".hex()
    assert [one["worker_id"] for one in listed(rig, limit=1, cursor=b"w1".hex())] == ["w2"]


def test_signs_of_life_are_written_down_every_ten_seconds() -> None:
    rig = Rig()
    job_id = rig.push(lease_ms=60_000)
    rig.pull(worker_id="w")
    for after_ms, seen_ms in ((9_000, 0), (1_000, 10_000), (5_000, 10_000), (5_000, 20_000)):
        rig.now_ms += after_ms
        rig.do(
            "heartbeat" if after_ms == 5_000 else "progress",
            id=job_id,
            **({} if after_ms == 5_000 else {"progress": 1}),
        )
        assert listed(rig)[0]["last_seen"] == at(seen_ms)


def test_a_worker_that_drains_gets_no_more_jobs_and_hears_of_it() -> None:
    rig = Rig()
    first, second = rig.push_many(2)
    rig.pull(worker_id="w")
    assert rig.do("heartbeat", id=first)["drain"] is False
    rig.do("worker_drain", worker_id="w")
    rig.reopen()

    assert rig.do("heartbeat", id=first)["drain"] is True
    assert rig.do("progress", id=first, progress=3)["drain"] is True
    assert (rig.pull(worker_id="w"), rig.pull(5, worker_id="w"), listed(rig)[0]["draining"]) == ([], [], True)
    assert rig.machine.is_draining("w")
    rig.do("ack", id=first)

    rig.do("worker_drain", worker_id="w", drain=False)
    assert rig.pulled(worker_id="w") == [second]
    assert not rig.machine.is_draining("w")


def test_a_drain_holds_for_a_day() -> None:
    rig = Rig()
    rig.push_many(2)
    rig.do("ack_batch", ids=rig.pulled(worker_id="w"))
    rig.do("worker_drain", worker_id="w")

    rig.wait(limits.WORKER_DRAIN_MS - 1)
    assert rig.pull(worker_id="w") == []
    rig.wait(1)
    assert listed(rig) == []
    assert len(rig.pull(worker_id="w")) == 1


def test_a_worker_is_forgotten_an_hour_after_it_was_seen() -> None:
    rig = Rig()
    rig.push()
    rig.push(lease_ms=86_400_000, timeout_ms=86_400_000)
    rig.do("ack_batch", ids=rig.pulled(worker_id="idle"))
    rig.pulled(worker_id="busy")

    rig.wait(limits.WORKER_KEPT_MS)
    assert [one["worker_id"] for one in listed(rig)] == ["busy"]
    assert rig.refused("worker_drain", worker_id="idle") == (404, "WORKER_NOT_FOUND", None)
    rig.wait(10 * limits.WORKER_KEPT_MS)
    assert [one["leases"] for one in listed(rig)] == [1]


def test_a_worker_without_a_name_is_nobody() -> None:
    rig = Rig()
    rig.push_many(2)
    rig.pull()
    rig.pull(worker_id="")

    assert listed(rig) == []
