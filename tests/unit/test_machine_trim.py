"""Trimming: the oldest completed jobs go first, over all queues, a bounded number at a time."""

from rustqueue.model import limits
from rustqueue.model.commands import Trim
from rustqueue.model.jobs import NodeDefaults
from rustqueue.model.replies import Trimmed
from tests.unit.factories import Rig


def completed(rig: Rig, count: int, queue: str = "q") -> list[str]:
    ids = rig.push_many(count, queue)
    for at in range(0, count, 1_000):
        rig.do("ack_batch", ids=rig.pulled(1_000, queue)[: count - at])
    rig.now_ms += 10
    return ids


def trim(rig: Rig, after: str = "") -> Trimmed:
    (reply,) = rig.apply(Trim(after=after))
    assert isinstance(reply, Trimmed)
    return reply


def test_the_oldest_completed_jobs_of_all_queues_go_first() -> None:
    # Given completed jobs of two queues by turns, and jobs in every other state
    rig = Rig()
    oldest, older = completed(rig, 600, "b"), completed(rig, 600, "a")
    young = completed(rig, 300, "b")
    rig.push("a", name="left")
    dead = rig.push("dead", max_attempts=1)
    rig.kill(dead)
    # When a trim is applied
    # Then the oldest went, whatever their queue is called
    assert trim(rig) == Trimmed(removed=1_000, after="")
    assert rig.states(oldest[0], oldest[-1], older[0], older[399]) == ["JOB_NOT_FOUND"] * 4
    assert rig.counts("b") == {"completed": 300}
    assert rig.counts("a") == {"completed": 200, "waiting": 1}
    # And the next one takes the rest, and nothing but completed jobs
    assert trim(rig) == Trimmed(removed=500, after="")
    assert rig.state(young[0]) == "JOB_NOT_FOUND"
    assert (rig.counts("a"), rig.counts("b"), rig.counts("dead")) == ({"waiting": 1}, {}, {"dlq": 1})
    assert trim(rig) == Trimmed(removed=0, after="")


def test_a_job_that_completes_in_the_same_entry_may_go_and_replays_alike() -> None:
    rig = Rig()
    ids = rig.push_many(3)
    rig.pull(3)
    _, trimmed = rig.apply({"cmd": "ack_batch", "ids": ids}, Trim())
    assert trimmed == Trimmed(removed=3, after="")
    assert rig.counts() == {}


def test_many_queues_are_looked_at_in_turn() -> None:
    # Given more queues with completed jobs than one trim looks at, and some without
    rig = Rig()
    rig.audited = False
    for number in range(limits.TRIM_QUEUES_MAX + 2):
        completed(rig, 1, f"q{number:03}")
        rig.push(f"q{number:03}-waiting")
    # When trims follow each other
    first = trim(rig)
    second = trim(rig, first.after)
    # Then each goes on behind the queue at which the one before ended
    assert first == Trimmed(removed=limits.TRIM_QUEUES_MAX, after=f"q{limits.TRIM_QUEUES_MAX - 1:03}")
    assert second == Trimmed(removed=2, after="")
    assert trim(rig) == Trimmed(removed=0, after="")


def test_queues_without_completed_jobs_are_passed_a_bounded_number_at_a_time() -> None:
    rig = Rig()
    rig.audited = False
    names = [f"q{number:05}" for number in range(limits.TRIM_ROWS_MAX + 1)]
    for name in names:
        rig.push(name)
    completed(rig, 1, "z")
    first = trim(rig)
    assert first == Trimmed(removed=0, after=names[limits.TRIM_ROWS_MAX - 1])
    assert trim(rig, first.after) == Trimmed(removed=1, after="")


def test_retention_goes_on_behind_a_trim() -> None:
    rig = Rig(defaults=NodeDefaults(completed_age_ms=10_000))
    completed(rig, 5)
    assert trim(rig).removed == 5
    kept = completed(rig, 2)
    rig.reopen()
    rig.wait(9_000)
    assert rig.counts() == {"completed": 2}
    rig.wait(3_000)
    assert rig.states(*kept) == ["JOB_NOT_FOUND"] * 2
