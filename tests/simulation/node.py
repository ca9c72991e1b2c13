"""One machine room: disk, store and clock that outlive processes, and the node that runs in it.

It must not decide when anything fails; `tests.simulation.faults` does. The code under test is the real one: journal,
replicator, gateway and machine, wired as a node wires them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from rustqueue.effects.schedules.duty import ScheduleDuty, ScheduleParts
from rustqueue.gateway.door import Gateway
from rustqueue.gateway.ports import GatewayLimits
from rustqueue.machine import queries
from rustqueue.machine.machine import Machine
from rustqueue.model.events import Event
from rustqueue.model.jobs import Rate
from rustqueue.model.queries import Read
from rustqueue.model.replies import HealthInfo, Reply
from rustqueue.node.timetables import ScheduleRows
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.flush import FlushRules
from rustqueue.raft.journal import Journal, stored_identity
from rustqueue.raft.local import LocalOptions, LocalPorts, LocalReplicator
from rustqueue.raft.records import Identity
from rustqueue.raft.space import SpaceRules
from rustqueue.storage import StoreFullError
from rustqueue.storage.memory import FlushMark, MemoryKV
from tests.simulation.disk import SimDisk
from tests.simulation.oddities import PLAIN, Oddities, too_early
from tests.simulation.timeline import HostClock, Process, SimExecutor, Timeline
from tests.simulation.toll import Toll
from tests.simulation.trace import Trace, TracedMachine

WALL_MS = 1_760_000_000_000
DISK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Variant:
    """The code under test. A planted bug replaces one of the classes."""

    journal: type[Journal] = Journal
    replicator: type[LocalReplicator] = LocalReplicator
    machine: type[Machine] = Machine
    segment_bytes: int = PLAIN.segment_bytes
    flush_bytes: int = PLAIN.flush_bytes
    odd: Oddities = PLAIN

    def being(self, odd: Oddities) -> "Variant":
        return replace(self, segment_bytes=odd.segment_bytes, flush_bytes=odd.flush_bytes, odd=odd)


class SimKV(MemoryKV):
    """The memory store; while `full` it takes no batch, as an engine without room."""

    full = False

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        if self.full:
            raise StoreFullError("no room, simulated")
        super().write(rows)


class SimStore:
    """What the replicator has of the store. A flush takes time and saves what was there when it began."""

    def __init__(self, kv: SimKV) -> None:
        self.kv = kv
        self.failure: Exception | None = None
        self._mark: FlushMark | None = None

    def begin(self) -> None:
        self._mark = self.kv.begin_flush()

    def flush(self) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        if self.kv.full:
            raise StoreFullError("no room, simulated")
        assert self._mark is not None, "the executor begins each flush"
        self.kv.end_flush(self._mark)

    def close(self) -> None:
        self.kv.close()


class BackgroundExecutor(SimExecutor):
    """The thread of flushes: a flush covers what was written before it began, not before it ended."""

    def _start_job(self, job: Callable[[], Any]) -> None:
        owner = getattr(job, "__self__", None)
        if isinstance(owner, SimStore):
            owner.begin()


class SimApplied:
    """What the gateway reads."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def applied_index(self) -> int:
        return self._machine.applied_index

    def ready_count(self, queue: str) -> int:
        return self._machine.ready_count(queue)

    def push_rate(self, queue: str) -> Rate | None:
        return self._machine.push_rate(queue)

    def is_draining(self, worker_id: str) -> bool:
        return self._machine.is_draining(worker_id)

    def payload_schema(self, queue: str) -> bytes | None:
        return self._machine.payload_schema(queue)

    def answer(self, query: Read) -> Reply:
        return queries.answer(self._machine, query)

    def queue_of_job(self, reference: str) -> str | None:
        return queries.queue_of_job(self._machine, reference)

    def queue_of_sweep(self, reference: str) -> str | None:
        return queries.queue_of_sweep(self._machine, reference)

    def queue_of_schedule(self, name: str) -> str | None:
        return queries.queue_of_schedule(self._machine, name)

    def health(self) -> HealthInfo:
        raise AssertionError("no client of the simulation asks for health")


