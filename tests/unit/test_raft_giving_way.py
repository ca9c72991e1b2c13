"""A member that has much to apply yet lets others campaign first, and campaigns when nobody else was elected."""

from dataclasses import replace

import pytest

from rustqueue.model.commands import PushJobs
from rustqueue.model.wire import decode_request
from rustqueue.raft.ports import Proposal
from tests.unit.test_steward import Bench

LINE = b'{"cmd":"push","queue":"q","name":"n","data":1}'


@pytest.mark.parametrize("place", [0, 1])
def test_who_lags_gives_way_to_who_does_not(place: int) -> None:
    # Given a follower that lags
    bench = Bench()
    followers = bench.followers()
    lagging, other = followers[place], followers[1 - place]
    lagging.replicator.member.election.lags = lambda: True
    for _ in range(5):
        # When the leader is gone, then the other follower is elected, however often that is tried.
        leader = bench.leader()
        leader.crash(power=False)
        bench.settle(2)
        assert bench.leader() is other
        assert lagging.replicator.member.election.campaigns_count == 0
        leader.start()
        bench.settle(2)
        other.replicator.member.transfer(leader.id)
        bench.settle(2)
        assert bench.leader() is leader


def test_one_that_lags_is_better_than_none() -> None:
    # Given that everybody who is left lags
    bench = Bench()
    for follower in bench.followers():
        follower.replicator.member.election.lags = lambda: True
    # When the leader is gone, then one of them is elected all the same.
    bench.leader().crash(power=False)
    bench.settle(3)
    assert bench.leader() is not None


def test_a_member_lags_by_what_its_log_holds_and_it_has_not_applied() -> None:
    # Given a follower that cannot apply for a while
    bench = Bench()
    follower = bench.followers()[0].replicator
    follower._options = replace(follower._options, lag_entries=3)
    follower._held = True
    command = decode_request(LINE)
    assert isinstance(command, PushJobs)
    seen: list[bool] = []
    for _ in range(4):
        bench.leader().replicator.propose(Proposal(command, LINE, lambda reply: None))
        bench.settle(1)
        seen.append(follower.member.election.lags())
    assert seen[0] is False
    assert seen[-1] is True
    # When it has applied all, then it lags no longer.
    follower._resume()
    bench.settle(1)
    assert follower.member.election.lags() is False
