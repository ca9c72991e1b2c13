"""One member of the cluster: takes messages and timers, lets `rules` decide, and carries the decisions out.

It must not know what entries mean, nor that its clock, links or disk may be simulated. Invariants:
- nothing that depends on a record, a term or a vote leaves this node before that is durable here;
- the commit index never goes back, and nothing at or below it is ever cut;
- one sync is under way at most; what comes meanwhile is covered by the next one;
- after a failed sync nothing is sent, appended or acknowledged any more.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rustqueue.model import limits
from rustqueue.raft.cluster.config import Config
from rustqueue.raft.cluster.election import Election
from rustqueue.raft.cluster.leading import Leading, ReadDone
from rustqueue.raft.cluster.parts import Parts, decode_config
from rustqueue.raft.cluster.rules import LogEnd, fit_append
from rustqueue.raft.cluster.syncobj import FOLLOWER, LEADER
from rustqueue.raft.journal import NoSpace
from rustqueue.raft.messages import Append, Appended, LogRecord, Message, TakeOver, VoteAsked, VoteGiven
from rustqueue.raft.records import KIND_CONFIG


@dataclass(slots=True)
class Hooks:
    """Whom a member tells. `elected` gets the wall clocks of the voters and appends the first entry of the term."""

    elected: Callable[[list[int]], None]
    deposed: Callable[[], None]
    progressed: Callable[[], None]
    """Something has become durable or committed."""
    configured: Callable[[Config], None]
    leader_changed: Callable[[str | None], None]
    no_space: Callable[[], None]
    failed: Callable[[BaseException], None]


class _PendingAck:
    """What the leader is still to be told once it is durable here."""

    __slots__ = ("index", "leader", "sequence", "term")

    def __init__(self, leader: str, term: int, index: int, sequence: int) -> None:
        self.leader = leader
        self.term = term
        self.index = index
        self.sequence = sequence


class Member:
    """`start` it when log, seat and links are open; give it every message; it calls its hooks on the loop."""

    leading_type = Leading
    """What leads. The suites put broken ones here, to see whether they are caught."""

    def __init__(self, parts: Parts, hooks: Hooks) -> None:
        self._parts = parts
        self._hooks = hooks
        self._seat = parts.seat
        self._log = parts.log
        self.election = Election(parts, self._won, self._step_down)
        self.leading: Leading | None = None
        self._ack: _PendingAck | None = None
        self._quiet_until_us = 0
        """Until then the leader need not be told that it is heard."""
        self._told: Appended | None = None
        """What the leader was told last."""
        self._waits_for_room = False
        self._stopped = False
        self._disarm: Callable[[], None] | None = None
        self._told_leader: str | None = None
        self._transfer_ends_us: int | None = None
        self.needs_snapshot: Callable[[str], None] = lambda peer: None
        self.round_trip: Callable[[str, int], None] = lambda peer, took_us: None
        """Told for records sent to a member: microseconds until it had them durably."""
        self.cuts_count = 0
        self.elections_count = 0
        self._handlers: dict[type, Callable[[str, object], None]] = {
            Append: self._on_append,  # type: ignore[dict-item] # Each handler takes the type it stands under.
            Appended: self._on_appended,  # type: ignore[dict-item]
            VoteAsked: self._on_vote_asked,  # type: ignore[dict-item]
            VoteGiven: self._on_vote_given,  # type: ignore[dict-item]
            TakeOver: self._on_take_over,  # type: ignore[dict-item]
        }

    # Status.

    @property
    def leads(self) -> bool:
        return self.leading is not None

    @property
    def term(self) -> int:
        return self._seat.term

    @property
    def leader(self) -> str | None:
        return self._seat.leader

    @property
    def commit_index(self) -> int:
        return self._seat.commit_index

    @property
    def hands_over(self) -> bool:
        return self.leading is not None and self.leading.heir is not None

    # Life.

    def start(self) -> None:
        self._log.wanted_from = self._wanted_from
        self._seat.set_others(list(self._parts.others()))
        self.election.be_patient()
        if self._parts.voters() == (self._parts.me,):
            self.election.campaign()
        self._rearm()

    def stop(self) -> None:
        """No more timers, messages or hooks."""
        self._stopped = True
        if self._disarm is not None:
            self._disarm()
        if self.leading is not None:
            leading, self.leading = self.leading, None
            leading.ended()

    def received(self, peer: str, message: Message) -> None:
        """A message of consensus from a member, or from who believes to be one."""
        if not self._stopped:
            try:
                self._handlers[type(message)](peer, message)
            except Exception as error:
                self._fail(error)

    def link_up(self, peer: str) -> None:
        self._seat.connected(peer, True)
        if self.leading is not None:
            self.leading.link_up(peer)

    def link_down(self, peer: str) -> None:
        self._seat.connected(peer, False)
        if self.leading is not None:
            self.leading.link_down(peer)

    # What a leader is asked.

    def append(self, kind: int, payload: bytes, *, prompt: bool = False) -> int:
        """Take a record into the log of the present term; it is sent and synced with the others of this turn. `prompt`:
        somebody at another member waits for its commit.
        """
        assert self.leading is not None, "only a leader appends"
        index = self._log.append(payload, self._seat.term, kind)
        if kind == KIND_CONFIG:
            self._configs_grew(index, decode_config(payload))
        self.leading.send_soon(index if prompt or kind == KIND_CONFIG else 0)
        self._kick()
        return index

    def read_index(self, done: ReadDone) -> None:
        if self.leading is None:
            done(None)
        else:
            self.leading.read_index(done)

    def transfer(self, heir: str | None = None) -> str | None:
        """Begin to hand the leadership over; who gets it, None when there is nobody. Ends by itself if it fails."""
        if self.leading is None:
            return None
        heir = heir or self.leading.best_heir()
        if heir is not None:
            self._transfer_ends_us = self._parts.clock.monotonic_us() + 2 * self._parts.timing.election_max_us
            self.leading.hand_over_to(heir)
        return heir

    # Timers.

    def _arm(self) -> None:
        timing, now_us = self._parts.timing, self._parts.clock.monotonic_us()
        if self.leading is not None:
            delay_ms = timing.heartbeat_ms
        else:
            delay_ms = max(1, -(-(self._seat.election_us - now_us) // 1_000))
        self._disarm = self._parts.clock.call_later(delay_ms, self._timer)

    def _rearm(self) -> None:
        if self._disarm is not None:
            self._disarm()
        if not self._stopped:
            self._arm()

    def _timer(self) -> None:
        if self._stopped:
            return
        try:
            if self.leading is not None:
                self._lead_on(self.leading)
            elif self._parts.clock.monotonic_us() >= self._seat.election_us:
                self._seat.role = FOLLOWER
                self._seat.leader = None
                self._tell_leader()
                self.election.out_of_patience()
            self._rearm()
        except Exception as error:
            self._fail(error)

    def _lead_on(self, leading: Leading) -> None:
        ends_us = self._transfer_ends_us
        if ends_us is not None and self._parts.clock.monotonic_us() >= ends_us:
            # The heir did not take over in time: go on, whatever waits is appended now.
            self._transfer_ends_us = None
            leading.hand_over_to(None)
            self._hooks.progressed()
        if not leading.beat():
            self._step_down(self._seat.term)

    # Roles.

    def _won(self, walls_ms: list[int]) -> None:
        seat = self._seat
        seat.role = LEADER
        seat.leader = seat.me
        self._ack = None
        self._transfer_ends_us = None
        self.elections_count += 1
        self.leading = self.leading_type(self._parts, self._log.last_index + 1, self._committed)
        self.leading.needs_snapshot = lambda peer: self.needs_snapshot(peer)
        self.leading.round_trip = self.round_trip
        self._hooks.elected(walls_ms)
        self._tell_leader()
        if self.leading is not None:
            self.leading.beat()
        self._rearm()

    def _step_down(self, term: int, leader: str | None = None, *, voted_for: str | None = None) -> None:
        """Follow, in `term` at least, with this vote if it is a new one. Durable before anything is sent."""
        seat = self._seat
        if term > seat.term:
            seat.set_term(term, voted_for)
        seat.role = FOLLOWER
        seat.leader = leader
        leading, self.leading = self.leading, None
        if leading is not None:
            self._transfer_ends_us = None
            leading.ended()
            self.election.lost_leader()
            self.election.be_patient()
            self._hooks.deposed()
            self._rearm()
        self._tell_leader()

    def _tell_leader(self) -> None:
        if self._seat.leader != self._told_leader:
            self._told_leader = self._seat.leader
            self._hooks.leader_changed(self._told_leader)

    # Following.

    def _on_append(self, peer: str, message: Append) -> None:
        seat, log = self._seat, self._log
        if message.term < seat.term:
            self._parts.links.send(peer, Appended(seat.term, False, 0, message.sequence))
            return
        if message.term > seat.term or seat.role != FOLLOWER or seat.leader != peer:
            assert self.leading is None or message.term > seat.term, f"{peer} leads in my term {seat.term}"
            self._step_down(message.term, peer)
        self.election.heard_leader()
        fit = fit_append(message, LogEnd(log.last_index, log.last_term), seat.commit_index, log.term_at)
        if fit.matched is None:
            self._ack = None
            self._parts.links.send(peer, Appended(seat.term, False, fit.hint, message.sequence))
            return
        if fit.cut_from is not None and not self._cut(fit.cut_from):
            return
        for record in fit.records:
            self._follow(record)
        self._acknowledge(peer, fit.matched, message)
        commit_index = min(message.commit_index, fit.matched)
        if commit_index > seat.commit_index:
            seat.commit_index = commit_index
            if not log.syncing:
                self._hooks.progressed()
            # Otherwise the end of the sync tells it, once the leader is told: it and its clients wait for that, while
            # what is applied here is waited for by few, and they wait for that sync at most.

    def _cut(self, index: int) -> bool:
        """False while a sync is under way: the leader sends the same again."""
        if self._log.syncing:
            return False
        assert index > self._seat.commit_index, f"a conflict at {index}, committed is {self._seat.commit_index}"
        self._log.cut_from(index)
        self.cuts_count += 1
        if self._parts.configs.cut_from(index):
            self._configured()
        return True

    def _follow(self, record: LogRecord) -> None:
        index = self._log.append(record.payload, record.term, record.kind)
        if record.kind == KIND_CONFIG:
            self._configs_grew(index, decode_config(record.payload))

    def _acknowledge(self, leader: str, matched: int, message: Append) -> None:
        log, term = self._log, self._seat.term
        self._ack = None
        is_quiet = self._parts.clock.monotonic_us() < self._quiet_until_us
        if matched > log.durable_index:
            self._ack = _PendingAck(leader, term, matched, message.sequence)
            self._kick()
            if log.syncing and is_quiet:
                return
        answer = Appended(term, True, min(matched, log.durable_index), message.sequence)
        if is_quiet and not message.records and answer == self._told:
            return  # A notice of a commit.
        # Even when nothing new is durable the leader learns that it is heard.
        self._tell(leader, answer)

    def _tell(self, leader: str, answer: Appended) -> None:
        self._told = answer
        self._quiet_until_us = self._parts.clock.monotonic_us() + self._parts.timing.heartbeat_ms * 500
        self._parts.links.send(leader, answer)

    # The log.

    def _wanted_from(self) -> int:
        """A follower may have to lead at any moment and does not know what others lack: it keeps what it may."""
        return self.leading.wanted_from() if self.leading is not None else 1

    def _kick(self) -> None:
        log = self._log
        if not log.syncing and log.last_index > log.durable_index and log.failed is None and not self._waits_for_room:
            log.sync(self._synced)

    def _synced(self, error: BaseException | None) -> None:
        if self._stopped:
            return
        try:
            if isinstance(error, NoSpace):
                self._found_no_room()
            elif error is not None:
                self._fail(error)
            else:
                self._durable_grew()
        except Exception as bug:
            self._fail(bug)

    def _durable_grew(self) -> None:
        self._kick()
        if self.leading is not None:
            self.leading.count()
        elif self._ack is not None:
            ack, log = self._ack, self._log
            durable = min(ack.index, log.durable_index)
            if durable == ack.index:
                self._ack = None
            if ack.term == self._seat.term:
                self._tell(ack.leader, Appended(ack.term, True, durable, ack.sequence))
                # The next turn gives the answer to its transport first.
                self._parts.clock.call_soon(self._hooks.progressed)
                return
        self._hooks.progressed()

    def _found_no_room(self) -> None:
        """What was appended stays; it is written again when there is room. Somebody with room had better lead."""
        self._waits_for_room = True
        self.election.held = True
        self._parts.clock.call_later(limits.DISK_CHECK_MS, self.try_again)
        self._hooks.no_space()
        if self.leading is not None:
            self._step_down(self._seat.term)
        self._hooks.progressed()

    def try_again(self) -> None:
        """There may be room again."""
        self._waits_for_room = False
        self.election.held = False
        self._kick()

    def _committed(self) -> None:
        configs = self._parts.configs
        is_out = self._parts.me not in configs.current and configs.current_index <= self._seat.commit_index
        if self.leading is not None and is_out:
            # This leader has led its own removal to the end.
            self._step_down(self._seat.term)
        self._hooks.progressed()

    # Members.

    def _configs_grew(self, index: int, config: Config) -> None:
        self._parts.configs.add(index, config)
        self._configured()

    def _configured(self) -> None:
        self._seat.set_others(list(self._parts.others()))
        self._hooks.configured(self._parts.config)
        if self.leading is not None:
            self.leading.members_changed()

    def state_installed(self, index: int, config: Config) -> None:
        """State and log begin at `index` now."""
        self._ack = None
        self._seat.commit_index = index
        self._parts.configs.replace(index, config)
        self._configured()

    # Other messages.

    def _on_appended(self, peer: str, message: Appended) -> None:
        if message.term > self._seat.term:
            self._step_down(message.term)
        elif self.leading is not None and message.term == self._seat.term:
            self.leading.appended(peer, message)

    def _on_vote_asked(self, peer: str, message: VoteAsked) -> None:
        self.election.asked(peer, message)

    def _on_vote_given(self, peer: str, message: VoteGiven) -> None:
        self.election.given(peer, message)

    def _on_take_over(self, peer: str, message: TakeOver) -> None:
        if message.term == self._seat.term and self._seat.role == FOLLOWER and self._seat.leader == peer:
            self.election.campaign(forced=True)

    def _fail(self, error: BaseException) -> None:
        if not self._stopped:
            self.stop()
            self._hooks.failed(error)
