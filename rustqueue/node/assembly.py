"""One node in one process: store, machine, log, gateway and shells, started in order, stopped in reverse.

It must not know signals or processes, nor decide anything about jobs or bytes. Invariants: nothing is served before the
log is replayed; a stop answers what is on its way and flushes the store, within its deadline; after a fault of log or
machine nothing more is acknowledged.
"""

import asyncio
import logging
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import rustqueue
from rustqueue.api.app import HttpShell
from rustqueue.api.ports import HttpOptions
from rustqueue.bus import Bus
from rustqueue.dashboard import pages_of
from rustqueue.effects.audit import AuditLog
from rustqueue.effects.depths import OldestJobs, QueueDepths
from rustqueue.effects.duty import LeaderDuty
from rustqueue.effects.metrics import Metrics
from rustqueue.effects.schedules.duty import ScheduleDuty, ScheduleParts
from rustqueue.effects.stalls import LoopStalls
from rustqueue.effects.stream import EventStream
from rustqueue.effects.webhooks.ports import Times
from rustqueue.gateway import Gateway, GatewayLimits
from rustqueue.machine.kv import KV
from rustqueue.machine.machine import Machine
from rustqueue.machine.reads.oldest import oldest_ready_ms
from rustqueue.model.cluster.features import FEATURE_LEVEL, LEVEL_OF_COMMAND, ProgramTooOld, too_early
from rustqueue.model.cluster.replies import ClusterInfo, MemberInfo
from rustqueue.model.commands import Command, Configure
from rustqueue.model.errors import ApiError
from rustqueue.model.replies import HealthInfo, Reply
from rustqueue.model.webhooks.commands import WebhookOutcomes
from rustqueue.model.wire import encode_command
from rustqueue.node.access import authenticator
from rustqueue.node.adapters import DiskLog, HttpServices, MachineReads, MeasuredExecutor, MeasuredMachine
from rustqueue.node.cluster import ClusterError, ClusterSide, MemberParts
from rustqueue.node.doors.second_system import KindError, jobs_shell, kinds_of
from rustqueue.node.doors.shells import Shell, start_all, stop_all, those_of
from rustqueue.node.keeping.backups import BackupOffice, BackupParts
from rustqueue.node.keeping.configuring import NotConfigured, configure
from rustqueue.node.keeping.place import data_folder
from rustqueue.node.keeping.refused import RefusedError, read_refused
from rustqueue.node.keeping.unfinished import UnfinishedRestore, refuse_unfinished
from rustqueue.node.membership import LoneCouncil
from rustqueue.node.numbers import gauges_of
from rustqueue.node.room import RoomMaker, RoomParts, Sizes
from rustqueue.node.secrets import preparing
from rustqueue.node.state_files import CurrentStore, FileParts, NodeFiles, settle
from rustqueue.node.timetables import ScheduleRows
from rustqueue.node.tls import CertificateWatch, TlsError
from rustqueue.node.tracing import TracingMissing, request_spans
from rustqueue.node.webhooks import Webhooks
from rustqueue.raft.cluster.parts import ReplicatorOptions
from rustqueue.raft.cluster.passport import read_passport
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.cluster.syncobj import LibraryChanged
from rustqueue.raft.flush import FlushRules
from rustqueue.raft.group import GroupRules
from rustqueue.raft.journal import Journal, JournalError, stored_identity
from rustqueue.raft.local import ApplyFailed, LocalOptions, LocalPorts, LocalReplicator
from rustqueue.raft.ports import Disk, Proposal
from rustqueue.raft.real import LoopClock, OsDisk, ThreadExecutor
from rustqueue.raft.records import Identity
from rustqueue.raft.space import SpaceRules
from rustqueue.raft.transport import CredentialsError
from rustqueue.reasons import reason_of
from rustqueue.seal import SealError
from rustqueue.settings import Settings
from rustqueue.storage import StorageError, StoreFullError, open_store
from rustqueue.tcp import TcpOptions, TcpShell
from rustqueue.websocket import text_frame

log: Final = logging.getLogger("rustqueue.node")

JOURNAL_FOLDER: Final = "journal"
STORE_FOLDER: Final = "store"

_NODE_ID: Final = "n0"
_FAULT_STOP_S: Final = 1.0  # Clients are told that the outcome is unknown, then the process goes.
_OTHERS_S: Final = 2.0  # A member that stops waits so long for the others to take what nobody waits for.
_SHELLS_SHARE: Final = 0.8  # Of the deadline of a stop; the rest is for the last flush.


class NodeError(Exception):
    """The node cannot start. The message says why and what can be done."""


_CANNOT_START: Final = (
    StorageError,
    JournalError,
    ApplyFailed,
    ProgramTooOld,
    RefusedError,
    UnfinishedRestore,
    NotConfigured,
    ClusterError,
    CredentialsError,
    LibraryChanged,
    TlsError,
    SealError,
    TracingMissing,
    KindError,
    OSError,
)


def _is_want_of_room(error: BaseException) -> bool:
    return isinstance(error, StoreFullError)


class Node:
    """One node in this process. `start`, then `stop` once; `fault` is set when it cannot go on. Without ports only its
    gateway can be asked.
    """

    def __init__(self, settings: Settings, *, with_ports: bool = True) -> None:
        self.settings = settings
        self._with_ports = with_ports
        self.fault: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.started_s = time.monotonic()
        self._stopping = False
        self._undo: list[Callable[[], None]] = []
        self._on_replaced: list[Callable[[int], None]] = []
        self._shells: list[Shell] = []
        self.cluster: ClusterSide | None = None
        self.journal: Journal
        self.replicator: LocalReplicator | ClusterReplicator

    # Lifecycle.

    async def start(self) -> None:
        """Open, replay, serve. Raises `NodeError`; then everything is closed again."""
        try:
            node_id = self.settings.cluster.node_id if self.settings.cluster.enabled else _NODE_ID
            self._spans = request_spans(self.settings.tracing, node_id)
            self._open_store()
            if self.settings.cluster.enabled:
                await self._open_member()
            else:
                self._open_alone()
            self._open_gateway()
            if self.cluster is None:
                await configure(self.replicator, self.machine, self.settings.node_defaults(), self.fault)
                self._begin_duties()
            if self._with_ports:
                await self._serve()
            self._undo.append(self.stalls.start())
        except _CANNOT_START as error:
            await self._leave_cluster()
            self._undo_all()
            raise NodeError(reason_of(error)) from error
        except BaseException:
            await self._leave_cluster()
            self._undo_all()
            raise

    async def stop(self, deadline_s: float) -> bool:
        """Answer what is on its way, flush, close. False when the deadline came first. A second call does nothing."""
        if self._stopping:
            return True
        self._stopping = True
        self.room.stop()
        self._end_duties()
        if self._with_ports:
            self.tcp.stop_accepting()
        if self.cluster is not None:
            await self.cluster.hand_over()
        self.gateway.close()
        faulty = self.replicator.stopped is not None
        if faulty:
            self.gateway.abandon()
            deadline_s = min(deadline_s, _FAULT_STOP_S)
        ends_s = time.monotonic() + deadline_s
        shells_s = deadline_s * _SHELLS_SHARE
        if self._with_ports:
            await stop_all(self._shells, shells_s)
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.replicator.stop(lambda: closed.set_result(None))
        try:
            async with asyncio.timeout(max(ends_s - time.monotonic(), _FAULT_STOP_S)):
                await self._closed(closed)
        except TimeoutError:
            await self._leave_cluster()  # Whoever waits for this node had better look for another one.
            return False
        await self.webhooks.close()
        if self._spans is not None:
            await self._spans.close()
        await self._leave_cluster()
        self._undo_all()
        return True

    async def _closed(self, closed: "asyncio.Future[None]") -> None:
        """All clients have their answers. What a member still has in the log is not waited for by anybody, and without
        the others it never ends.
        """
        if isinstance(self.replicator, ClusterReplicator):
            await asyncio.wait({closed}, timeout=_OTHERS_S)
            if not closed.done():
                self.replicator.stop(lambda: closed.set_result(None), hurry=True)
        await closed

    def _open_store(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock, self._disk = LoopClock(loop), OsDisk()
        self.folder = self._folder(self._disk)
        refuse_unfinished(self.folder)
        self._sizes = Sizes.of(self._disk.space(self.folder).total_bytes)
        if self.settings.cluster.enabled:
            settle(self.folder, STORE_FOLDER)
        self._store = CurrentStore(self._open_kv())
        self._undo.append(self._store.close)
        self.machine = Machine(self._store.kv, refused_indexes=read_refused(self.folder))
        self.webhooks = Webhooks(self.settings, self.folder)
        self.depths = QueueDepths(self.machine.queue_counts, self.clock.call_later)
        self.oldest = OldestJobs(self._oldest_ready_ms, self.clock.call_later)
        self.stalls = LoopStalls(self.clock.monotonic_us, self.clock.call_later)
        self.metrics = Metrics(rustqueue.__version__, lambda: gauges_of(self))
        self._too_early = self._not_yet if LEVEL_OF_COMMAND else None
        self._measured = MeasuredMachine(self.machine, self.metrics.tick_applied)
        writer = self._thread(loop, "rustqueue-journal")
        self._journal_thread = MeasuredExecutor(writer, self.metrics.journal_sync)
        self._background = self._thread(loop, "rustqueue-background")

    def _oldest_ready_ms(self, queue: str) -> int | None:
        return oldest_ready_ms(self.machine.state, self.machine.view(), queue)

    def _not_yet(self, command: Command) -> ApiError | None:
        return too_early(command, self.machine.state.meta.feature_level)

    def _open_kv(self) -> KV:
        engine, path = self.settings.storage.engine, f"{self.folder}/{STORE_FOLDER}"
        return open_store(engine, path, self._sizes.write_buffer_bytes)

    def _open_alone(self) -> None:
        settings, disk, sizes = self.settings, self._disk, self._sizes
        journal_folder = f"{self.folder}/{JOURNAL_FOLDER}"
        if read_passport(disk, self.folder) is not None:
            raise NodeError(f"{self.folder}: belongs to a node of a cluster. Start it with its [cluster] section.")
        identity = stored_identity(disk, journal_folder) or Identity(secrets.token_bytes(16), _NODE_ID)
        journal = Journal(disk, self._journal_thread, journal_folder, identity, sizes.segment_bytes)
        self._undo.append(journal.close)
        ports = LocalPorts(disk, self.clock, self._background, lambda: os.urandom(16))
        options = LocalOptions(
            flush=FlushRules(log_bytes=sizes.flush_log_bytes),
            space=SpaceRules(reserve_bytes=sizes.reserve_bytes),
            group=GroupRules(settings.storage.group_wait_ms, settings.storage.group_commands),
            survivable=_is_want_of_room,
            too_early=self._too_early,
        )
        replicator = LocalReplicator(self._measured, self._store, journal, ports, options)
        replicator.on_fatal = self._failed
        replicator.start()
        self.journal, self.replicator = journal, replicator
        self._say_what_was_found(self._store)

    async def _open_member(self) -> None:
        """The log of a cluster's member. It speaks to nobody of consensus before the gateway is there."""
        if self.settings.storage.engine == "memory":
            raise NodeError("storage.backend: a member of a cluster keeps its store on its disk: use 'rocks'")
        cluster = ClusterSide(self.settings.cluster, self.folder, self._disk, self.clock)
        self.cluster = cluster
        await cluster.belong()
        sizes = self._sizes
        options = ReplicatorOptions(
            flush=FlushRules(log_bytes=sizes.flush_log_bytes),
            space=SpaceRules(reserve_bytes=sizes.reserve_bytes),
            survivable=_is_want_of_room,
            too_early=self._too_early,
        )
        parts = MemberParts(
            self.machine, self._measured, self._store, self._journal_thread, self._background,
            lambda: os.urandom(16), sizes.segment_bytes, options,
        )  # fmt: skip
        replicator = cluster.open(f"{self.folder}/{JOURNAL_FOLDER}", parts, self._own_files())
        self._undo.append(cluster.log.close)
        replicator.on_fatal = self._failed
        self.journal, self.replicator = cluster.log, replicator

    def _open_gateway(self) -> None:
        settings, clock = self.settings, self.clock
        limits = GatewayLimits(settings.limits.command_deadline_ms, settings.limits.waiting_pulls_max)
        observe = self.metrics.command_answered
        kinds = kinds_of(settings.compat.kinds)
        reads = MachineReads(self.machine, self.health, self.webhooks.check_query, settings.queue_rates, kinds)
        log_, rows = self.replicator, ScheduleRows(self.machine)
        prepared = {**preparing(os.urandom), **rows.preparing(), **self.webhooks.preparing}
        self.gateway = Gateway(log_, reads, clock, limits, observe, prepared)
        self.gateway.ask_cluster = LoneCouncil(self).submit
        self._open_backups()
        self.gateway.audit = AuditLog(time.monotonic)
        parts = ScheduleParts(clock, log_.now_ms, log_.propose, rows, rows.refusal, lambda: log_.disk_full)
        self.schedules = ScheduleDuty(parts)
        self._duties: list[LeaderDuty] = [self.schedules]
        bus = Bus(clock.call_soon)
        bus.subscribe(self.metrics.on_events)
        bus.subscribe(self.gateway.on_events)
        self.stream = EventStream(clock, text_frame, self.machine.applied_index)
        bus.subscribe(self.stream.on_events)
        self._on_replaced.append(self.stream.jumped)
        bus.subscribe(self.schedules.on_events)
        self._prepare_webhooks(bus, clock)
        self.machine.publish = bus.publish
        disk_log = DiskLog(self.replicator.space, clock)
        disk_log.start()
        self._undo.append(disk_log.stop)
        if self.cluster is not None:
            self.gateway.join(self.cluster.join_gateway(settings.limits.command_deadline_ms, self._role_changed))
            assert self.cluster.council is not None, "the gateway has joined"
            self.gateway.ask_cluster = self.cluster.council.submit
            assert self.cluster.neighbours is not None, "the gateway has joined"
            self._backups.fresh = self.cluster.neighbours.reads.wait
            self.replicator.start()
            self._say_what_was_found(self._store)
        self._make_room(self._store, asyncio.get_running_loop())
        self._undo.append(self._end_duties)

    def _open_backups(self) -> None:
        """After the members' store was opened, since a snapshot may have replaced it."""
        durable = self.settings.storage.engine != "memory"
        thread = self._thread(asyncio.get_running_loop(), "rustqueue-backup")
        parts = BackupParts(
            self.folder, self._disk, self.clock, thread, self.machine, self._own_files() if durable else None,
            self._whose, lambda: self.replicator.disk_full,
        )  # fmt: skip
        self._backups = BackupOffice(parts)
        self._undo.append(self._backups.close)
        self.gateway.ask_backups = self._backups.submit

    def _own_files(self) -> NodeFiles:
        files = FileParts(self._disk, self._background, self._open_kv, self._state_replaced)
        return NodeFiles(self.folder, STORE_FOLDER, self._store, self.machine, files)

    def _whose(self) -> tuple[str, str]:
        return self.journal.identity.cluster_id.hex(), self.journal.identity.node_id

    def _state_replaced(self) -> None:
        for told in self._on_replaced:
            told(self.machine.applied_index)

    def _prepare_webhooks(self, bus: Bus, clock: LoopClock) -> None:
        times = Times(clock.monotonic_us, self.replicator.now_ms, clock.call_soon, clock.call_later)
        webhooks = self.webhooks.make_duty(self.machine, self._propose_outcomes, times, self.metrics)
        if webhooks is not None:
            bus.subscribe(webhooks.on_events)
            self._duties.append(webhooks)

    def _propose_outcomes(self, command: WebhookOutcomes, done: Callable[[Reply], None]) -> None:
        self.replicator.propose(Proposal(command, encode_command(command), done))

    def _role_changed(self, leads: bool) -> None:
        """This member of a cluster leads now, or no more."""
        if not leads:
            self._end_duties()
            self.gateway.lost_leadership()
            return
        self._begin_duties()
        command = Configure(defaults=self.settings.node_defaults())
        if command.defaults != self.machine.defaults:
            # Proposed again at every election that finds another configuration in force; twice is as good as once.
            self.replicator.propose(Proposal(command, encode_command(command), lambda reply: None))

    def _begin_duties(self) -> None:
        """What only a leader does. A node without others leads from its start to its stop."""
        for duty in self._duties:
            duty.begin()

    def _end_duties(self) -> None:
        for duty in self._duties:
            duty.end()

    async def _leave_cluster(self) -> None:
        if self.cluster is not None:
            await self.cluster.close()

    def _make_room(self, store: CurrentStore, loop: asyncio.AbstractEventLoop) -> None:
        parts = RoomParts(
            log=self.replicator,
            begin_segment=self.journal.begin_segment,
            own_bytes=lambda: self.journal.size_bytes + store.size_bytes(),
            # Only the engine that is on the disk has anything to compact.
            compact=store.compact if hasattr(store.kv, "compact") else None,
            background=self._thread(loop, "rustqueue-compaction"),
        )
        self.room = RoomMaker(parts, self.replicator.space, self.clock)
        self.room.start()
        self._undo.append(self.room.stop)

    def _folder(self, disk: Disk) -> str:
        if self.settings.storage.engine == "memory":
            # A memory store cannot be replayed after its log was cut, so nothing of such a node is kept.
            temporary = tempfile.TemporaryDirectory(prefix="rustqueue-")
            self._undo.append(temporary.cleanup)
            return temporary.name
        return data_folder(disk, self.settings.storage.path)

    def _thread(self, loop: asyncio.AbstractEventLoop, name: str) -> ThreadExecutor:
        executor = ThreadExecutor(loop, name)
        self._undo.append(executor.close)
        return executor

    async def _serve(self) -> None:
        settings, loop = self.settings, asyncio.get_running_loop()
        auth = self.auth = authenticator(
            settings,
            self.clock,
            lambda token_id: self.machine.state.tokens.get(token_id),
            lambda name: self._thread(loop, name),
        )
        if self.cluster is not None and self.cluster.neighbours is not None:
            auth.catch_up = self.cluster.neighbours.reads.wait
        certificates = CertificateWatch(self.clock)
        self._undo.append(certificates.stop)
        http_tls = certificates.context_of(settings.http_tls, ("http/1.1",))
        tcp_tls = certificates.context_of(settings.tcp_tls)
        services = HttpServices(auth, self.metrics, self, self.stream)
        pages = pages_of(dashboard=settings.dashboard.enabled, prefix=settings.dashboard.path_prefix)
        http_options = HttpOptions.of(settings, http_tls, pages)
        self.http = HttpShell(self.gateway, services, http_options)
        self.jobs_http = jobs_shell(settings, self.gateway, services, http_options)
        options = TcpOptions(
            settings.server.host,
            settings.server.tcp_port,
            settings.limits.line_deadline_ms,
            settings.limits.tcp_connections_max,
            tcp_tls,
        )
        self.tcp = TcpShell(self.gateway, auth, self.clock, options)
        self._shells = those_of(self.tcp, self.http, self.jobs_http)
        await start_all(self._shells, None if self._spans is None else self._spans.around)
        self.webhooks.listens_on([shell.port for shell in self._shells])

    def _say_what_was_found(self, store: CurrentStore) -> None:
        cut = self.journal.cut
        if cut is not None:
            log.warning("torn end of the log cut", extra={"file": cut.path, "offset": cut.offset, "reason": cut.reason})
        fields = {"applied_index": self.machine.applied_index, "store_bytes": store.size_bytes()}
        if isinstance(self.replicator, LocalReplicator):
            # A member applies what is committed as it learns of it, after the start.
            fields["replayed"] = self.replicator.replayed_count
        log.info("log replayed", extra=fields)

    def _failed(self, error: BaseException) -> None:
        if not self.fault.done():
            self.fault.set_result(error)

    def _undo_all(self) -> None:
        while self._undo:
            self._undo.pop()()

    # What the shells and the metrics ask.

    def health(self) -> HealthInfo:
        replicator = self.replicator
        return HealthInfo(
            status="healthy" if replicator.stopped is None else "failed",
            version=rustqueue.__version__,
            uptime_seconds=int(time.monotonic() - self.started_s),
            role="leader" if self.cluster is None else self.cluster.role,
            leader=_NODE_ID if self.cluster is None else self.cluster.leader_node,
            term=replicator.term,
            applied=replicator.applied_index,
            lag=self.journal.last_index - replicator.applied_index,
        )

    def cluster_info(self) -> ClusterInfo:
        """A node without others is its own leader."""
        durable, applied = self.journal.durable_index, self.replicator.applied_index
        identity = self.journal.identity
        member = MemberInfo(_NODE_ID, "", "leader", True, durable, applied, 0, rustqueue.__version__, FEATURE_LEVEL)
        term = self.replicator.term
        level = self.machine.state.meta.feature_level
        cluster_id = identity.cluster_id.hex()
        return ClusterInfo(cluster_id=cluster_id, leader=_NODE_ID, term=term, members=[member], feature_level=level)

    def ready(self) -> tuple[bool, str]:
        if self.replicator.stopped is not None:
            return False, "the log has failed"
        if self._stopping:
            return False, "the node is shutting down"
        reason = "" if self.cluster is None else self.cluster.not_ready()
        return reason == "", reason


@asynccontextmanager
async def running_node(settings: Settings) -> AsyncIterator[Node]:
    """A node in the caller's loop, for tests and embedding. A node that has failed is stopped all the same."""
    node = Node(settings)
    await node.start()
    try:
        yield node
    finally:
        await node.stop(settings.limits.shutdown_s)
