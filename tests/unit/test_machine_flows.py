"""Jobs that depend on jobs: blocking, release, failure policies, batches, follow-ups, and families of thousands."""

from typing import Any

import pytest

from rustqueue.model import limits
from rustqueue.model.jobs import NodeDefaults
from tests.unit.factories import Rig, a_job, at

Json = dict[str, Any]


def dead(rig: Rig, job_id: str) -> None:
    """Let the next job of its queue, which has one attempt, end in the DLQ."""
    assert rig.pulled(queue=rig.job(job_id)["queue"]) == [job_id]
    assert rig.do("fail", id=job_id, error="boom")["retry"] is False


def bad(rig: Rig, *jobs: Json) -> Json | None:
    """A batch that must be refused for its dependencies."""
    status, code, details = rig.refused("push_batch", queue="q", jobs=list(jobs))
    assert (status, code) == (400, "VALIDATION_ERROR")
    return details


def test_a_child_waits_for_all_its_parents() -> None:
    rig = Rig()
    first, second = rig.push("p"), rig.push("p")
    child = rig.push(depends_on=[first, second, first], flow_id="f", delay_ms=5)
    assert rig.job(child) == a_job(id=child, state="blocked", depends_on=[first, second], flow_id="f")
    rig.pulled(2, queue="p")
    rig.do("ack", id=first)
    assert (rig.state(child), rig.pull(), rig.counts()) == ("blocked", [], {"blocked": 1})
    rig.now_ms += 10
    rig.told()

    rig.do("ack", id=second)

    assert rig.told() == [("ready", [child]), ("completed", [second])]
    assert rig.job(child)["updated_at"] == at(10)
    assert rig.pulled() == [child]


def test_a_child_of_completed_parents_waits_for_nobody() -> None:
    rig = Rig()
    parent = rig.push()
    rig.pulled()
    rig.do("ack", id=parent)

    assert rig.state(rig.push(depends_on=[parent])) == "waiting"


def test_a_parent_may_be_named_by_its_custom_id() -> None:
    rig = Rig()
    parent = rig.push("p", custom_id="c")

    assert rig.job(rig.push(depends_on=["custom:p:c"]))["depends_on"] == [parent]


def test_a_parent_must_exist_and_be_able_to_complete() -> None:
    rig = Rig()
    lost = "019ab697-e800-7000-9e28-7f590d2dcbbf"
    failed, cancelled = rig.push(max_attempts=1), rig.push()
    dead(rig, failed)
    rig.do("cancel", id=cancelled)

    for reference in (lost, failed, cancelled, "custom:q:c", "nonsense", 1, -1):
        assert rig.refused("push", queue="q", name="n", depends_on=[reference]) == (
            400,
            "VALIDATION_ERROR",
            {"field": "depends_on"},
        )
        assert bad(rig, {"name": "a"}, {"name": "b", "depends_on": [2 if reference == 1 else reference]}) == {
            "field": "jobs[1].depends_on",
            "index": 1,
        }


def test_a30_a_batch_honours_dependencies_inside_it() -> None:
    rig = Rig()
    jobs: list[Json] = [
        {"name": "last", "depends_on": [1, 2]},
        {"name": "first"},
        {"name": "middle", "depends_on": [1]},
    ]

    ids = rig.do("push_batch", queue="q", jobs=jobs)["ids"]

    assert rig.states(*ids) == ["blocked", "waiting", "blocked"]
    order = []
    while pulled := rig.pull():
        order.append(pulled[0]["name"])
        rig.do("ack", id=pulled[0]["id"])
    assert order == ["first", "middle", "last"]


def test_a_batch_that_depends_on_itself_is_refused_whole() -> None:
    rig = Rig()

    def at_index(index: int) -> Json:
        return {"field": f"jobs[{index}].depends_on", "index": index}

    assert bad(rig, {"name": "a"}, {"name": "b", "depends_on": [1]}) == at_index(1)
    assert bad(rig, {"name": "a", "depends_on": [1]}, {"name": "b", "depends_on": [0]}) == at_index(1)
    ring: list[Json] = [{"name": "a", "depends_on": [(place + 1) % 5 + 1]} for place in range(5)]
    assert bad(rig, {"name": "x", "depends_on": [1]}, *ring) == at_index(5)
    assert rig.rows() == {}


@pytest.mark.parametrize("depth", [1, 10, 12])
def test_depth_has_a_limit_however_the_chain_was_built(depth: int) -> None:
    rig = Rig(defaults=NodeDefaults(dag_depth=depth))
    chain = [rig.push()]
    for _ in range(depth):
        chain.append(rig.push(depends_on=[chain[-1]]))
    assert rig.refused("push", queue="q", name="n", depends_on=[chain[-1]])[1] == "VALIDATION_ERROR"

    jobs: list[Json] = [{"name": "n"}, *[{"name": "n", "depends_on": [place]} for place in range(depth)]]
    assert len(rig.do("push_batch", queue="r", jobs=jobs)["ids"]) == depth + 1
    longer = [*jobs, {"name": "n", "depends_on": [depth]}]
    assert bad(rig, *longer) == {"field": f"jobs[{depth + 1}].depends_on", "index": depth + 1}


