"""Which members the operator takes away, and which volumes it makes larger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue_operator.members.planning import (
    Claim,
    GrowClaim,
    Member,
    RemoveMember,
    Seen,
    beyond,
    bytes_of,
    plan,
)


def members(*ids: str) -> tuple[Member, ...]:
    return tuple(map(Member, ids))


FIVE = members("rq-0#1", "rq-1#2", "rq-2#3", "rq-3#4", "rq-4#5")


def seen(**more: object) -> Seen:
    facts = {"stateful_set": "rq", "size": 3, "members": FIVE, "absent": frozenset({"rq-3", "rq-4"}), **more}
    return Seen(**facts)  # type: ignore[arg-type]


def test_members_go_one_at_a_time_from_the_highest_number_down() -> None:
    assert plan(seen()) == [RemoveMember(Member("rq-4#5"))]
    assert plan(seen(members=FIVE[:4])) == [RemoveMember(Member("rq-3#4"))]
    assert plan(seen(members=FIVE[:3])) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"absent": frozenset()},
        {"size": 5},
        {"size": 0},
        {"size": None},
        {"has_leader": False},
        {"stateful_set": "other"},
        {"members": members("n0#1", "rq-x#2", "rq-٣#3", "rq-4-5#9")},
    ],
    ids=["pods still there", "size fits", "stopped", "being deleted", "no leader", "of others", "no numbers"],
)
def test_nobody_is_taken_away(facts: dict[str, object]) -> None:
    assert plan(seen(**facts)) == []


def test_a_pod_that_is_gone_makes_way_though_one_above_it_still_ends() -> None:
    assert plan(seen(absent=frozenset({"rq-3"}))) == [RemoveMember(Member("rq-3#4"))]


def test_numbers_are_compared_as_numbers() -> None:
    many = members(*(f"rq-{number}#{number + 1}" for number in range(12)))

    assert [member.node for member in beyond("rq", 9, many)] == ["rq-11", "rq-10", "rq-9"]


@given(
    size=st.integers(0, 7),
    sizes=st.lists(st.integers(0, 7), max_size=4),
    pods=st.sets(st.integers(0, 9)),
    start=st.sets(st.integers(0, 9), min_size=1),
)
def test_whatever_happens_only_members_beyond_the_size_without_a_pod_go_and_in_the_end_all_of_them(
    size: int, sizes: list[int], pods: set[int], start: set[int]
) -> None:
    present = {f"rq-{number}": Member(f"rq-{number}#{number + 1}") for number in start}
    for now in [*sizes, *[size] * 12]:
        # Each look begins from nothing, as after a crash.
        absent = frozenset(node for node in present if int(node[3:]) not in pods)
        steps = plan(Seen(stateful_set="rq", size=now, members=tuple(present.values()), absent=absent))
        assert len(steps) <= 1
        for step in steps:
            assert isinstance(step, RemoveMember)
            number = int(step.member.node[3:])
            assert (number >= now > 0, number in pods) == (True, False)
            del present[step.member.node]

    left_over = [node for node in present if size and int(node[3:]) >= size and int(node[3:]) not in pods]
    assert left_over == []


def test_volumes_that_ask_for_less_are_made_larger_and_none_is_made_smaller() -> None:
    claims = (Claim("data-rq-0", "10Gi"), Claim("data-rq-1", "20Gi"), Claim("data-rq-2", "30Gi"))

    assert plan(seen(members=(), storage="20Gi", claims=claims)) == [GrowClaim("data-rq-0", "10Gi", "20Gi")]


@pytest.mark.parametrize("facts", [{"storage": None}, {"storage": "big"}, {"size": None}])
def test_volumes_stay_as_they_are(facts: dict[str, object]) -> None:
    claims = (Claim("data-rq-0", "10Gi"),)

    assert plan(seen(**{"members": (), "storage": "20Gi", "claims": claims, **facts})) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ("1k", 1_000),
        ("1Ki", 1_024),
        ("1.5Gi", 3 * 2**29),
        ("10G", 10**10),
        ("2Ti", 2**41),
        ("", None),
        ("1e3", None),
        ("-1Gi", None),
    ],
)
def test_quantities(text: str, count: int | None) -> None:
    assert bytes_of(text) == count
