"""One machine room of a cluster: disk, store and clock that outlive processes, and the member that runs in it.

The code under test is the real one: log, seat, member, replicator and machine, wired as a node wires them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from rustqueue.machine.machine import Machine
from rustqueue.model.commands import MemberRecord
from rustqueue.raft.cluster.config import Config, config_of
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.parts import ConfigLog, Parts, Timing, decode_config
from rustqueue.raft.cluster.replicator import ClusterReplicator, ReplicatorOptions, ReplicatorPorts
from rustqueue.raft.cluster.syncobj import Seat
from rustqueue.raft.flush import FlushRules
from rustqueue.raft.hardstate import HardState
from rustqueue.raft.records import KIND_CONFIG, Identity
from rustqueue.raft.space import SpaceRules
from rustqueue.storage import StoreFullError
from tests.simulation.disk import SimDisk
from tests.simulation.network import SimLinks, SimNetwork
from tests.simulation.node import DISK_BYTES, WALL_MS, BackgroundExecutor, SimKV, SimStore
from tests.simulation.timeline import HostClock, Process, SimExecutor, Timeline


def open_configs(log: MemberLog, base_index: int, base: Config) -> ConfigLog:
    configs = ConfigLog((base_index, base))
    for record in log.read_from(max(log.first_index, base_index + 1)):
        if record.kind == KIND_CONFIG:
            configs.add(record.index, decode_config(record.payload))
    return configs


@dataclass(frozen=True, slots=True)
class MemberVariant:
    """The code under test. A planted bug replaces one of the classes."""

    log: type[MemberLog] = MemberLog
    replicator: type[ClusterReplicator] = ClusterReplicator
    seat: type[Seat] = Seat
    segment_bytes: int = 16_000
    flush_bytes: int = 12_000


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

    @property
    def up(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        variant = self.variant
        process = Process(self._timeline, self.host)
        journal_thread = SimExecutor(process, lambda: self.sync_us())
        background = BackgroundExecutor(process, lambda: 5 * self.sync_us() + self._rng.randrange(20_000))
        identity = Identity(b"simulated cluste", self.name)
        self.log = variant.log(self.disk, journal_thread, "j", identity, variant.segment_bytes)
        self.log.open()
        hard_state = HardState(self.disk, "j")
        hard_state.open()
        self.seat = variant.seat(self.name, hard_state)
        self.links = SimLinks(self._network, process, self.name, self.name)
        self.machine = Machine(self.kv)
        self.store = SimStore(self.kv)
        stored = self.machine.members
        founding = Config(tuple(MemberRecord(name, name, True) for name in self._founders))
        base = founding if stored is None else config_of(stored)
        configs = open_configs(self.log, self.machine.applied_index, base)
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
        self.links.on_message = self.replicator.received
        self.links.on_up = self.replicator.member.link_up
        self.links.on_down = self.replicator.member.link_down
        self.replicator.on_configured = self._dial
        self.fatal = None
        self.process, self._threads = process, (journal_thread, background)
        self._dial(parts.config)
        self.links.listen()
        self.replicator.start()

    def machine_port(self) -> Any:
        return self.machine

    def _dial(self, config: Config) -> None:
        self.links.set_peers({name: address for name, address in config.addresses.items() if name != self.name})

    def crash(self, power: bool, survivors: Callable[[int], int] = lambda count: 0) -> None:
        assert self.process is not None, "only a running node can crash"
        self.process.alive = False
        self.links.hang_up()
        for thread in self._threads:
            thread.interrupted(self.disk, self._rng)
        self.process = self.fatal = None
        if power:
            self.disk.power_cut(self._rng)
        self.kv.crash(survivors)

    def _stopped(self, error: BaseException) -> None:
        self.fatal = error