def wire_schedules(
    machine: Machine, replicator: LocalReplicator | ClusterReplicator, process: Process, gateway: Gateway, trace: Trace
) -> ScheduleDuty:
    """The duty of schedules, told as the bus of a node tells it."""
    parts = ScheduleParts(
        process, replicator.now_ms, replicator.propose, ScheduleRows(machine), disk_full=lambda: replicator.disk_full
    )
    duty = ScheduleDuty(parts)

    def publish(index: int, now_ms: int, events: Sequence[Event]) -> None:
        gateway.on_events(index, now_ms, events)
        duty.on_events(index, now_ms, events)
        trace.timetables.saw(machine, events)

    machine.publish = publish
    return duty


class SimNode:
    """Start it, let it crash, start it again. `sync_us` tells how long a sync of the disk takes just now."""

    name = "n0"

    def __init__(self, timeline: Timeline, rng: Random, trace: Trace, variant: Variant) -> None:
        self._timeline = timeline
        self._rng = rng
        self._trace = trace
        self._variant = variant
        self.host = HostClock(timeline, WALL_MS)
        self.toll = Toll()
        self.toll.elapse = self.host.elapse
        self.disk = SimDisk(DISK_BYTES)
        self.kv = SimKV()
        self.sync_us: Callable[[], int] = lambda: 300
        self.process: Process | None = None
        self.gateway: Gateway | None = None
        self.fatal: BaseException | None = None
        self.when_syncing: Callable[[int], None] | None = None
        """Called once, when the next sync of the log begins, with its duration."""
        self.starts_count = 0

    @property
    def up(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        """A new process. Raises what the node raises when it refuses to start; it is then not up."""
        process = Process(self._timeline, self.host)
        journal_thread = SimExecutor(process, lambda: self.sync_us())
        journal_thread.began = self._sync_began
        background = BackgroundExecutor(process, lambda: 5 * self.sync_us() + self._rng.randrange(20_000))
        identity = stored_identity(self.disk, "j") or Identity(b"simulated cluste", "n0")
        odd = self._variant.odd
        journal = self._variant.journal(self.disk, journal_thread, "j", identity, self._variant.segment_bytes)
        self.store = SimStore(self.kv)
        machine = self._variant.machine(self.kv)
        self.machine = TracedMachine(machine, self._trace, self.toll)
        ports = LocalPorts(self.disk, process, background, lambda: self._rng.randbytes(16))
        options = LocalOptions(
            flush=FlushRules(log_bytes=self._variant.flush_bytes, interval_ms=5_000),
            space=SpaceRules(reserve_bytes=DISK_BYTES // 16),
            survivable=lambda error: isinstance(error, StoreFullError),
            pending_bytes=odd.pending_bytes,
            entry_bytes=odd.entry_bytes,
            entry_commands=odd.entry_commands,
            group=odd.group,
            too_early=too_early if odd.lacks_cancel else None,
        )
        self.replicator = self._variant.replicator(self.machine, self.store, journal, ports, options)
        self.replicator.on_fatal = self._stopped
        self.journal = journal
        self.fatal = None
        self.replicator.start()
        self._trace.restarted(journal.last_index)
        self.process, self._threads = process, (journal_thread, background)
        self.gateway = Gateway(self.replicator, SimApplied(machine), process, GatewayLimits(), lambda *_: None)
        self.schedules = wire_schedules(machine, self.replicator, process, self.gateway, self._trace)
        self.schedules.begin()
        self.starts_count += 1

    def crash(self, power: bool, survivors: Callable[[int], int]) -> None:
        """The process dies at once; with `power`, whatever was not synced is at risk. Rows the store has not flushed
        die with the process either way, but for those that `survivors` lets the engine have flushed on its own.
        """
        assert self.process is not None, "only a running node can crash"
        self.process.alive = False
        for thread in self._threads:
            thread.interrupted(self.disk, self._rng)
        self.process = self.gateway = self.fatal = None
        if power:
            self.disk.power_cut(self._rng)
        self.kv.crash(survivors)

    def stop(self, done: Callable[[], None]) -> None:
        """As on SIGTERM."""
        assert self.gateway is not None, "only a running node can be stopped"
        self.gateway.close()
        self.schedules.end()

        def stopped() -> None:
            if self.process is not None:
                self.process.alive = False
            self.process = self.gateway = None
            self.kv.crash()
            done()

        self.replicator.stop(stopped)

    def lose_disk(self) -> None:
        raise AssertionError("a node without others has nowhere else its jobs")

    def _sync_began(self, duration_us: int) -> None:
        call, self.when_syncing = self.when_syncing, None
        if call is not None:
            call(duration_us)

    def _stopped(self, error: BaseException) -> None:
        self.fatal = error
        if self.gateway is not None:
            self.gateway.abandon()
