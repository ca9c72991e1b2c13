"""One replicator on simulated time, disk and threads, with a machine that counts: for tests that step through it."""

from collections.abc import Callable
from random import Random

from rustqueue.model.commands import Command, Heartbeat, PushJobs
from rustqueue.model.replies import Refused, Reply
from rustqueue.raft.journal import Journal
from rustqueue.raft.local import LocalOptions, LocalPorts, LocalReplicator
from rustqueue.raft.ports import Proposal
from rustqueue.raft.records import Identity
from rustqueue.raft.space import SpaceRules
from rustqueue.storage import StoreFullError
from rustqueue.storage.memory import MemoryKV
from tests.simulation.counting import CountingMachine
from tests.simulation.disk import SimDisk
from tests.simulation.timeline import HostClock, Process, SimExecutor, Timeline

SYNC_US = 1_000
WALL_MS = 1_700_000_000_000
PUSH = PushJobs(queue="q", jobs=[], single=True)
BEAT = Heartbeat(id="x")
OPTIONS = LocalOptions(space=SpaceRules(reserve_bytes=0), survivable=lambda error: isinstance(error, StoreFullError))


class Bench:
    """One machine of steel: disk, clock and store outlive the processes that `start` makes."""

    def __init__(
        self, options: LocalOptions = OPTIONS, segment_bytes: int = 1 << 20, disk: SimDisk | None = None
    ) -> None:
        self.options = options
        self.segment_bytes = segment_bytes
        self.timeline = Timeline()
        self.host = HostClock(self.timeline, WALL_MS)
        self.disk = disk or SimDisk()
        self.kv = MemoryKV()
        self.before_apply: Callable[[int], None] = lambda index: None
        self.replies: dict[bytes, Reply] = {}
        self.fatal: list[BaseException] = []
        self.start()

    def start(self) -> None:
        self.process = Process(self.timeline, self.host)
        journal_thread = SimExecutor(self.process, lambda: SYNC_US)
        background = SimExecutor(self.process, lambda: 5_000)
        self.journal = Journal(self.disk, journal_thread, "j", Identity(bytes(16), "n0"), self.segment_bytes)
        self.machine = CountingMachine(self.kv)
        self.machine.before_apply = lambda index: self.before_apply(index)
        ports = LocalPorts(self.disk, self.process, background, lambda: bytes(16))
        self.node = LocalReplicator(self.machine, self.kv, self.journal, ports, self.options)
        self.node.on_fatal = self.fatal.append
        self.node.start()

    def crash(self, power: bool) -> None:
        self.process.alive = False
        self.kv.crash()
        if power:
            self.disk.power_cut(Random(1))

    def propose(self, raw: bytes, command: Command = PUSH) -> None:
        def done(reply: Reply) -> None:
            assert raw not in self.replies, "answered once"
            self.replies[raw] = reply

        self.node.propose(Proposal(command, raw, done))

    def settle(self, duration_us: int = 1_000_000) -> None:
        self.timeline.run_until(self.timeline.now_us + duration_us)

    def refused_code(self, raw: bytes) -> str:
        reply = self.replies[raw]
        assert isinstance(reply, Refused)
        return reply.error.code

    def applied(self) -> list[list[bytes]]:
        return [commands for _, commands in self.machine.entries]
