"""The replicator of a cluster member: what the gateway proposes to, and what feeds the machine.

It must not know who asked, nor how members agree (`member` does). Invariants:
- an entry is applied when it is committed and durable here, in order, once;
- a proposal is answered with the reply of its own entry, or refused when it is certain that the entry was replaced by
  another leader's; while neither is known it stays unanswered, and the gateway's deadline calls the outcome unknown;
- only a leader stamps time, asks for ticks and closes entries; two entries at most are on their way.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rustqueue.model import limits
from rustqueue.model.cluster.features import ProgramTooOld
from rustqueue.model.commands import Command, PushJobs, Tick
from rustqueue.model.entry import ENTRY_VERSION, Entry, decode_entry, encode_entry
from rustqueue.model.errors import ApiError, Limited, Unavailable
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import encode_command
from rustqueue.raft.cluster.config import Config, command_of
from rustqueue.raft.cluster.digests import Digests, StateDiffers
from rustqueue.raft.cluster.member import Hooks, Member
from rustqueue.raft.cluster.parts import Parts, ReplicatorOptions, ReplicatorPorts
from rustqueue.raft.cluster.placements import Placements
from rustqueue.raft.cluster.rules import election_stamp_ms
from rustqueue.raft.flush import FlushParts, StoreFlush
from rustqueue.raft.group import Company
from rustqueue.raft.local import ApplyFailed
from rustqueue.raft.messages import LogRecord, Message, StateDigest
from rustqueue.raft.ports import Proposal, StateMachine, Store
from rustqueue.raft.records import KIND_CONFIG, KIND_ENTRY
from rustqueue.raft.space import SpaceWatch
from rustqueue.raft.stamp import EntryClock
from rustqueue.raft.tick import TickPace

_TICK = Tick()
_TICK_RAW = b'{"cmd":"!tick"}'


@dataclass(slots=True)
class _Round:
    """An entry of this node's own that is not applied yet."""

    term: int
    entry: Entry
    proposals: list[Proposal]
    bytes_count: int
    is_tick: bool


