"""The search for an order: what brute force finds it finds, and histories that no queue could give it refuses."""

import random
from itertools import permutations

import pytest

from rustqueue.history.linear import (
    ABSENT,
    FOR_EVER,
    Move,
    Op,
    State,
    cancelled,
    check_orders,
    drift_of,
    ended,
    has_order,
    held,
    leased,
    missing,
    pushed,
    seen,
)
from rustqueue.history.lines import Call, Object
from rustqueue.history.verdict import Evidence, Snapshot

KEPT: Move = drift_of({}, asked_to_stop=False)


def op(start_us: int, end_us: int | None, move: Move) -> Op:
    return Op("", start_us, FOR_EVER if end_us is None else end_us, end_us is not None, move)


def brute_force(ops: list[Op], drift: Move) -> bool:
    """Every order of every choice of unknown calls."""
    known = [each for each in ops if each.known]
    unknown = [each for each in ops if not each.known]
    choices = [[each for bit, each in enumerate(unknown) if mask >> bit & 1] for mask in range(1 << len(unknown))]
    return any(works(order, drift) for chosen in choices for order in permutations(known + chosen))


def works(order: tuple[Op, ...], drift: Move) -> bool:
    for place, each in enumerate(order):
        if any(later.end_us < each.start_us for later in order[place + 1 :]):
            return False
    states = {ABSENT}
    for each in order:
        while more := {other for state in states for other in drift(state)} - states:
            states |= more
        states = {after for state in states for after in each.move(state)}
    return bool(states)


def a_call(rng: random.Random, start_us: int) -> Op:
    move = rng.choice(
        [
            pushed, cancelled, missing, leased(1), leased(2), held(1), held(2), ended(1, "completed"),
            ended(2, "completed"), ended(1, "pending"), ended(1, "dlq"), seen("pending", 0), seen("active", 1),
            seen("completed", None), seen("cancelled", None), seen("dlq", 1),
        ]
    )  # fmt: skip
    return op(start_us, None if rng.random() < 0.2 else start_us + rng.randrange(1, 25), move)


@pytest.mark.parametrize("seed", range(30))
def test_it_finds_an_order_exactly_where_brute_force_does(seed: int) -> None:
    # Given histories of up to six calls, most of which begin with the push
    rng = random.Random(seed)
    drift = drift_of({"remove_on_complete": True} if seed % 2 else {}, asked_to_stop=seed % 3 == 0)
    for _ in range(20):
        ops = [op(0, 5, pushed)] if rng.random() < 0.9 else []
        ops += [a_call(rng, 3 + 6 * place + rng.randrange(8)) for place in range(rng.randrange(1, 6))]
        # Then both say the same
        assert has_order(ops, drift) == brute_force(ops, drift)


def test_histories_of_both_kinds_are_among_those() -> None:
    rng = random.Random(5)
    found = [
        has_order([op(0, 5, pushed), *(a_call(rng, 3 + 6 * place) for place in range(3))], KEPT) for _ in range(200)
    ]
    assert {True, False} == set(found)


A_LIFE = [op(0, 1, pushed), op(2, 3, leased(1)), op(4, 5, held(1)), op(6, 7, ended(1, "completed"))]


@pytest.mark.parametrize(
    ("ops", "possible"),
    [
        (A_LIFE, True),
        # Acknowledged again after the answer was lost.
        ([*A_LIFE[:3], op(6, None, ended(1, "completed")), op(8, 9, ended(1, "completed"))], True),
        # Seen as waiting after its completion was acknowledged.
        ([*A_LIFE, op(8, 9, seen("pending", 1))], False),
        # Seen so by a read that began before.
        ([*A_LIFE, op(5, 9, seen("active", 1))], True),
        # Not there after its push was acknowledged.
        ([op(0, 1, pushed), op(2, 3, missing)], False),
        ([op(0, 3, pushed), op(2, 4, missing)], True),
        # The first holder acknowledges after the second was given the lease.
        ([*A_LIFE[:2], op(4, 5, leased(2)), op(6, 7, ended(1, "completed"))], False),
        # The same lease twice.
        ([*A_LIFE[:2], op(4, 5, leased(1))], False),
        # Leased again after its end.
        ([*A_LIFE, op(8, 9, leased(2))], False),
        # A lease that nobody heard of lies between.
        ([*A_LIFE[:2], op(3, None, leased(2)), op(4, 5, leased(3))], True),
        # Cancelled, and given out later.
        ([op(0, 1, pushed), op(2, 3, cancelled), op(4, 5, leased(1))], False),
        # A refused cancellation tells the state as well.
        ([*A_LIFE, op(8, 9, seen("active", None))], False),
        # Times of two calls cross: the heartbeat was taken before the end.
        ([*A_LIFE[:2], op(4, 9, ended(1, "completed")), op(5, 8, held(1))], True),
    ],
)
def test_what_is_possible(ops: list[Op], possible: bool) -> None:
    assert has_order(ops, KEPT) is possible


