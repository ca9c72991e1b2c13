"""The replicator of a single node: proposals of one loop turn become one entry, synced, applied, answered.

It must not know what a command means (but for which ones a full disk refuses), who asked, or whether its ports are
real. Invariants:
- an entry is applied only when it is durable, in order, once; a reply is given only after its entry was applied;
- one entry is being synced at most; what comes meanwhile waits for the next one, which starts to sync before the
  finished one is applied, so that disk and processor work side by side;
- after a failed write or sync, or an exception out of apply, nothing more is written, applied or answered.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from rustqueue.model import limits
from rustqueue.model.cluster.features import ProgramTooOld
from rustqueue.model.commands import Command, PushJobs, Tick
from rustqueue.model.entry import ENTRY_VERSION, Entry, decode_entry, encode_entry
from rustqueue.model.errors import ApiError, Limited, Unavailable
from rustqueue.model.replies import Refused, Reply
from rustqueue.raft.flush import FlushParts, FlushRules, StoreFlush
from rustqueue.raft.group import GroupRules, GroupWait
from rustqueue.raft.hardstate import HardState, TermVote
from rustqueue.raft.journal import Journal, JournalError, NoSpace
from rustqueue.raft.ports import Clock, Disk, Executor, Proposal, StateMachine, Store
from rustqueue.raft.space import SpaceRules, SpaceWatch
from rustqueue.raft.stamp import EntryClock
from rustqueue.raft.tick import TickPace

SEED_BYTES = 16
_TICK = Tick()
_TICK_RAW = b'{"cmd":"!tick"}'


class ApplyFailed(Exception):
    """The machine raised: a bug. The entry is in the log and was not applied, not even partly."""

    def __init__(self, index: int, ordinal: int | None, cause: BaseException) -> None:
        place = f"entry {index}" if ordinal is None else f"entry {index}, command {ordinal}"
        super().__init__(
            f"{place}: apply raised {type(cause).__name__}: {cause}. The node has stopped before answering; it will "
            f"stop there again after a restart. Please report it with the output of `rustqueue check DIR`. The way out "
            f"is `rustqueue recover --refuse-entry {index}` on every node that has this entry."
        )
        self.index = index
        self.ordinal = ordinal


@dataclass(frozen=True, slots=True)
class LocalPorts:
    """The outside. `background` is a thread for flushes and files, not the journal's own; `seed` gives chance."""

    disk: Disk
    clock: Clock
    background: Executor
    seed: Callable[[], bytes]


def _never(_: BaseException) -> bool:
    return False


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """What a node may set. `survivable` tells which failures of the store are only a want of room."""

    pending_bytes: int = limits.PENDING_BYTES_MAX
    entry_bytes: int = limits.ENTRY_BYTES_MAX
    entry_commands: int = limits.ENTRY_COMMANDS_MAX
    flush: FlushRules = field(default_factory=FlushRules)
    space: SpaceRules = field(default_factory=SpaceRules)
    group: GroupRules = field(default_factory=GroupRules)
    survivable: Callable[[BaseException], bool] = _never
    too_early: Callable[[Command], ApiError | None] | None = None
    """Why a command may not be proposed yet; None: every command may."""


@dataclass(slots=True)
class _Round:
    index: int
    entry: Entry
    proposals: list[Proposal]
    bytes_count: int
    is_tick: bool
    releases_count: int
    """Of the reserve, when it was begun."""


