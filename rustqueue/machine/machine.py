"""The engine: one log entry in, replies out, one atomic batch of rows written.

Refusals are replies. Any other exception is a bug: it leaves before the batch is written, so the store stays at the
entry before, and the node must stop. Memory is changed along the way and is only right if the entry ends well.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import assert_never

import msgspec
from msgspec import UNSET

from rustqueue.machine import endings, idempotency, keys, retention, rows, workers
from rustqueue.machine.kv import KV, View
from rustqueue.machine.ready import WindowLimits
from rustqueue.machine.schedules import firing
from rustqueue.machine.schedules import verbs as schedules
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import (
    attempts,
    creation,
    jobs,
    pull,
    push,
    queues,
    sweeps,
    tick,
    tokens,
    transactions,
    trim,
)
from rustqueue.machine.webhooks import outbox
from rustqueue.machine.webhooks import verbs as webhooks
from rustqueue.model.cluster.features import FEATURE_LEVEL, ProgramTooOld
from rustqueue.model.commands import (
    Ack,
    AckBatch,
    Cancel,
    Command,
    Configure,
    DlqPurge,
    DlqRetry,
    Fail,
    FailBatch,
    FeatureLevel,
    Heartbeat,
    JobPriority,
    JobPromote,
    JobRemove,
    JobRetry,
    Members,
    Progress,
    Pull,
    PushJobs,
    QueueClean,
    QueueDelete,
    QueueDrain,
    QueuePause,
    QueueResume,
    QueueSet,
    RunTransaction,
    SweepCancel,
    Tick,
    TokenDelete,
    TokenPut,
    Trim,
    WorkerDrain,
)
from rustqueue.model.entry import ENTRY_VERSION, Entry
from rustqueue.model.errors import ApiError, Conflict
from rustqueue.model.events import Event
from rustqueue.model.jobs import Counts, NodeDefaults, Rate
from rustqueue.model.replies import Done, Refused, Reply
from rustqueue.model.schedules import (
    ScheduleCommand,
    ScheduleCreate,
    ScheduleDelete,
    ScheduleFire,
    SchedulePause,
    SchedulePut,
    ScheduleResume,
    ScheduleRun,
)
from rustqueue.model.webhooks.commands import WebhookCommand
from rustqueue.model.wire import decode_logged, encode_command


class ApplyFault(Exception):
    """A bug met in apply: which command of which entry. The node must stop; nothing of the entry was stored."""

    def __init__(self, index: int, ordinal: int, command: Command) -> None:
        super().__init__(f"applying command {ordinal} ({type(command).__name__}) of log entry {index} failed")
        self.index = index
        self.ordinal = ordinal


class Machine:
    """The state machine over a store. Entries must come in order of index, each once."""

    def __init__(
        self, kv: KV, windows: WindowLimits | None = None, refused_indexes: frozenset[int] = frozenset()
    ) -> None:
        """`refused_indexes`: entries whose commands are all refused instead of applied (`rustqueue recover`)."""
        self._windows = windows or WindowLimits()
        self._refused_indexes = refused_indexes
        self.publish: Callable[[int, int, list[Event]], None] | None = None
        """Told the index, the stamp and the events of every entry that changed something, after its batch."""
        self.open(kv)

    def open(self, kv: KV) -> None:
        """Go on from the state that this store holds. What was there before is forgotten."""
        self._kv = kv
        self.state = State(kv, self._windows)
        self._unwritten: tuple[Tx, list[Reply]] | None = None

    @property
    def applied_index(self) -> int:
        return self.state.meta.applied_index

    @property
    def applied_term(self) -> int:
        return self.state.meta.term

    @property
    def now_ms(self) -> int:
        """The stamp of the last applied entry, in milliseconds since 1970."""
        return self.state.meta.now_ms

    @property
    def state_hash(self) -> bytes:
        """Chained over all rows written so far (design 4.5): equal on every node at the same index."""
        return self.state.meta.state_hash

    @property
    def defaults(self) -> NodeDefaults:
        return self.state.defaults

    @property
    def members(self) -> Members | None:
        """The members of the cluster as of the applied index; None on a node that never was in one."""
        stored = self.state.meta.members
        return msgspec.json.decode(stored, type=Members) if stored else None

    def view(self) -> View:
        """The stored rows, for reads."""
        return self._kv

    def next_due_ms(self) -> int | None:
        """Earliest time at which a tick may have work; a lower bound, exact after a tick."""
        return self.state.due_known

    def ready_count(self, queue: str) -> int:
        """Jobs a pull could take from a queue now; 0 while it is held."""
        found = self.state.queue(self._kv, queue)
        return 0 if found is None else found.pullable

    def push_rate(self, queue: str) -> Rate | None:
        """How many jobs the queue takes in a time; None: any number."""
        found = self.state.queue(self._kv, queue)
        limited = None if found is None else found.settings.limits
        return None if limited is None else limited.rate

    def is_draining(self, worker_id: str) -> bool:
        """Whether this worker shall take no more jobs."""
        return workers.is_draining(self.state, worker_id, self.state.meta.now_ms)

    def payload_schema(self, queue: str) -> bytes | None:
        """The JSON Schema of the queue's payloads."""
        found = self.state.queue(self._kv, queue)
        schema = UNSET if found is None else found.settings.payload_schema
        return None if schema is UNSET else bytes(schema)

    def queue_counts(self) -> Iterable[tuple[str, Counts]]:
        """Counters of every queue, by name."""
        start = b"n"
        while found := self._kv.scan(start, b"o", 1_000):
            for key, value in found:
                yield key[1:-1].decode("ascii"), queues.counts(rows.decode_counters(value))
            start = found[-1][0] + b"\0"

    def apply(
        self, index: int, entry: Entry, commands: Sequence[Command] | None = None, unread: bool = False
    ) -> list[Reply]:
        """Apply one entry and write its rows. `commands` are the entry's commands if they are decoded already.
        `unread`: nobody waits for the replies here; none are given, and those that cost something are not even made.

        If the store refuses the write (a full disk), its error comes out and the same call may be made again later:
        nothing is decided twice, only the write is repeated.
        """
        meta = self.state.meta
        if self._unwritten is not None and self._unwritten[0].index == index:
            return self._write(*self._unwritten)
        if index != meta.applied_index + 1:
            raise ValueError(f"entry {index} does not follow entry {meta.applied_index}")
        if entry.version != ENTRY_VERSION:
            raise ValueError(f"entry {index} has version {entry.version}, this program knows {ENTRY_VERSION}")
        tx = Tx(self._kv, index, entry.term, max(entry.now_ms, meta.now_ms), entry.seed)
        if index in self._refused_indexes:
            return self._refuse(tx, len(entry.commands))
        if commands is None:
            commands = [decode_logged(blob) for blob in entry.commands]
        replies: list[Reply] = []
        for ordinal, command in enumerate(commands):
            tx.ordinal = ordinal
            # Of a command with a key the reply becomes part of the state.
            tx.unread = unread and getattr(command, "idempotency_key", None) is None
            try:
                replies.append(self._one(tx, command))
            except ProgramTooOld:
                raise
            except Exception as error:
                raise ApplyFault(index, ordinal, command) from error
        self._seal(tx)
        return self._write(tx, [] if unread else replies)

    def _refuse(self, tx: Tx, count: int) -> list[Reply]:
        """The entry is one that apply could not take. The hash tells a node that refuses it from one that does not."""
        meta = self.state.meta
        meta.state_hash = blake2b(meta.state_hash + b"refused" + tx.index.to_bytes(8, "big"), digest_size=16).digest()
        self._seal(tx)
        text = f"Log entry {tx.index} was refused by `rustqueue recover`"
        return self._write(tx, [Refused.of(Conflict("ENTRY_REFUSED", text))] * count)

    def _one(self, tx: Tx, command: Command) -> Reply:
        state = self.state
        key = getattr(command, "idempotency_key", None)
        if type(command) is RunTransaction:
            transactions.prepare(state, tx)
        written = len(tx.rows)
        try:
            if key is not None:
                earlier = idempotency.repeated(state, tx, command, key)
                if earlier is not None:
                    return earlier
            reply = _dispatch(state, tx, command)
        except ApiError as error:
            if len(tx.rows) != written:
                raise AssertionError("a refused command has written rows") from error
            return Refused.of(error)
        if tx.finished:
            endings.store_outcomes(state, tx)
        if key is not None:
            idempotency.remember(state, tx, command, key, reply)
        return reply

    def _seal(self, tx: Tx) -> None:
        """Complete the entry's rows: counters, hash, meta row."""
        state, meta = self.state, self.state.meta
        if state.webhooks.by_name and tx.events:
            outbox.collect(state, tx)
        state.store_touched(tx)
        state.webhooks.store_touched(tx)
        written = tx.rows
        hashed, due, unhashed = keys.HASHED, keys.DUE, keys.DUE_UNHASHED_BYTES
        text = b"".join(
            [
                key + (b"\xff\xff" if value is None else value)
                for key, value in written.items()
                if key[0] in hashed or (key[0] == due and len(key) != unhashed)
            ]
        )
        if text:
            meta.state_hash = blake2b(meta.state_hash + text, digest_size=16).digest()
        stamped = msgspec.structs.replace(meta, applied_index=tx.index, term=tx.term, now_ms=tx.now_ms)
        written[keys.META] = rows.encode(stamped)

    def _write(self, tx: Tx, replies: list[Reply]) -> list[Reply]:
        self._unwritten = (tx, replies)
        self._kv.write(tx.rows)
        self._unwritten = None
        meta = self.state.meta
        meta.applied_index, meta.term, meta.now_ms = tx.index, tx.term, tx.now_ms
        self.state.trim_queues()
        if self.publish is not None and tx.events:
            self.publish(tx.index, tx.now_ms, tx.events)
        return replies


