"""What the machine holds in memory between entries: queues in use, active leases, totals.

All of it can be rebuilt from rows, and no reply depends on which part of it happens to be there.
"""

from typing import Final

import msgspec

from rustqueue.machine import keys, rows
from rustqueue.machine.kv import KV, View
from rustqueue.machine.ready import Groups, ReadyQueue, WindowLimits
from rustqueue.machine.rows import (
    CountersRow,
    Extras,
    JobRow,
    LiveRow,
    MetaRow,
    QueueRow,
    StateRow,
    TokenRow,
    WorkerRow,
)
from rustqueue.machine.tx import Tx
from rustqueue.machine.webhooks.registry import Registry
from rustqueue.model import limits
from rustqueue.model.cluster.features import FEATURE_LEVEL, ProgramTooOld
from rustqueue.model.errors import NotFound, ValidationFailed
from rustqueue.model.events import QueueChanged
from rustqueue.model.ids import id_text, parse_id
from rustqueue.model.jobs import JobOptions, NodeDefaults, QueueSettings

_settings_decoder: Final = msgspec.json.Decoder(QueueSettings)
_defaults_decoder: Final = msgspec.json.Decoder(NodeDefaults)
_NO_SETTINGS: Final = QueueSettings()


class QueueState:
    """One queue in memory: counters, settings, windows. `part` is its name inside keys."""

    __slots__ = (
        *("counters", "dirty", "groups", "is_new", "name", "outcome_floor", "part", "pullable_before", "ready", "row"),
        "settings",
    )

    def __init__(self, name: str, counters: CountersRow, row: QueueRow | None, window_limits: WindowLimits) -> None:
        self.name = name
        self.part = keys.queue_part(name)
        self.counters = counters
        self.ready = ReadyQueue(self.part, window_limits, counters.waiting == 0)
        self.groups = Groups(self.part, window_limits, counters)
        self.row: QueueRow | None = None
        self.settings = _NO_SETTINGS
        if row is not None:
            self.set_row(row)
        self.pullable_before = self.pullable
        self.dirty = False
        self.is_new = False
        self.outcome_floor: dict[int, bytes] = {}
        """No outcome block stands before these keys, by outcome: retention starts its scans here."""

    @property
    def mode(self) -> str:
        return self.settings.mode

    @property
    def refuses_pushes(self) -> bool:
        return self.settings.mode in ("reject", "both")

    @property
    def holds_pulls(self) -> bool:
        return self.settings.mode in ("hold", "both") or self.deleting

    @property
    def deleting(self) -> bool:
        return self.row is not None and self.row.deleting is not None

    @property
    def jobs(self) -> int:
        """All jobs of the queue, in whatever state."""
        counted = self.counters
        unfinished = counted.waiting + counted.delayed + counted.blocked + counted.active
        return unfinished + counted.completed + counted.dlq + counted.cancelled

    @property
    def push_defaults(self) -> JobOptions | None:
        return self.settings.defaults

    @property
    def concurrency(self) -> int | None:
        """How many jobs may be active at once."""
        limited = self.settings.limits
        return None if limited is None else limited.concurrency

    @property
    def is_capped(self) -> bool:
        """Jobs may wait here although nothing but a limit of active ones is in their way."""
        limited = self.settings.limits
        return limited is not None and (limited.concurrency is not None or limited.group_concurrency is not None)

    @property
    def pullable(self) -> int:
        """Jobs that a pull could take now."""
        if self.holds_pulls:
            return 0
        counted, cap = self.counters, self.concurrency
        free = counted.waiting - counted.held
        return free if cap is None else max(0, min(free, cap - counted.active))

    def set_row(self, row: QueueRow) -> None:
        self.row = row
        self.settings = _settings_decoder.decode(row.settings)
        limited = self.settings.limits
        self.groups.limit = None if limited is None else limited.group_concurrency

    def release(self) -> None:
        """Give back the memory of the windows; the object must not be used afterwards."""
        self.ready.release()
        self.groups.release()


class LeaseBlock:
    """The leases of one pull: what they share. `open` counts those that are still active.

    `first_token` is the attempt token of all jobs that were never leased before.
    """

    __slots__ = ("first_token", "ids", "key", "lease_ms", "open", "queue", "started_at", "token", "worker_id")

    def __init__(self, key: bytes, started_at: int, lease_ms: int, worker_id: str | None, token: str) -> None:
        self.key = key
        self.started_at = started_at
        self.lease_ms = lease_ms
        self.worker_id = worker_id
        self.token = token
        self.first_token = f"{token}.1"
        self.queue = ""
        self.ids: list[bytes] = []
        self.open = 0


class Worker:
    """A worker that said who it is: its row, and the blocks that still have a lease of its."""

    __slots__ = ("blocks", "row")

    def __init__(self, row: WorkerRow) -> None:
        self.row = row
        self.blocks: dict[bytes, LeaseBlock] = {}


