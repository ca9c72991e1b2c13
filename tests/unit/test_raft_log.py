"""The journal of a member: cut, read back, begin behind a snapshot, and keep what found no room."""

import errno
from random import Random

import pytest

from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.journal import JournalDamaged, NoSpace
from rustqueue.raft.messages import LogRecord
from rustqueue.raft.records import KIND_CONFIG, KIND_ENTRY, Identity
from tests.simulation.disk import SimDisk
from tests.simulation.timeline import HostClock, Process, SimExecutor, Timeline


class Bench:
    """A log on a disk that survives restarts."""

    def __init__(self, segment_bytes: int = 400, disk: SimDisk | None = None) -> None:
        self.timeline = Timeline()
        self.disk = disk or SimDisk()
        self._segment_bytes = segment_bytes
        self.start()

    def start(self) -> None:
        process = Process(self.timeline, HostClock(self.timeline, 0))
        executor = SimExecutor(process, lambda: 10)
        self.log = MemberLog(self.disk, executor, "j", Identity(bytes(16), "n0"), self._segment_bytes, 0)
        self.log.open()

    def sync(self) -> BaseException | None:
        outcome: list[BaseException | None] = []
        self.log.sync(outcome.append)
        self.timeline.run_while(lambda: not outcome)
        return outcome[0]

    def fill(self, *terms: int) -> None:
        for term in terms:
            self.log.append(f"entry {self.log.last_index + 1} of {term}".encode(), term)
            assert self.sync() is None

    def terms(self) -> list[int | None]:
        return [self.log.term_at(index) for index in range(self.log.first_index, self.log.last_index + 1)]

    def payloads(self, start: int = 1) -> list[bytes]:
        return [record.payload for record in self.log.records_from(start, 1 << 20, self.log.last_index)]


def test_terms_are_known_after_a_restart() -> None:
    bench = Bench()
    bench.fill(1, 1, 1, 2, 2, 2, 2, 2, 5, 5, 5, 5, 7)
    bench.start()
    assert bench.terms() == [1, 1, 1, 2, 2, 2, 2, 2, 5, 5, 5, 5, 7]
    assert (bench.log.term_at(0), bench.log.term_at(14), bench.log.last_term) == (0, None, 7)


def test_a_kind_comes_back_as_it_was_written() -> None:
    bench = Bench()
    bench.log.append(b"members", 1, KIND_CONFIG)
    bench.log.append(b"jobs", 1)
    assert bench.sync() is None
    bench.start()
    found = bench.log.records_from(1, 1 << 20, 2)
    assert found == [LogRecord(KIND_CONFIG, 1, b"members"), LogRecord(KIND_ENTRY, 1, b"jobs")]


@pytest.mark.parametrize("cut", [2, 5, 9, 10])
@pytest.mark.parametrize("restart", [False, True])
def test_a_cut_is_durable_and_the_log_goes_on_from_there(cut: int, restart: bool) -> None:
    # Given records in several segments
    bench = Bench(segment_bytes=200)
    bench.fill(*[1] * 10)
    kept = bench.payloads()[: cut - 1]
    if restart:
        bench.start()
    # When the log is cut, other records follow, and the power goes
    bench.log.cut_from(cut)
    bench.fill(3, 3)
    bench.disk.power_cut(Random(cut))
    bench.start()
    # Then what was cut is gone and what follows is there.
    assert bench.payloads() == [*kept, f"entry {cut} of 3".encode(), f"entry {cut + 1} of 3".encode()]
    assert bench.terms() == [1] * (cut - 1) + [3, 3]


def test_records_that_were_never_written_are_cut_without_the_disk() -> None:
    bench = Bench()
    bench.fill(1, 1)
    for term in (2, 2, 2):
        bench.log.append(b"x", term)
    bench.log.cut_from(4)
    assert (bench.log.last_index, bench.log.durable_index, bench.log.last_term) == (3, 2, 2)
    bench.fill(3)
    bench.start()
    assert bench.terms() == [1, 1, 2, 3]


def test_rot_that_is_met_while_the_log_is_cut_is_told() -> None:
    # Given a bit that changed in a record that stays
    bench = Bench()
    bench.fill(1, 1, 1, 1)
    path = f"j/{bench.disk.list('j')[0]}"
    bench.disk.flip_bit(path, bench.disk.read(path, 0, 400).index(b"entry 2"), 0)
    # When what follows is cut, then the damage names the file, and nothing was changed.
    before = bench.disk.durable_bytes(path)
    with pytest.raises(JournalDamaged, match="the record with index 2 fails its checksum"):
        bench.log.cut_from(4)
    assert bench.disk.durable_bytes(path) == before


def test_a_log_begins_behind_a_snapshot() -> None:
    bench = Bench()
    bench.fill(1, 1, 2)
    bench.log.begin_after(100, 6)
    assert (bench.log.first_index, bench.log.last_index, bench.log.durable_index) == (101, 100, 100)
    assert (bench.log.term_at(100), bench.log.term_at(99)) == (6, None)
    bench.fill(6, 7)
    bench.start()
    assert (bench.log.first_index, bench.terms(), bench.log.term_at(100)) == (101, [6, 7], 6)


