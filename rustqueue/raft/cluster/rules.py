"""The decisions of Raft as pure functions: who gets a vote, what of an append is kept, what is committed.

They must not know a node, a clock, a disk or a link: facts go in, a verdict comes out, and `member` carries it out.
Sources: Ongaro's dissertation (chapters 3, 4.2.3 for stickiness, 6.4 for reads, 9.6 for pre-votes). Invariants: nothing
at or below the commit index is ever cut; the log is cut only where terms differ; only what is known to be the leader's
log is committed; only entries of the present term are committed by counting.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rustqueue.raft.messages import Append, LogRecord, VoteAsked


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Index and term of the last record."""

    index: int
    term: int


def is_quorum(count: int, voters_count: int) -> bool:
    """Whether so many of the voters are more than half."""
    return 2 * count > voters_count


# Votes.


class Standing(NamedTuple):
    """What a node that is asked for its vote knows of itself. `hears_leader`: it leads, or heard from who leads, within
    the shortest election timeout.
    """

    term: int
    voted_for: str | None
    is_follower: bool
    hears_leader: bool
    end: LogEnd


class Ballot(NamedTuple):
    """`adopt`: first take the asked term, with no vote in it. `answers`: False is silence."""

    granted: bool
    adopt: bool
    answers: bool


_SILENCE = Ballot(granted=False, adopt=False, answers=False)


def judge_vote(asked: VoteAsked, candidate: str, own: Standing) -> Ballot:
    """Whether `candidate` gets what it asked for."""
    if own.hears_leader and not asked.forced and asked.term >= own.term:
        # A live leader exists: whoever does not hear it must not depose it (stickiness).
        return _SILENCE
    complete = (asked.last_term, asked.last_index) >= (own.end.term, own.end.index)
    if asked.pre:
        return Ballot(granted=complete and asked.term > own.term, adopt=False, answers=True)
    if asked.term < own.term:
        return Ballot(granted=False, adopt=False, answers=True)
    adopt = asked.term > own.term
    free = adopt or (own.is_follower and own.voted_for in (None, candidate))
    return Ballot(granted=free and complete, adopt=adopt, answers=True)


# Appends.


class Fit(NamedTuple):
    """How an append meets the log of a follower.

    `matched` None: it does not, and `hint` is the last index where it may. Otherwise the log equals the leader's up to
    `matched` once it is cut from `cut_from` on (None: nothing is cut) and `records` are appended.
    """

    matched: int | None
    hint: int
    cut_from: int | None
    records: Sequence[LogRecord]


def fit_append(message: Append, end: LogEnd, commit_index: int, term_at: Callable[[int], int | None]) -> Fit:
    """Judge an append of the present leader. `term_at` knows every index from the commit index to the end."""
    prev = message.prev_index
    if prev > end.index:
        return Fit(None, end.index, None, ())
    # Committed records are in the log of every later leader, so they match without being looked at.
    if prev > commit_index and term_at(prev) != message.prev_term:
        return Fit(None, _before_conflict(prev, commit_index, term_at), None, ())
    index = prev
    for place, record in enumerate(message.records):
        index = prev + place + 1
        if index > end.index:
            return Fit(prev + len(message.records), 0, None, message.records[place:])
        if index > commit_index and term_at(index) != record.term:
            return Fit(prev + len(message.records), 0, index, message.records[place:])
    return Fit(index, 0, None, ())


def _before_conflict(index: int, commit_index: int, term_at: Callable[[int], int | None]) -> int:
    """The last index before the term that conflicts: one answer skips the whole of it."""
    conflicting = term_at(index)
    while index > commit_index and term_at(index) == conflicting:
        index -= 1
    return index


def next_after_mismatch(next_index: int, matched: int, hint: int) -> int:
    """Where a leader goes on with a follower that refused: back, but never below what it has acknowledged."""
    return max(matched + 1, min(next_index - 1, hint + 1))


# Commit and quorum.


def committed_by_count(durable: Mapping[str, int], voters: Collection[str]) -> int:
    """The highest index that a majority of the voters holds durably."""
    indexes = sorted((durable.get(voter, 0) for voter in voters), reverse=True)
    return indexes[len(indexes) // 2] if indexes else 0


def new_commit(commit_index: int, counted: int, term: int, term_at: Callable[[int], int | None]) -> int:
    """The commit index of a leader after a count: older terms are committed only below an entry of its own."""
    return counted if counted > commit_index and term_at(counted) == term else commit_index


def heard_from_quorum(heard_us: Mapping[str, int], me: str, voters: Collection[str], since_us: int) -> bool:
    """Whether a leader that is `me` heard from enough voters since then; itself it always hears."""
    count = sum(1 for voter in voters if voter == me or heard_us.get(voter, -1) >= since_us)
    return is_quorum(count, len(voters))


def confirmed_sequence(echoed: Mapping[str, int], me: str, own: int, voters: Collection[str]) -> int:
    """The highest sequence that a majority of the voters has echoed: until then this leader surely led."""
    heard = sorted((own if voter == me else echoed.get(voter, 0) for voter in voters), reverse=True)
    return heard[len(heard) // 2] if heard else 0


def election_stamp_ms(own_wall_ms: int, voters_wall_ms: Collection[int]) -> int:
    """The wall clock by which a new leader may move time forward: the lower median of those who elected it."""
    clocks = sorted((own_wall_ms, *voters_wall_ms))
    return clocks[(len(clocks) - 1) // 2]
