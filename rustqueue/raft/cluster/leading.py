"""What a leader does: send the log to every member, count what is durable where, confirm that it still leads.

It must not know elections nor what a record means. Invariants: a member is never sent again what it has acknowledged;
the commit index follows durable copies on a majority of the voters of the newest configuration; a read is answered only
when a majority has echoed a sequence that began after the read did.
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from rustqueue.model import limits
from rustqueue.raft.cluster import rules
from rustqueue.raft.cluster.parts import Parts
from rustqueue.raft.journal import JournalDamaged
from rustqueue.raft.messages import Append, Appended, TakeOver

ReadDone = Callable[[int | None], None]
"""The index to apply before reading; None: this node does not lead any more."""


@dataclass(slots=True)
class Peer:
    """One other member as the leader sees it. `probing`: where its log meets ours is not known yet."""

    probing: bool = True
    awaiting: bool = False
    sequence: int = 0
    heard_us: int = -1
    commit_sent: int = 0
    unacked: deque[tuple[int, int, int]] = field(default_factory=deque)
    """What is on its way: last index, bytes, when it left."""
    unacked_bytes: int = 0

    def forget_sent(self) -> None:
        self.unacked.clear()
        self.unacked_bytes = 0
        self.probing, self.awaiting = True, False


@dataclass(slots=True)
class _Read:
    sequence: int
    index: int
    done: ReadDone


class Leading:
    """The term of one leader; made anew for each."""

    def __init__(self, parts: Parts, first_index: int, committed: Callable[[], None]) -> None:
        """`first_index` is the leader's own first record of this term: with it, all before it is committed."""
        self._parts = parts
        self._first_index = first_index
        self._committed = committed
        self._sequence = 1
        self._reads: deque[_Read] = deque()
        self._notice_asked = self._notice_armed = False
        self._prompt_index = 0
        self._over = False
        self._send_asked = False
        self._round_open = False
        self.heir: str | None = None
        """Who is to lead next, once this leader hands over."""
        self._heir_asked = False
        self.peers: dict[str, Peer] = {}
        self.needs_snapshot: Callable[[str], None] = lambda peer: None
        self.round_trip: Callable[[str, int], None] = lambda peer, took_us: None
        parts.seat.forget_progress()
        self.members_changed()

    # Members.

    def members_changed(self) -> None:
        parts = self._parts
        now_us = parts.clock.monotonic_us()
        for member in parts.others():
            if member not in self.peers:
                # A new leader gives everybody one election timeout before it doubts that they hear it.
                self.peers[member] = Peer(heard_us=now_us)
                parts.seat.set_progress(member, 0, parts.log.last_index + 1)
        for gone in self.peers.keys() - set(parts.others()):
            del self.peers[gone]

    def link_up(self, member: str) -> None:
        if member in self.peers:
            self._start_over(member)
            self._send_to(member, heartbeat=True)

    def link_down(self, member: str) -> None:
        if member in self.peers:
            self._start_over(member)

    def _start_over(self, member: str) -> None:
        """After a lost link what was sent may or may not be there: go on from what is acknowledged, if anything is."""
        matched, next_index = self._parts.seat.progress(member)
        self._parts.seat.set_progress(member, matched, matched + 1 if matched else next_index)
        self.peers[member].forget_sent()

    # Sending.

    def beat(self) -> bool:
        """Heartbeats to all. False when too few have been heard from: this node leads no more."""
        if not self.hears_most(self._parts.voters()):
            return False
        for member, peer in self.peers.items():
            peer.awaiting = False
            self._send_to(member, heartbeat=True)
        return True

    def hears_most(self, voters: Collection[str]) -> bool:
        """Whether a majority of these has been heard from within an election timeout."""
        parts = self._parts
        since_us = parts.clock.monotonic_us() - parts.timing.election_max_us
        heard = {member: peer.heard_us for member, peer in self.peers.items()}
        return rules.heard_from_quorum(heard, parts.me, voters, since_us)

    def send_soon(self, prompt_index: int = 0) -> None:
        """Records were appended: all that belong to one turn leave together. Somebody at another member waits for the
        commit of the one at `prompt_index`.
        """
        self._prompt_index = max(self._prompt_index, prompt_index)
        if not self._send_asked:
            self._send_asked = True
            self._parts.clock.call_soon(self._send_all)

    def _send_all(self) -> None:
        self._send_asked = False
        if not self._over:
            for member in self.peers:
                self._send_to(member)

    def _send_to(self, member: str, heartbeat: bool = False) -> None:
        """What the member lacks and may have in flight; at least an empty append for a heartbeat."""
        parts, peer = self._parts, self.peers[member]
        if not parts.links.writable(member):
            return
        while True:
            matched, next_index = parts.seat.progress(member)
            prev_term = parts.log.term_at(next_index - 1)
            if prev_term is None:
                self._offer_snapshot(member, heartbeat)
                return
            records = []
            if self._may_send(peer, next_index):
                try:
                    records = parts.log.records_from(next_index, limits.APPEND_BYTES_MAX, parts.log.last_index)
                except JournalDamaged:
                    # Rot in what only this member still needs: the state is sound, so it gets that.
                    self._offer_snapshot(member, heartbeat)
                    return
            elif not heartbeat:
                return
            message = Append(
                parts.seat.term, next_index - 1, prev_term, parts.seat.commit_index, self._sequence, records
            )
            if not self._emit(member, message) or not records:
                return
            bytes_count = sum(len(record.payload) for record in records)
            last_index = next_index + len(records) - 1
            peer.unacked.append((last_index, bytes_count, parts.clock.monotonic_us()))
            peer.unacked_bytes += bytes_count
            parts.seat.set_progress(member, matched, last_index + 1)
            heartbeat = False

    def _offer_snapshot(self, member: str, heartbeat: bool) -> None:
        """The log does not lead on from where the member is. It must hear of its leader all the same."""
        self.needs_snapshot(member)
        if heartbeat:
            self._emit(member, Append(self._parts.seat.term, 0, 0, 0, self._sequence, []))

    def _may_send(self, peer: Peer, next_index: int) -> bool:
        if next_index > self._parts.log.last_index:
            return False
        if peer.probing:
            # One at a time until it is known where the logs meet, and that one may as well carry something.
            return not peer.awaiting
        return peer.unacked_bytes < limits.PEER_UNACKED_BYTES_MAX

    def _emit(self, member: str, message: Append) -> bool:
        peer = self.peers[member]
        sent = self._parts.links.send(member, message)
        if sent:
            peer.commit_sent = max(peer.commit_sent, message.commit_index)
            peer.awaiting = peer.awaiting or bool(message.records)
        return sent

    # Answers.

    def appended(self, member: str, message: Appended) -> None:
        """An answer in the present term."""
        peer = self.peers.get(member)
        if peer is None:
            return
        seat = self._parts.seat
        peer.heard_us = self._parts.clock.monotonic_us()
        peer.sequence = max(peer.sequence, message.sequence)
        matched, next_index = seat.progress(member)
        if message.ok:
            self._matched(member, peer, message.index)
        else:
            back = rules.next_after_mismatch(next_index, matched, message.index)
            seat.set_progress(member, matched, back)
            peer.forget_sent()
            self._send_to(member)
        self._serve_reads()
        self._hand_over()

    def _matched(self, member: str, peer: Peer, index: int) -> None:
        seat = self._parts.seat
        matched, next_index = seat.progress(member)
        peer.awaiting = False
        while peer.unacked and peer.unacked[0][0] <= index:
            _, bytes_count, sent_us = peer.unacked.popleft()
            peer.unacked_bytes -= bytes_count
            self.round_trip(member, peer.heard_us - sent_us)
        if index > matched:
            matched = index
            peer.probing = False
            seat.set_progress(member, matched, max(next_index, matched + 1))
            if matched > seat.commit_index:
                self.count()
        elif index == next_index - 1:
            peer.probing = False
        self._send_to(member)

    def count(self) -> None:
        """Something has become durable somewhere: what is committed now?"""
        parts, seat = self._parts, self._parts.seat
        durable = {member: seat.progress(member)[0] for member in self.peers}
        durable[parts.me] = parts.log.durable_index
        counted = rules.committed_by_count(durable, parts.voters())
        commit = rules.new_commit(seat.commit_index, counted, seat.term, parts.log.term_at)
        was = seat.commit_index
        if commit > was:
            seat.commit_index = commit
            self._committed()
            self._tell_soon(was)

    def _tell_soon(self, was: int) -> None:
        """Members that are sent nothing else are told of the commit: at once if somebody there waits for it, otherwise
        so late that under load the next records bring the news.
        """
        clock = self._parts.clock
        if was < self._prompt_index:
            if not self._notice_asked:
                self._notice_asked = True
                clock.call_soon(self._tell_at_once)
        elif not self._notice_armed:
            self._notice_armed = True
            clock.call_later(limits.COMMIT_NOTICE_MS, self._tell_late)

    def _tell_at_once(self) -> None:
        self._notice_asked = False
        self._tell()

    def _tell_late(self) -> None:
        self._notice_armed = False
        self._tell()

    def _tell(self) -> None:
        if self._over:
            return
        seat = self._parts.seat
        for member, peer in self.peers.items():
            if peer.commit_sent < seat.commit_index and not peer.probing:
                self._send_to(member, heartbeat=True)

    def has_snapshot(self, member: str, index: int) -> None:
        """The member has installed a snapshot, or had no need of one: it has everything up to `index`, durably."""
        peer = self.peers.get(member)
        if peer is None:
            return
        matched, _ = self._parts.seat.progress(member)
        if index > matched:
            peer.forget_sent()
            self._parts.seat.set_progress(member, index, index + 1)
            self.count()
        self._send_to(member)

    # Reads.

    def read_index(self, done: ReadDone) -> None:
        """Tell the index that a read which begins now must see, as soon as it is sure that this node still leads."""
        self._reads.append(_Read(self._sequence + 1, max(self._parts.seat.commit_index, self._first_index), done))
        if not self._round_open:
            self._round_open = True
            self._parts.clock.call_soon(self._ask_round)

    def _ask_round(self) -> None:
        """All reads of a turn share one round of heartbeats."""
        self._round_open = False
        if self._over:
            return
        self._sequence += 1
        for member in self.peers:
            self._send_to(member, heartbeat=True)
        self._serve_reads()

    def _serve_reads(self) -> None:
        if not self._reads:
            return
        parts = self._parts
        echoed = {member: peer.sequence for member, peer in self.peers.items()}
        confirmed = rules.confirmed_sequence(echoed, parts.me, self._sequence, parts.voters())
        while self._reads and self._reads[0].sequence <= confirmed:
            read = self._reads.popleft()
            read.done(read.index)

    # The end of a leadership.

    def hand_over_to(self, heir: str | None) -> None:
        """Let the heir campaign as soon as it has everything; None: call it off."""
        self.heir, self._heir_asked = heir, False
        self._hand_over()

    def best_heir(self) -> str | None:
        """The voter with the longest log."""
        seat = self._parts.seat
        known = [(seat.progress(voter)[0], voter) for voter in self._parts.other_voters() if voter in self.peers]
        return max(known)[1] if known else None

    def _hand_over(self) -> None:
        heir, parts = self.heir, self._parts
        if heir is None or self._heir_asked or heir not in self.peers:
            return
        if parts.seat.progress(heir)[0] == parts.log.last_index:
            self._heir_asked = parts.links.send(heir, TakeOver(parts.seat.term))

    def ended(self) -> None:
        """Nobody shall wait for an answer of a leader that is none any more."""
        self._over = True
        reads, self._reads = self._reads, deque()
        for read in reads:
            read.done(None)

    def wanted_from(self) -> int:
        """The first index that some member has not acknowledged."""
        matched = [self._parts.seat.progress(member)[0] for member in self.peers]
        return min(matched, default=self._parts.log.last_index) + 1

    @property
    def is_settled(self) -> bool:
        """Whether an entry of this leader's own is committed, and with it everything of its predecessors."""
        return self._parts.seat.commit_index >= self._first_index
