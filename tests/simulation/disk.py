"""A disk in memory that loses what was not synced: the simulator's body of the `Disk` port.

It must not know who writes to it. What it models:
- a process that is killed leaves every write in place, synced or not;
- a power cut leaves, of the unsynced writes to a file, any prefix torn at any byte, or any set of whole sectors; and of
  the unsynced changes to a folder's names any prefix;
- a sync that failed never makes those writes durable, not even when a later sync succeeds, although they can be read
  until the power goes (as Linux does);
- room is finite: a write that finds too little writes what fits and fails.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from rustqueue.raft.ports import Space

SECTOR_BYTES = 512


class PowerLost(BaseException):
    """The machine stopped in the middle of an operation. Nothing in the code under test may catch it."""


@dataclass(slots=True)
class Inode:
    """`live` is what a read sees, `durable` what is on the platter, `unsynced` what is between, in order.

    `live_rot` and `durable_rot` tell which bits of them have changed by themselves and were not written over since.
    """

    live: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)
    live_rot: dict[int, int] = field(default_factory=dict)
    durable_rot: dict[int, int] = field(default_factory=dict)

    def change(self, offset: int, data: bytes | None) -> None:
        """Write `data`, or cut the file at `offset` when it is None."""
        _change(self.live, offset, data)
        _write_over(self.live_rot, offset, data)
        self.unsynced.append((offset, data))

    def sync(self) -> None:
        for offset, data in self.unsynced:
            self._harden(offset, data)
        self.unsynced.clear()

    def flip(self, offset: int, bit: int) -> None:
        """A bit changes on the platter, and in what is read from it."""
        _flip(self.durable, self.durable_rot, offset, bit)
        if offset < len(self.live):
            _flip(self.live, self.live_rot, offset, bit)

    def is_rotten(self, offset: int, bit: int) -> bool:
        return bool((self.live_rot.get(offset, 0) | self.durable_rot.get(offset, 0)) >> bit & 1)

    def heal(self, offset: int, bit: int) -> None:
        """Turn a bit back wherever it still is the one that changed."""
        for content, rot in ((self.durable, self.durable_rot), (self.live, self.live_rot)):
            if rot.get(offset, 0) >> bit & 1:
                _flip(content, rot, offset, bit)

    def _harden(self, offset: int, data: bytes | None) -> None:
        _change(self.durable, offset, data)
        _write_over(self.durable_rot, offset, data)

    def lose(self, rng: Random) -> None:
        """The power goes."""
        if self.unsynced and rng.random() < 0.5:
            self._lose_tail(rng)
        elif self.unsynced:
            self._lose_sectors(rng)
        self.live = bytearray(self.durable)
        self.live_rot = dict(self.durable_rot)
        self.unsynced.clear()

    def _lose_tail(self, rng: Random) -> None:
        kept_count = rng.randrange(len(self.unsynced) + 1)
        for offset, data in self.unsynced[:kept_count]:
            self._harden(offset, data)
        if kept_count < len(self.unsynced):
            offset, data = self.unsynced[kept_count]
            if data:
                self._harden(offset, data[: rng.randrange(len(data) + 1)])

    def _lose_sectors(self, rng: Random) -> None:
        full, full_rot = bytearray(self.durable), dict(self.durable_rot)
        for offset, data in self.unsynced:
            _change(full, offset, data)
            _write_over(full_rot, offset, data)
        share = rng.random()
        for start in range(0, max(len(full), len(self.durable)), SECTOR_BYTES):
            old, new = self.durable[start : start + SECTOR_BYTES], full[start : start + SECTOR_BYTES]
            if old != new and new and rng.random() < share:
                self._harden(start, bytes(new))
                # What was not written in that sector is as rotten as before.
                self.durable_rot |= {at: mask for at, mask in full_rot.items() if start <= at < start + len(new)}


def _change(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _flip(content: bytearray, rot: dict[int, int], offset: int, bit: int) -> None:
    content[offset] ^= 1 << bit
    rot[offset] = rot.get(offset, 0) ^ 1 << bit


def _write_over(rot: dict[int, int], offset: int, data: bytes | None) -> None:
    """What is written or cut away is not rotten any more."""
    for at in [at for at in rot if at >= offset and (data is None or at < offset + len(data))]:
        del rot[at]


Fault = Callable[[str, str], OSError | None]
"""Asked before each operation with its name and path; may answer with the error that it shall raise."""


class SimFile:
    """An open file of the simulated disk."""

    def __init__(self, disk: "SimDisk", path: str, inode: Inode, ahead_bytes: int) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode
        self._ahead_bytes = ahead_bytes

    def write_at(self, offset: int, data: bytes) -> None:
        self._disk.step("write", self._path)
        inode = self._inode
        room_bytes = len(inode.live) + self._disk.free_bytes
        fitting = data[: max(0, room_bytes - offset)]
        grows = offset + len(data) > len(inode.live)
        if fitting:
            inode.change(offset, fitting)
        if len(fitting) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        ahead_bytes = min(self._ahead_bytes, self._disk.ahead_bytes_max, room_bytes - offset - len(data))
        if grows and ahead_bytes > 0:
            inode.change(offset + len(data), bytes(ahead_bytes))

    def sync(self) -> None:
        try:
            self._disk.step("sync", self._path)
        except OSError:
            # What this sync should have saved is marked clean: no later sync saves it either.
            self._inode.unsynced.clear()
            raise
        self._inode.sync()

    def truncate(self, size_bytes: int) -> None:
        self._disk.step("truncate", self._path)
        self._inode.change(size_bytes, None)

    def close(self) -> None:
        pass


class SimDisk:
    """All files of one machine, over any number of processes, one after the other."""

    def __init__(self, total_bytes: int = 1 << 40, ahead_bytes_max: int = 4096) -> None:
        self.total_bytes = total_bytes
        self.foreign_bytes = 0
        self.is_mute = False
        """It does not tell its size and room."""
        self.ahead_bytes_max = ahead_bytes_max
        self.fault: Fault | None = None
        self.power_fails_in: int | None = None
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._name_changes: list[dict[str, Inode | None]] = []

    # What happens to it.

    def power_cut(self, rng: Random) -> None:
        """Lose what was not synced, as far as chance will have it."""
        kept_count = rng.randrange(len(self._name_changes) + 1)
        for change in self._name_changes[:kept_count]:
            _rename(self._durable_names, change)
        self._name_changes.clear()
        self._names = dict(self._durable_names)
        for inode in self._names.values():
            inode.lose(rng)

    def process_gone(self) -> None:
        """The process died and the machine goes on: all writes stay, locks and faults under way do not."""
        self.power_fails_in = None

    def flip_bit(self, path: str, offset: int, bit: int) -> None:
        """Rot: a stored bit changes, and nobody is told."""
        self._names[path].flip(offset, bit)

    def is_rotten(self, path: str, offset: int, bit: int) -> bool:
        """Whether what `flip_bit` did there can still be met."""
        return path in self._names and self._names[path].is_rotten(offset, bit)

    def heal(self, path: str, offset: int, bit: int) -> None:
        """Undo `flip_bit`, but for what was written there since."""
        self._names[path].heal(offset, bit)

    def put(self, path: str, inode: Inode | None) -> Inode | None:
        """Somebody puts another file in the place of this one, or takes it away; gives what was there."""
        before = self._names.get(path)
        _rename(self._names, {path: inode})
        _rename(self._durable_names, {path: inode})
        return before

    def move_away(self, folder: str) -> None:
        """The folder gets another name, with all that is in it, durably: it happened or it did not."""
        self.step("rename", folder)
        for name in self.list(folder):
            del self._names[f"{folder}/{name}"]
        for path in [path for path in self._durable_names if path.startswith(f"{folder}/")]:
            del self._durable_names[path]

    def durable_bytes(self, path: str) -> bytes:
        return bytes(self._names[path].durable)

    def step(self, operation: str, path: str) -> None:
        """One operation begins; this is where power goes and where errors come from."""
        if self.power_fails_in is not None:
            self.power_fails_in -= 1
            if self.power_fails_in < 0:
                raise PowerLost
        if self.fault is not None:
            error = self.fault(operation, path)
            if error is not None:
                raise error

    # The port.

    def make_dir(self, path: str) -> None:
        pass

    def lock(self, path: str) -> Callable[[], None]:
        return lambda: None

    def create(self, path: str, ahead_bytes: int = 0) -> SimFile:
        self.step("create", path)
        if path in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self._set_names({path: Inode()})
        return self.open(path, ahead_bytes)

    def allocate(self, path: str, size_bytes: int) -> None:
        file = self.create(path)
        file.write_at(0, bytes(size_bytes))
        file.sync()

    def open(self, path: str, ahead_bytes: int = 0) -> SimFile:
        return SimFile(self, path, self._inode(path), ahead_bytes)

    def read(self, path: str, offset: int, count_bytes: int) -> bytes:
        return bytes(self._inode(path).live[offset : offset + count_bytes])

    def size_bytes(self, path: str) -> int:
        return len(self._inode(path).live)

    def list(self, path: str) -> list[str]:
        return sorted(name.removeprefix(f"{path}/") for name in self._names if name.startswith(f"{path}/"))

    def remove(self, path: str) -> None:
        self.step("remove", path)
        self._inode(path)
        self._set_names({path: None})

    def rename(self, old: str, new: str) -> None:
        self.step("rename", old)
        inode = self._inode(old)
        self._set_names({old: None, new: inode})

    def sync_dir(self, path: str) -> None:
        self.step("sync_dir", path)
        for change in self._name_changes:
            _rename(self._durable_names, change)
        self._name_changes.clear()

    def space(self, path: str) -> Space:
        return Space(0, 0) if self.is_mute else Space(self.total_bytes, self.free_bytes)

    @property
    def free_bytes(self) -> int:
        used_bytes = self.foreign_bytes + sum(len(inode.live) for inode in self._names.values())
        return max(0, self.total_bytes - used_bytes)

    def _inode(self, path: str) -> Inode:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._names[path]

    def _set_names(self, change: dict[str, Inode | None]) -> None:
        _rename(self._names, change)
        self._name_changes.append(change)


def _rename(names: dict[str, Inode], change: dict[str, Inode | None]) -> None:
    for path, inode in change.items():
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode
