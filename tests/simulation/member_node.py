"""One machine room of a cluster: disk, store and clock that outlive processes, and the member that runs in it.

The code under test is the real one: log, seat, member, replicator and machine, wired as a node wires them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import msgspec

from rustqueue.effects.webhooks.duty import WebhookDuty
from rustqueue.gateway.door import Gateway
from rustqueue.gateway.neighbours import Neighbours
from rustqueue.gateway.ports import GatewayLimits
from rustqueue.gateway.relay import ErrandRules, Relay
from rustqueue.machine.machine import Machine
from rustqueue.model.commands import MemberRecord
from rustqueue.raft.cluster.config import Config, config_of
from rustqueue.raft.cluster.install import Snapshots, finish_install
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.parts import Parts, ReplicatorOptions, ReplicatorPorts, Timing, open_configs
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.cluster.snapshots import Checkpoint, read_note
from rustqueue.raft.cluster.syncobj import Seat
from rustqueue.raft.flush import FlushRules
from rustqueue.raft.hardstate import HardState
from rustqueue.raft.messages import Message
from rustqueue.raft.ports import StateMachine
from rustqueue.raft.records import Identity
from rustqueue.raft.space import SpaceRules
from rustqueue.storage import StoreFullError
from tests.simulation.disk import SimDisk
from tests.simulation.network import SimLinks, SimNetwork
from tests.simulation.node import (
    DISK_BYTES,
    WALL_MS,
    BackgroundExecutor,
    SimApplied,
    SimKV,
    SimStore,
    wire_schedules,
)
from tests.simulation.timeline import HostClock, Process, SimExecutor, Timeline
from tests.simulation.trace import Trace, TracedMachine


class SimFiles:
    """The store of a member as files: one file that holds all rows."""

    def __init__(self, node: "SimMember", background: BackgroundExecutor) -> None:
        self._node = node
        self._background = background

    def checkpoint(self, name: str, done: Callable[[Checkpoint | None], None]) -> None:
        node = self._node

        def flushed(_: object, error: BaseException | None) -> None:
            if error is not None:
                done(None)
                return
            rows = dict(node.kv.scan(b"", b"\xff", 10_000_000))
            try:
                file = node.disk.create(f"{name}/rows")
                file.write_at(0, msgspec.msgpack.encode(rows))
            except OSError:
                self.remove_folder(name)
                done(None)
                return
            done(Checkpoint(node.machine.applied_index, node.machine.applied_term, name))

        self.remove_folder(name)
        self._background.run(node.store.flush, flushed)

    def remove_folder(self, name: str) -> None:
        for file in self._node.disk.list(name):
            self._node.disk.remove(f"{name}/{file}")

    def adopt(self, name: str) -> None:
        self._node.exchange(name)
        self._node.machine.open(self._node.kv)


@dataclass(frozen=True, slots=True)
class MemberVariant:
    """The code under test. A planted bug replaces one of the classes."""

    log: type[MemberLog] = MemberLog
    replicator: type[ClusterReplicator] = ClusterReplicator
    seat: type[Seat] = Seat
    machine: type[Machine] = Machine
    relay: type[Relay] = Relay
    segment_bytes: int = 16_000
    flush_bytes: int = 12_000
    kept_bytes: int = 40_000


class SimMember:
    """Start it, let it crash, start it again."""

    def __init__(self, name: str, founders: list[str], timeline: Timeline, network: SimNetwork, rng: Random) -> None:
        self.name = name
        self._founders = founders
        self._timeline = timeline
        self._network = network
        self._rng = rng
        self.host = HostClock(timeline, WALL_MS)
        self.disk = SimDisk(DISK_BYTES)
        self.kv = SimKV()
        self.sync_us: Callable[[], int] = lambda: 300
        self.process: Process | None = None
        self.fatal: BaseException | None = None
        self.variant = MemberVariant()
        self.trace = Trace()
        self.make_gateway: type[Gateway] = Gateway
        self.make_webhooks: Callable[[SimMember, Process], WebhookDuty | None] = lambda member, process: None
        """Called when all but the duty of webhooks is there; it may follow the machine's events."""
        self.webhooks: WebhookDuty | None = None
        self.when_leading: Callable[[int], None] = lambda term: None
        self.when_syncing: Callable[[int], None] | None = None
        """Called once, when the next sync of the log begins, with its duration."""
        self.gateway: Gateway | None = None
        self.tally: Counter[str] = Counter()
        self.store = SimStore(self.kv)
        self.machine = Machine(self.kv)

    @property
    def up(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        variant = self.variant
        process = Process(self._timeline, self.host)
        journal_thread = SimExecutor(process, lambda: self.sync_us())
        journal_thread.began = self._sync_began
        background = BackgroundExecutor(process, lambda: 5 * self.sync_us() + self._rng.randrange(20_000))
        identity = Identity(b"simulated cluste", self.name)
        self.log = variant.log(self.disk, journal_thread, "j", identity, variant.segment_bytes, variant.kept_bytes)
        if read_note(self.disk, "d") is not None and self.disk.list("d/incoming"):
            self.exchange("incoming")
        self.log.open()
        finish_install(self.disk, "d", self.log)
        hard_state = HardState(self.disk, "j")
        hard_state.open()
        self.seat = variant.seat(self.name, hard_state)
        self.links = SimLinks(self._network, process, self.name, self.name)
        self.machine = variant.machine(self.kv)
        self.store = SimStore(self.kv)
        founding = Config(tuple(MemberRecord(name, name, True) for name in self._founders))
        known = self.machine.members is not None
        base = self._config() if known else founding
        configs = open_configs(self.log, self.machine.applied_index if known else 0, base)
        parts = Parts(self.seat, self.log, self.links, process, lambda n: self._rng.randrange(n), Timing(), configs)
        options = ReplicatorOptions(
            flush=FlushRules(log_bytes=variant.flush_bytes, interval_ms=5_000),
            space=SpaceRules(reserve_bytes=DISK_BYTES // 16),
            survivable=lambda error: isinstance(error, StoreFullError),
        )
        self.replicator = variant.replicator(
            parts, self.machine_port(), self.store,
            ReplicatorPorts(self.disk, background, lambda: self._rng.randbytes(16)), options,
        )  # fmt: skip
        self.replicator.digests.own_digest = lambda: self.machine.state_hash
        self.replicator.on_fatal = self._stopped
        self.replicator.installed_config = self._config
        self.snapshots = Snapshots(parts, self.replicator, self.disk, "d", background)
        self.snapshots.use(SimFiles(self, background))
        neighbours = type("SimNeighbours", (Neighbours,), {"relay_type": variant.relay})
        rules = ErrandRules(10_000, self._rng.randrange(1 << 62))
        self.neighbours = neighbours(self.links, self.replicator, process, self.replicator.member.read_index, rules)
        self.gateway = self.make_gateway(
            self.replicator, SimApplied(self.machine), process, GatewayLimits(), lambda *_: None
        )
        self.gateway.join(self.neighbours)
        self.schedules = wire_schedules(self.machine, self.replicator, process, self.gateway, self.trace)
        self.webhooks = self.make_webhooks(self, process)
        self.replicator.on_role = self._role_changed
        self.replicator.on_leader = self.neighbours.leader_is
        self.replicator.on_applied = self.neighbours.reads.applied
        self.links.on_message = self._received
        self.links.on_up = self._link_up
        self.links.on_down = self._link_down
        self.replicator.on_fatal = self._stopped
        self.replicator.on_configured = self._dial
        self.fatal = None
        self.process, self._threads = process, (journal_thread, background)
        self._dial(parts.config)
        self.links.listen()
        self.replicator.start()

    @property
    def journal(self) -> MemberLog:
        return self.log

    def _sync_began(self, duration_us: int) -> None:
        call, self.when_syncing = self.when_syncing, None
        if call is not None:
            call(duration_us)

    def _role_changed(self, leads: bool) -> None:
        self.snapshots.role_changed(leads)
        if leads:
            self.schedules.begin()
            if self.webhooks is not None:
                self.webhooks.begin()
            self.when_leading(self.replicator.term)
            return
        self.schedules.end()
        if self.webhooks is not None:
            self.webhooks.end()
        if self.gateway is not None:
            self.gateway.lost_leadership()

    def _config(self) -> Config:
        stored = self.machine.members
        return Config(()) if stored is None else config_of(stored)

    def _received(self, peer: str, message: Message) -> None:
        if not self.neighbours.received(peer, message) and not self.snapshots.received(peer, message):
            self.replicator.received(peer, message)

    def _link_up(self, peer: str) -> None:
        self.replicator.member.link_up(peer)
        self.neighbours.link_up(peer)

    def _link_down(self, peer: str) -> None:
        self.replicator.member.link_down(peer)
        self.neighbours.link_down(peer)
        self.snapshots.link_down(peer)

    def exchange(self, name: str) -> None:
        """The folder takes the place of the store, which is one rename."""
        path = f"{name}/rows" if name != "incoming" else "d/incoming/rows"
        rows = msgspec.msgpack.decode(self.disk.read(path, 0, self.disk.size_bytes(path)), type=dict[bytes, bytes])
        self.kv = SimKV(rows)
        self.store.kv = self.kv
        self.disk.remove(path)
        self.disk.sync_dir(name)

    def machine_port(self) -> StateMachine:
        return TracedMachine(self.machine, self.trace)

    def _dial(self, config: Config) -> None:
        self.links.set_peers({name: address for name, address in config.addresses.items() if name != self.name})

    def crash(self, power: bool, survivors: Callable[[int], int] = lambda count: 0) -> None:
        assert self.process is not None, "only a running node can crash"
        self.process.alive = False
        self._count()
        self.links.hang_up()
        for thread in self._threads:
            thread.interrupted(self.disk, self._rng)
        self.process = self.gateway = self.fatal = None
        if power:
            self.disk.power_cut(self._rng)
        self.kv.crash(survivors)

    def _count(self) -> None:
        sender = self.snapshots.sender
        self.tally["cuts"] += self.replicator.member.cuts_count
        self.tally["installs"] += self.snapshots.installs_count
        self.tally["snapshots sent"] += sender.sent_count if sender is not None else 0

    def stop(self, done: Callable[[], None]) -> None:
        """As on SIGTERM: the leadership first, then what is on its way, then the store."""
        process, replicator, gateway = self.process, self.replicator, self.gateway
        assert process is not None, "only a running node can be stopped"
        assert gateway is not None, "only a running node can be stopped"

        def stopped() -> None:
            if self.process is process:
                process.alive = False
                self._count()
                self.links.hang_up()
                self.process = self.gateway = None
                self.kv.crash()
            done()

        def stop() -> None:
            if self.process is process:
                gateway.close()
                replicator.stop(stopped)

        replicator.member.transfer()
        process.after(1_500_000, stop)

    def _stopped(self, error: BaseException) -> None:
        self.fatal = error
        if self.gateway is not None:
            self.gateway.abandon()
