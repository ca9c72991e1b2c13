"""The copies that a node lays for backups: one at a time, gone when nobody reads them, never without a list."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rustqueue.machine.machine import Machine
from rustqueue.model import limits
from rustqueue.model.cluster.backups import (
    BackupCreate,
    BackupCreated,
    BackupDelete,
    BackupPiece,
    BackupRead,
    BackupRequest,
)
from rustqueue.model.replies import Done, Refused, Reply
from rustqueue.node.keeping.backups import BackupOffice, BackupParts
from rustqueue.raft.cluster.snapshots import Checkpoint
from rustqueue.raft.ports import Executor, JobDone
from rustqueue.raft.real import OsDisk
from rustqueue.storage.memory import MemoryKV
from tests.unit.gateway_world import ManualClock

TABLE = bytes(range(256)) * 5_000  # Two pieces.


class InPlace:
    """A thread that is never busy."""

    def run(self, job: Callable[[], Any], done: JobDone) -> None:
        try:
            result = job()
        except Exception as error:
            done(None, error)
        else:
            done(result, None)

    def close(self) -> None:
        pass


class Busy(InPlace):
    """A thread that has yet to come to what it was given."""

    def __init__(self) -> None:
        self.given: list[Callable[[], None]] = []

    def run(self, job: Callable[[], Any], done: JobDone) -> None:
        self.given.append(partial(super().run, job, done))

    def catch_up(self) -> None:
        while self.given:
            self.given.pop(0)()


class Files:
    """A store of two files; `fails` like a disk without room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fails = False

    def checkpoint(self, name: str, done: Callable[[Checkpoint | None], None]) -> None:
        if self.fails:
            done(None)
            return
        copy = self.folder / name
        copy.mkdir()
        (copy / "CURRENT").write_bytes(b"x")
        (copy / "table.sst").write_bytes(TABLE)
        done(Checkpoint(7, 2, str(copy)))

    def remove_folder(self, name: str) -> None:
        raise AssertionError("an office removes its own copies")

    def adopt(self, name: str) -> None:
        raise AssertionError("a backup changes no store")


class Desk:
    """An office and what it answered."""

    def __init__(self, folder: Path, durable: bool = True, thread: Executor | None = None) -> None:
        self.clock = ManualClock()
        self.files = Files(folder)
        self.full = False
        parts = BackupParts(
            str(folder), OsDisk(), self.clock, thread or InPlace(), Machine(MemoryKV()),
            self.files if durable else None, lambda: ("00" * 16, "n0"), lambda: self.full,
        )  # fmt: skip
        self.office = BackupOffice(parts)

    def ask(self, request: BackupRequest) -> Reply:
        replies: list[Reply] = []
        self.office.submit(request, b"", replies.append)
        (reply,) = replies
        return reply

    def code(self, request: BackupRequest) -> str:
        reply = self.ask(request)
        assert isinstance(reply, Refused), reply
        return reply.error.code

    def create(self) -> BackupCreated:
        reply = self.ask(BackupCreate())
        assert isinstance(reply, BackupCreated), reply
        return reply


def test_a_file_comes_in_pieces_and_says_where_it_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = desk.create()
    assert [(file.name, file.size_bytes) for file in made.manifest.files] == [("CURRENT", 1), ("table.sst", len(TABLE))]
    pieces = [
        desk.ask(BackupRead(id=made.id, file="table.sst", offset=offset))
        for offset in (0, limits.BACKUP_PIECE_BYTES, len(TABLE))
    ]
    end = TABLE[limits.BACKUP_PIECE_BYTES :]
    assert pieces == [
        BackupPiece(data=TABLE[: limits.BACKUP_PIECE_BYTES], last=False),
        BackupPiece(data=end, last=True),
        BackupPiece(data=b"", last=True),
    ]
    assert desk.ask(BackupDelete(id=made.id)) == Done()
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_nobody_reads_goes_and_one_that_is_read_stays(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = desk.create()
    assert desk.code(BackupCreate()) == "BACKUP_IN_PROGRESS"
    desk.clock.pass_ms(limits.BACKUP_IDLE_MS - 1_000)
    assert isinstance(desk.ask(BackupRead(id=made.id, file="CURRENT")), BackupPiece)
    desk.clock.pass_ms(limits.BACKUP_IDLE_MS - 1_000)
    assert isinstance(desk.ask(BackupRead(id=made.id, file="CURRENT")), BackupPiece)
    desk.clock.pass_ms(limits.BACKUP_IDLE_MS)
    assert desk.code(BackupRead(id=made.id, file="CURRENT")) == "BACKUP_NOT_FOUND"
    assert list(tmp_path.iterdir()) == []
    assert desk.create().id != made.id


def test_a_copy_is_laid_when_the_one_before_is_gone(tmp_path: Path) -> None:
    # Given an office whose thread has not come to the removal of a backup yet
    thread = Busy()
    desk = Desk(tmp_path, thread=thread)
    replies: list[Reply] = []
    desk.office.submit(BackupCreate(), b"", replies.append)
    thread.catch_up()
    (first,) = replies
    assert isinstance(first, BackupCreated)
    assert desk.ask(BackupDelete(id=first.id)) == Done()
    # When the next one is asked for
    desk.office.submit(BackupCreate(), b"", replies.append)
    # Then that waits, and all of its files are there
    thread.catch_up()
    second = replies[1]
    assert isinstance(second, BackupCreated)
    assert second.manifest.files == first.manifest.files
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == ["CURRENT", "table.sst"]


def test_what_an_earlier_life_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "CURRENT").write_bytes(b"old")
    Desk(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_room_or_files_there_is_no_backup(tmp_path: Path) -> None:
    assert Desk(tmp_path, durable=False).code(BackupCreate()) == "NOT_DURABLE"
    desk = Desk(tmp_path)
    desk.full = True
    assert desk.code(BackupCreate()) == "DISK_FULL"
    desk.full, desk.files.fails = False, True
    assert desk.code(BackupCreate()) == "DISK_FULL"
    # And the next one may be made
    desk.files.fails = False
    desk.create()
    desk.office.close()
    assert desk.code(BackupCreate()) == "SHUTTING_DOWN"
