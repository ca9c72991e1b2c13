"""The journal on a simulated disk: what it keeps, what it cuts, what it refuses."""

import errno
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from rustqueue.raft.hardstate import HardState, TermVote
from rustqueue.raft.inspect import inspect_journal
from rustqueue.raft.journal import Journal, JournalDamaged, JournalError, NoSpace, stored_identity
from rustqueue.raft.ports import JobDone
from rustqueue.raft.records import SEGMENT_HEADER_BYTES, Identity
from tests.simulation.disk import SimDisk

OURS = Identity(bytes(range(16)), "n0")


class HeldExecutor:
    """Runs jobs when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], JobDone]] = []

    def run(self, job: Callable[[], Any], done: JobDone) -> None:
        self.jobs.append((job, done))

    def close(self) -> None:
        pass

    def finish_one(self) -> None:
        job, done = self.jobs.pop(0)
        try:
            result = job()
        except Exception as error:
            done(None, error)
        else:
            done(result, None)


class Node:
    """A journal with its disk and thread, and what its syncs answered."""

    def __init__(self, disk: SimDisk | None = None, segment_bytes: int = 1 << 20, identity: Identity = OURS) -> None:
        self.disk = disk or SimDisk()
        self.executor = HeldExecutor()
        self.journal = Journal(self.disk, self.executor, "j", identity, segment_bytes)
        self.answers: list[BaseException | None] = []

    def opened(self) -> "Node":
        self.journal.open()
        hard_state = HardState(self.disk, "j")
        hard_state.open()
        if hard_state.current.term == 0:
            hard_state.store(TermVote(1, "n0"))
        return self

    def write(self, *payloads: bytes) -> None:
        """One group: appended and synced."""
        for payload in payloads:
            self.journal.append(payload, 1)
        self.journal.sync(self.answers.append)
        self.executor.finish_one()

    def payloads(self, index: int = 1) -> list[bytes]:
        return [record.payload for record in self.journal.read_from(index)]


def reopened(disk: SimDisk, segment_bytes: int = 1 << 20) -> Node:
    return Node(disk, segment_bytes).opened()


def a_log(*groups: tuple[bytes, ...], segment_bytes: int = 1 << 20) -> Node:
    node = Node(segment_bytes=segment_bytes).opened()
    for group in groups:
        node.write(*group)
    return node


def last_path(disk: SimDisk) -> str:
    return "j/" + [name for name in disk.list("j") if name.endswith(".log")][-1]


# What it keeps.


def test_a_new_journal_is_empty_and_begins_with_index_1() -> None:
    node = Node().opened()
    assert (node.journal.first_index, node.journal.last_index, node.journal.durable_index) == (1, 0, 0)
    assert node.payloads() == []


def test_entries_are_read_back_in_order_after_a_restart() -> None:
    # Given two groups of entries
    node = a_log((b"one", b"two"), (b"three",))
    # When the process starts again
    again = reopened(node.disk)
    # Then all are there, from any index on
    assert again.payloads() == [b"one", b"two", b"three"]
    assert again.payloads(3) == [b"three"]
    assert (again.journal.last_index, again.journal.durable_index, again.journal.cut) == (3, 3, None)


def test_nothing_is_durable_before_its_sync_has_ended() -> None:
    node = Node().opened()
    node.journal.append(b"one", 1)
    node.journal.sync(node.answers.append)
    assert (node.journal.last_index, node.journal.durable_index, node.answers) == (1, 0, [])
    node.executor.finish_one()
    assert (node.journal.durable_index, node.answers) == (1, [None])


def test_one_sync_covers_what_was_appended_before_it_and_no_more() -> None:
    node = Node().opened()
    node.journal.append(b"one", 1)
    node.journal.append(b"two", 1)
    node.journal.sync(node.answers.append)
    node.journal.append(b"three", 1)
    node.executor.finish_one()
    assert (node.journal.durable_index, node.journal.last_index) == (2, 3)
    node.journal.sync(node.answers.append)
    node.executor.finish_one()
    assert node.payloads() == [b"one", b"two", b"three"]


def test_segments_are_begun_when_the_last_one_is_full_and_dropped_whole() -> None:
    # Given three segments of two entries each
    node = a_log(*[(b"x" * 100,) for _ in range(6)], segment_bytes=300)
    assert [name[-5:] for name in node.disk.list("j") if name.endswith(".log")] == ["1.log", "3.log", "5.log"]
    # When everything up to index 4 is no longer needed
    paths = node.journal.drop_before(5)
    node.journal.remove_files(paths)
    # Then only whole segments below it are gone
    assert (node.journal.first_index, len(paths)) == (5, 2)
    assert len(reopened(node.disk, 300).payloads(5)) == 2
    # And the last segment always stays
    assert node.journal.drop_before(100) == []


def test_dropping_keeps_a_segment_that_holds_one_needed_entry() -> None:
    node = a_log(*[(b"x" * 100,) for _ in range(4)], segment_bytes=300)
    assert node.journal.drop_before(2) == []
    assert node.journal.drop_before(3) != []
    assert node.payloads(3) == [b"x" * 100] * 2


def test_the_identity_is_kept_and_another_node_is_refused() -> None:
    node = a_log((b"one",))
    assert stored_identity(node.disk, "j") == OURS
    stranger = Node(node.disk, identity=Identity(bytes(16), "n1"))
    with pytest.raises(JournalError, match="belongs to node 'n0'"):
        stranger.journal.open()
    assert stored_identity(SimDisk(), "j") is None


# What it cuts.


@pytest.mark.parametrize("kept_bytes", [0, 1, 20, 34, 35, 36, 60, 134, 135])
def test_a_write_torn_at_any_byte_is_cut_and_said(kept_bytes: int) -> None:
    # Given a synced entry, and one whose write was torn
    node = a_log((b"synced",))
    path = last_path(node.disk)
    end = SEGMENT_HEADER_BYTES + 35 + len(b"synced") + 1
    node.journal.append(b"y" * 100, 1)
    node.journal.sync(node.answers.append)
    node.executor.finish_one()
    file = node.disk.open(path)
    file.write_at(end + kept_bytes, bytes(136 - kept_bytes))
    file.sync()
    # When the node starts
    again = reopened(node.disk)
    # Then the torn entry is cut, and the next one takes its place
    assert again.payloads() == [b"synced"]
    assert (again.journal.cut is None) == (kept_bytes == 0)
    assert inspect_journal(again.disk, "j").torn is None
    again.write(b"next")
    assert reopened(again.disk).payloads() == [b"synced", b"next"]


@pytest.mark.parametrize("seed", range(150))
def test_after_a_power_cut_every_synced_entry_is_there(seed: int) -> None:
    # Given groups of entries, the last of them written but perhaps not synced
    rng = Random(seed)
    node = Node(segment_bytes=2_000).opened()
    written: list[bytes] = []
    for _ in range(rng.randrange(12)):
        group = [rng.randbytes(rng.randrange(1, 900)).replace(b"\0", b"\1") for _ in range(rng.randrange(1, 4))]
        written += group
        node.write(*group)
    synced_count = len(written)
    doubtful = [b"z" * rng.randrange(1, 2_000) for _ in range(rng.randrange(4))]
    for payload in doubtful:
        node.journal.append(payload, 1)
    node.disk.fault = lambda operation, path: OSError(errno.EIO, "no") if operation == "sync" else None
    if doubtful:
        node.journal.sync(node.answers.append)
        node.executor.finish_one()
    node.disk.fault = None
    # When the power goes
    node.disk.power_cut(rng)
    # Then the synced ones are there, and of the others a beginning
    again = reopened(node.disk, 2_000)
    found = again.payloads()
    assert found[:synced_count] == written
    assert found == (written + doubtful)[: len(found)]
    assert inspect_journal(again.disk, "j").sound


def test_a_segment_whose_creation_was_cut_off_is_removed() -> None:
    # Given a full segment, and the name of the next one with half a header
    node = a_log((b"x" * 400,), segment_bytes=300)
    node.disk.create("j/00000000000000000002.log").write_at(0, b"\xfaRQLOG")
    # When the node starts
    again = reopened(node.disk, 300)
    # Then it goes on where the full one ended
    assert (again.journal.last_index, again.journal.cut is not None) == (1, True)
    again.write(b"two")
    assert reopened(again.disk, 300).payloads() == [b"x" * 400, b"two"]


def test_entries_that_a_failed_sync_left_in_the_page_cache_are_written_again() -> None:
    # Given an entry whose sync failed, so that no later sync of it means anything
    node = a_log((b"one",))
    node.disk.fault = lambda operation, path: OSError(errno.EIO, "no") if operation == "sync" else None
    node.write(b"two")
    assert isinstance(node.answers[-1], OSError)
    node.disk.fault = None
    # When the process starts again and finds it
    again = reopened(node.disk)
    assert again.payloads() == [b"one", b"two"]
    # Then it survives a power cut
    again.disk.power_cut(Random(1))
    assert reopened(again.disk).payloads() == [b"one", b"two"]


# What it refuses.


def flips(size_bytes: int) -> list[int]:
    return [*range(min(size_bytes, 300)), *range(300, size_bytes, 7)]


def test_a_flipped_bit_in_any_needed_byte_refuses_with_file_and_offset() -> None:
    # Given a log over three segments
    node = a_log(*[(b"x" * 100, b"y" * 30) for _ in range(5)], segment_bytes=300)
    for name in [name for name in node.disk.list("j") if name.endswith(".log")]:
        path = f"j/{name}"
        content = node.disk.durable_bytes(path)
        used_bytes = len(content.rstrip(b"\0"))
        for offset in flips(used_bytes):
            # When one bit of it changes
            node.disk.flip_bit(path, offset, offset % 8)
            # Then the node says where, and serves nothing of it
            with pytest.raises(JournalError) as refusal:
                reopened(node.disk, 300).payloads()
            assert path in str(refusal.value)
            assert not inspect_journal(node.disk, "j").sound
            node.disk.flip_bit(path, offset, offset % 8)
    assert len(reopened(node.disk, 300).payloads()) == 10


@pytest.mark.parametrize("behind_bytes", [0, 1, 34, 700])
def test_a_flipped_bit_in_the_zeros_behind_the_end_is_cut(behind_bytes: int) -> None:
    node = a_log((b"one",))
    path = last_path(node.disk)
    used_bytes = len(node.disk.durable_bytes(path).rstrip(b"\0"))
    node.disk.flip_bit(path, used_bytes + behind_bytes, 3)
    assert reopened(node.disk).payloads() == [b"one"]


def test_a_bad_record_before_good_ones_that_prove_it_was_synced_is_damage() -> None:
    # Given three groups, and a whole sector of the first one gone
    node = a_log((b"a" * 2_000,), (b"b" * 10,), (b"c" * 10,))
    path = last_path(node.disk)
    file = node.disk.open(path)
    file.write_at(512, bytes(512))
    # When the node starts
    # Then it is no torn end, although it looks like one
    with pytest.raises(JournalDamaged) as refusal:
        reopened(node.disk)
    assert (refusal.value.path, refusal.value.offset) == (path, SEGMENT_HEADER_BYTES)


def test_a_torn_record_before_good_ones_of_the_same_group_is_cut() -> None:
    # Given a group of three that was never synced, and of its first record a sector is missing
    node = a_log((b"kept",), (b"a" * 2_000, b"b", b"c"))
    file = node.disk.open(last_path(node.disk))
    file.write_at(1024, bytes(512))
    # Then nothing of the group is there, and what came before is
    assert reopened(node.disk).payloads() == [b"kept"]


def test_a_missing_segment_between_others_is_refused() -> None:
    node = a_log(*[(b"x" * 100,) for _ in range(6)], segment_bytes=300)
    node.disk.remove("j/00000000000000000003.log")
    with pytest.raises(JournalDamaged, match=r"00000000000000000001\.log"):
        reopened(node.disk, 300).payloads()
    assert "entries 3 to 4 are missing" in inspect_journal(node.disk, "j").damages[0].reason


def test_damage_below_the_needed_entries_does_not_hinder_a_start() -> None:
    node = a_log(*[(b"x" * 100,) for _ in range(6)], segment_bytes=300)
    node.disk.flip_bit("j/00000000000000000001.log", SEGMENT_HEADER_BYTES + 40, 1)
    assert len(reopened(node.disk, 300).payloads(3)) == 4


def test_a_strange_file_is_named() -> None:
    node = a_log((b"one",))
    node.disk.create("j/old.log")
    with pytest.raises(JournalError, match=r"old\.log"):
        reopened(node.disk)


# Faults while it runs.


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_an_error_of_the_disk_stops_the_journal_for_good(operation: str) -> None:
    node = a_log((b"one",))
    node.disk.fault = lambda asked, path: OSError(errno.EIO, "no") if asked == operation else None
    node.write(b"two")
    assert [type(answer) for answer in node.answers] == [type(None), OSError]
    assert node.journal.failed is node.answers[-1]
    assert node.journal.durable_index == 1
    with pytest.raises(AssertionError, match="takes nothing"):
        node.journal.append(b"three", 1)


@pytest.mark.parametrize("room_bytes", [0, 1, 50, 120])
def test_an_entry_that_finds_no_room_is_taken_back_durably(room_bytes: int) -> None:
    # Given a disk with room for a part of the next entry
    node = Node(SimDisk(ahead_bytes_max=0)).opened()
    node.write(b"one")
    node.disk.total_bytes = node.disk.size_bytes(last_path(node.disk)) + room_bytes
    # When two entries are written
    node.write(b"x" * 100, b"y" * 100)
    # Then they are gone, and no power cut brings them back
    assert isinstance(node.answers[-1], NoSpace)
    assert (node.journal.last_index, node.journal.durable_index, node.journal.failed) == (1, 1, None)
    node.disk.power_cut(Random(room_bytes))
    assert reopened(node.disk).payloads() == [b"one"]


def test_after_a_full_disk_the_journal_goes_on() -> None:
    node = Node(SimDisk(ahead_bytes_max=0), segment_bytes=200).opened()
    node.write(b"x" * 300)
    node.disk.total_bytes = 0
    # Neither a new segment nor an entry finds room now
    node.write(b"two")
    node.disk.total_bytes = 1 << 30
    node.write(b"two, again")
    assert [type(answer) for answer in node.answers] == [type(None), NoSpace, type(None)]
    assert reopened(node.disk).payloads() == [b"x" * 300, b"two, again"]


def test_a_segment_that_is_asked_for_begins_with_the_next_sync_and_lets_the_old_one_go() -> None:
    node = a_log((b"one",), (b"two",))
    node.journal.begin_segment()
    assert node.journal.drop_before(3) == []
    node.write(b"three")
    node.write(b"four")
    paths = node.journal.drop_before(3)
    node.journal.remove_files(paths)
    assert (len(paths), node.payloads(3)) == (1, [b"three", b"four"])
    assert node.disk.list("j") == ["00000000000000000003.log", "hardstate"]
    assert reopened(node.disk).payloads(3) == [b"three", b"four"]


def test_a_segment_that_finds_no_room_is_not_needed() -> None:
    # Given a full disk, but room written ahead in the last segment
    node = Node(SimDisk(ahead_bytes_max=4_096)).opened()
    node.write(b"one")
    node.disk.total_bytes = 0
    # When a new segment is asked for
    node.journal.begin_segment()
    node.write(b"two")
    # Then the entry goes into the old one, and no power cut brings back the beginning of a new one
    assert node.answers == [None, None]
    node.disk.power_cut(Random(1))
    assert reopened(node.disk).payloads() == [b"one", b"two"]


def test_a_report_counts_what_is_there() -> None:
    node = a_log(*[(b"x" * 100,) for _ in range(5)], segment_bytes=300)
    report = inspect_journal(node.disk, "j")
    assert [(s.first_index, s.last_index, s.records_count) for s in report.segments] == [
        (1, 2, 2),
        (3, 4, 2),
        (5, 5, 1),
    ]
    assert (report.first_index, report.last_index, report.records_count, report.identity) == (1, 5, 5, OURS)
    assert (report.damages, report.torn, report.term_vote) == ([], None, TermVote(1, "n0"))