class Lease(msgspec.Struct, gc=False):
    """One active job. `until` ends the lease, `times_out_at` the attempt. `before` is what earlier attempts left.

    `extras` comes without metadata, which can be large; `follows_up` says whether the ack must look at it.
    """

    id: bytes
    queue: str
    fence: int
    block: LeaseBlock
    until: int
    times_out_at: int | None
    before: StateRow | None
    extras: Extras | None
    follows_up: bool = False
    live: LiveRow | None = None

    @property
    def attempt(self) -> int:
        return 0 if self.before is None else self.before.attempt

    @property
    def token(self) -> str:
        return f"{self.block.token}.{self.fence}"

    @property
    def ends_at(self) -> int:
        """When time alone takes the job away: end of lease or time-out, whichever is first."""
        return self.until if self.times_out_at is None else min(self.until, self.times_out_at)


def new_lease(job_id: bytes, row: JobRow, before: StateRow | None, fence: int, block: LeaseBlock) -> Lease:
    started_at = block.started_at
    times_out_at = None if row.timeout_ms is None else started_at + row.timeout_ms
    lease = Lease(job_id, row.queue, fence, block, started_at + block.lease_ms, times_out_at, before, row.extras)
    if row.extras is not None and row.extras.metadata is not None:
        lease.follows_up = b"follow_ups" in row.extras.metadata
        lease.extras = rows.changed(row.extras, metadata=None)
    return lease


