"""One machine room of a cluster: disk, store and clock that outlive processes, and the member that runs in it.

The code under test is the real one: log, seat, member, replicator and machine, wired as a node wires them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import msgspec

from rustqueue.effects.webhooks.duty import WebhookDuty
from rustqueue.gateway.door import Gateway
from rustqueue.gateway.neighbours import Neighbours
from rustqueue.gateway.ports import GatewayLimits
from rustqueue.gateway.relay import ErrandRules, Relay
from rustqueue.machine.machine import Machine
from rustqueue.model.commands import MemberRecord
from rustqueue.node.membership import About, Council
from rustqueue.raft.cluster.config import Config, config_of
from rustqueue.raft.cluster.install import Snapshots, finish_install
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.parts import Parts, ReplicatorOptions, ReplicatorPorts, Timing, open_configs
from rustqueue.raft.cluster.passport import read_passport
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.cluster.snapshots import Checkpoint, read_note
from rustqueue.raft.cluster.syncobj import Seat
from rustqueue.raft.flush import FlushRules
from rustqueue.raft.hardstate import HardState
from rustqueue.raft.links import Hello, member_id
from rustqueue.raft.membership.acquaintance import Acquaintance, is_looked_at
from rustqueue.raft.membership.steward import Steward
from rustqueue.raft.messages import Message
from rustqueue.raft.ports import StateMachine
from rustqueue.raft.records import Identity
from rustqueue.raft.space import SpaceRules
from rustqueue.storage import StoreFullError
from tests.simulation.disk import SimDisk
from tests.simulation.founder import FOLDER, SimFounder, hello_of
from tests.simulation.ledger import require
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
from tests.simulation.oddities import PLAIN, Oddities, too_early
from tests.simulation.timeline import HostClock, Process, SimExecutor, Timeline
from tests.simulation.toll import Toll
from tests.simulation.trace import Trace, TracedMachine

CLUSTER_ID = b"simulated cluste"
FIRST_INCARNATION = 1
"""As of a real node, never 0: that one's member id is the node's, which stands for any disk."""


_SNAPSHOT_FILES = 3
_OTHERS_US = 2_000_000
"""So long a member that stops waits for the others to take what nobody waits for."""


def address_of(name: str) -> str:
    return f"{name}:1"


def config_of_founders(names: Sequence[str]) -> Config:
    """Of a cluster whose nodes have founded it already."""
    return Config(tuple(MemberRecord(member_id(name, FIRST_INCARNATION), address_of(name), True) for name in names))


class SimFiles:
    """The store of a member as files: some that together hold all rows."""

    def __init__(self, node: "SimMember", background: BackgroundExecutor) -> None:
        self._node = node
        self._background = background

    def checkpoint(self, name: str, done: Callable[[Checkpoint | None], None]) -> None:
        node = self._node

        def flushed(_: object, error: BaseException | None) -> None:
            if error is not None:
                done(None)
                return
            rows = list(node.kv.scan(b"", b"\xff", 10_000_000))
            try:
                for part in range(_SNAPSHOT_FILES):
                    file = node.disk.create(f"{name}/rows{part}")
                    filler = bytes(node.variant.odd.filler_bytes)
                    file.write_at(0, msgspec.msgpack.encode((dict(rows[part::_SNAPSHOT_FILES]), filler)))
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
        self._node.disk.power_fails_in = self._node.cut_install_after
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
    steward: type[Steward] = Steward
    timing: Timing = field(default_factory=Timing)
    keeps_name: bool = False
    """Whether a room whose disk was lost goes on under its old name."""
    segment_bytes: int = PLAIN.segment_bytes
    flush_bytes: int = PLAIN.flush_bytes
    kept_bytes: int = PLAIN.kept_bytes
    odd: Oddities = PLAIN

    def being(self, odd: Oddities) -> "MemberVariant":
        segment_bytes, flush_bytes = odd.segment_bytes, odd.flush_bytes
        return replace(self, odd=odd, segment_bytes=segment_bytes, flush_bytes=flush_bytes, kept_bytes=odd.kept_bytes)


class SimMember:
    """Start it, let it crash, start it again."""

    def __init__(self, name: str, founders: list[str], timeline: Timeline, network: SimNetwork, rng: Random) -> None:
        """Without founders it waits to be taken in."""
        self.name = name
        self.incarnation = FIRST_INCARNATION
        self._peers = founders
        self._founded = config_of_founders(founders)
        self._founder: SimFounder | None = None
        self.cluster_id = CLUSTER_ID
        self._timeline = timeline
        self._network = network
        self._rng = rng
        self.host = HostClock(timeline, WALL_MS)
        self.toll = Toll()
        self.toll.elapse = self.host.elapse
        self.misdigests = False
        """The next digest that it makes of its state is wrong."""
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
        self.cut_install_after: int | None = None
        """The power goes after so many operations on the disk, once a snapshot is put in the place of the store."""
        self.power_lost: Callable[[], None] | None = None
        self.tally: Counter[str] = Counter()
        self.store = SimStore(self.kv)
        self.machine = Machine(self.kv)

    @property
    def up(self) -> bool:
        return self.process is not None

    @property
    def id(self) -> str:
        """Of the member that this room's disk makes it."""
        return member_id(self.name, self.incarnation)

    @property
    def is_member(self) -> bool:
        """As far as it knows itself."""
        return self.up and self.id in self.parts.config

    def lose_disk(self) -> None:
        """A new disk, with nothing on it: what runs here from now on is another member."""
        assert self.process is None, "the power is off"
        if not self.variant.keeps_name:
            self.incarnation += 1
            self._founded = Config(())
        self.disk, self.kv = SimDisk(DISK_BYTES), SimKV()

    def _hello(self) -> Hello:
        return hello_of(self.name, self.incarnation, address_of(self.name), self.cluster_id)

    def start(self) -> None:
        """A new process. It is not up at once where the cluster is still to be found."""
        if self._founder is None and self._belongs():
            self._start_member()

    def _belongs(self) -> bool:
        """Whether it knows its cluster; if not, it begins to look for one."""
        if not self.variant.odd.founds:
            return True
        passport = read_passport(self.disk, FOLDER)
        if passport is not None and passport.cluster_id is not None:
            self.cluster_id, self._founded = passport.cluster_id, passport.founders or Config(())
            return True
        # Who founded a cluster alone and then lost its disk would found another one: its operator must not let it.
        is_to_join = not self._peers or (len(self._peers) == 1 and self.incarnation > FIRST_INCARNATION)
        peers = {} if is_to_join else {name: address_of(name) for name in self._peers}
        join = address_of("n1" if self.name == "n0" else "n0") if is_to_join else None
        own = hello_of(self.name, self.incarnation, address_of(self.name))
        process = Process(self._timeline, self.host)
        founder = self._founder = SimFounder(own, peers, join, self.disk, process, self._rng)
        founder.ended = self._founding_ended
        founder.start(self._network)
        return False

    def _founding_ended(self) -> None:
        self._founder = None
        self.tally["foundings"] += 1

    def _start_member(self) -> None:
        process = Process(self._timeline, self.host)
        process.power_lost = self._power_lost
        journal_thread = SimExecutor(process, lambda: self.sync_us())
        journal_thread.began = self._sync_began
        background = BackgroundExecutor(process, lambda: 5 * self.sync_us() + self._rng.randrange(20_000))
        self._open_log(journal_thread)
        self.links = SimLinks(self._network, process, self._hello, lambda hello: self.acquaintance.admit(hello))
        self.machine = self.variant.machine(self.kv)
        self.store = SimStore(self.kv)
        self._make_replicator(process, background)
        self._make_neighbours(process)
        self.schedules = wire_schedules(self.machine, self.replicator, process, self._make_door(process), self.trace)
        self.webhooks = self.make_webhooks(self, process)
        self._connect()
        self.fatal = None
        self.process, self._threads = process, (journal_thread, background)
        self.acquaintance.configured(self.parts.config)
        self.links.listen()
        self.council.start()
        self.replicator.start()

    def _open_log(self, journal_thread: SimExecutor) -> None:
        variant, identity = self.variant, Identity(self.cluster_id, self.id)
        self.log = variant.log(self.disk, journal_thread, "j", identity, variant.segment_bytes, variant.kept_bytes)
        if read_note(self.disk, "d") is not None and self.disk.list("d/incoming"):
            self.exchange("incoming")
        self.log.open()
        finish_install(self.disk, "d", self.log)
        hard_state = HardState(self.disk, "j")
        hard_state.open(self.log.last_index)
        self.seat = variant.seat(self.id, hard_state)

    def _make_replicator(self, process: Process, background: BackgroundExecutor) -> None:
        variant, applied_index = self.variant, self.machine.applied_index
        require(applied_index <= self.log.last_index, "I1", f"{applied_index} is applied and not in the log")
        known = self.machine.members is not None
        base = self._config() if known else self._founded
        configs = open_configs(self.log, applied_index if known else 0, base)
        parts = self.parts = Parts(
            self.seat, self.log, self.links, process, lambda n: self._rng.randrange(n), self.variant.timing, configs
        )
        options = ReplicatorOptions(
            digest_every=variant.odd.digest_every,
            pending_bytes=variant.odd.pending_bytes,
            entry_bytes=variant.odd.entry_bytes,
            entry_commands=variant.odd.entry_commands,
            too_early=too_early if variant.odd.lacks_cancel else None,
            flush=FlushRules(log_bytes=variant.flush_bytes, interval_ms=5_000),
            space=SpaceRules(reserve_bytes=DISK_BYTES // 16),
            survivable=lambda error: isinstance(error, StoreFullError),
        )
        ports = ReplicatorPorts(self.disk, background, lambda: self._rng.randbytes(16))
        self.replicator = variant.replicator(parts, self.machine_port(), self.store, ports, options)
        self.replicator.digests.own_digest = self._digest
        self.replicator.installed_config = self._installed_config
        self.snapshots = Snapshots(parts, self.replicator, self.disk, "d", background)
        self.snapshots.use(SimFiles(self, background))

    def _digest(self) -> bytes:
        is_wrong, self.misdigests = self.misdigests, False
        return b"rot" if is_wrong else self.machine.state_hash

    def _make_neighbours(self, process: Process) -> None:
        parts, replicator = self.parts, self.replicator
        neighbours = type("SimNeighbours", (Neighbours,), {"relay_type": self.variant.relay})
        rules = ErrandRules(10_000, self._rng.randrange(1 << 62))
        self.neighbours = neighbours(self.links, replicator, process, replicator.member.read_index, rules)
        self.acquaintance = Acquaintance(self._hello, self.links, process)
        self.acquaintance.config = lambda: parts.config
        self.steward = self.variant.steward(parts, replicator)
        about = About(self.cluster_id.hex(), "simulated", lambda: self.machine.state.meta.feature_level)
        self.council = Council(parts, replicator, self.steward, self.acquaintance.look, about)

    def _make_door(self, process: Process) -> Gateway:
        applied = SimApplied(self.machine)
        gateway = self.gateway = self.make_gateway(self.replicator, applied, process, GatewayLimits(), lambda *_: None)
        gateway.join(self.neighbours)
        return gateway

    def _connect(self) -> None:
        replicator, links = self.replicator, self.links
        replicator.on_role = self._role_changed
        replicator.on_leader = self._leader_is
        replicator.on_applied = self.neighbours.reads.applied
        replicator.on_fatal = self._stopped
        replicator.on_configured = self.acquaintance.configured
        links.on_message = self._received
        links.on_up = self._link_up
        links.on_down = self._link_down

    @property
    def journal(self) -> MemberLog:
        return self.log

    def _power_lost(self) -> None:
        assert self.power_lost is not None, "somebody has cut the power"
        self.disk.power_fails_in = self.cut_install_after = None
        self.tally["installs cut"] += 1
        self.power_lost()

    def _installed_config(self) -> Config:
        """The last thing that is asked for when a snapshot is installed: the power did not go meanwhile."""
        self.disk.power_fails_in = self.cut_install_after = None
        return self._config()

    def _sync_began(self, duration_us: int) -> None:
        call, self.when_syncing = self.when_syncing, None
        if call is not None:
            call(duration_us)

    def _role_changed(self, leads: bool) -> None:
        self.snapshots.role_changed(leads)
        self.steward.role_changed(leads)
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

    def _leader_is(self, leader: str | None) -> None:
        self.acquaintance.leader_is(leader)
        self.neighbours.leader_is(leader)
        self.council.leader_is(leader)

    def _received(self, peer: str, message: Message) -> None:
        if (
            not self.neighbours.received(peer, message)
            and not self.snapshots.received(peer, message)
            and not self.council.received(peer, message)
        ):
            self.replicator.received(peer, message)

    def _link_up(self, peer: str) -> None:
        if is_looked_at(peer):
            return
        self.replicator.member.link_up(peer)
        self.neighbours.link_up(peer)
        self.council.link_up(peer)

    def _link_down(self, peer: str) -> None:
        if is_looked_at(peer):
            return
        self.replicator.member.link_down(peer)
        self.council.link_down(peer)
        self.snapshots.link_down(peer)
        self.neighbours.link_down(peer)

    def exchange(self, name: str) -> None:
        """The folder takes the place of the store, which is one rename."""
        folder = name if name != "incoming" else "d/incoming"
        rows: dict[bytes, bytes] = {}
        for file in self.disk.list(folder):
            path = f"{folder}/{file}"
            text = self.disk.read(path, 0, self.disk.size_bytes(path))
            rows |= msgspec.msgpack.decode(text, type=tuple[dict[bytes, bytes], bytes])[0]
        self.disk.move_away(folder)
        self.kv = SimKV(rows)
        self.store.kv = self.kv

    def machine_port(self) -> StateMachine:
        return TracedMachine(self.machine, self.trace, self.toll)

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
                process.after(_OTHERS_US, lambda: replicator.stop(stopped, hurry=True))

        replicator.member.transfer()
        process.after(1_500_000, stop)

    def _stopped(self, error: BaseException) -> None:
        self.fatal = error
        if self.gateway is not None:
            self.gateway.abandon()
