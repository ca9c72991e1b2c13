"""Transactions: all operations or none, in rows and in memory."""

import random
from typing import Any

import pytest

from rustqueue.machine.ready import WindowLimits
from rustqueue.model import limits
from rustqueue.model.errors import ApiError
from rustqueue.model.wire import decode_request
from tests.unit.factories import Json, Rig, encode


def op(cmd: str, **fields: Any) -> Json:
    return {"cmd": cmd, **fields}


def push(queue: str = "q", **fields: Any) -> Json:
    return op("push", queue=queue, name="n", **fields)


def done(rig: Rig, *operations: Json, **fields: Any) -> list[Json]:
    results: list[Json] = rig.do("tx", operations=list(operations), **fields)["results"]
    return results


def test_operations_are_done_in_their_order_and_answer_as_they_would_alone() -> None:
    rig = Rig()
    first, second, third = rig.push_many(3)
    rig.pulled(2)

    results = done(
        rig,
        op("ack", id=first, result={"a": 1}),
        op("fail", id=second, error="boom"),
        op("cancel", id=third),
        push(delay_ms=500),
        op("push_batch", queue="other", jobs=[{"name": "a"}, {"name": "b", "depends_on": [0]}]),
    )

    assert [sorted(result) for result in results] == [
        ["ok"],
        ["next_attempt_at", "ok", "retry", "will_retry"],
        ["ok"],
        ["id", "ok"],
        ["ids", "ok"],
    ]
    assert rig.states(first, second, third, results[3]["id"]) == ["completed", "delayed", "cancelled", "delayed"]
    assert rig.states(*results[4]["ids"]) == ["waiting", "blocked"]
    assert len(rig.log[-1].commands) == 1


def test_a_push_may_depend_on_what_is_pushed_behind_it() -> None:
    # Given operations that name later ones, one of them through another
    rig = Rig()
    replies = done(
        rig, push(depends_on=[1, 3]), push(depends_on=[3]), op("push_batch", queue="o", jobs=[]), push("last")
    )
    # Then each answer stands at its own place, and each job waits for those that it names
    first, second, last = (replies[place]["id"] for place in (0, 1, 3))
    assert [sorted(reply) for reply in replies] == [["id", "ok"], ["id", "ok"], ["ids", "ok"], ["id", "ok"]]
    assert (rig.job(first)["depends_on"], rig.job(second)["depends_on"]) == ([second, last], [last])
    assert rig.states(first, second, last) == ["blocked", "blocked", "waiting"]
    # And a circle is refused as a whole, by the place where it begins
    refused = rig.refused("tx", operations=[push("x"), push(depends_on=[2]), push(depends_on=[1])])
    assert refused == (400, "VALIDATION_ERROR", {"field": "depends_on", "operation": 1})
    assert rig.states(first, second, last) == ["blocked", "blocked", "waiting"]


def test_a_push_may_depend_on_what_was_pushed_before_it() -> None:
    rig = Rig()
    fetch, join = [result["id"] for result in done(rig, push(), push(depends_on=[0]))]
    assert rig.job(join)["depends_on"] == [fetch]

    for wrong in ([1], [2], [-1]):
        code = rig.refused("tx", operations=[push(), push(depends_on=wrong)])
        assert code == (400, "VALIDATION_ERROR", {"field": "depends_on", "operation": 1})
    code = rig.refused("tx", operations=[op("push_batch", queue="q", jobs=[{"name": "n"}]), push(depends_on=[0])])
    assert code[2] == {"field": "depends_on", "operation": 1}


def test_a_key_that_one_operation_frees_is_free_for_the_next() -> None:
    rig = Rig()
    job_id = rig.push(unique_key="u")
    rig.pulled()

    results = done(rig, op("ack", id=job_id), push(unique_key="u"))

    assert rig.job(results[1]["id"])["unique_key"] == "u"


def test_what_is_refused() -> None:
    rig = Rig()
    waiting = rig.push(unique_key="u")
    nobody = "00000000-0000-7000-8000-000000000000"
    for operation, status, code in (
        (op("ack", id=waiting), 409, "INVALID_STATE"),
        (op("ack", id=nobody), 404, "JOB_NOT_FOUND"),
        (push(unique_key="u"), 409, "DUPLICATE_KEY"),
        (push(depends_on=[nobody]), 400, "VALIDATION_ERROR"),
    ):
        assert rig.refused("tx", operations=[push(), operation])[:2] == (status, code)
        assert rig.refused("tx", operations=[push("new"), operation])[2] is not None
    assert [queue["name"] for queue in rig.ask("list_queues")["queues"]] == ["q"]
    assert rig.machine.state.meta.queues == 1


