"""A snapshot is taken whole or not at all, whatever becomes of one of its parts."""

import errno
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from rustqueue.raft.cluster.snapshots import INCOMING, InstallNote, SnapshotReceiver
from rustqueue.raft.messages import SnapshotPart, SnapshotTaken
from tests.simulation.disk import SimDisk

FILES = {"CURRENT": b"16 bytes, or so.", "MANIFEST": b"what there is", "rows.sst": b"the rows"}


class Here:
    """A background that runs its jobs at once."""

    def run(self, job: Callable[[], Any], done: Callable[[object, BaseException | None], None]) -> None:
        try:
            result = job()
        except OSError as error:
            done(None, error)
        else:
            done(result, None)

    def close(self) -> None:
        pass


class Bench:
    """A member that lacks everything, and a leader that sends without waiting for answers."""

    def __init__(self) -> None:
        self.disk = SimDisk()
        self.answers: list[SnapshotTaken] = []
        self.installed: list[dict[str, bytes]] = []
        links = SimpleNamespace(send=lambda peer, message: self.answers.append(message))
        seat = SimpleNamespace(term=3, commit_index=0)
        parts: Any = SimpleNamespace(links=links, seat=seat, log=SimpleNamespace(durable_index=0))
        self.receiver = SnapshotReceiver(parts, self.disk, "d", Here(), self._install)

    def _install(self, note: InstallNote, done: Callable[[], None]) -> None:
        folder = f"d/{INCOMING}"
        self.installed.append({name: self.disk.read(f"{folder}/{name}", 0, 99) for name in self.disk.list(folder)})
        done()

    def offer(self) -> None:
        self.receiver.received("n0", SnapshotPart(3, b"s", 10, 2, "", 0, 0, b"", 0, False))

    def send(self, place: int, data: bytes | None = None) -> None:
        """One whole file. `data`: what arrives of it."""
        name, content = list(FILES.items())[place]
        sound = SnapshotPart(
            3, b"s", 10, 2, name, len(content), 0, content, zlib.crc32(content), place == len(FILES) - 1, place
        )
        self.receiver.received("n0", sound if data is None else msgspec.structs.replace(sound, data=data))

    def fail_next_write(self, error: int) -> None:
        def fault(operation: str, path: str) -> OSError | None:
            if operation != "write":
                return None
            self.disk.fault = None
            return OSError(error, "simulated")

        self.disk.fault = fault


def _damaged(bench: Bench, place: int) -> None:
    bench.send(place, b"something else")


def _lost(bench: Bench, place: int) -> None:
    pass


def _without_room(bench: Bench, place: int) -> None:
    bench.fail_next_write(errno.ENOSPC)
    bench.send(place)


@pytest.mark.parametrize("place", range(len(FILES)))
@pytest.mark.parametrize("goes_wrong", [_damaged, _lost, _without_room])
def test_no_file_is_left_out(goes_wrong: Callable[[Bench, int], None], place: int) -> None:
    # Given a snapshot of small files, all of them on their way
    bench = Bench()
    bench.offer()
    # When one of them does not get through, and those behind it do
    for other in range(len(FILES)):
        if other == place:
            goes_wrong(bench, other)
        else:
            bench.send(other)
    # Then nothing is installed
    assert bench.installed == []
    # And when it is offered anew and sent from where the member says, it is there, whole.
    bench.offer()
    said = bench.answers[-1]
    first = list(FILES).index(said.name) if said.name else 0
    for other in range(first + (said.name != "" and said.offset > 0), len(FILES)):
        bench.send(other)
    assert bench.installed == [FILES]
    assert bench.answers[-1].installed
