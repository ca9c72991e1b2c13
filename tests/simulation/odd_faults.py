"""Faults that come in worlds with oddities: bugs in apply, programs that are too old, files mixed up, rot on the way.

It must not know clients. Each node that stops for one of them is excused, and started again from outside. They have a
generator of their own, so that a seed has the same other faults with and without them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from rustqueue.machine.machine import Machine
from rustqueue.model.cluster.features import ProgramTooOld
from rustqueue.raft.cluster.digests import StateDiffers
from rustqueue.raft.journal import SEGMENT_SUFFIX
from rustqueue.raft.local import ApplyFailed
from tests.simulation.faults import Faults
from tests.simulation.founder import hello_of
from tests.simulation.ledger import require
from tests.simulation.member_node import SimMember
from tests.simulation.mixups import FOLDER, MIXUPS, Mixup
from tests.simulation.network import SimNetwork
from tests.simulation.node import SimKV, SimNode
from tests.simulation.plan import Plan

ODD_KINDS = ("slow apply", "apply error", "old program", "flush asked", "room untold", "mix-up")
ODD_CLUSTER_KINDS = (*ODD_KINDS, "wrong digest", "damaged part", "unread link", "stranger")

_TOMORROW = "simulated"
"""The version that is asked for where a program is too old."""


class Pair(NamedTuple):
    """A node and what goes wrong with it otherwise."""

    node: SimNode | SimMember
    faults: Faults


class OddFaults:
    """Breaks nodes until it is told to calm down."""

    name = "odd"

    def __init__(self, plan: Plan, rng: Random, each: Sequence[Pair], network: SimNetwork | None, is_odd: bool) -> None:
        self._plan = plan
        self._timeline = plan.timeline
        self._rng = rng
        self._each = each
        self._network = network
        self.active = True
        self.counts: Counter[str] = Counter()
        self.note: Callable[[str], None] = lambda text: None
        self._handlers: dict[str, Callable[[Pair], None]] = {
            "slow apply": self._slow_apply,
            "apply error": self._fail_apply,
            "old program": self._be_too_old,
            "flush asked": self._flush,
            "room untold": self._hide_room,
            "mix-up": self._mix_up,
            "wrong digest": self._misdigest,
            "damaged part": self._damage_part,
            "unread link": self._leave_unread,
            "stranger": self._say_hello,
        }
        for _, faults in each:
            faults.looks = is_odd
            faults.excuses = self._excuses

    def draw(self) -> None:
        """Choose the kinds and how often they come."""
        kinds = ODD_KINDS if self._network is None else ODD_CLUSTER_KINDS
        for kind in kinds:
            if self._rng.random() < 0.5:
                mean_us = 10 ** self._rng.uniform(6.2, 7.0)
                self._plan.repeat(self, kind, Random(self._rng.getrandbits(64)), mean_us)

    def calm(self) -> None:
        self.active = False
        for node, _ in self._each:
            node.toll.apply_us, node.toll.error = 0, None
            node.disk.is_mute = False
            if isinstance(node, SimMember):
                node.misdigests = False
        if self._network is not None:
            self._network.damages_next = False
            self._network.unread.clear()

    def happen(self, kind: str) -> None:
        pair = self._rng.choice(self._each)
        if pair.node.up:
            self.counts[kind] += 1
            self.note(f"fault: {kind}, {pair.node.name}")
            self._handlers[kind](pair)

    def _excuses(self, error: BaseException) -> bool:
        """Whether a node may stop for this, and be started again."""
        if isinstance(error, ApplyFailed):
            return isinstance(error.__cause__, MemoryError | ProgramTooOld)
        if isinstance(error, ProgramTooOld):
            return error.version == _TOMORROW
        return isinstance(error, StateDiffers) and self.counts["wrong digest"] > 0

    # Apply.

    def _slow_apply(self, pair: Pair) -> None:
        node = pair.node
        node.toll.apply_us = self._rng.choice((1_000, 7_000, 30_000))

        def over() -> None:
            node.toll.apply_us = 0

        self._timeline.after(self._rng.randrange(2_000_000), over)

    def _fail_apply(self, pair: Pair) -> None:
        """Mostly while it serves, sometimes during the replay of its next start."""
        pair.node.toll.error = MemoryError("simulated")
        if self._rng.random() < 0.4:
            pair.faults.die(power=False)

    def _be_too_old(self, pair: Pair) -> None:
        """Until somebody brings the program up to date."""
        pair.node.toll.error = ProgramTooOld(2, _TOMORROW, "simulated entry")
        if self._rng.random() < 0.4:
            pair.faults.die(power=False)

    def _misdigest(self, pair: Pair) -> None:
        """The next digest that it makes is wrong: rot in memory, or a bug."""
        assert isinstance(pair.node, SimMember), "only members compare digests"
        pair.node.misdigests = True

    # Disk and files.

    def _flush(self, pair: Pair) -> None:
        """As the node does when it makes room."""
        pair.node.replicator.flush()

    def _hide_room(self, pair: Pair) -> None:
        """A file system that tells neither its size nor its room."""
        disk = pair.node.disk
        disk.is_mute = True

        def over() -> None:
            disk.is_mute = False

        self._timeline.after(self._rng.randrange(3_000_000), over)

    def _mix_up(self, pair: Pair) -> None:
        node, faults = pair
        if faults.has_rot:
            return
        faults.die(power=False)
        mixups: list[Callable[[], Mixup | None]] = [lambda make=make: make(node.disk) for make in MIXUPS]  # type: ignore[misc]
        if isinstance(node, SimNode):
            mixups += [lambda: _journal_lost(node), lambda: _store_lost(node)]
        faults.mixup = self._rng.choice(mixups)()
        self.counts["files mixed up"] += faults.mixup is not None

    # Network.

    def _damage_part(self, pair: Pair) -> None:
        assert self._network is not None, "it has others"
        self._network.damages_next = True

    def _leave_unread(self, pair: Pair) -> None:
        """Whom it sends to next does not read."""
        assert self._network is not None, "it has others"
        self._network.unread.add(pair.node.name)

    def _say_hello(self, pair: Pair) -> None:
        """A node of another cluster, which happens to have the same name and address as one of ours."""
        node, other = pair.node, self._rng.choice(self._each).node
        assert isinstance(node, SimMember), "only members let others in"
        assert isinstance(other, SimMember), "only members let others in"
        hello = hello_of(other.name, other.incarnation, f"{other.name}:1", b"another cluster!")
        refusal = node.acquaintance.admit(hello)
        require(refusal is not None, "I19", f"{node.id} lets {hello} in")


def _journal_lost(node: SimNode) -> Mixup | None:
    """The store is there, and not one segment of the journal."""
    if Machine(node.kv).applied_index == 0:
        return None
    paths = [f"{FOLDER}/{name}" for name in node.disk.list(FOLDER) if name.endswith(SEGMENT_SUFFIX)]
    inodes = {path: node.disk.put(path, None) for path in paths}

    def undo() -> None:
        for name in node.disk.list(FOLDER):
            if name.endswith(SEGMENT_SUFFIX):
                node.disk.put(f"{FOLDER}/{name}", None)
        for path, inode in inodes.items():
            node.disk.put(path, inode)

    return Mixup("journal is not the one of this store", undo, seen=False)


def _store_lost(node: SimNode) -> Mixup | None:
    """The journal is there, and has been cut to what the store did not have."""
    paths = [name for name in node.disk.list(FOLDER) if name.endswith(SEGMENT_SUFFIX)]
    if not paths or int(paths[0].removesuffix(SEGMENT_SUFFIX)) <= 1:
        return None
    kv, node.kv = node.kv, SimKV()
    node.kv.full = kv.full

    def undo() -> None:
        # There may be room by now: it is the disk's, whichever store lies on it.
        kv.full = node.kv.full
        node.kv = kv

    return Mixup("store is not the one of this journal", undo, seen=False)
