"""Snapshots: the leader's checkpoint goes file by file to a member whose next record the log no longer has.

It must not know what is in the files, nor how a store is opened: `StateFiles` does. Invariants:
- a part is written where the one before ended, and acknowledged when it is written; a cut link goes on from there; no
  file is begun before all that come before it are whole;
- a snapshot is installed only when all files are durable and a note of it is too, so that a crash in the middle ends
  with the old state or the new one, never with half of each;
- the leader counts the member as having the snapshot's index only after it was installed;
- what this member has committed is never replaced by something older.
"""

import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

import msgspec

from rustqueue.model import limits
from rustqueue.raft.cluster.parts import Parts
from rustqueue.raft.messages import SnapshotPart, SnapshotTaken
from rustqueue.raft.ports import Disk, Executor, File

INCOMING = "incoming"
NOTE = "install.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A consistent copy of the state of `index`, whose entry has `term`, as files in `folder`."""

    index: int
    term: int
    folder: str


class StateFiles(Protocol):
    """The store, as far as it can be copied and exchanged. Paths are of the `Disk` port."""

    def checkpoint(self, name: str, done: Callable[[Checkpoint | None], None]) -> None:
        """Lay a copy of the state beside the store; None when there is no room or the store failed."""
        ...

    def remove_folder(self, name: str) -> None:
        """Remove a folder with its files, if it is there. Blocks."""
        ...

    def adopt(self, name: str) -> None:
        """Put that folder in the place of the store and open it. Blocks; repeating it after a crash ends it."""
        ...


class InstallNote(msgspec.Struct):
    """What stands beside the store while a snapshot takes its place."""

    index: int
    term: int


def write_note(disk: Disk, folder: str, note: InstallNote) -> None:
    path, half = f"{folder}/{NOTE}", f"{folder}/{NOTE}.half"
    with suppress(FileNotFoundError):
        disk.remove(half)
    file = disk.create(half)
    file.write_at(0, msgspec.json.encode(note))
    file.sync()
    file.close()
    disk.rename(half, path)
    disk.sync_dir(folder)


def read_note(disk: Disk, folder: str) -> InstallNote | None:
    path = f"{folder}/{NOTE}"
    try:
        return msgspec.json.decode(disk.read(path, 0, disk.size_bytes(path)), type=InstallNote)
    except FileNotFoundError:
        return None


def remove_note(disk: Disk, folder: str) -> None:
    with suppress(FileNotFoundError):
        disk.remove(f"{folder}/{NOTE}")
    disk.sync_dir(folder)


# The leader's side.


@dataclass(slots=True)
class _Transfer:
    """What one member is being sent. `unacked` counts parts, `reached_bytes` is what it has written."""

    name: str = ""
    offset: int = 0
    unacked: int = 0
    heard_us: int = 0
    reached_bytes: int = 0


@dataclass(slots=True)
class _Offer:
    """A checkpoint with its files in order, and who gets it."""

    id: bytes
    checkpoint: Checkpoint
    files: list[tuple[str, int]]
    to: dict[str, _Transfer] = field(default_factory=dict)


