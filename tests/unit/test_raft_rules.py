"""The decisions of Raft, case by case: facts in, verdict out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustqueue.raft.cluster import rules
from rustqueue.raft.cluster.rules import Ballot, LogEnd, Standing, fit_append, judge_vote
from rustqueue.raft.messages import Append, LogRecord, VoteAsked

SILENT = Ballot(granted=False, adopt=False, answers=False)
NO = Ballot(granted=False, adopt=False, answers=True)


def standing(voted_for: str | None = None, hears: bool = False) -> Standing:
    return Standing(5, voted_for, is_follower=True, hears_leader=hears, end=LogEnd(10, 4))


@pytest.mark.parametrize(
    ("asked", "own", "verdict"),
    [
        # A real vote.
        (VoteAsked(5, 10, 4, False, False), standing(), Ballot(True, False, True)),
        (VoteAsked(5, 10, 4, False, False), standing(voted_for="n1"), Ballot(True, False, True)),
        (VoteAsked(5, 10, 4, False, False), standing(voted_for="n2"), NO),
        (VoteAsked(6, 10, 4, False, False), standing(voted_for="n2"), Ballot(True, True, True)),
        (VoteAsked(4, 99, 4, False, False), standing(), NO),
        # Its log must not be behind: the last term counts first, then the length.
        (VoteAsked(6, 9, 4, False, False), standing(), Ballot(False, True, True)),
        (VoteAsked(6, 99, 3, False, False), standing(), Ballot(False, True, True)),
        (VoteAsked(6, 1, 5, False, False), standing(), Ballot(True, True, True)),
        # A live leader is not deposed, unless it asked for that itself.
        (VoteAsked(6, 10, 4, False, False), standing(hears=True), SILENT),
        (VoteAsked(6, 10, 4, True, False), standing(hears=True), SILENT),
        (VoteAsked(6, 10, 4, False, True), standing(hears=True), Ballot(True, True, True)),
        (VoteAsked(4, 10, 4, False, False), standing(hears=True), NO),
        # A pre-vote changes nothing, and is given for a later term only.
        (VoteAsked(6, 10, 4, True, False), standing(voted_for="n2"), Ballot(True, False, True)),
        (VoteAsked(5, 10, 4, True, False), standing(), NO),
        (VoteAsked(6, 9, 4, True, False), standing(), NO),
    ],
)
def test_a_vote(asked: VoteAsked, own: Standing, verdict: Ballot) -> None:
    assert judge_vote(asked, "n1", own) == verdict


def append(prev: tuple[int, int], *terms: int) -> Append:
    return Append(9, prev[0], prev[1], 0, 1, [LogRecord(1, term, b"") for term in terms])


def fit(log: list[int], message: Append, commit: int = 0) -> tuple[int | None, int, int | None, list[int]]:
    """`log` holds the terms of the records from index 1 on."""

    def term_at(index: int) -> int | None:
        return 0 if index == 0 else log[index - 1] if index <= len(log) else None

    found = fit_append(message, LogEnd(len(log), log[-1] if log else 0), commit, term_at)
    return found.matched, found.hint, found.cut_from, [record.term for record in found.records]


@pytest.mark.parametrize(
    ("log", "message", "expected"),
    [
        ([], append((0, 0), 1, 1), (2, 0, None, [1, 1])),
        ([1, 1], append((2, 1)), (2, 0, None, [])),
        ([1, 1], append((2, 1), 2), (3, 0, None, [2])),
        # What is there already is not appended again, and what follows it is not cut.
        ([1, 1, 2], append((1, 1), 1), (2, 0, None, [])),
        ([1, 1, 2], append((1, 1), 1, 2, 2), (4, 0, None, [2])),
        # It is cut where terms differ, and only there.
        ([1, 1, 2, 2], append((1, 1), 1, 3), (3, 0, 3, [3])),
        # Too short: the end is where to try next. A conflict: the whole term is passed over.
        ([1, 1], append((5, 2), 2), (None, 2, None, [])),
        ([1, 1, 2, 2, 2], append((5, 3), 3), (None, 2, None, [])),
    ],
)
def test_an_append(log: list[int], message: Append, expected: tuple[int | None, int, int | None, list[int]]) -> None:
    assert fit(log, message) == expected


def test_what_is_committed_matches_unseen() -> None:
    # The leader's probe lies below the commit index, where terms may be forgotten
    assert fit([1, 1, 2], append((1, 7)), commit=2) == (1, 0, None, [])
    # and a conflict is passed over down to the commit index only.
    assert fit([1, 2, 2, 2], append((4, 3)), commit=3) == (None, 3, None, [])


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=8).map(sorted),
    st.lists(st.integers(1, 4), min_size=1, max_size=8).map(sorted),
    st.data(),
)
def test_after_an_append_that_fits_the_logs_are_one(own: list[int], leaders: list[int], data: st.DataObject) -> None:
    # Given two logs that agree where term and index agree (log matching), and an append of the leader's
    common = 0
    while common < min(len(own), len(leaders)) and own[common] == leaders[common]:
        common += 1
    own = own[:common] + [term for term in own[common:] if term not in leaders[common:]]
    prev = data.draw(st.integers(0, len(leaders)))
    records = leaders[prev : data.draw(st.integers(prev, len(leaders)))]
    matched, hint, cut_from, rest = fit(own, append((prev, leaders[prev - 1] if prev else 0), *records))
    # When it fits
    if matched is None:
        assert 0 <= hint < prev
        return
    # Then the follower has the leader's log up to there, and what it had of it was not cut.
    kept = own if cut_from is None else own[: cut_from - 1]
    assert (kept + rest)[:matched] == leaders[:matched]
    assert cut_from is None or cut_from > common


@pytest.mark.parametrize(
    ("durable", "voters", "counted"),
    [
        ({"a": 7, "b": 5, "c": 3}, ("a", "b", "c"), 5),
        ({"a": 7}, ("a", "b", "c"), 0),
        ({"a": 7, "b": 7, "l": 9}, ("a", "b", "c"), 7),
        ({"a": 4}, ("a",), 4),
        ({"a": 9, "b": 8, "c": 7, "d": 6, "e": 5}, ("a", "b", "c", "d", "e"), 7),
        ({"a": 9, "b": 8}, ("a", "b"), 8),
        ({}, (), 0),
    ],
)
def test_the_count(durable: dict[str, int], voters: tuple[str, ...], counted: int) -> None:
    assert rules.committed_by_count(durable, voters) == counted


def test_an_older_term_is_not_committed_by_counting() -> None:
    terms = {4: 1, 5: 2}
    assert rules.new_commit(3, 4, 2, terms.get) == 3
    assert rules.new_commit(3, 5, 2, terms.get) == 5
    assert rules.new_commit(5, 4, 2, terms.get) == 5


@pytest.mark.parametrize(
    ("next_index", "matched", "hint", "expected"),
    [(10, 3, 6, 7), (10, 3, 9, 9), (10, 8, 2, 9), (2, 0, 0, 1), (1, 0, 0, 1)],
)
def test_a_refused_append_goes_back_but_never_below_what_is_acknowledged(
    next_index: int, matched: int, hint: int, expected: int
) -> None:
    assert rules.next_after_mismatch(next_index, matched, hint) == expected


def test_quorums() -> None:
    heard = {"b": 100, "c": 50}
    assert rules.heard_from_quorum(heard, "a", ("a", "b", "c"), 80)
    assert not rules.heard_from_quorum(heard, "a", ("a", "b", "c"), 101)
    assert rules.heard_from_quorum({}, "a", ("a",), 1)
    assert rules.confirmed_sequence({"b": 4, "c": 2}, "a", 9, ("a", "b", "c")) == 4
    assert rules.confirmed_sequence({}, "a", 9, ("a",)) == 9
    assert rules.confirmed_sequence({"b": 4}, "a", 9, ()) == 0


def test_time_jumps_to_the_lower_median() -> None:
    # One clock that is an hour ahead cannot move a cluster of three.
    assert rules.election_stamp_ms(3_600_000, [1_000]) == 1_000
    assert rules.election_stamp_ms(1_000, [3_600_000, 2_000]) == 2_000
    assert rules.election_stamp_ms(5, []) == 5
