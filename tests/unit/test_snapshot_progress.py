"""How far a refill is: what the member says it has, of what there is to send."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rustqueue.raft.cluster.snapshots import Checkpoint, SnapshotSender
from rustqueue.raft.messages import SnapshotPart, SnapshotTaken
from rustqueue.raft.real import OsDisk

SIZES = {"a.sst": 700_000, "b.sst": 300_000}


class Files:
    """A checkpoint of two files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def checkpoint(self, name: str, done: Callable[[Checkpoint | None], None]) -> None:
        made = self._folder / name
        made.mkdir()
        for file, size_bytes in SIZES.items():
            (made / file).write_bytes(b"x" * size_bytes)
        done(Checkpoint(10, 2, str(made)))

    def remove_folder(self, name: str) -> None:
        pass

    def adopt(self, name: str) -> None:
        raise AssertionError("only a member adopts")


def test_progress_is_what_the_member_has_written(tmp_path: Path) -> None:
    sent: list[SnapshotPart] = []

    def send(peer: str, part: SnapshotPart) -> bool:
        sent.append(part)
        return True

    links = SimpleNamespace(send=send, writable=lambda peer: True)
    parts: Any = SimpleNamespace(
        me="n0",
        links=links,
        seat=SimpleNamespace(term=3),
        log=SimpleNamespace(first_index=1),
        clock=SimpleNamespace(monotonic_us=lambda: 0),
    )
    installed: list[tuple[str, int]] = []
    sender = SnapshotSender(parts, OsDisk(), Files(tmp_path), lambda *told: installed.append(told))
    assert sender.progress() == {}
    # Given a member that was offered a snapshot
    sender.wanted("n1")
    sender.wanted("n1")
    [offer] = sent
    assert sender.progress() == {"n1": (0, 1_000_000)}

    def said(name: str, offset: int, done: bool = False) -> None:
        sender.taken("n1", SnapshotTaken(3, offer.snapshot_id, 10, name, offset, done))

    # When it says how far it got, then that counts and not what was sent
    said("", 0)
    assert len(sent) > 1
    assert sender.progress() == {"n1": (0, 1_000_000)}
    said("a.sst", 262_144)
    assert sender.progress() == {"n1": (262_144, 1_000_000)}
    said("b.sst", 100_000)
    assert sender.progress() == {"n1": (800_000, 1_000_000)}
    said("b.sst", 300_000, done=True)
    assert (sender.progress(), installed, sender.sent_count) == ({}, [("n1", 10)], 1)