def test_a_search_that_takes_too_long_is_no_answer() -> None:
    assert has_order(A_LIFE, KEPT, steps_max=2) is None


def test_time_moves_a_job_only_where_it_may() -> None:
    plain = drift_of({}, asked_to_stop=False)
    assert set(plain(State("active", 2))) == {State("pending", 2), State("dlq", 2)}
    assert set(plain(State("completed", 2))) == set()
    assert set(drift_of({"remove_on_complete": True}, False)(State("completed", 2))) == {State("gone", 2)}
    assert State("cancelled", 1) in set(drift_of({}, asked_to_stop=True)(State("active", 1)))


@pytest.mark.parametrize("is_repeated", [True, False])
def test_a_push_of_unknown_outcome_made_a_job_that_is_gone(is_repeated: bool) -> None:
    # Given a push that nobody heard the outcome of, whose job was leased, completed and removed
    push: Object = {"cmd": "push", "data": {"op": "o", "i": 0}, "remove_on_complete": True}
    leased_job = {"id": "j", "data": {"op": "o", "i": 0}, "attempt_token": "t.1", "fence": 1}
    leased_job |= {"started_at": "2026-11-22T20:54:20.362Z", "lease_expires_at": "2026-11-22T20:54:21.862Z"}
    calls = [
        Call("p", "o", push, None, 0, 10),
        Call("w", "w-1", {"cmd": "pull"}, {"ok": True, "jobs": [leased_job]}, 20, 30),
        Call("w", "w-2", {"cmd": "ack", "id": "j", "attempt_token": "t.1"}, {"ok": True}, 40, 50),
    ]
    # When it is repeated after that, or never
    if is_repeated:
        calls.append(Call("p", "o", push, {"ok": True, "id": "j"}, 60, 70))
    # Then the first time is known to have made the job.
    found = check_orders(Evidence(calls), Snapshot({}, {}), calls)
    assert (found.illegal, found.undecided) == ([], 0)


@pytest.mark.parametrize("asked_us", [5, 45])
def test_a_lease_that_nobody_heard_of_came_from_some_pull(asked_us: int) -> None:
    # Given a job that was leased twice, first by nobody who would say so
    push: Object = {"cmd": "push", "data": {"op": "o", "i": 0}}
    job = {"id": "j", "data": {"op": "o", "i": 0}, "state": "waiting", "fence": 2}
    leased_job = job | {"attempt_token": "t.2", "started_at": "2026-11-22T20:54:20.362Z"}
    leased_job |= {"lease_expires_at": "2026-11-22T20:54:21.862Z"}
    calls = [
        Call("p", "o", push, {"ok": True, "id": "j"}, 0, 3),
        Call("w", "w-1", {"cmd": "pull"}, {"ok": True, "jobs": [leased_job]}, 30, 40),
        # When another worker's pull, which was answered, began before that or after it
        Call("v", "v-1", {"cmd": "pull"}, {"ok": True, "jobs": []}, asked_us, 50),
    ]
    # Then its node may have sent it twice; and the worker's own pull may have been, as it did not end before it began.
    found = check_orders(Evidence(calls), Snapshot({"j": job}, {}), calls)
    assert (found.illegal, found.undecided, found.unheard) == ([], 0, 1)


def test_no_lease_came_before_the_first_pull() -> None:
    push: Object = {"cmd": "push", "data": {"op": "o", "i": 0}}
    job = {"id": "j", "data": {"op": "o", "i": 0}, "state": "waiting", "fence": 1}
    calls = [
        Call("p", "o", push, {"ok": True, "id": "j"}, 0, 3),
        Call("r", "r-1", {"cmd": "get", "id": "j"}, {"ok": True, "job": job}, 4, 8),
        Call("w", "w-1", {"cmd": "pull"}, {"ok": True, "jobs": []}, 10, 20),
    ]
    found = check_orders(Evidence(calls), Snapshot({"j": job}, {}), calls)
    assert len(found.illegal) == 1