def test_reads_stop_at_the_limit_and_give_one_record_at_least() -> None:
    bench = Bench(segment_bytes=150)
    bench.fill(*[1] * 9)
    for _ in range(2):  # From memory, and after a restart from the disk.
        assert len(bench.log.records_from(3, 1, 9)) == 1
        assert len(bench.log.records_from(3, 20, 9)) == 2
        assert len(bench.log.records_from(3, 1 << 20, 5)) == 3
        assert bench.log.records_from(10, 1 << 20, 9) == []
        bench.start()


def test_what_another_member_lacks_is_kept_up_to_a_bound() -> None:
    bench = Bench(segment_bytes=200)
    bench.fill(*[1] * 20)
    bench.log.wanted_from = lambda: 5
    bench.log._kept_bytes_max = 1 << 20
    bench.log.drop_before(18)
    assert 1 < bench.log.first_index <= 5
    bench.log._kept_bytes_max = 0
    bench.log.drop_before(18)
    assert bench.log.first_index > 5


def test_what_found_no_room_is_written_when_there_is_some() -> None:
    # Given a disk that becomes full
    bench = Bench(segment_bytes=1 << 20)
    bench.fill(1, 1)

    def full(operation: str, path: str) -> OSError | None:
        return OSError(errno.ENOSPC, "full") if operation == "write" else None

    bench.log.append(b"third", 2)
    bench.disk.fault = full
    # When a sync finds no room while another record comes
    outcome: list[BaseException | None] = []
    bench.log.sync(outcome.append)
    bench.log.append(b"fourth", 2)
    bench.timeline.run_while(lambda: not outcome)
    # Then both are still appended, neither is durable,
    assert isinstance(outcome[0], NoSpace)
    assert (bench.log.last_index, bench.log.durable_index, bench.terms()) == (4, 2, [1, 1, 2, 2])
    # and with room again both are written.
    bench.disk.fault = None
    assert bench.sync() is None
    bench.start()
    assert bench.payloads(3) == [b"third", b"fourth"]


# A log that is read in slices.


class CountingDisk(SimDisk):
    """Knows how much was read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0

    def read(self, path: str, offset: int, count_bytes: int) -> bytes:
        found = super().read(path, offset, count_bytes)
        self.read_bytes += len(found)
        return found


SLICE_BYTES = 1 << 16
LONG_SEGMENT_BYTES = 4 << 20


def a_long_log(disk: SimDisk) -> Bench:
    """One whole segment of records of a KiB and the begin of another, after a restart."""
    bench = Bench(segment_bytes=LONG_SEGMENT_BYTES, disk=disk)
    for _ in range(2):
        for _ in range(LONG_SEGMENT_BYTES >> 10):
            bench.log.append(b"%01024d" % (bench.log.last_index + 1), 1)
        assert bench.sync() is None
    bench.start()
    assert len(bench.log._segments) == 2
    return bench


def test_reading_an_older_segment_slice_by_slice_costs_as_much_as_it_is_long() -> None:
    # Given a node that starts and has to apply what an older segment holds
    disk = CountingDisk()
    bench = a_long_log(disk)
    older, end = bench.log._segments[0], bench.log._segments[1].first_index
    disk.read_bytes = 0
    # When it reads that in slices, each time from where it stopped
    index, slices_count = 1, 0
    while index < end:
        index += len(bench.log.records_from(index, SLICE_BYTES, end - 1))
        slices_count += 1
    # Then the slices together read a few times the segment, and not all before them again each time
    assert slices_count > 60
    assert disk.read_bytes < 6 * older.end_offset


def test_feeding_members_that_lag_at_different_places_costs_as_much_as_they_lag() -> None:
    disk = CountingDisk()
    bench = a_long_log(disk)
    older, end = bench.log._segments[0], bench.log._segments[1].first_index
    # Given two readers of one segment, one far behind the other
    disk.read_bytes = 0
    behind, ahead = 1, end // 2
    while ahead < end:
        behind += len(bench.log.records_from(behind, SLICE_BYTES, end - 1))
        ahead += len(bench.log.records_from(ahead, SLICE_BYTES, end - 1))
    # Then they cost together what one costs that reads all, and one walk to the place where the second begins.
    assert disk.read_bytes < 7 * older.end_offset


def test_what_was_marked_while_reading_holds_when_the_log_is_read_in_any_order_and_cut() -> None:
    # Given a log that is read at random places
    bench = a_long_log(SimDisk())
    chance, end = Random(7), bench.log._segments[1].first_index
    for _ in range(50):
        index = chance.randrange(1, end)
        found = bench.log.records_from(index, SLICE_BYTES, end - 1)
        assert [int(record.payload) for record in found] == list(range(index, index + len(found)))
    older = bench.log._segments[0]
    assert 10 < len(older.marks) <= older.end_offset // SLICE_BYTES
    assert older.marks == sorted(older.marks, key=lambda place: place.offset)
    assert [place.index for place in older.marks] == sorted({place.index for place in older.marks})
    # When it is cut in the middle of what was marked, and goes on
    bench.log.cut_from(end // 2)
    bench.fill(2, 2)
    # Then all is read back, from memory and from the disk.
    for _ in range(2):
        assert bench.terms()[-3:] == [1, 2, 2]
        found = bench.log.records_from(end // 2 - 1, SLICE_BYTES, end)
        last = b"%01024d" % (end // 2 - 1)
        assert [record.payload for record in found] == [last, *(b"entry %d of 2" % (end // 2 + at) for at in (0, 1))]
        bench.start()
