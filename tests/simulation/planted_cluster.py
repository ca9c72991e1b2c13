"""Bugs of consensus put in on purpose, each in a subclass of the real thing: the test of the cluster's tester.

Most of them are what pysyncobj as published does, or what raft papers warn of; a simulator that does not find them
within its budget is broken, whatever else it says.
"""

from collections.abc import Callable, Sequence

from rustqueue.machine.machine import Machine
from rustqueue.model.commands import Command
from rustqueue.model.entry import Entry
from rustqueue.model.replies import Reply
from rustqueue.raft.cluster.leading import Leading, ReadDone
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.member import Member
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.cluster.syncobj import Seat
from rustqueue.raft.messages import Append, Appended
from tests.simulation.member_node import MemberVariant


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
    """Keeps its vote in memory only."""

    def set_term(self, term: int, voted_for: str | None) -> None:
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


class LocalTimeMachine(Machine):
    """Lets each replica stamp for itself: every third entry is a millisecond later here than elsewhere."""

    instances = 0

    def apply(self, index: int, entry: Entry, commands: Sequence[Command] | None = None) -> list[Reply]:
        type(self).instances += 1
        shift_ms = type(self).instances % 3
        later = Entry(entry.version, entry.term, entry.now_ms + shift_ms, entry.seed, entry.commands)
        return super().apply(index, later, commands)


PLANTED: dict[str, Callable[[], MemberVariant]] = {
    "follower acknowledges before durable": lambda: _with(HastyFollower),
    "leader counts its own copy before durable": lambda: _leading(HastyLeading),
    "commit over entries that were not compared": lambda: _with(GreedyCommit),
    "vote not persisted": lambda: MemberVariant(seat=ForgetfulSeat),
    "two votes in one term": lambda: MemberVariant(seat=GenerousSeat),
    "read without asking the others": lambda: _leading(TrustingReads),
    "snapshot lacks an entry": lambda: _with(SkippingSnapshot, short_log=True),
    "cut that leaves the records": lambda: MemberVariant(log=LyingLog),
    "replicas stamp for themselves": lambda: MemberVariant(machine=LocalTimeMachine),
}
"""What is wrong, and the code that is wrong in this way."""