def test_a_parent_that_dies_takes_its_descendants_with_it() -> None:
    rig = Rig()
    parent = rig.push(max_attempts=1)
    child = rig.push("c", depends_on=[parent])
    grandchild = rig.push("g", depends_on=[child])
    rig.told()
    dead(rig, parent)

    assert rig.states(child, grandchild) == ["dlq", "dlq"]
    assert rig.job(child)["last_error"] == f"parent job '{parent}' moved to DLQ"
    assert rig.job(grandchild)["last_error"] == f"parent job '{child}' moved to DLQ"
    assert rig.told() == [
        ("started", [parent]),
        ("failed", [parent]),
        ("failed", [child]),
        ("dlq", [child]),
        ("failed", [grandchild]),
        ("dlq", [grandchild]),
        ("dlq", [parent]),
    ]


@pytest.mark.parametrize("how", ["cancel", "job_remove", "fail_cancelled", "drain", "ttl"])
def test_a30_a_parent_that_ends_otherwise_settles_its_children(how: str) -> None:
    rig = Rig()
    parent = rig.push("p", ttl_ms=1_000)
    other = rig.push("o")
    cascade = rig.push(depends_on=[parent, other])
    ignore = rig.push(depends_on=[parent, other], on_parent_failure="ignore")
    going_on = rig.push(depends_on=[parent, other], on_parent_failure="continue")

    if how == "fail_cancelled":
        rig.pulled(queue="p")
        rig.do("fail", id=parent, cancelled=True)
    elif how == "drain":
        rig.do("queue_drain", queue="p")
    elif how == "ttl":
        rig.wait(1_000)
    else:
        rig.do(how, id=parent)

    assert rig.states(cascade, ignore, going_on) == ["dlq", "blocked", "waiting"]
    word = "moved to DLQ" if how == "ttl" else "was cancelled or removed"
    assert rig.job(cascade)["last_error"] == f"parent job '{parent}' {word}"
    rig.pulled(queue="o")
    rig.do("ack", id=other)
    assert rig.state(ignore) == "waiting"


def test_a_failed_try_does_not_settle_children() -> None:
    rig = Rig()
    parent = rig.push()
    child = rig.push(depends_on=[parent])
    rig.pulled()
    rig.do("fail", id=parent)

    assert rig.state(child) == "blocked"


def test_a30_children_are_settled_after_a_restart() -> None:
    rig = Rig()
    parent = rig.push()
    child, dies = rig.push(depends_on=[parent]), rig.push("d", depends_on=[rig.push("e", max_attempts=1)])
    rig.reopen()
    rig.pulled()
    rig.do("ack", id=parent)
    rig.reopen()
    rig.pulled(queue="e")
    rig.do("fail", id=rig.job(dies)["depends_on"][0])

    assert rig.states(child, dies) == ["waiting", "dlq"]


def test_results_of_parents_travel_with_the_child() -> None:
    rig = Rig()
    first, second, third = rig.push("p"), rig.push("p"), rig.push("p", remove_on_complete=True)
    child = rig.push(depends_on=[first, second, third])
    rig.pulled(3, queue="p")
    for parent, result in ((first, {"n": 1}), (second, None), (third, [3])):
        rig.do("ack", id=parent, result=result)
    assert rig.state(third) == "JOB_NOT_FOUND"

    (job,) = rig.pull(with_parent_results=True)
    assert (job["id"], job["parent_results"], job["parent_results_truncated"]) == (
        child,
        {first: {"n": 1}, second: None, third: [3]},
        False,
    )
    assert rig.ask("job_parents", id=child) == {
        "ok": True,
        "parents": [
            {"id": first, "state": "completed", "result": {"n": 1}},
            {"id": second, "state": "completed", "result": None},
            {"id": third, "state": "removed", "result": [3]},
        ],
        "next_cursor": None,
    }
    rig.do("ack", id=child)
    assert [key for key in rig.rows() if key[:1] in b"px"] == []


def test_results_of_parents_have_a_size() -> None:
    rig = Rig()
    parents = rig.push_many(3, queue="p")
    rig.push(depends_on=parents)
    rig.pulled(3, queue="p")
    for parent in parents:
        rig.do("ack", id=parent, result="x" * 600_000)

    (job,) = rig.pull(with_parent_results=True)

    assert (list(job["parent_results"]), job["parent_results_truncated"]) == (parents[:1], True)


def test_a_job_without_parents_gets_no_parent_results() -> None:
    rig = Rig()
    rig.push()

    assert "parent_results" not in rig.pull(with_parent_results=True)[0]


def test_a30_a_parent_removed_after_it_completed_counts_as_completed() -> None:
    rig = Rig()
    done, open_ = rig.push("p"), rig.push("p")
    child = rig.push(depends_on=[done, open_])
    rig.pulled(2, queue="p")
    rig.do("ack", id=done, result=1)
    rig.do("job_remove", id=done)
    assert rig.state(child) == "blocked"
    rig.do("ack", id=open_)

    (job,) = rig.pull(with_parent_results=True)
    assert job["parent_results"] == {done: 1, open_: None}