def _configure(state: State, tx: Tx, command: Configure) -> Reply:
    before = [retention.rule_of(state.defaults, code) for code in rows.FINISHED]
    state.set_defaults(command.defaults)
    if before != [retention.rule_of(state.defaults, code) for code in rows.FINISHED]:
        for name in _queue_names(tx):
            retention.replan(state, tx, state.existing(tx, name))
    return Done()


def _queue_names(tx: Tx) -> Iterator[str]:
    start = b"n"
    while found := tx.scan(start, b"o", 1_000):
        for key, _ in found:
            yield key[1:-1].decode("ascii")
        start = found[-1][0] + b"\0"


def _of_cluster(state: State, tx: Tx, command: Members | FeatureLevel) -> Reply:
    """Who belongs to it, and what all of them know. Levels only grow: whoever proposes an old one changes nothing."""
    if isinstance(command, Members):
        state.meta.members = encode_command(command)
        return Done()
    if command.level > FEATURE_LEVEL:
        raise ProgramTooOld(command.level, command.version, f"log entry {tx.index}")
    meta = state.meta
    if command.level > meta.feature_level:
        meta.feature_level, meta.feature_version = command.level, command.version
    return Done()


def _dispatch(state: State, tx: Tx, command: Command) -> Reply:  # noqa: C901 - one arm a verb
    match command:
        case PushJobs():
            return push.push(state, tx, command) if command.creation is None else creation.create(state, tx, command)
        case Pull():
            return pull.pull(state, tx, command)
        case AckBatch():
            return attempts.ack_batch(state, tx, command)
        case Ack():
            return attempts.ack(state, tx, command)
        case Fail():
            return attempts.fail(state, tx, command)
        case FailBatch():
            return attempts.fail_batch(state, tx, command)
        case Heartbeat():
            return attempts.heartbeat(state, tx, command)
        case Progress():
            return attempts.progress(state, tx, command)
        case Tick():
            return tick.tick(state, tx, command)
        case Cancel():
            return jobs.cancel(state, tx, command)
        case JobRetry():
            return jobs.retry(state, tx, command)
        case JobPromote():
            return jobs.promote(state, tx, command)
        case JobPriority():
            return jobs.prioritise(state, tx, command)
        case JobRemove():
            return jobs.remove(state, tx, command)
        case QueuePause():
            return queues.pause(state, tx, command)
        case QueueResume():
            return queues.resume(state, tx, command)
        case QueueSet():
            return queues.configure(state, tx, command)
        case QueueDelete():
            return queues.delete(state, tx, command)
        case QueueDrain():
            return sweeps.drain(state, tx, command)
        case QueueClean():
            return sweeps.clean(state, tx, command)
        case DlqRetry():
            return sweeps.retry_dead(state, tx, command)
        case DlqPurge():
            return sweeps.purge(state, tx, command)
        case SweepCancel():
            return sweeps.cancel(state, tx, command)
        case RunTransaction():
            return transactions.run(state, tx, command)
        case WorkerDrain():
            return workers.drain(state, tx, command)
        case TokenPut():
            return tokens.put(state, tx, command)
        case TokenDelete():
            return tokens.delete(state, tx, command)
        case ScheduleFire():
            return firing.fire(state, tx, command)
        case Configure():
            return _configure(state, tx, command)
        case Trim():
            return trim.trim(state, tx, command)
        case Members() | FeatureLevel():
            return _of_cluster(state, tx, command)
        case _:
            return _dispatch_family(state, tx, command)


def _dispatch_family(state: State, tx: Tx, command: ScheduleCommand | WebhookCommand) -> Reply:
    if isinstance(command, WebhookCommand):
        return webhooks.apply(state, tx, command)
    match command:
        case ScheduleCreate() | SchedulePut():
            return schedules.define(state, tx, command)
        case ScheduleDelete():
            return schedules.delete(state, tx, command)
        case SchedulePause():
            return schedules.pause(state, tx, command)
        case ScheduleResume():
            return schedules.resume(state, tx, command)
        case ScheduleRun():
            return schedules.run_now(state, tx, command)
        case _:
            assert_never(command)