def lively() -> tuple[Rig, list[str]]:
    """Jobs in every condition that a transaction can change: leased, in groups, with parents, limits and keys."""
    rig = Rig(WindowLimits(jobs_max=4))
    rig.do("queue_settings", queue="q", limits={"group_concurrency": 2, "concurrency": 6})
    ids = rig.push_many(3) + rig.push_many(4, group_id="g") + [rig.push(flow_id="f", backoff_delay_ms=0)]
    ids += rig.pulled(6, worker_id="w")
    ids += [rig.push(depends_on=[ids[-1]]), rig.push(depends_on=[ids[-2]], on_parent_failure="ignore")]
    rig.do("cancel", id=ids[-3], running=True)
    rig.do("heartbeat", id=ids[-4])
    return rig, ids


@pytest.mark.parametrize("seed", range(8))
def test_a_refusal_leaves_everything_as_it_was(seed: int) -> None:
    """What follows a refused transaction goes as if it had never been, also in the same entry."""
    dice = random.Random(seed)
    (tried, ids), (untried, _) = lively(), lively()
    for _ in range(8):
        some = [dice.choice(ids) for _ in range(dice.randrange(1, 6))]
        operations = [
            dice.choice(
                [
                    op("ack", id=job_id),
                    op("fail", id=job_id, error="x"),
                    op("cancel", id=job_id, running=True),
                    push(group_id="g", unique_key="k", metadata={"follow_ups": [{"queue": "new", "name": "n"}]}),
                    push("fresh", depends_on=[job_id]),
                ]
            )
            for job_id in some
        ]
        refused = op("tx", operations=[*operations, op("ack", id="custom:q:none")])
        before = dice.choice([push(), op("ack", id=dice.choice(ids)), op("pull", queue="q", count=2)])
        after = dice.choice([push(group_id="g"), op("pull", queue="q", count=3), op("fail", id=dice.choice(ids))])
        told = tried.all(before, refused, after)
        assert told[1]["ok"] is False
        # Something else that is refused, so that what follows has the same place in its entry.
        expected = untried.all(before, op("ack", id="custom:q:none"), after)
        assert told[0::2] == expected[0::2]
        for rig in (tried, untried):
            rig.now_ms += 10
        if dice.random() < 0.3:
            tried.reopen()
    assert tried.rows() == untried.rows()


def test_a_transaction_is_remembered_by_its_key() -> None:
    rig = Rig()
    job_id = rig.push()
    rig.pulled()
    first = done(rig, op("ack", id=job_id), push(), idempotency_key="k")

    assert done(rig, op("ack", id=job_id), push(), idempotency_key="k") == first
    assert rig.counts() == {"completed": 1, "waiting": 1}
    assert rig.refused("tx", operations=[push()], idempotency_key="k")[:2] == (422, "IDEMPOTENCY_MISMATCH")


BIG = op("push_batch", queue="q", jobs=[{"name": "n"}] * 501)


@pytest.mark.parametrize(
    ("operations", "status", "details"),
    [
        ([], 400, {"field": "operations", "limit": 1}),
        ([push()] * (limits.TX_OPERATIONS_MAX + 1), 400, {"field": "operations", "limit": limits.TX_OPERATIONS_MAX}),
        ([BIG, BIG], 400, {"field": "operations", "limit": limits.TX_JOBS_MAX}),
        ([push(idempotency_key="k")], 400, {"field": "idempotency_key", "operation": 0}),
        ([push(), op("ack", id="x", request_id=1)], 400, {"field": "idempotency_key", "operation": 1}),
        ([push(), push("bad name")], 400, {"field": "queue", "operation": 1}),
        ([op("push_batch", queue="q", jobs=[{"name": "bad name"}])], 400, {"field": "jobs[0].name", "operation": 0}),
        ([push(run_at="soon")], 400, {"field": "run_at", "operation": 0}),
        ([op("ack")], 422, {"field": "operations[0].id"}),
        ([op("ack", id="x", more=1)], 400, {"field": "operations[0].more"}),
    ],
)
def test_bad_transactions_are_refused_by_name(operations: list[Json], status: int, details: Json) -> None:
    with pytest.raises(ApiError) as caught:
        decode_request(encode({"cmd": "tx", "operations": operations}))

    assert (caught.value.status, caught.value.details) == (status, details)


def test_other_verbs_are_no_operations_and_keys_stand_once() -> None:
    for line in (
        b'{"cmd":"tx","operations":[{"cmd":"pull","queue":"q"}]}',
        b'{"cmd":"tx","operations":[{"cmd":"tx","operations":[]}]}',
        b'{"cmd":"tx","operations":[{"cmd":"ack","id":"a", "id":"b"}]}',
        b'{"cmd":"tx"}',
    ):
        with pytest.raises(ApiError) as caught:
            decode_request(line)
        assert caught.value.status in (400, 422)
