"""What goes wrong, how often, and what must be true when it does.

It must not know clients. Which faults a world has and how strong they are is drawn from its seed; one world in eight
has none, since those find other bugs.
"""

import errno
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

from rustqueue.model.cluster.features import ProgramTooOld
from rustqueue.raft.inspect import inspect_journal
from rustqueue.raft.journal import Journal, JournalDamaged, JournalError, NoSpace
from rustqueue.raft.local import ApplyFailed
from rustqueue.storage import StoreFullError
from tests.simulation.disk import SimDisk
from tests.simulation.ledger import Violation, require
from tests.simulation.mixups import Mixup
from tests.simulation.node import DISK_BYTES, SimKV, SimStore
from tests.simulation.plan import Plan
from tests.simulation.timeline import HostClock, Process

KINDS = (
    "kill",
    "power cut",
    "stop",
    "write error",
    "sync error",
    "flush error",
    "disk full",
    "store full",
    "slow disk",
    "bit flip",
    "clock step",
    "clock drift",
)


class Victim(Protocol):
    """A node that can be broken and started again."""

    name: str
    host: HostClock
    disk: SimDisk
    kv: SimKV
    fatal: BaseException | None
    sync_us: Callable[[], int]
    when_syncing: Callable[[int], None] | None

    @property
    def process(self) -> Process | None: ...

    @property
    def store(self) -> SimStore: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def up(self) -> bool: ...

    def start(self) -> None: ...

    def crash(self, power: bool, survivors: Callable[[int], int]) -> None: ...

    def stop(self, done: Callable[[], None]) -> None: ...

    def lose_disk(self) -> None: ...


class Flip(NamedTuple):
    """A bit that changed."""

    path: str
    offset: int
    bit: int


