"""The ports' bodies on the operating system, and the replicator on a real file system, a full one included."""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rustqueue.model.commands import Command, Heartbeat, PushJobs
from rustqueue.model.replies import Pushed, Refused, Reply
from rustqueue.raft.inspect import inspect_journal
from rustqueue.raft.journal import Journal, JournalError
from rustqueue.raft.local import LocalOptions, LocalPorts, LocalReplicator
from rustqueue.raft.ports import Disk, File, Proposal, Space
from rustqueue.raft.real import LoopClock, OsDisk, ThreadExecutor
from rustqueue.raft.records import Identity
from rustqueue.raft.space import SpaceRules
from rustqueue.storage.memory import MemoryKV
from tests.simulation.counting import CountingMachine

PUSH = PushJobs(queue="q", jobs=[], single=True)
BEAT = Heartbeat(id="x")
SMALL_BYTES = 4 << 20


class QuotaFile:
    """A real file whose growth is counted."""

    def __init__(self, disk: "QuotaDisk", path: str, file: File) -> None:
        self._disk, self._path, self._file = disk, path, file

    def write_at(self, offset: int, data: bytes) -> None:
        room_bytes = self._disk.inner.size_bytes(self._path) + self._disk.space(self._path).free_bytes - offset
        if len(data) > room_bytes:
            self._file.write_at(offset, data[: max(0, room_bytes)])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._file.write_at(offset, data)

    def sync(self) -> None:
        self._file.sync()

    def truncate(self, size_bytes: int) -> None:
        self._file.truncate(size_bytes)

    def close(self) -> None:
        self._file.close()


class QuotaDisk:
    """The real disk, but small: what a tmpfs shows, for users who may not mount one."""

    def __init__(self, folder: str, total_bytes: int) -> None:
        self.inner = OsDisk()
        self.folder = folder
        self.total_bytes = total_bytes
        self.make_dir, self.lock, self.read = self.inner.make_dir, self.inner.lock, self.inner.read
        self.size_bytes, self.list, self.remove = self.inner.size_bytes, self.inner.list, self.inner.remove
        self.rename, self.sync_dir = self.inner.rename, self.inner.sync_dir

    def create(self, path: str, ahead_bytes: int = 0) -> File:
        return QuotaFile(self, path, self.inner.create(path))

    def open(self, path: str, ahead_bytes: int = 0) -> File:
        return QuotaFile(self, path, self.inner.open(path))

    def allocate(self, path: str, size_bytes: int) -> None:
        file = self.create(path)
        file.write_at(0, bytes(size_bytes))
        file.close()

    def space(self, path: str) -> Space:
        used_bytes = sum(file.stat().st_size for file in Path(self.folder).rglob("*") if file.is_file())
        return Space(self.total_bytes, max(0, self.total_bytes - used_bytes))


@dataclass
class Node:
    """One process's worth of the replicator on the running loop."""

    disk: Disk
    folder: str
    kv: MemoryKV
    options: LocalOptions

    def start(self) -> "Node":
        loop = asyncio.get_running_loop()
        self.journal_thread = ThreadExecutor(loop, "journal")
        self.background = ThreadExecutor(loop, "background")
        journal = Journal(self.disk, self.journal_thread, self.folder, Identity(bytes(16), "n0"))
        ports = LocalPorts(self.disk, LoopClock(loop), self.background, lambda: os.urandom(16))
        self.machine = CountingMachine(self.kv)
        self.replicator = LocalReplicator(self.machine, self.kv, journal, ports, self.options)
        try:
            self.replicator.start()
        except JournalError:
            self.close()
            raise
        return self

    async def propose(self, raw: bytes, command: Command = PUSH) -> Reply:
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.replicator.propose(Proposal(command, raw, answer.set_result))
        return await answer

    async def stop(self) -> None:
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.replicator.stop(lambda: stopped.set_result(None))
        await stopped
        self.close()

    def close(self) -> None:
        self.journal_thread.close()
        self.background.close()


def a_node(disk: Disk, folder: Path, reserve_bytes: int = 0) -> Node:
    return Node(disk, str(folder), MemoryKV(), LocalOptions(space=SpaceRules(reserve_bytes=reserve_bytes)))


async def test_entries_survive_a_clean_restart_on_a_real_disk(tmp_path: Path) -> None:
    node = a_node(OsDisk(), tmp_path / "journal").start()
    replies = await asyncio.gather(*[node.propose(b"%d" % number) for number in range(100)])
    assert [type(reply) for reply in replies] == [Pushed] * 100
    await node.stop()
    again = a_node(OsDisk(), tmp_path / "journal").start()
    assert again.machine.commands() == [b"%d" % number for number in range(100)]
    await again.stop()
    report = inspect_journal(OsDisk(), str(tmp_path / "journal"))
    assert (report.sound, report.torn, report.last_index) == (True, None, again.machine.applied_index)


async def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    node = a_node(OsDisk(), tmp_path / "journal").start()
    with pytest.raises(JournalError, match="in use by another process"):
        a_node(OsDisk(), tmp_path / "journal").start()
    await node.stop()
    await a_node(OsDisk(), tmp_path / "journal").start().stop()


