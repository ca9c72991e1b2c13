"""The byte store in memory, with a model of what a power cut leaves of a real one.

It must not know what rows mean, nor that a simulator uses it. It keeps no files except the checkpoints it is asked for.

Invariants:
- the rows are always those of all batches written, in order;
- `_undo` holds, for each batch that is not yet durable, what the batch replaced; undoing it from the newest batch
  backwards gives the rows at any earlier batch boundary down to the last completed flush, and never further;
- a flush makes durable what was written when it began, not what came while it ran.
"""

import os
from collections.abc import Callable, Mapping
from itertools import islice
from typing import NamedTuple

import msgspec
from sortedcontainers import SortedDict

from rustqueue.machine.kv import Row
from rustqueue.storage import StorageError

CHECKPOINT_NAME = "rows.msgpack"


class FlushMark(NamedTuple):
    """What a flush that has begun will make durable: the first `batches_count` batches, if no crash comes between."""

    batches_count: int
    crashes_count: int


class MemoryKV:
    """A sorted dict behind the KV port. `begin_flush`, `end_flush` and `crash` are for whoever plays the disk."""

    def __init__(self, rows: Mapping[bytes, bytes] | None = None) -> None:
        self._rows: SortedDict[bytes, bytes] = SortedDict(rows or {})
        self._size_bytes = sum(len(key) + len(value) for key, value in self._rows.items())
        self._undo: list[list[tuple[bytes, bytes | None]]] = []
        self._durable_count = 0
        self._crashes_count = 0
        self._closed = False

    @classmethod
    def open(cls, path: str) -> "MemoryKV":
        """An empty store, or the rows of the checkpoint that the folder `path` holds."""
        file = os.path.join(path, CHECKPOINT_NAME)
        if not os.path.exists(file):
            return cls()
        try:
            with open(file, "rb") as source:
                return cls(msgspec.msgpack.decode(source.read(), type=dict[bytes, bytes]))
        except (OSError, msgspec.MsgspecError) as error:
            raise StorageError(f"cannot read the checkpoint {file}: {error}") from error

    # Reading and writing: the port.

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        value: bytes | None = self._rows.get(key)
        return value

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        self._check_open()
        return [self._rows.get(key) for key in keys]

    def scan(self, start: bytes, end: bytes, limit: int, reverse: bool = False) -> list[Row]:
        self._check_open()
        if limit < 1 or start >= end:
            return []
        rows = self._rows
        return [(key, rows[key]) for key in islice(rows.irange(start, end, (True, False), reverse), limit)]

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        self._check_open()
        # A batch is checked before it is begun: half a batch in the rows would be the one thing that must never be
        # seen.
        for key, value in rows.items():
            if type(key) is not bytes or (value is not None and type(value) is not bytes):
                raise TypeError(
                    f"a row is bytes to bytes or to None, not {type(key).__name__} to {type(value).__name__}"
                )
        self._undo.append([(key, self._rows.get(key)) for key in rows])
        for key, value in rows.items():
            self._put(key, value)

    def flush(self) -> None:
        self.end_flush(self.begin_flush())

    def checkpoint(self, path: str) -> None:
        self.flush()
        try:
            os.mkdir(path)
            with open(os.path.join(path, CHECKPOINT_NAME), "xb") as target:
                target.write(msgspec.msgpack.encode(dict(self._rows)))
                target.flush()
                os.fsync(target.fileno())
        except OSError as error:
            raise StorageError(f"cannot write a checkpoint to {path}: {error}") from error

    def size_bytes(self) -> int:
        self._check_open()
        return self._size_bytes

    def close(self) -> None:
        self._closed = True

    # The model of a disk: a flush takes time, and a crash may come at any moment.

    @property
    def unflushed_count(self) -> int:
        """How many batches a crash at this moment may take away."""
        return len(self._undo)

    def begin_flush(self) -> FlushMark:
        """Start a flush of everything written so far. Nothing is durable by it before `end_flush`."""
        self._check_open()
        return FlushMark(self._durable_count + len(self._undo), self._crashes_count)

    def end_flush(self, mark: FlushMark) -> None:
        """The flush is through. One that began before a crash died with its process: its end means nothing."""
        self._check_open()
        if mark.crashes_count != self._crashes_count:
            return
        settled_count = mark.batches_count - self._durable_count
        # Flushes may overlap and end out of order: an older one has then nothing left to settle.
        if settled_count > 0:
            del self._undo[:settled_count]
            self._durable_count = mark.batches_count

    def crash(self, survivors: Callable[[int], int] | None = None) -> None:
        """Drop back to the last completed flush, as a power cut or kill -9 does, and be open for the next process.

        `survivors(n)` may say how many of the n unflushed batches are kept, oldest first, since a real engine also
        flushes on its own when its buffers are full. What has survived is durable from then on.
        """
        kept_count = survivors(len(self._undo)) if survivors is not None else 0
        assert 0 <= kept_count <= len(self._undo), f"{kept_count} of {len(self._undo)} batches cannot survive"
        for replaced in reversed(self._undo[kept_count:]):
            for key, value in replaced:
                self._put(key, value)
        self._durable_count += kept_count
        self._undo.clear()
        self._crashes_count += 1
        self._closed = False

    def _put(self, key: bytes, value: bytes | None) -> None:
        old = self._rows.pop(key, None) if value is None else self._rows.get(key)
        if old is not None:
            self._size_bytes -= len(key) + len(old)
        if value is not None:
            self._rows[key] = value
            self._size_bytes += len(key) + len(value)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("the memory store is closed")