class LocalReplicator:
    """Make it, `start` it, `propose` to it, `stop` it. Everything is called, and calls back, on the loop."""

    def __init__(
        self,
        machine: StateMachine,
        store: Store,
        journal: Journal,
        ports: LocalPorts,
        options: LocalOptions,
    ) -> None:
        self._machine = machine
        self._store = store
        self._journal = journal
        self._ports = ports
        self._clock = ports.clock
        self._options = options
        self._hard_state = HardState(ports.disk, journal.folder)
        self._space = SpaceWatch(ports.disk, ports.clock, ports.background, journal.folder, options.space)
        self._group = GroupWait(ports.clock, options.group, self._ask_turn)
        self._pending: list[Proposal] = []
        self._queued_bytes = 0
        self._round: _Round | None = None
        self._unapplied: list[_Round] = []
        self._parked: list[Proposal] = []
        self._held = False
        self._turn_asked = False
        self._tick_wanted = False
        self._refusal: ApiError | None = Unavailable.stopping()
        self._when_stopped: Callable[[], None] | None = None
        self.pending_bytes = 0
        self.replayed_count = 0
        self.stopped: BaseException | None = None
        self.on_assemble: Callable[[list[Proposal]], None] | None = None
        self.on_fatal: Callable[[BaseException], None] | None = None

    # Status.

    @property
    def applied_index(self) -> int:
        return self._machine.applied_index

    @property
    def durable_index(self) -> int:
        return self._journal.durable_index

    @property
    def last_index(self) -> int:
        return self._journal.last_index

    @property
    def flushed_index(self) -> int:
        return self._flush.flushed_index

    @property
    def term(self) -> int:
        return self._hard_state.current.term

    @property
    def space(self) -> SpaceWatch:
        return self._space

    @property
    def disk_full(self) -> bool:
        return self._space.full

    def now_ms(self) -> int:
        """The time by which the machine lives, between two entries."""
        return self._stamp.peek(self._clock.monotonic_us(), self._clock.wall_ms())

    # Start.

    def start(self) -> None:
        """Open the log, replay what the store has not got, and take proposals. Blocks until then; may raise."""
        self._journal.open()
        self._hard_state.open(self._journal.last_index)
        if self.term == 0:
            self._hard_state.store(TermVote(1, self._journal.identity.node_id))
        self._check_meets()
        replayed_bytes = self._replay()
        clock = self._clock
        self._stamp = EntryClock(self._machine.now_ms, clock.monotonic_us(), clock.wall_ms())
        self._pace = TickPace(clock, self._stamp, self._machine, self._want_tick)
        self._flush = StoreFlush(
            FlushParts(
                self._journal, self._machine, self._store, self._ports.background, clock,
                self._options.survivable, self._fail,
            ),
            self._options.flush,
        )  # fmt: skip
        self._space.start()
        self._refusal = None
        if replayed_bytes:
            self._flush.applied(replayed_bytes, self.replayed_count)
        self._pace.consider()

    def _check_meets(self) -> None:
        applied, journal = self._machine.applied_index, self._journal
        if applied > journal.last_index:
            raise JournalError(
                f"the store has applied entry {applied}, but the journal ends at {journal.last_index}: the journal is "
                f"not the one of this store, or files of it are missing. Put them back, or restore from a backup."
            )
        if journal.first_index > applied + 1:
            raise JournalError(
                f"the journal begins at entry {journal.first_index}, but the store ends at {applied}: entries between "
                f"are missing. The store is not the one of this journal; put it back, or restore from a backup."
            )

    def _replay(self) -> int:
        replayed_bytes = 0
        for record in self._journal.read_from(self._machine.applied_index + 1):
            entry = decode_entry(record.payload)
            try:
                self._machine.apply(record.index, entry, None, unread=True)
            except Exception as error:
                if self._options.survivable(error) or isinstance(error, ProgramTooOld):
                    raise
                raise ApplyFailed(record.index, _ordinal_of(error), error) from error
            assert self._machine.applied_index == record.index, "apply advances the applied index"
            self.replayed_count += 1
            replayed_bytes += len(record.payload)
        return replayed_bytes

    # The path of a proposal.

    def propose(self, proposal: Proposal) -> None:
        """Take a command. Its `done` is called once, with the reply, when it is durable and applied, or refused."""
        size_bytes = len(proposal.raw)
        if self._refusal is not None:
            proposal.done(Refused.of(self._refusal))
            return
        too_early = None if self._options.too_early is None else self._options.too_early(proposal.command)
        if too_early is not None:
            proposal.done(Refused.of(too_early))
            return
        if self._space.full and isinstance(proposal.command, PushJobs):
            proposal.done(Refused.of(Unavailable.disk_full()))
            return
        if self.pending_bytes + size_bytes > self._options.pending_bytes:
            proposal.done(Refused.of(Limited.overloaded()))
            return
        self.pending_bytes += size_bytes
        self._queued_bytes += size_bytes
        if self._group.waits and not self._pending:
            self._group.opened()
        self._pending.append(proposal)
        self._ask_turn()

    def _ask_turn(self) -> None:
        if not self._turn_asked and self._round is None and (self._tick_wanted or self._group_is_ready()):
            self._turn_asked = True
            self._clock.call_soon(self._turn)

    def _group_is_ready(self) -> bool:
        # Who stops the node does not want to wait for company.
        return self._when_stopped is not None or self._group.over(len(self._pending))

    def _turn(self) -> None:
        self._turn_asked = False
        if self._round is None and self.stopped is None:
            try:
                self._begin_round()
            except Exception as error:
                self._fail(error)

    def _begin_round(self) -> None:
        """Close an entry over what waits and start its sync."""
        is_tick = self._tick_wanted
        if self._held:
            return
        if is_tick:
            # A tick has an entry of its own, so that the time it takes can be measured.
            self._tick_wanted = False
            proposals = [Proposal(_TICK, _TICK_RAW, self._tick_answered)]
            own_count = 0
        else:
            if self._space.full:
                self._refuse_pushes()
            if not self._pending or not self._group_is_ready():
                return
            proposals = self._take_pending()
            own_count = len(proposals)
        if self.on_assemble is not None:
            self.on_assemble(proposals)
        self.pending_bytes += sum([len(proposal.raw) for proposal in proposals[own_count:]])
        now_ms = self._stamp.next(self._clock.monotonic_us(), self._clock.wall_ms())
        commands = [proposal.raw for proposal in proposals]
        entry = Entry(ENTRY_VERSION, self.term, now_ms, self._ports.seed(), commands)
        index = self._journal.append(encode_entry(entry), entry.term)
        self._round = _Round(index, entry, proposals, sum(map(len, commands)), is_tick, self._space.releases_count)
        self._journal.sync(self._synced)

    def _take_pending(self) -> list[Proposal]:
        options = self._options
        pending = self._pending
        if len(pending) <= options.entry_commands and self._queued_bytes <= options.entry_bytes:
            self._pending, self._queued_bytes = [], 0
            return pending
        count, bytes_count = 1, len(pending[0].raw)
        for proposal in pending[1 : options.entry_commands]:
            bytes_count += len(proposal.raw)
            if bytes_count > options.entry_bytes:
                bytes_count -= len(proposal.raw)
                break
            count += 1
        self._pending = pending[count:]
        self._queued_bytes -= bytes_count
        return pending[:count]

    def _synced(self, error: BaseException | None) -> None:
        finished, self._round = self._round, None
        assert finished is not None, "a sync belongs to a round"
        if self.stopped is not None:
            return
        try:
            if isinstance(error, NoSpace):
                self._take_back(finished)
            elif error is not None:
                self._fail(error)
            else:
                self._unapplied.append(finished)
                self._begin_round()
                self._apply_durable()
            self._go_on()
        except Exception as bug:
            # A shell that cannot take a reply leaves a caller waiting for ever: that stops the node like any bug.
            self._fail(bug)

    def _apply_durable(self) -> None:
        while self._unapplied and not self._held and self.stopped is None:
            self._apply(self._unapplied[0])

    def _apply(self, durable: _Round) -> None:
        started_us = self._clock.monotonic_us()
        commands = [proposal.command for proposal in durable.proposals]
        try:
            replies = self._machine.apply(durable.index, durable.entry, commands)
        except Exception as error:
            if self._options.survivable(error):
                self._hold()
            else:
                failure = ApplyFailed(durable.index, _ordinal_of(error), error)
                failure.__cause__ = error
                self._fail(failure)
            return
        del self._unapplied[0]
        self.pending_bytes -= durable.bytes_count
        for proposal, reply in zip(durable.proposals, replies, strict=True):
            proposal.done(reply)
        self._flush.applied(durable.bytes_count)
        self._space.written(durable.bytes_count)
        if durable.is_tick:
            self._pace.tick_applied(durable.entry.now_ms, self._clock.monotonic_us() - started_us)
        else:
            self._pace.client_entry_applied()

    def _hold(self) -> None:
        """The store has no room for a batch. Nothing of it was written, so the same entry is applied again later."""
        self._held = True
        self._space.found_full(_nothing)
        self._clock.call_later(limits.FLUSH_RETRY_MS, self._resume)

    def _resume(self) -> None:
        self._held = False
        if self.stopped is None:
            self._apply_durable()
            self._go_on()

    def _go_on(self) -> None:
        if self.stopped is not None or self._round is not None:
            return
        waits = self._pending or self._parked or self._tick_wanted
        if self._when_stopped is not None and (self._held or not waits):
            # What a full store holds up is in the log, and is applied at the next start.
            when_stopped, self._when_stopped = self._when_stopped, None
            self._flush.finish(lambda: self._close(when_stopped))
        elif self._pending or self._tick_wanted:
            self._ask_turn()

    # Due work.

    def _want_tick(self) -> None:
        self._tick_wanted = True
        self._ask_turn()

    def _tick_answered(self, reply: Reply) -> None:
        assert not isinstance(reply, Refused), f"a tick is never refused: {reply}"

    # A full disk.

    def _take_back(self, refused: _Round) -> None:
        """The entry found no room and is not in the log. What does not push is tried again out of the reserve."""
        if refused.is_tick:
            self.pending_bytes -= len(_TICK_RAW)
            self._pace.taken_back()
        waiting = [p for p in refused.proposals if p.command is not _TICK] + self._pending
        self._pending, self._queued_bytes = [], 0
        self._parked += [p for p in waiting if not isinstance(p.command, PushJobs)]
        has_reserve = self._space.found_full(self._retry)
        self._refuse([p for p in waiting if isinstance(p.command, PushJobs)])
        if has_reserve:
            return
        smaller = any(isinstance(p.command, PushJobs) for p in refused.proposals)
        if smaller or refused.releases_count != self._space.releases_count:
            # Without its pushes it may fit where the whole did not; or the reserve went while it was being written.
            self._retry()
        else:
            parked, self._parked = self._parked, []
            self._refuse(parked)

    def _refuse_pushes(self) -> None:
        """What waits must not use up the room that is kept for everything but pushes."""
        pushes = [proposal for proposal in self._pending if isinstance(proposal.command, PushJobs)]
        if pushes:
            self._pending = [proposal for proposal in self._pending if not isinstance(proposal.command, PushJobs)]
            self._queued_bytes -= sum(len(proposal.raw) for proposal in pushes)
            self._refuse(pushes)

    def _retry(self) -> None:
        """The reserve has been given back, or what is tried again is smaller than what found no room."""
        if self.stopped is None:
            self._pending = self._parked + self._pending
            self._parked = []
            self._queued_bytes = sum(len(proposal.raw) for proposal in self._pending)
            self._go_on()

    def _refuse(self, proposals: list[Proposal]) -> None:
        reply = Refused.of(Unavailable.disk_full())
        for proposal in proposals:
            self.pending_bytes -= len(proposal.raw)
            proposal.done(reply)

    def flush(self) -> None:
        """Flush the store now rather than when its time comes, so that the log that it makes unneeded can go."""
        if self._refusal is None:
            self._flush.begin()

    # The end.

    def _fail(self, error: BaseException) -> None:
        """Stop dead: whatever was not answered stays unanswered, since nobody knows what became of it."""
        if self.stopped is not None:
            return
        self.stopped = error
        self._refusal = Unavailable.unknown_outcome()
        self._pace.stop()
        self._space.stop()
        self._flush.stop()
        if self.on_fatal is not None:
            self.on_fatal(error)

    def stop(self, done: Callable[[], None]) -> None:
        """Refuse new proposals, answer those that are in, flush the store, close everything, call `done`."""
        if self.stopped is not None:
            self._close(done)
            return
        self._refusal = Unavailable.stopping()
        self._when_stopped = done
        self._pace.stop()
        self._space.stop()
        self._tick_wanted = False
        self._go_on()

    def _close(self, done: Callable[[], None]) -> None:
        self._journal.close()
        self._hard_state.close()
        self._store.close()
        done()


def _ordinal_of(error: BaseException) -> int | None:
    """Which command of the entry it was, where the machine says so."""
    ordinal = getattr(error, "ordinal", None)
    return ordinal if isinstance(ordinal, int) else None