class SnapshotSender:
    """Made once; asked by the leading part of a member for every peer that lacks what the log no longer has."""

    def __init__(self, parts: Parts, disk: Disk, files: StateFiles, installed: Callable[[str, int], None]) -> None:
        self._parts = parts
        self._disk = disk
        self._files = files
        self._installed = installed
        self._offer: _Offer | None = None
        self._making = False
        self._count = 0
        self.sent_bytes = 0
        self.sent_count = 0

    def wanted(self, peer: str) -> None:
        """The peer needs a snapshot; called again and again until it has one."""
        offer, now_us = self._offer, self._parts.clock.monotonic_us()
        if offer is not None and offer.checkpoint.index + 1 < self._parts.log.first_index:
            # The log has moved on past it: whoever installed it now would need another one at once.
            self._drop()
            offer = None
        if offer is None:
            self._make()
            return
        transfer = offer.to.get(peer)
        if transfer is None or now_us - transfer.heard_us > limits.SNAPSHOT_SILENCE_MS * 1_000:
            offer.to[peer] = _Transfer(heard_us=now_us)
            term, (index, index_term) = self._parts.seat.term, self._of(offer)
            self._send(peer, SnapshotPart(term, offer.id, index, index_term, "", 0, 0, b"", 0, False))

    @staticmethod
    def _of(offer: _Offer) -> tuple[int, int]:
        return offer.checkpoint.index, offer.checkpoint.term

    def _make(self) -> None:
        if self._making:
            return
        self._making = True
        self._count += 1
        self._files.checkpoint(f"snapshot-{self._count}", self._made)

    def _made(self, checkpoint: Checkpoint | None) -> None:
        self._making = False
        if checkpoint is None:
            return
        names = self._disk.list(checkpoint.folder)
        files = [(name, self._disk.size_bytes(f"{checkpoint.folder}/{name}")) for name in names]
        digest = f"{self._parts.me} {self._parts.seat.term} {checkpoint.index} {self._count}".encode()
        self._offer = _Offer(digest, checkpoint, files)

    def taken(self, peer: str, message: SnapshotTaken) -> None:
        """The peer says what it wants next, or that it is done."""
        offer = self._offer
        if offer is None or message.snapshot_id != offer.id:
            return
        transfer = offer.to.get(peer)
        if transfer is None:
            return
        transfer.heard_us = self._parts.clock.monotonic_us()
        if message.installed:
            del offer.to[peer]
            self.sent_count += 1
            self._installed(peer, message.index)
            if not offer.to:
                self._drop()
            return
        if transfer.unacked == 0:
            # The first answer, or the first after a silence: go on where the peer says.
            transfer.name, transfer.offset = message.name or offer.files[0][0], message.offset
        else:
            transfer.unacked -= 1
        before = _bytes_before(offer.files, message.name) if message.name else 0
        transfer.reached_bytes = before + message.offset
        self._send_on(peer, offer, transfer)

    def _send_on(self, peer: str, offer: _Offer, transfer: _Transfer) -> None:
        while transfer.unacked < limits.SNAPSHOT_PARTS_UNACKED and self._parts.links.writable(peer):
            part = self._next_part(offer, transfer)
            if part is None or not self._send(peer, part):
                return
            transfer.unacked += 1

    def _next_part(self, offer: _Offer, transfer: _Transfer) -> SnapshotPart | None:
        names = [name for name, _ in offer.files]
        place = names.index(transfer.name) if transfer.name in names else len(names)
        if place == len(names):
            return None
        name, size_bytes = offer.files[place]
        data = self._disk.read(f"{offer.checkpoint.folder}/{name}", transfer.offset, limits.SNAPSHOT_PART_BYTES)
        data = data[: size_bytes - transfer.offset]
        offset = transfer.offset
        transfer.offset += len(data)
        if transfer.offset >= size_bytes:
            transfer.name, transfer.offset = (names[place + 1] if place + 1 < len(names) else ""), 0
        is_last = transfer.name == ""
        term, (index, index_term) = self._parts.seat.term, self._of(offer)
        return SnapshotPart(
            term, offer.id, index, index_term, name, size_bytes, offset, data, zlib.crc32(data), is_last, place
        )

    def _send(self, peer: str, part: SnapshotPart) -> bool:
        self.sent_bytes += len(part.data)
        return self._parts.links.send(peer, part)

    def link_down(self, peer: str) -> None:
        """What was on its way may be lost: the peer will say how far it got."""
        if self._offer is not None:
            self._offer.to.pop(peer, None)

    def progress(self) -> dict[str, tuple[int, int]]:
        """Who is being sent a snapshot: how many bytes it has, and of how many."""
        offer = self._offer
        if offer is None:
            return {}
        total = _bytes_before(offer.files, "")
        return {peer: (transfer.reached_bytes, total) for peer, transfer in offer.to.items()}

    def leads_no_more(self) -> None:
        self._drop()

    def _drop(self) -> None:
        offer, self._offer = self._offer, None
        if offer is not None:
            self._files.remove_folder(offer.checkpoint.folder.rpartition("/")[2])


def _bytes_before(files: list[tuple[str, int]], name: str) -> int:
    """What the files before that one have together; all files, if it is none of them."""
    return sum(size_bytes for _, size_bytes in takewhile(lambda file: file[0] != name, files))


# The member's side.


