"""What a leader of a moment ago had on its way, when a snapshot of the next one comes."""

from rustqueue.model.commands import PushJobs
from rustqueue.model.replies import Refused, Reply
from rustqueue.raft.ports import Proposal
from tests.unit.test_steward import Bench

PUSH = PushJobs(queue="q", jobs=[], single=True)


def test_a_snapshot_beyond_what_was_on_its_way_leaves_its_outcome_unknown_and_the_node_running() -> None:
    # Given a leader that nobody hears, with a push and a tick that are not committed
    bench = Bench()
    leader, replies = bench.leader(), list[Reply]()
    for other in bench.followers():
        bench.network.block(leader.name, other.name)
    leader.replicator.propose(Proposal(PUSH, b'{"cmd":"push"}', replies.append))
    bench.timeline.run_until(bench.timeline.now_us + 1_000)
    leader.replicator._want_tick()
    bench.timeline.run_until(bench.timeline.now_us + 50_000)
    assert leader.log.last_index > leader.seat.commit_index + 1
    # When a state is installed that goes beyond both
    leader.replicator.state_installed(leader.log.last_index)
    # Then the push may have happened, and nobody asks what became of the tick.
    assert [reply.error.code for reply in replies if isinstance(reply, Refused)] == ["OUTCOME_UNKNOWN"]
    assert leader.fatal is None