class ClusterReplicator:
    """Everything is called, and calls back, on the loop."""

    member_type = Member
    """What agrees with the others. The suites put broken ones here, to see whether they are caught."""

    def __init__(
        self, parts: Parts, machine: StateMachine, store: Store, ports: ReplicatorPorts, options: ReplicatorOptions
    ) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._log = parts.log
        self._machine = machine
        self._store = store
        self._ports = ports
        self._options = options
        self.space = SpaceWatch(ports.disk, parts.clock, ports.background, parts.log.folder, options.space)
        self.member = self.member_type(
            parts,
            Hooks(
                self._elected, self._deposed, self._progressed, self._configured, self._leader_changed,
                self._no_space, self.fail,
            ),
        )  # fmt: skip
        self.member.election.lags = self._lags
        self._pending: deque[Proposal] = deque()
        self._rounds: dict[int, _Round] = {}
        self._company = Company(parts.clock, self._ask_turn)
        self.placements = Placements(lambda: machine.applied_index)
        self._turn_asked = self._apply_asked = self._applying = False
        self._held = False
        self._tick_wanted = False
        self._refusal: ApiError | None = Unavailable.stopping()
        self._when_stopped: Callable[[], None] | None = None
        self._stamp: EntryClock | None = None
        self._pace: TickPace | None = None
        self.digests = Digests(parts, options.digest_every)
        self.pending_bytes = 0
        self.term_begins_at = 0
        """The first entry of this node's own leadership: until it is applied, what is applied may be old."""
        self.stopped: BaseException | None = None
        self.on_assemble: Callable[[list[Proposal]], None] | None = None
        self.on_fatal: Callable[[BaseException], None] | None = None
        self.on_role: Callable[[bool], None] = lambda leads: None
        self.on_leader: Callable[[str | None], None] = lambda leader: None
        self.on_configured: Callable[[Config], None] = lambda config: None
        self.on_applied: Callable[[int], None] = lambda index: None
        self.installed_config: Callable[[], Config] = lambda: Config(())
        """The members as the state machine knows them."""

    # Status.

    @property
    def leads(self) -> bool:
        return self.member.leads

    @property
    def applied_index(self) -> int:
        return self._machine.applied_index

    @property
    def commit_index(self) -> int:
        return self.member.commit_index

    @property
    def flushed_index(self) -> int:
        return self._flush.flushed_index

    @property
    def term(self) -> int:
        return self.member.term

    @property
    def disk_full(self) -> bool:
        return self.space.full

    def now_ms(self) -> int:
        """The time by which the machine lives; on a follower as of the last applied entry."""
        if self._stamp is None:
            return self._machine.now_ms
        return self._stamp.peek(self._clock.monotonic_us(), self._clock.wall_ms())

    # Start and stop.

    def start(self) -> None:
        """Log, seat and links are open. Whatever the store has applied was committed."""
        self._parts.seat.commit_index = max(self._parts.seat.commit_index, self._machine.applied_index)
        self._flush = StoreFlush(
            FlushParts(
                self._log, self._machine, self._store, self._ports.background, self._clock,
                self._options.survivable, self.fail,
            ),
            self._options.flush,
        )  # fmt: skip
        self.space.start()
        self._refusal = None
        self.member.start()

    def stop(self, done: Callable[[], None], hurry: bool = False) -> None:
        """Refuse new proposals, answer those that are in while the cluster lets it, flush, close, call `done`.

        A second call with `hurry` leaves what is still on its way to the others, who may never come. It does nothing
        when the end has begun without it; the first `done` is called then.
        """
        if hurry:
            if self._when_stopped is None:
                return
            self._rounds.clear()
            self._pending.clear()
        if self.stopped is not None:
            self._close(done)
            return
        self._refusal = Unavailable.stopping()
        self._when_stopped = done
        self.space.stop()
        if self._pace is not None:
            self._pace.stop()
        self._tick_wanted = False
        self._maybe_stopped()

    def _maybe_stopped(self) -> None:
        if self._when_stopped is not None and not self._pending and not self._rounds:
            when_stopped, self._when_stopped = self._when_stopped, None
            self.member.stop()
            self._flush.finish(lambda: self._close(when_stopped))

    def _close(self, done: Callable[[], None]) -> None:
        self._log.close()
        self._store.close()
        done()

    def fail(self, error: BaseException) -> None:
        """Stop dead: whatever was not answered stays unanswered, since nobody knows what became of it."""
        if self.stopped is not None:
            return
        self.stopped = error
        self._refusal = Unavailable.unknown_outcome()
        self.member.stop()
        self.space.stop()
        self._flush.stop()
        if self._pace is not None:
            self._pace.stop()
        if self.on_fatal is not None:
            self.on_fatal(error)

    def flush(self) -> None:
        """Flush the store now rather than when its time comes."""
        if self.stopped is None:
            self._flush.begin()

    # Proposals.

    def propose(self, proposal: Proposal) -> None:
        """Take a command. Its `done` is called with the reply when it is committed and applied here, or refused."""
        size_bytes = len(proposal.raw)
        refusal = self._refusal
        if refusal is None and not self.leads:
            refusal = Unavailable.no_leader()
        if refusal is None and self._options.too_early is not None:
            refusal = self._options.too_early(proposal.command)
        if refusal is None and self.space.full and isinstance(proposal.command, PushJobs):
            refusal = Unavailable.disk_full()
        if refusal is None and self.pending_bytes + size_bytes > self._options.pending_bytes:
            refusal = Limited.overloaded()
        if refusal is not None:
            proposal.done(Refused.of(refusal))
            return
        self.pending_bytes += size_bytes
        self._pending.append(proposal)
        self._ask_turn()

    def _ask_turn(self) -> None:
        if not self._turn_asked and (self._pending or self._tick_wanted):
            self._turn_asked = True
            self._clock.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_asked = False
        if self.stopped is not None or not self.leads:
            return
        try:
            while self._may_begin() and (self._tick_wanted or self._is_company_there()):
                self._begin_round()
        except Exception as error:
            self.fail(error)

    def _may_begin(self) -> bool:
        return len(self._rounds) < self._options.rounds and not self.member.hands_over and not self._held

    def _is_company_there(self) -> bool:
        if not self._pending or self._when_stopped is not None:
            return bool(self._pending)
        on_their_way = sum([len(own.proposals) for own in self._rounds.values()])
        return self._company.is_there(len(self._pending), on_their_way)

    def _begin_round(self) -> None:
        """Close an entry over what waits."""
        is_tick = self._tick_wanted
        if is_tick:
            # A tick has an entry of its own, so that the time it takes can be measured.
            self._tick_wanted = False
            proposals, own_count = [Proposal(_TICK, _TICK_RAW, _ignore)], 0
        else:
            proposals = self._take_pending()
            own_count = len(proposals)
        if self.on_assemble is not None:
            self.on_assemble(proposals)
        self.pending_bytes += sum([len(proposal.raw) for proposal in proposals[own_count:]])
        self._append(proposals, is_tick)

    def _append(self, proposals: list[Proposal], is_tick: bool) -> None:
        commands = [proposal.raw for proposal in proposals]
        entry = Entry(ENTRY_VERSION, self.term, self._next_ms(), self._ports.seed(), commands)
        # An empty entry begins a term: others wait for what it commits.
        prompt = not proposals or any([proposal.placed is not None for proposal in proposals])
        index = self.member.append(KIND_ENTRY, encode_entry(entry), prompt=prompt)
        self._rounds[index] = _Round(entry.term, entry, proposals, sum(map(len, commands)), is_tick)
        for ordinal, proposal in enumerate(proposals):
            if proposal.placed is not None:
                proposal.placed(index, ordinal, entry.term)

    def change_members(self, config: Config) -> int:
        """Append a configuration; it is in force at once, and safe as soon as it is committed. Gives its index."""
        command = command_of(config)
        raw = encode_command(command)
        entry = Entry(ENTRY_VERSION, self.term, self._next_ms(), self._ports.seed(), [raw])
        return self.member.append(KIND_CONFIG, encode_entry(entry))

    def _take_pending(self) -> list[Proposal]:
        """As many as belong in one entry."""
        options, pending = self._options, self._pending
        taken: list[Proposal] = []
        bytes_count = 0
        while pending and len(taken) < options.entry_commands:
            size_bytes = len(pending[0].raw)
            if taken and bytes_count + size_bytes > options.entry_bytes:
                break
            bytes_count += size_bytes
            taken.append(pending.popleft())
        return taken

    def _next_ms(self) -> int:
        assert self._stamp is not None, "a leader has a clock"
        return self._stamp.next(self._clock.monotonic_us(), self._clock.wall_ms())

    # Roles.

    def _elected(self, walls_ms: list[int]) -> None:
        """Begin the term with an empty entry: with it, everything before is committed."""
        log = self._log
        last_ms = self._machine.now_ms
        if log.last_index > self._machine.applied_index:
            last_ms = max(last_ms, decode_entry(log.records_from(log.last_index, 1, log.last_index)[0].payload).now_ms)
        clock = self._clock
        self._stamp = EntryClock(last_ms, clock.monotonic_us(), election_stamp_ms(clock.wall_ms(), walls_ms))
        self._pace = TickPace(clock, self._stamp, self._machine, self._want_tick)
        self._append([], is_tick=False)
        self.term_begins_at = log.last_index
        if self._parts.configs.current_index == 0:
            # The founders know each other from their hellos; from here on the log, and every snapshot, knows them.
            self.change_members(self._parts.config)
        self.on_role(True)

    def _deposed(self) -> None:
        """What was appended may still be committed by the next leader; what was not is refused for good."""
        if self._pace is not None:
            self._pace.stop()
        self._pace = self._stamp = None
        self._tick_wanted = False
        waiting, self._pending = self._pending, deque()
        refused = Refused.of(self._refusal or Unavailable.no_leader())
        for proposal in waiting:
            self.pending_bytes -= len(proposal.raw)
            proposal.done(refused)
        self.on_role(False)
        self._maybe_stopped()

    def _leader_changed(self, leader: str | None) -> None:
        self.on_leader(leader)

    def _configured(self, config: Config) -> None:
        self.on_configured(config)

    def _want_tick(self) -> None:
        self._tick_wanted = True
        self._ask_turn()

    # Apply.

    def _progressed(self) -> None:
        if self._applying:
            return
        # A log that is long has its slice in each turn. One more for each message would leave no turns: a node that
        # comes back gets a commit index with every record, and would do nothing else until it has caught up.
        if not self._apply_asked:
            self._apply_committed()
        self._ask_turn()

    @property
    def _applicable_index(self) -> int:
        # The store may be flushed at any moment, and must never know more than the log.
        return min(self.member.commit_index, self._log.durable_index)

    def _lags(self) -> bool:
        return self._log.last_index - self._machine.applied_index > self._options.lag_entries

    def _apply_committed(self) -> None:
        """Apply what can be, for a slice of time; heartbeats must not wait for a long log."""
        self._applying = True
        ends_us = self._clock.monotonic_us() + limits.APPLY_SLICE_MS * 1_000
        try:
            while self.stopped is None and not self._held:
                index = self._machine.applied_index + 1
                upto = self._applicable_index
                if index > upto:
                    break
                if self._clock.monotonic_us() >= ends_us:
                    self._apply_later()
                    break
                self._apply_some(index, upto)
        except Exception as error:
            self.fail(error)
        finally:
            self._applying = False

    def _apply_later(self) -> None:
        if not self._apply_asked:
            self._apply_asked = True
            self._clock.call_soon(self._apply_on)

    def _apply_on(self) -> None:
        self._apply_asked = False
        if self.stopped is None:
            self._progressed()

    def _apply_some(self, index: int, upto: int) -> None:
        own = self._rounds.get(index)
        if own is not None and self._log.term_at(index) == own.term:
            self._apply(index, own.entry, [proposal.command for proposal in own.proposals], own.bytes_count)
            return
        records = self._log.records_from(index, limits.APPLY_READ_BYTES, upto)
        assert records, f"committed entry {index} is in the log, which begins at {self._log.first_index}"
        for record in records:
            self._apply(index, *_entry_of(record))
            if self.stopped is not None or self._held:
                return
            index += 1

    def _apply(self, index: int, entry: Entry, commands: Sequence[Command] | None, bytes_count: int) -> None:
        started_us = self._clock.monotonic_us()
        try:
            # What a member applies that serves nobody, no other will ever read.
            unread = index not in self._rounds and not self.placements.awaits(index)
            replies = self._machine.apply(index, entry, commands, unread)
        except Exception as error:
            if self._options.survivable(error):
                self._hold()
                return
            if isinstance(error, ProgramTooOld):
                raise
            ordinal = getattr(error, "ordinal", None)
            raise ApplyFailed(index, ordinal if isinstance(ordinal, int) else None, error) from error
        self._answer(index, entry, replies, self._clock.monotonic_us() - started_us)
        self._flush.applied(bytes_count)
        self.space.written(bytes_count)
        self.digests.applied(index, self.leads)
        self.on_applied(index)
        self._maybe_stopped()

    def _answer(self, index: int, entry: Entry, replies: list[Reply], took_us: int) -> None:
        own = self._rounds.pop(index, None)
        if own is not None:
            self.pending_bytes -= own.bytes_count
            if own.term == entry.term:
                for proposal, reply in zip(own.proposals, replies, strict=True):
                    proposal.done(reply)
            else:
                refused = Refused.of(Unavailable.no_leader())
                for proposal in own.proposals:
                    proposal.done(refused)
            if self._pace is not None:
                if own.is_tick and own.term == self.term:
                    self._pace.tick_applied(entry.now_ms, took_us)
                else:
                    self._pace.client_entry_applied()
        elif self._pace is not None:
            self._pace.consider()
        self.placements.applied(index, entry.term, replies)

    def state_installed(self, index: int) -> None:
        """The state of `index` came from the leader: what became of everything before it nobody here can tell."""
        unknown = Refused.of(Unavailable.unknown_outcome())
        for at in [at for at in self._rounds if at <= index]:
            own = self._rounds.pop(at)
            self.pending_bytes -= own.bytes_count
            for proposal in own.proposals:
                proposal.done(unknown)
        self.placements.lost_up_to(index, unknown)
        self.member.state_installed(index, self.installed_config())
        self.on_applied(index)

    def _hold(self) -> None:
        """The store has no room for a batch. Nothing of it was written, so the same entry is applied again later."""
        self._held = True
        self.space.found_full(_nothing)
        self._clock.call_later(limits.FLUSH_RETRY_MS, self._resume)

    def _resume(self) -> None:
        self._held = False
        if self.stopped is None:
            self._progressed()

    def _no_space(self) -> None:
        self.space.found_full(self.member.try_again)

    def received(self, peer: str, message: Message) -> None:
        """A message of consensus, or a digest of the leader."""
        if not isinstance(message, StateDigest):
            self.member.received(peer, message)
        elif peer == self.member.leader and self.stopped is None:
            try:
                self.digests.told(message, self.applied_index)
            except StateDiffers as error:
                self.fail(error)


def _entry_of(record: LogRecord) -> tuple[Entry, None, int]:
    return decode_entry(record.payload), None, len(record.payload)


_NOT_OURS = ("NO_LEADER", "OUTCOME_UNKNOWN")
"""What becomes of the tick of a leader of a moment ago: another leader's entry took its place, or a snapshot came that
goes beyond it.
"""


def _ignore(reply: Reply) -> None:
    known = isinstance(reply, Refused) and reply.error.code in _NOT_OURS
    assert known or not isinstance(reply, Refused), f"a tick is never refused: {reply}"


def _nothing() -> None:
    pass