class State:
    """Everything in memory. Handlers change it together with the entry's rows."""

    def __init__(self, kv: KV, window_limits: WindowLimits) -> None:
        self.kv = kv
        self.window_limits = window_limits
        stored = kv.get(keys.META)
        self.meta = (
            rows.decode_meta(stored) if stored is not None else MetaRow(defaults=msgspec.json.encode(NodeDefaults()))
        )
        if self.meta.version != rows.ROWS_VERSION:
            raise ValueError(
                f"the store has rows of version {self.meta.version}, this program knows {rows.ROWS_VERSION}"
            )
        if self.meta.feature_level > FEATURE_LEVEL:
            raise ProgramTooOld(self.meta.feature_level, self.meta.feature_version, "the store")
        self.defaults = _defaults_decoder.decode(self.meta.defaults)
        self.queues: dict[str, QueueState] = {}
        self.leases: dict[bytes, Lease] = {}
        self.touched: list[QueueState] = []
        self.due_floor = 0
        """No live due row stands before this time; scans start here instead of passing deleted rows."""
        self.keys_floor = 0
        """No remembered idempotency key lapses before this time."""
        ahead = kv.scan(keys.due_from(0), keys.DUE_END, 1)
        self.due_known: int | None = keys.due_parts(ahead[0][0])[0] if ahead else None
        """A lower bound of the earliest due row, None if there is none."""
        self.tokens: dict[str, TokenRow] = {}
        """Bearer tokens by id."""
        for _, stored_token in kv.scan(b"t", b"u", limits.TOKENS_MAX):
            token = rows.decode_token(stored_token)
            self.tokens[token.id] = token
        self.workers: dict[str, Worker] = {}
        self._load_workers()
        self.webhooks = Registry(kv)
        self._load_leases()

    def _load_workers(self) -> None:
        start, end = keys.WORKERS, keys.after(keys.WORKERS)
        while found := self.kv.scan(start, end, 1_000):
            for key, value in found:
                self.workers[key[1:].decode("utf-8")] = Worker(rows.decode_worker(value))
            start = found[-1][0] + b"\0"

    def _load_leases(self) -> None:
        start = b"a"
        while True:
            found = self.kv.scan(start, b"b", 1_000)
            for key, value in found:
                self._load_block(key, rows.decode_lease_block(value))
            if len(found) < 1_000:
                return
            start = found[-1][0] + b"\0"

    def _load_block(self, key: bytes, stored: rows.LeaseBlockRow) -> None:
        block = LeaseBlock(key, stored.started_at, stored.lease_ms, stored.worker_id, stored.token)
        block.ids = [stored.ids[at : at + 16] for at in range(0, len(stored.ids), 16)]
        job_rows = self.kv.get_many([keys.job(job_id) for job_id in block.ids])
        state_rows = self.kv.get_many([keys.state(job_id) for job_id in block.ids])
        for place, job_id in enumerate(block.ids):
            row, state = job_rows[place], state_rows[place]
            before = rows.decode_state(state) if state is not None else None
            fence = stored.fences[place] if stored.fences is not None else 1
            if row is None or fence != (before.fence if before is not None else 0) + 1:
                continue  # Given back, finished or removed since: the block stays until all its leases are.
            if before is not None and before.state in rows.FINISHED:
                continue
            lease = new_lease(job_id, rows.decode_job(row), before, fence, block)
            live = self.kv.get(keys.live(job_id))
            if live is not None:
                lease.live = rows.decode_live(live)
                lease.until = lease.live.until
            self.leases[job_id] = lease
            block.open += 1
            block.queue = lease.queue
        worker = self.workers.get(block.worker_id) if block.worker_id and block.open else None
        if worker is not None:
            worker.blocks[key] = block

    def set_defaults(self, defaults: NodeDefaults) -> None:
        self.defaults = defaults
        self.meta.defaults = msgspec.json.encode(defaults)

    def queue(self, view: View, name: str) -> QueueState | None:
        """The queue's state, or None if there never was such a queue."""
        found = self.queues.get(name)
        if found is not None:
            return found
        part = keys.queue_part(name)
        stored = view.get(keys.counters(part))
        if stored is None:
            return None
        settings = view.get(keys.settings(part))
        row = rows.decode_queue(settings) if settings is not None else None
        counters = rows.decode_counters(stored)
        queue = QueueState(name, counters, row, self.window_limits)
        self.queues[name] = queue
        return queue

    def existing(self, view: View, name: str) -> QueueState:
        queue = self.queue(view, name)
        if queue is None:
            raise NotFound.queue(name)
        return queue

    def queue_or_new(self, tx: Tx, name: str) -> QueueState:
        """The queue's state; a new one exists only once it is touched, so a refused command makes no queue."""
        queue = self.queue(tx, name)
        if queue is None:
            if self.meta.queues >= limits.QUEUES_MAX:
                raise ValidationFailed(f"there are {limits.QUEUES_MAX} queues", "queue", limit=limits.QUEUES_MAX)
            queue = QueueState(name, CountersRow(), None, self.window_limits)
            queue.is_new = True
        return queue

    def touch(self, queue: QueueState) -> None:
        """The queue's counters will be written with this entry."""
        if not queue.dirty:
            queue.dirty = True
            self.queues[queue.name] = queue
            self.meta.queues += queue.is_new
            queue.is_new = False
            self.touched.append(queue)

    def forget_queue(self, name: str) -> None:
        queue = self.queues.pop(name, None)
        if queue is not None:
            queue.release()

    def store_touched(self, tx: Tx) -> None:
        for queue in self.touched:
            queue.dirty = False
            tx.rows[keys.counters(queue.part)] = rows.encode(queue.counters)
            if queue.settings.limits is not None:
                _tell_freed(tx, queue)
        self.touched.clear()

    def trim_queues(self) -> None:
        """Drop the queues used least recently by creation when too many are in memory; rows have all of them."""
        while len(self.queues) > limits.QUEUES_CACHED_MAX:
            self.forget_queue(next(iter(self.queues)))

    def put_due(self, tx: Tx, at_ms: int, kind: int, reference: bytes) -> None:
        """Have a tick look at `reference` at a time. Rows that became stale are skipped when due."""
        tx.rows[keys.due(at_ms, kind, reference)] = b""
        if at_ms < self.due_floor:
            self.due_floor = at_ms
        if self.due_known is None or at_ms < self.due_known:
            self.due_known = at_ms

    def resolve(self, view: View, reference: str) -> bytes:
        """The id that a client names: UUID text or `custom:QUEUE:ID`. Raises JOB_NOT_FOUND or VALIDATION_ERROR."""
        if reference.startswith("custom:"):
            _, _, rest = reference.partition(":")
            queue, _, custom_id = rest.partition(":")
            found = view.get(keys.custom(keys.queue_part(queue), custom_id)) if queue.isascii() and custom_id else None
            if found is None:
                raise NotFound.job(reference)
            return found
        return parse_reference(reference)

    def job_row(self, view: View, job_id: bytes) -> JobRow | None:
        stored = view.get(keys.job(job_id))
        return None if stored is None else rows.decode_job(stored)

    def state_row(self, view: View, job_id: bytes) -> StateRow | None:
        stored = view.get(keys.state(job_id))
        return None if stored is None else rows.decode_state(stored)

    def load(self, view: View, reference: str) -> tuple[bytes, JobRow, StateRow | None]:
        """A job by reference, for verbs off the hot path. Raises JOB_NOT_FOUND."""
        job_id = self.resolve(view, reference)
        row = self.job_row(view, job_id)
        if row is None:
            raise NotFound.job(id_text(job_id))
        return job_id, row, self.state_row(view, job_id)

    def code_of(self, job_id: bytes, state: StateRow | None) -> int:
        """The state of a job that exists."""
        if job_id in self.leases:
            return rows.ACTIVE
        return rows.WAITING if state is None else state.state


def _tell_freed(tx: Tx, queue: QueueState) -> None:
    """Pulls that wait must hear that a limit lets go: no other fact says so."""
    before, queue.pullable_before = queue.pullable_before, queue.pullable
    if queue.is_capped and queue.pullable_before > before:
        tx.events.append(QueueChanged("freed", queue.name))


def parse_reference(reference: str) -> bytes:
    """Sixteen bytes of UUID text; VALIDATION_ERROR for text that is none."""
    job_id = parse_id(reference)
    if job_id is None:
        raise ValidationFailed("Invalid job ID format", "id")
    return job_id
