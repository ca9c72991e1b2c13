"""Making room: sizes that fit the disk, and what a node does over its warning mark, on simulated time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rustqueue.model import limits
from rustqueue.model.commands import Tick, Trim
from rustqueue.model.errors import Unavailable
from rustqueue.model.replies import Done, Refused, Reply, Trimmed
from rustqueue.node.room import RoomMaker, RoomParts, Sizes
from rustqueue.raft.ports import Proposal, Space
from rustqueue.settings import StorageSettings
from rustqueue.storage.rocks import RocksKV
from tests.simulation.timeline import HostClock, Process, SimExecutor, Timeline
from tests.unit.tcp_client import a_node, connected

MIB = 1 << 20
SECOND_US = 1_000_000


def test_sizes_fit_the_disk_and_are_the_usual_ones_on_a_large_one() -> None:
    assert Sizes.of(1 << 40) == Sizes(128 * MIB, 64 * MIB, 64 * MIB, 64 * MIB)
    assert Sizes.of(160 * MIB) == Sizes(160 * MIB // 25, 5 * MIB // 4, 5 * MIB // 4, 5 * MIB // 4)
    assert Sizes.of(4 * MIB) == Sizes(4 * MIB // 25, MIB // 4, MIB // 4, MIB // 4)


@dataclass
class Room:
    """The disk, the log and the store of a node, as far as making room is concerned. It is what its parts ask for."""

    own_percent: int = 80
    completed: int = 0
    used_percent: int = 85
    trims_room_every: int = 0
    """How many trimmed jobs make one percent of room, once they are compacted."""
    warned: bool = True
    full: bool = False
    applied_index: int = 10
    flushed_index: int = 0
    stopped: BaseException | None = None
    refuses: bool = False
    did: list[str] = field(default_factory=list)
    garbage: int = 0

    @property
    def last(self) -> Space:
        return Space(100, 100 - self.used_percent)

    def check(self) -> None:
        self.warned = self.used_percent >= 80

    def propose(self, proposal: Proposal) -> None:
        proposal.done(self._reply(proposal))

    def _reply(self, proposal: Proposal) -> Reply:
        if self.refuses:
            self.did.append("refused")
            return Refused.of(Unavailable.disk_full())
        self.applied_index += 1
        if isinstance(proposal.command, Tick):
            self.did.append("tick")
            return Done()
        assert isinstance(proposal.command, Trim)
        self.did.append("trim")
        removed = min(self.completed, limits.SWEEP_JOBS_MAX)
        self.completed -= removed
        self.garbage += removed
        return Trimmed(removed=removed, after="")

    def begin_segment(self) -> None:
        self.did.append("segment")

    def flush(self) -> None:
        self.did.append("flush")
        self.flushed_index = self.applied_index

    def compact(self) -> bool:
        self.did.append("compact")
        if self.trims_room_every:
            self.used_percent -= self.garbage // self.trims_room_every
        done, self.garbage = self.garbage > 0, 0
        return done

    def take(self) -> list[str]:
        did, self.did = self.did, []
        return did


class Bench:
    def __init__(self, room: Room, on_disk: bool = True) -> None:
        self.timeline = Timeline()
        process = Process(self.timeline, HostClock(self.timeline, 0))
        thread = SimExecutor(process, lambda: 1_000)
        compact: Callable[[], bool] | None = room.compact if on_disk else None
        parts = RoomParts(room, room.begin_segment, lambda: room.own_percent, compact, thread)
        self.maker = RoomMaker(parts, room, process)
        self.maker.start()

    def run(self, seconds: int) -> None:
        self.timeline.run_until(self.timeline.now_us + seconds * SECOND_US)


def test_with_room_nothing_is_done() -> None:
    room = Room(used_percent=50, warned=False)
    Bench(room).run(60)
    assert room.did == []


def test_over_the_mark_a_round_trims_lets_the_log_go_and_compacts_and_then_waits_for_others() -> None:
    # Given a disk over its mark with a few completed jobs, which do not make enough room
    room = Room(completed=1_500)
    bench = Bench(room)
    # When time passes
    bench.run(2)
    # Then everything is done once, in this order
    assert room.take() == ["segment", "trim", "trim", "flush", "compact"]
    assert (bench.maker.trimmed_jobs, bench.maker.compactions_count) == (1_500, 1)
    # And a second round finds nothing, after which nothing is done until others had entries applied
    bench.run(30)
    assert 1 <= room.take().count("trim") <= 3
    bench.run(600)
    assert room.take() == []
    room.applied_index += 1
    bench.run(10)
    assert room.take()[:2] == ["segment", "trim"]


def test_trimming_ends_as_soon_as_there_is_room_and_its_pace_is_bounded() -> None:
    # Given far more completed jobs than have to go
    room = Room(completed=1_000_000, trims_room_every=3_000)
    bench = Bench(room)
    # When the first trims have made room for six percent or less
    bench.run(5)
    assert room.did.count("trim") <= 5 * 1_000 // limits.TRIM_PACE_MS
    bench.run(120)
    # Then no more goes than was needed, but for what one round takes
    assert not room.warned
    assert 15_000 <= bench.maker.trimmed_jobs <= 40_000
    room.take()
    bench.run(600)
    assert room.take() == []


def test_what_others_fill_is_not_trimmed_but_a_full_disk_gets_our_log_back() -> None:
    room = Room(own_percent=10, completed=5_000)
    bench = Bench(room)
    bench.run(60)
    assert room.take() == []
    room.used_percent, room.full = 95, True
    bench.run(60)
    assert room.take()[:3] == ["segment", "tick", "flush"]
    assert bench.maker.trimmed_jobs == 0


def test_a_store_that_is_not_on_the_disk_is_neither_trimmed_nor_compacted() -> None:
    room = Room(completed=5_000, full=True)
    bench = Bench(room, on_disk=False)
    bench.run(60)
    assert room.take() == ["segment", "tick", "flush"]


def test_without_room_for_the_entry_the_store_is_flushed_all_the_same() -> None:
    room = Room(refuses=True, full=True, used_percent=100)
    Bench(room).run(3)
    assert room.take()[:4] == ["segment", "refused", "flush", "compact"]


@pytest.mark.parametrize("how", ["stop", "fault"])
def test_a_stopped_node_makes_no_room(how: str) -> None:
    room = Room(completed=1_000_000)
    bench = Bench(room)
    bench.run(2)
    if how == "stop":
        bench.maker.stop()
    else:
        room.stopped = OSError("no")
    bench.run(1)
    room.take()
    bench.run(60)
    assert room.take() == []


def test_compaction_gives_back_what_was_deleted_and_leaves_the_rest(tmp_path: Path) -> None:
    kv = RocksKV(str(tmp_path), write_buffer_bytes=MIB)
    keys = [b"%06d" % number for number in range(5_000)]
    kv.write(dict.fromkeys(keys, b"x" * 500))
    kv.flush()
    assert kv.compact() is False
    before_bytes = kv.size_bytes()
    kv.write(dict.fromkeys(keys[:4_900]))
    assert kv.compact() is True
    assert kv.size_bytes() < before_bytes // 2
    assert [key for key, _ in kv.scan(b"", b"\xff", 9_999)] == keys[4_900:]
    assert kv.compact() is False
    kv.close()
    assert kv.compact() is False


async def test_a_node_commits_in_groups_where_its_settings_say_so() -> None:
    # Given a node whose commits wait for company
    storage = StorageSettings(backend="memory", write_coalescing_interval_ms=60)
    async with a_node(storage=storage) as node, connected(node) as client:
        # When a job is pushed
        began_s = time.monotonic()
        answer = await client.ask("push", queue="q", name="n", data=None)
        # Then it waits for company that does not come
        assert (answer["ok"], time.monotonic() - began_s >= 0.06) == (True, True)
