"""Elections: when to campaign, what to ask, how to vote.

It must not know logs beyond their end, nor what a leader does. Invariants: a vote is durable before it is sent; a node
campaigns only after a majority said that it would vote for it (pre-vote), or when the leader itself asked it to; only a
voter campaigns.
"""

from collections.abc import Callable
from typing import Protocol

from rustqueue.raft.cluster.parts import Parts
from rustqueue.raft.cluster.rules import LogEnd, Standing, is_quorum, judge_vote
from rustqueue.raft.cluster.syncobj import CANDIDATE, FOLLOWER, LEADER
from rustqueue.raft.messages import VoteAsked, VoteGiven

_NEVER_US = -(1 << 62)


class StepDown(Protocol):
    """Follow in this term at least, with this vote in it; durable when it returns."""

    def __call__(self, term: int, *, voted_for: str | None = None) -> None: ...


class Election:
    """One node's part in electing a leader. `won` is called with the wall clocks of its voters."""

    def __init__(self, parts: Parts, won: Callable[[list[int]], None], step_down: StepDown) -> None:
        self._parts = parts
        self._won = won
        self._step_down = step_down
        self._pre_votes: set[str] = set()
        self._votes: dict[str, int] = {}
        self._forced = False
        self._heard_leader_us = _NEVER_US
        self.held = False
        """A node whose disk is full does not want to lead."""
        self.lags: Callable[[], bool] = lambda: False
        """Whether this node has much to apply yet, before which a leader answers nobody."""
        self._gave_way = False
        self.campaigns_count = 0

    # Patience.

    def be_patient(self) -> None:
        """Start the wait anew: nothing is done for a time drawn between the bounds."""
        timing = self._parts.timing
        spread_us = timing.election_max_us - timing.election_min_us
        wait_us = timing.election_min_us + self._parts.chance(spread_us + 1)
        self._parts.seat.election_us = self._parts.clock.monotonic_us() + wait_us

    def heard_leader(self) -> None:
        self._heard_leader_us = self._parts.clock.monotonic_us()
        self._gave_way = False
        self.be_patient()

    def lost_leader(self) -> None:
        """The leader says goodbye, or is known to be gone: others may be elected at once."""
        self._heard_leader_us = _NEVER_US

    def out_of_patience(self) -> None:
        """Nothing was heard of a leader for long enough."""
        self.be_patient()
        parts = self._parts
        if not parts.is_voter() or self.held:
            return
        if not self._gave_way and self.lags():
            # By the next time every other voter has run out of patience once. If nobody was elected by then, nobody
            # else may be there who could be, and one that lags is better than none.
            self._gave_way = True
            return
        self._forced = False
        self._pre_votes = {parts.me}
        self._ask(parts.seat.term + 1, pre=True)
        self._count_pre_votes()

    def campaign(self, forced: bool = False) -> None:
        """Ask for votes in the next term. `forced`: the leader wishes it, so nobody shall cling to it."""
        parts = self._parts
        if not parts.is_voter():
            return
        self.be_patient()
        seat = parts.seat
        self.campaigns_count += 1
        self._forced = forced
        self._pre_votes = set()
        seat.leader = None
        seat.role = CANDIDATE
        seat.set_term(seat.term + 1, seat.me)
        self._votes = {seat.me: parts.clock.wall_ms()}
        self._ask(seat.term, pre=False)
        self._count_votes()

    def _ask(self, term: int, pre: bool) -> None:
        parts = self._parts
        asked = VoteAsked(term, parts.log.last_index, parts.log.last_term, pre, self._forced and not pre)
        for voter in parts.other_voters():
            parts.links.send(voter, asked)

    # Votes for others.

    def asked(self, candidate: str, message: VoteAsked) -> None:
        parts, seat = self._parts, self._parts.seat
        standing = Standing(
            seat.term,
            seat.voted_for,
            seat.role == FOLLOWER,
            self._hears_leader(candidate),
            LogEnd(parts.log.last_index, parts.log.last_term),
        )
        ballot = judge_vote(message, candidate, standing)
        is_vote = ballot.granted and not message.pre
        if ballot.adopt:
            # A new term and the vote in it are one write to the disk.
            self._step_down(message.term, voted_for=candidate if is_vote else None)
        if not ballot.answers:
            return
        if is_vote:
            if seat.voted_for is None:
                seat.set_term(seat.term, candidate)
            self.be_patient()
        term = message.term if ballot.granted else seat.term
        parts.links.send(candidate, VoteGiven(term, ballot.granted, message.pre, parts.clock.wall_ms()))

    def _hears_leader(self, candidate: str) -> bool:
        seat = self._parts.seat
        if seat.role == LEADER:
            return True  # It steps down by itself when it loses its majority.
        since_us = self._parts.clock.monotonic_us() - self._heard_leader_us
        return seat.leader not in (None, candidate) and since_us < self._parts.timing.election_min_us

    # Votes of others.

    def given(self, voter: str, message: VoteGiven) -> None:
        seat = self._parts.seat
        if not message.granted and message.term > seat.term:
            self._step_down(message.term)
        elif message.pre:
            if message.granted and message.term == seat.term + 1 and seat.role == FOLLOWER and self._pre_votes:
                self._pre_votes.add(voter)
                self._count_pre_votes()
        elif message.granted and message.term == seat.term and seat.role == CANDIDATE:
            self._votes[voter] = message.wall_ms
            self._count_votes()

    def _count_pre_votes(self) -> None:
        if self._has_quorum(self._pre_votes):
            self.campaign()

    def _count_votes(self) -> None:
        if self._parts.seat.role == CANDIDATE and self._has_quorum(self._votes):
            me = self._parts.me
            self._won([wall_ms for voter, wall_ms in self._votes.items() if voter != me])

    def _has_quorum(self, ids: set[str] | dict[str, int]) -> bool:
        voters = self._parts.voters()
        return is_quorum(sum(voter in ids for voter in voters), len(voters))