KILLED = """
import asyncio, os, sys
sys.path[:0] = [{root!r}]
from pathlib import Path
from tests.unit.test_journal_real import OsDisk, a_node

async def main():
    node = a_node(OsDisk(), Path({folder!r})).start()
    number = 0
    while True:
        await asyncio.gather(*[node.propose(b"%d" % (number + k)) for k in range(20)])
        number += 20
        os.write(1, b"%d\\n" % number)

asyncio.run(main())
"""


def answered_before_kill(folder: Path) -> int:
    """Run a process that tells how many entries were answered, and kill it in the middle."""
    root = str(Path(__file__).parents[2])
    program = KILLED.format(root=root, folder=str(folder))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        answered = [int(process.stdout.readline()) for _ in range(30)]
        process.kill()
        answered += [int(line) for line in process.stdout.read().split()]
    return answered[-1]


async def test_what_was_answered_is_there_after_sigkill(tmp_path: Path) -> None:
    # Given a process that was killed under load
    answered_count = answered_before_kill(tmp_path / "journal")
    # When the next one starts
    node = a_node(OsDisk(), tmp_path / "journal").start()
    # Then all that was answered is there, in order
    found = [int(raw) for raw in node.machine.commands()]
    assert found == list(range(len(found)))
    assert len(found) >= answered_count
    await node.stop()


def test_zeros_are_written_ahead_and_short_writes_are_finished(tmp_path: Path) -> None:
    disk = OsDisk()
    file = disk.create(str(tmp_path / "f"), 4096)
    file.write_at(0, b"abc")
    assert disk.size_bytes(str(tmp_path / "f")) == 3 + 4096
    file.write_at(3, b"def")
    assert disk.size_bytes(str(tmp_path / "f")) == 3 + 4096
    file.truncate(4)
    file.close()
    assert disk.read(str(tmp_path / "f"), 1, 100) == b"bcd"


async def test_a_thread_gives_back_results_and_errors_on_the_loop() -> None:
    loop = asyncio.get_running_loop()
    thread = ThreadExecutor(loop, "test")
    outcomes: list[tuple[Any, BaseException | None]] = []
    both = asyncio.Event()

    def done(result: Any, error: BaseException | None) -> None:
        outcomes.append((result, error))
        if len(outcomes) == 2:
            both.set()

    failure = OSError(errno.EIO, "no")

    def fail() -> None:
        raise failure

    thread.run(lambda: 7, done)
    thread.run(fail, done)
    await both.wait()
    thread.close()
    assert outcomes == [(7, None), (None, failure)]


# A disk that is really full.


@pytest.fixture(params=["quota", "tmpfs"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Disk, Path]]:
    """A file system of 4 MiB. Who may not mount one gets the quota twice."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(folder)]
    may_mount = request.param == "tmpfs" and os.geteuid() == 0
    mounted = may_mount and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield (OsDisk() if mounted else QuotaDisk(str(folder), SMALL_BYTES)), folder
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Disk, path: Path, leave_bytes: int = 0) -> None:
    """Somebody else takes all the room."""
    room_bytes = disk.space(str(path.parent)).free_bytes - leave_bytes
    path.write_bytes(bytes(max(0, room_bytes)))


async def until(condition: Callable[[], bool], node: Node) -> None:
    """Look again with every entry that goes through."""
    number = 0
    while not condition():
        number += 1
        await node.propose(b"look %d" % number, BEAT)
        node.replicator.space.check()
        await asyncio.sleep(0)


async def test_a_full_disk_refuses_pushes_lets_the_rest_go_on_and_heals(small: tuple[Disk, Path]) -> None:
    # Given a node with a reserve, on a disk that somebody fills
    disk, folder = small
    node = a_node(disk, folder / "journal", reserve_bytes=1 << 20).start()
    assert isinstance(await node.propose(b"first"), Pushed)
    await until(lambda: "reserve" in disk.list(str(folder / "journal")), node)
    fill(disk, folder / "filler")
    # When pushes come until there is no room
    outcomes: list[Reply] = []
    while not outcomes or not isinstance(outcomes[-1], Refused):
        outcomes.append(await node.propose(b"push %d " % len(outcomes) + b"x" * 100_000))
    refused = outcomes[-1]
    assert isinstance(refused, Refused)
    assert (refused.error.code, node.replicator.disk_full) == ("DISK_FULL", True)
    # Then what does not push is done, out of the reserve
    for number in range(5):
        assert isinstance(await node.propose(b"beat %d " % number + b"y" * 10_000, BEAT), Pushed)
    # And with room again pushes are, without a restart
    (folder / "filler").unlink()
    await until(lambda: not node.replicator.disk_full, node)
    assert isinstance(await node.propose(b"last"), Pushed)
    await node.stop()
    # And all that was answered is there, and nothing that was refused
    again = a_node(disk, folder / "journal").start()
    found = again.machine.commands()
    pushed = [b"first", *(b"push %d " % number + b"x" * 100_000 for number in range(len(outcomes) - 1)), b"last"]
    assert [raw for raw in found if not raw.startswith((b"beat", b"look"))] == pushed
    assert sum(raw.startswith(b"beat") for raw in found) == 5
    await again.stop()
