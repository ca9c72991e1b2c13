"""Bugs of membership, of the duties of a leader, and of what a lost disk may not do."""

from rustqueue.effects.webhooks.duty import WebhookDuty
from rustqueue.model.errors import ApiError
from rustqueue.raft.cluster.leading import Leading
from rustqueue.raft.cluster.member import Member
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.cluster.rules import new_commit
from rustqueue.raft.membership.steward import Steward
from tests.simulation.ledger import require
from tests.simulation.member_node import MemberVariant, SimMember
from tests.simulation.planted.bug import Bug, Swarm, SwarmWorld
from tests.simulation.test_webhooks import DeliveryWorld
from tests.simulation.timeline import Process


class HastySteward(Steward):
    """Begins a change while another one is not committed."""

    def obstacle(self) -> ApiError | None:
        found = super().obstacle()
        return None if found is not None and found.code == "CHANGE_IN_PROGRESS" else found


class CountingLearners(Leading):
    """Counts what learners hold as if they had a vote."""

    def count(self) -> None:
        parts, seat = self._parts, self._parts.seat
        durable = [seat.progress(member)[0] for member in self.peers] + [parts.log.durable_index]
        held = sorted(durable, reverse=True)[len(parts.voters()) // 2]
        commit = new_commit(seat.commit_index, held, seat.term, parts.log.term_at)
        if commit > seat.commit_index:
            was, seat.commit_index = seat.commit_index, commit
            self._committed()
            self._tell_soon(was)


class _Led(Member):
    leading_type = CountingLearners


class LearnersCount(ClusterReplicator):
    member_type = _Led


class EverybodySends(DeliveryWorld):
    """Every replica calls the receivers of webhooks, not only the leader."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, jobs_count=100, load_s=15)

    def _duty(self, member: SimMember, process: Process) -> WebhookDuty:
        duty = super()._duty(member, process)
        process.call_soon(duty.begin)
        duty.end = lambda: None  # type: ignore[method-assign] # The planted bug.
        return duty

    def _judge(self) -> None:
        super()._judge()
        # What a failover sends again is bounded by what was on its way.
        share = self.repeats.total() / (self._jobs_count * 2)
        require(share < 0.2, "I17", f"{share:.0%} of all deliveries came more than once")


def _found(name: str, variant: MemberVariant, swarm: Swarm, first: int = 0) -> Bug:
    return Bug(name, lambda seed: SwarmWorld(seed, variant, swarm), first)


_CHANGES = ("member added", "member removed", "leadership moved")
_MOVING = Swarm((*_CHANGES, "isolate", "slow link"), 20, fault_mean_ms=800)
_LOSING = Swarm(("disk lost", "isolate", "halves", "kill leader"), 40, fault_mean_ms=3_000, think_ms=100)
_LEARNING = Swarm(
    ("member added", "member removed", "isolate", "halves", "kill leader"), 30, fault_mean_ms=900, think_ms=100
)

BUGS = (
    _found("two changes of the members at once", MemberVariant(steward=HastySteward), _MOVING),
    _found("learners counted as voters", MemberVariant(replicator=LearnersCount), _LEARNING),
    _found("a wiped disk votes under its old name", MemberVariant(keeps_name=True), _LOSING),
    Bug("webhook sent by every replica", EverybodySends),
)