def test_removing_the_last_dependant_lets_a_kept_result_go() -> None:
    rig = Rig()
    parent = rig.push("p", remove_on_complete=True)
    children = [rig.push(depends_on=[parent]) for _ in range(2)]
    rig.pulled(queue="p")
    rig.do("ack", id=parent, result=1)

    rig.do("job_remove", id=children[0])
    assert rig.ask("job_parents", id=children[1])["parents"] == [{"id": parent, "state": "removed", "result": 1}]
    rig.do("cancel", id=children[1])
    assert [key for key in rig.rows() if key[:1] in b"epx"] == []


def test_a_dead_child_that_is_brought_back_depends_on_nobody() -> None:
    rig = Rig()
    parent = rig.push(max_attempts=1)
    child = rig.push(depends_on=[parent])
    dead(rig, parent)

    rig.do("job_retry", id=child)

    assert rig.job(child)["depends_on"] == []
    assert rig.pulled() == [child]


def test_a_dead_parent_that_is_brought_back_has_no_children_left() -> None:
    rig = Rig()
    parent = rig.push(max_attempts=1)
    child = rig.push(depends_on=[parent], on_parent_failure="ignore")
    dead(rig, parent)
    assert rig.state(child) == "waiting"

    rig.do("job_retry", id=parent)
    assert rig.pulled(2) == [child, parent]
    rig.do("ack", id=parent)


def test_more_than_a_thousand_children_settle_in_steps() -> None:
    rig = Rig()
    parent = rig.push("p")
    rig.push_many(2_300, depends_on=[parent])
    rig.pulled(queue="p")

    rig.do("ack", id=parent)
    assert rig.counts() == {"waiting": 1_000, "blocked": 1_300}
    rig.do("job_remove", id=parent)
    rig.reopen()
    assert rig.machine.next_due_ms() == rig.now_ms
    rig.tick()
    rig.tick()
    assert rig.counts() == {"waiting": 2_300}


def test_more_than_a_thousand_children_die_in_steps() -> None:
    rig = Rig()
    parent = rig.push("p", max_attempts=1)
    middle = [rig.push("m", depends_on=[parent]) for _ in range(3)]
    for job_id in middle:
        rig.push_many(600, depends_on=[job_id])
    dead(rig, parent)
    assert (rig.counts("m"), rig.counts()["dlq"] < 1_800) == ({"dlq": 3}, True)

    rig.wait(0)

    assert rig.counts() == {"dlq": 1_800}


def test_a_parent_has_a_bounded_number_of_children() -> None:
    rig = Rig()
    rig.audited = False
    parent = rig.push("p")
    rig.push_many(limits.CHILDREN_MAX, depends_on=[parent])

    assert rig.refused("push", queue="q", name="n", depends_on=[parent])[:2] == (400, "VALIDATION_ERROR")


def test_a_flow_shows_its_jobs_and_counts_them() -> None:
    rig = Rig()
    first = rig.push(flow_id="f")
    second = rig.push("r", flow_id="f", depends_on=[first])
    delayed = rig.push(flow_id="f", delay_ms=9)
    rig.push(flow_id="f2")

    reply = rig.ask("flow", flow_id="f")

    assert [job["id"] for job in reply["jobs"]] == [first, second, delayed]
    assert reply["summary"] == {
        "total": 3,
        "waiting": 1,
        "active": 0,
        "blocked": 1,
        "completed": 0,
        "failed": 0,
        "dlq": 0,
    }
    assert rig.ask("flow", flow_id="none")["jobs"] == []


def test_what_one_entry_settles_is_bounded_over_all_its_parents() -> None:
    rig = Rig()
    parents = rig.push_many(3, queue="p")
    for parent in parents:
        rig.push_many(700, depends_on=[parent])
    rig.pulled(3, queue="p")

    rig.do("ack_batch", ids=parents)
    assert rig.counts() == {"waiting": 1_000, "blocked": 1_100}
    rig.wait(0)
    assert rig.counts() == {"waiting": 2_100}


def test_children_of_very_many_parents_settle_fewer_at_a_time() -> None:
    rig = Rig()
    parents = rig.push_many(800, queue="p", max_attempts=1)
    rig.apply(*[{"cmd": "push", "queue": "q", "name": "n", "depends_on": parents}] * 30)
    rig.pulled(queue="p")

    rig.do("fail", id=parents[0])
    assert rig.counts() == {"dlq": 20, "blocked": 10}
    rig.wait(0)
    assert rig.counts() == {"dlq": 30}


def test_a_sweep_removes_fewer_children_of_very_many_parents_at_a_time() -> None:
    rig = Rig()
    parents = rig.push_many(800, queue="p")
    rig.apply(*[{"cmd": "push", "queue": "q", "name": "n", "depends_on": parents}] * 30)

    assert rig.do("queue_delete", queue="q", force=True)["matched"] == 20
    rig.wait(0)
    assert rig.unanswered("queue_get", queue="q") == (404, "QUEUE_NOT_FOUND")
