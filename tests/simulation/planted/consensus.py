"""Bugs of consensus. Most of them are what pysyncobj as published does, or what papers on Raft warn of."""

from dataclasses import replace

from rustqueue.gateway.relay import Errand, Relay
from rustqueue.raft.cluster.election import Election
from rustqueue.raft.cluster.leading import Leading, ReadDone
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.member import Hooks, Member
from rustqueue.raft.cluster.parts import Parts, Timing
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.cluster.syncobj import CANDIDATE, Seat
from rustqueue.raft.messages import Append, Appended, VoteGiven
from tests.simulation.cluster_faults import CLUSTER_KINDS
from tests.simulation.member_node import MemberVariant
from tests.simulation.planted.bug import Bug, Swarm, SwarmWorld


def _with(member: type[Member], short_log: bool = False) -> MemberVariant:
    """`short_log`: members that are behind need snapshots soon."""

    class Replicator(ClusterReplicator):
        member_type = member

    if short_log:
        return MemberVariant(replicator=Replicator, segment_bytes=4_000, flush_bytes=3_000, kept_bytes=3_000)
    return MemberVariant(replicator=Replicator)


def _leading(leading: type[Leading]) -> MemberVariant:
    class Led(Member):
        leading_type = leading

    return _with(Led)


class HastyFollower(Member):
    """Acknowledges what it has, not what is durable."""

    def _acknowledge(self, leader: str, matched: int, message: Append) -> None:
        self._kick()
        self._parts.links.send(leader, Appended(self._seat.term, True, matched, message.sequence))


class HastyLeading(Leading):
    """Counts its own copy before it is durable."""

    def count(self) -> None:
        log = self._parts.log
        durable_index, log.durable_index = log.durable_index, log.last_index
        super().count()
        log.durable_index = durable_index


class GreedyCommit(Member):
    """Commits whatever it has up to the leader's commit index, as pysyncobj does when a snapshot comes."""

    def _on_append(self, peer: str, message: Append) -> None:
        super()._on_append(peer, message)
        if message.term == self._seat.term and min(message.commit_index, self._log.last_index) > self.commit_index:
            self._seat.commit_index = min(message.commit_index, self._log.last_index)
            self._hooks.progressed()


class ForgetfulSeat(Seat):
    """Keeps term and vote in memory only, but for the first term: a file that is missing would be noticed."""

    def set_term(self, term: int, voted_for: str | None) -> None:
        if self.term == 0:
            super().set_term(term, None)
        self._SyncObj__raftCurrentTerm = term
        self._SyncObj__votedForNodeId = voted_for


class GenerousSeat(Seat):
    """Forgets in the same term whom it voted for."""

    @property
    def voted_for(self) -> str | None:
        return None


class TrustingReads(Leading):
    """Answers reads without asking whether it still leads."""

    def read_index(self, done: ReadDone) -> None:
        done(self._parts.seat.commit_index)


class SkippingSnapshot(Member):
    """Takes a snapshot for one entry more than it holds."""

    def state_installed(self, index: int, config: object) -> None:
        super().state_installed(index, config)  # type: ignore[arg-type]
        self._seat.commit_index = index + 1
        if self._log.last_index == index:
            self._log.begin_after(index + 1, self._log.last_term)


class LyingLog(MemberLog):
    """Says that a cut is done and leaves the records on the disk."""

    def _cut_files(self, index: int) -> None:
        pass


class LoneLeading(Leading):
    """Commits, and so acknowledges, what only the leader itself holds."""

    def count(self) -> None:
        parts = self._parts
        seat, durable_index = parts.seat, parts.log.durable_index
        if durable_index > seat.commit_index and parts.log.term_at(durable_index) == seat.term:
            was, seat.commit_index = seat.commit_index, durable_index
            self._committed()
            self._tell_soon(was)


class CuttingMember(Member):
    """Cuts the log behind what an append begins at, whether it matches or not, as pysyncobj does."""

    def _on_append(self, peer: str, message: Append) -> None:
        is_present = message.term == self._seat.term and self._seat.leader == peer
        if is_present and message.prev_index < self._log.last_index and not self._log.syncing:
            self._cut(max(message.prev_index + 1, self._log.first_index))
        super()._on_append(peer, message)


class HastyReplicator(ClusterReplicator):
    """Applies what is committed elsewhere before it is durable here."""

    @property
    def _applicable_index(self) -> int:
        return min(self.member.commit_index, self._log.last_index)


class BlindRelay(Relay):
    """Sends an errand again whenever its link is lost, whatever it does."""

    def _lost(self, errand: Errand) -> None:
        if errand.placements:
            errand.sent_to = None
        else:
            self._send(errand)


class OldVoteElection(Election):
    """Counts whatever vote it is given, for this term or for one before."""

    def given(self, voter: str, message: VoteGiven) -> None:
        if message.granted and not message.pre and self._parts.seat.role == CANDIDATE:
            self._votes[voter] = message.wall_ms
            self._count_votes()
        else:
            super().given(voter, message)


class OldVotes(Member):
    def __init__(self, parts: Parts, hooks: Hooks) -> None:
        super().__init__(parts, hooks)
        self.election = OldVoteElection(parts, self._won, self._step_down)


def _found(name: str, variant: MemberVariant, swarm: Swarm, first: int = 0) -> Bug:
    return Bug(name, lambda seed: SwarmWorld(seed, variant, swarm), first)


_ALL = Swarm(CLUSTER_KINDS)
_STALE = Swarm(("slow link", "flapping", "isolate", "kill leader"), 15, fault_mean_ms=700, think_ms=60)
_DEPOSED = Swarm(("isolate", "halves"), 15, fault_mean_ms=900, think_ms=100)
_FLUSHING = MemberVariant(replicator=HastyReplicator, flush_bytes=400)
_QUICK = Timing(heartbeat_ms=20, election_min_ms=60, election_max_ms=70)
_RESTLESS = Swarm(("slow link", "hand over"), 10, fault_mean_ms=120, latency_ms=8, think_ms=200)
"""Elections that are quicker than a slow link: what is said in one term is heard in a later one."""
_LINKS_BREAK = Swarm(("flapping", "isolate", "one way"), 15, fault_mean_ms=700, latency_ms=15, think_ms=60)

BUGS = (
    _found("follower acknowledges before durable", _with(HastyFollower), Swarm(("kill all", "slow disk"), 8), 34),
    _found("leader counts its own copy before durable", _leading(HastyLeading), _ALL),
    _found("acknowledged before a majority has it", _leading(LoneLeading), Swarm(("isolate", "kill leader"))),
    _found("commit over entries that were not compared", _with(GreedyCommit), _ALL),
    _found("matching entries cut", _with(CuttingMember), _STALE),
    _found("vote not persisted", MemberVariant(seat=ForgetfulSeat), _ALL),
    _found("two votes in one term", MemberVariant(seat=GenerousSeat), _ALL, 32),
    _found("applied before durable", _FLUSHING, Swarm(("power cut", "slow disk", "kill")), 26),
    _found("read without asking the others", _leading(TrustingReads), _DEPOSED, 24),
    _found("snapshot lacks an entry", _with(SkippingSnapshot, short_log=True), Swarm(("isolate", "kill"), 8)),
    _found(
        "cut that leaves the records",
        MemberVariant(log=LyingLog),
        Swarm(("isolate", "kill leader", "power cut"), 10),
        27,
    ),
    _found(
        "vote of another term counted",
        replace(_with(OldVotes), timing=_QUICK),
        _RESTLESS,
        5,
    ),
    _found("errand sent again blindly", MemberVariant(relay=BlindRelay), _LINKS_BREAK),
)