class SnapshotReceiver:
    """Takes parts, one snapshot at a time. `install` is called when all is durable; it switches, then calls back."""

    def __init__(
        self,
        parts: Parts,
        disk: Disk,
        folder: str,
        background: Executor,
        install: Callable[[InstallNote, Callable[[], None]], None],
    ) -> None:
        self._parts = parts
        self._disk = disk
        self._folder = folder
        self._background = background
        self._install = install
        self._id = b""
        self._name = ""
        self._offset = 0
        self._file_bytes = 0
        self._files_count = 0
        """How many files were begun."""
        self._file: File | None = None
        self._busy: list[SnapshotPart] = []
        self._writing = False
        self.received_bytes = 0

    def received(self, leader: str, part: SnapshotPart) -> None:
        """A part from the present leader."""
        if part.index <= self._parts.seat.commit_index:
            # It has caught up by itself meanwhile.
            self._answer(leader, part, installed=True)
            return
        if len(self._busy) < limits.SNAPSHOT_PARTS_UNACKED + 1:
            self._busy.append(part)
            self._next(leader)

    def _next(self, leader: str) -> None:
        if self._writing or not self._busy:
            return
        part = self._busy.pop(0)
        if part.snapshot_id != self._id:
            self._begin(leader, part)
        elif not part.name:
            self._answer(leader, part)
            self._next(leader)
        elif not self._fits(part):
            # Parts of before a cut come out of order; what is wanted was said in the last answer.
            self._next(leader)
        else:
            self._run(leader, part, lambda: self._write(part), ends=part.is_last)

    def _fits(self, part: SnapshotPart) -> bool:
        """Whether it goes on where the last one ended, or begins the next file. What was on its way behind a part that
        was lost, or that could not be written, does not.
        """
        if zlib.crc32(part.data) != part.crc:
            return False
        if part.name == self._name:
            return part.offset == self._offset
        return part.offset == 0 and self._offset == self._file_bytes and part.place == self._files_count

    def _begin(self, leader: str, part: SnapshotPart) -> None:
        self._close()
        self._id, self._name, self._offset, self._file_bytes = part.snapshot_id, "", 0, 0
        self._files_count = 0
        self._run(leader, part, self._clear)

    def _run(self, leader: str, part: SnapshotPart, job: Callable[[], None], ends: bool = False) -> None:
        """`ends`: with this job all is there."""
        self._writing = True

        def done(_: object, error: BaseException | None) -> None:
            self._writing = False
            if error is not None:
                # No room, most likely. What has come is forgotten; the leader offers it again after a silence.
                with suppress(OSError):
                    self._close()
                self._id = b""
                self._busy.clear()
            elif ends:
                self._id = b""
                self._busy.clear()
                self._writing = True
                self._install(InstallNote(part.index, part.index_term), lambda: self._installed(leader, part))
            else:
                self._answer(leader, part)
                self._next(leader)

        self._background.run(job, done)

    def _installed(self, leader: str, part: SnapshotPart) -> None:
        self._writing = False
        self._answer(leader, part, installed=True)

    # In the background.

    def _clear(self) -> None:
        path = f"{self._folder}/{INCOMING}"
        self._disk.make_dir(path)
        for name in self._disk.list(path):
            self._disk.remove(f"{path}/{name}")
        self._disk.sync_dir(path)

    def _write(self, part: SnapshotPart) -> None:
        path = f"{self._folder}/{INCOMING}"
        if part.offset == 0:
            self._close()
            self._file = self._disk.create(f"{path}/{part.name}")
            self._name, self._offset, self._file_bytes = part.name, 0, part.file_bytes
            self._files_count = part.place + 1
        assert self._file is not None, "a file is begun by its first part"
        self._file.write_at(part.offset, part.data)
        self._offset += len(part.data)
        self.received_bytes += len(part.data)
        if part.is_last:
            self._close()
            self._disk.sync_dir(path)
            write_note(self._disk, self._folder, InstallNote(part.index, part.index_term))

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.sync()
            file.close()

    def _answer(self, leader: str, part: SnapshotPart, installed: bool = False) -> None:
        index = min(self._parts.seat.commit_index, self._parts.log.durable_index) if installed else part.index
        taken = SnapshotTaken(self._parts.seat.term, part.snapshot_id, index, self._name, self._offset, installed)
        self._parts.links.send(leader, taken)