class Faults:
    """Breaks one node until it is told to calm down, and starts it again whenever it is down."""

    mean_us: int | None = None
    """When it is set, every kind that is allowed comes that often, instead of what chance says."""

    def __init__(self, plan: Plan, rng: Random, node: Victim, lost: Callable[[], None]) -> None:
        self._plan = plan
        self._timeline = plan.timeline
        self._rng = rng
        self.name = node.name
        self._node = node
        self._lost = lost
        self._flips: list[Flip] = []
        self.mixup: Mixup | None = None
        """What somebody did to its files while it was down."""
        self.excuses: Callable[[BaseException], bool] = lambda error: False
        """Whether it may stop for something else than its disk."""
        self.looks = False
        """Whether somebody looks at its folder before every start."""
        self._excused: BaseException | None = None
        self._slow = False
        self._usual_us = round(10 ** rng.uniform(2.3, 3.7))
        self.active = True
        self.counts: Counter[str] = Counter()
        self.kinds: list[str] = []
        self.note: Callable[[str], None] = lambda text: None
        node.sync_us = self._sync_us
        self._handlers: dict[str, Callable[[], None]] = {
            "kill": lambda: self._die_soon(power=False),
            "power cut": lambda: self._die_soon(power=True),
            "stop": self._stop,
            "write error": lambda: self._fail_once("write"),
            "sync error": lambda: self._fail_once("sync"),
            "flush error": self._fail_flush,
            "disk full": self._fill,
            "store full": self._fill_store,
            "slow disk": self._slow_down,
            "bit flip": self._flip,
            "clock step": lambda: node.host.step_wall(rng.choice((-3_600_000, 3_600_000))),
            "clock drift": lambda: node.host.drift(rng.randrange(-50_000, 50_000)),
        }

    def draw(self, allowed: tuple[str, ...] = KINDS) -> None:
        """Choose the kinds and how often they come."""
        if self._rng.randrange(8) == 0 and allowed is KINDS:
            return
        self.kinds = [kind for kind in allowed if self._rng.random() < 0.5] or [self._rng.choice(allowed)]
        if self.mean_us is not None:
            self.kinds = list(allowed)
        for kind in self.kinds:
            mean_us = self.mean_us or 10 ** self._rng.uniform(6.0, 7.2)
            self._plan.repeat(self, kind, Random(self._rng.getrandbits(64)), mean_us)

    def calm(self) -> None:
        """No more faults; what is broken is repaired."""
        self.active = False
        self._slow = False
        self._node.disk.fault = None
        self._node.disk.foreign_bytes = 0
        self._node.store.failure = None
        self._node.kv.full = False
        self._node.host.drift(0)
        if self._node.fatal is not None:
            self.die(power=False)

    def start(self) -> None:
        """Start the node, or say why it does not, repair it and try again."""
        node = self._node
        if node.up:
            return
        if self.looks:
            self._look()
        try:
            node.start()
            require(self.mixup is None, "I1", f"the node starts on files that were mixed up: {self.mixup}")
            if node.process is not None:
                self.note(f"started, the log ends at {node.journal.last_index}, cut: {node.journal.cut}")
        except (OSError, StoreFullError, NoSpace) as error:
            # A disk or store that is full or fails during the start: the operator tries again.
            require(self.active, "I25", f"the node does not start on a sound disk: {error}")
            self.counts["start failed"] += 1
            node.disk.fault = None
        except (ApplyFailed, ProgramTooOld) as error:
            require(self.excuses(error), "I25", f"the node does not start: {error!r}")
            self.counts["start failed"] += 1
        except JournalError as refusal:
            self.note(f"refused to start: {refusal}")
            self._refused(refusal)
        if not node.up:
            self._timeline.after(500_000, self.start)

    def _refused(self, refusal: JournalError) -> None:
        """Only a flipped bit may do this. The file it names is the one that was hit; a backup has it unhurt."""
        if self.mixup is not None and self.mixup.path in str(refusal):
            self._put_right(self.mixup)
            return
        named = [flip for flip in self._rotten() if flip.path in str(refusal)]
        require(bool(named), "I1", f"the node refuses to start without need: {refusal}")
        found = inspect_journal(self._node.disk, "j")
        require(not found.sound, "I1", f"the node refuses what `rustqueue check` finds sound: {refusal}")
        self.counts["bit flip refused"] += 1
        for flip in named:
            self._flips.remove(flip)
            self._node.disk.heal(*flip)

    def _rotten(self) -> list[Flip]:
        """The bits that changed and can still be met; one that was written over since is no damage any more."""
        self._flips = [flip for flip in self._flips if self._node.disk.is_rotten(*flip)]
        return self._flips.copy()

    def _look(self) -> None:
        """`rustqueue check` on the folder of a node that is down: it finds something only where there is something."""
        found = inspect_journal(self._node.disk, "j")
        hurt = bool(self._rotten()) or self.mixup is not None
        require(found.sound or hurt, "I1", f"`rustqueue check` finds {found.damages} on a sound disk")

    def _put_right(self, mixup: Mixup) -> None:
        found = inspect_journal(self._node.disk, "j")
        require(not found.sound or not mixup.seen, "I1", f"`rustqueue check` finds sound what is mixed up: {mixup}")
        self.counts["mix-up refused"] += 1
        self.mixup = None
        mixup.undo()

    @property
    def has_rot(self) -> bool:
        """Whether a bit has changed that nobody has met yet."""
        return bool(self._rotten())

    def happen(self, kind: str) -> None:
        node = self._node
        if not node.up:
            return
        self.counts[kind] += 1
        self.note(f"fault: {kind}")
        self._handlers[kind]()

    def _after(self, delay_us: int, call: Callable[[], None]) -> None:
        self._timeline.after(delay_us, call)

    # The kinds.

    def _die_soon(self, power: bool) -> None:
        """Mostly in the middle of a sync: a disk that is idle has nothing to lose."""
        process = self._node.process

        def die() -> None:
            if self._node.process is process:
                self.die(power)

        if self._rng.random() < 0.2:
            die()
        else:
            self._node.when_syncing = lambda duration_us: self._after(self._rng.randrange(duration_us + 1), die)

    def die(self, power: bool) -> None:
        if not self._node.up:
            return
        durable_index, last_index = self._node.journal.durable_index, self._node.journal.last_index
        self.note(f"dies, power cut: {power}, durable up to {durable_index} of {last_index}")
        self._node.crash(power, self._survivors)
        self._node.disk.fault = None
        self._lost()
        self._timeline.after(self._rng.randrange(1_500_000), self.start)

    def lose_disk(self) -> None:
        """All that was on it is gone, rot as well; another process begins with an empty one."""
        self.die(power=True)
        self._flips.clear()
        self.mixup = None
        self._node.lose_disk()

    def _survivors(self, batches_count: int) -> int:
        return self._rng.randrange(batches_count + 1) if self._rng.random() < 0.5 else 0

    def _stop(self) -> None:
        node, process = self._node, self._node.process

        def stopped() -> None:
            self._lost()
            self._timeline.after(self._rng.randrange(1_500_000), self.start)

        def give_up() -> None:
            # A stop that hangs on a broken disk ends as it does in practice.
            if node.process is process and node.up:
                self.die(power=False)

        node.stop(stopped)
        self._timeline.after(30_000_000, give_up)

    def _fail_once(self, operation: str) -> None:
        disk = self._node.disk

        def fail(asked: str, path: str) -> OSError | None:
            if asked != operation:
                return None
            disk.fault = None
            return OSError(errno.EIO, "simulated")

        disk.fault = fail
        self._timeline.after(1_000_000 + self._rng.randrange(2_000_000), self._restart_if_stopped)

    def _restart_if_stopped(self) -> None:
        """A node that has stopped is restarted from outside; one that has not met the error goes on."""
        if self._node.up and self._node.fatal is not None:
            excused = isinstance(self._node.fatal, OSError) or self.excuses(self._node.fatal)
            require(excused, "I1", f"the node stopped: {self._node.fatal!r}")
            self.counts["stopped by an error"] += 1
            if self.looks and self._rng.random() < 0.3:
                self._stop()  # As a node does that has failed: nothing is flushed, all is closed.
                return
            self.die(power=self._rng.random() < 0.3)

    def _fill(self) -> None:
        disk: SimDisk = self._node.disk
        free_bytes = disk.free_bytes
        left_bytes = self._rng.choice((0, 100, 3_000, DISK_BYTES // 20, DISK_BYTES // 8))
        disk.foreign_bytes += max(0, free_bytes - left_bytes)
        self._timeline.after(self._rng.randrange(1_000_000, 10_000_000), self._empty)

    def _empty(self) -> None:
        self._node.disk.foreign_bytes = 0

    def _fail_flush(self) -> None:
        self._node.store.failure = OSError(errno.EIO, "simulated")
        self._timeline.after(3_000_000, self._restart_if_stopped)

    def _fill_store(self) -> None:
        self._node.kv.full = True
        self._timeline.after(self._rng.randrange(4_000_000), self._store_has_room)

    def _store_has_room(self) -> None:
        self._node.kv.full = False

    def _slow_down(self) -> None:
        self._slow = True
        self._timeline.after(self._rng.randrange(5_000_000), self._fast)

    def _fast(self) -> None:
        self._slow = False

    def _sync_us(self) -> int:
        if self._slow:
            return round(10 ** self._rng.uniform(4.0, 6.7))
        return self._usual_us // 2 + self._rng.randrange(self._usual_us)

    def _flip(self) -> None:
        """Rot hits a byte of the log that was synced; then the node is restarted, since only that reads it."""
        disk = self._node.disk
        paths = [f"j/{name}" for name in disk.list("j") if name.endswith(".log") or name == "hardstate"]
        path = self._rng.choice(paths)
        used_bytes = len(disk.durable_bytes(path).rstrip(b"\0"))
        if used_bytes == 0:
            return
        offset, bit = self._rng.randrange(used_bytes), self._rng.randrange(8)
        disk.flip_bit(path, offset, bit)
        self._flips.append(Flip(path, offset, bit))
        self.die(power=self._rng.random() < 0.3)

    def check_stopped(self) -> None:
        """Called after every step: a node may stop only for what the disk did to it."""
        fatal = self._node.fatal
        if isinstance(fatal, JournalDamaged):
            self._met_rot(fatal)
        elif fatal is None or isinstance(fatal, OSError):
            return
        elif self.excuses(fatal):
            if self._excused is not fatal:
                self._excused = fatal
                self.counts["excused"] += 1
                self._timeline.after(self._rng.randrange(3_000_000), self._restart_if_stopped)
        else:
            raise Violation(f"I25: the node stopped: {fatal!r}") from fatal

    def _met_rot(self, damage: JournalDamaged) -> None:
        """A node that reads a flipped bit of its log while it serves stops itself; the file is put back as above."""
        self.note(f"stopped itself: {damage}")
        self._refused(damage)
        self.counts["bit flip met"] += 1
        self.die(power=False)
