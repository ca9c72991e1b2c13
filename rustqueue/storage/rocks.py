"""The byte store on RocksDB: the one home of rocksdict.

It must not know what rows mean, nor that a log exists; it knows only that somebody can write the rows again that were
not yet flushed. So the write-ahead log is off: a batch goes to memory, and RocksDB or `flush` writes the memory out
in the order of the batches (atomic_flush keeps this true should there ever be a second column family).

Invariants:
- one `write` is one WriteBatch, therefore one sequence range: recovery gives all of it or nothing;
- no iterator outlives the call that made it, otherwise `close` would leave the folder locked;
- whatever the engine raises on open, scan, write, flush and checkpoint is a `StorageError` that names the folder.
  `get` is the engine's own method and raises the engine's own exception: it too must stop the node.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from threading import Lock
from typing import cast

from rocksdict import BlockBasedOptions, Cache, Checkpoint, DBCompressionType, Options, Rdict, ReadOptions, WriteBatch
from rocksdict import WriteOptions as EngineWriteOptions

from rustqueue.machine.kv import Row
from rustqueue.storage import StorageError

MIB = 1024 * 1024


class RocksKV:
    """One folder, one process. All calls in one thread, except `flush`, `checkpoint` and `size_bytes`."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            os.makedirs(path, exist_ok=True)
            self._db = Rdict(path, _options())
        except Exception as error:
            raise StorageError(_open_failure(path, str(error))) from error
        self._write_options = EngineWriteOptions()
        # A property, although the library's stub says method; called as a method it raises.
        self._write_options.disable_wal = True  # type: ignore[method-assign,assignment]
        # The engine's own bound method: a wrapper of ours would double the cost of reading a cached row.
        self.get: Callable[[bytes], bytes | None] = self._db.get
        # Closing under a running flush is refused by the engine with a borrow error, so close waits for it.
        self._flushing = Lock()
        self._closed = False

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        # The engine's multi-get is no cheaper for each key, and it gives the interpreter lock away and may wait to
        # have it back.
        get = self.get
        return [get(key) for key in keys]

    def scan(self, start: bytes, end: bytes, limit: int, reverse: bool = False) -> list[Row]:
        if limit < 1 or start >= end:
            return []
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(end)
        try:
            if reverse:
                return self._scan_down(start, end, limit, bounds)
            items = cast("Iterator[Row]", self._db.items(from_key=start, read_opt=bounds))
            rows = list(islice(items, limit))
            if len(rows) < limit:
                self._check_end(rows[-1][0] if rows else start, bool(rows), bounds)
        except StorageError:
            raise
        except Exception as error:
            raise StorageError(f"cannot read the store {self._path}: {error}") from error
        return rows

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        batch = WriteBatch(raw_mode=True)
        for key, value in rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch[key] = value
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise StorageError(f"cannot write to the store {self._path}: {error}") from error

    def flush(self) -> None:
        try:
            with self._flushing:
                self._db.flush()
        except Exception as error:
            raise StorageError(f"cannot flush the store {self._path}: {error}") from error

    def checkpoint(self, path: str) -> None:
        # The flush gives the interpreter lock away and leaves the checkpoint, which does not, little to do.
        self.flush()
        try:
            with self._flushing:
                Checkpoint(self._db).create_checkpoint(path)
        except Exception as error:
            raise StorageError(f"cannot lay a checkpoint of {self._path} at {path}: {error}") from error

    def size_bytes(self) -> int:
        return self._property("rocksdb.live-sst-files-size") + self._property("rocksdb.cur-size-all-mem-tables")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._flushing:
            self._db.close()

    def _scan_down(self, start: bytes, end: bytes, limit: int, bounds: ReadOptions) -> list[Row]:
        # Our own loop: in rocksdict 0.3.29 set_iterate_lower_bound sets the upper bound, so that the start is ours to
        # watch.
        rows: list[Row] = []
        cursor = self._db.iter(bounds)
        cursor.seek_for_prev(end)
        while len(rows) < limit and cursor.valid():
            key = cursor.key()
            if key < start:
                break
            rows.append((key, cursor.value()))
            cursor.prev()
        cursor.status()
        return rows

    def _check_end(self, last: bytes, taken: bool, bounds: ReadOptions) -> None:
        # The library's row iterator ends at an unreadable block as if there were no more rows. A job that silently
        # vanishes from a range is worse than a stopped node, so that every range that ends early is asked once more
        # for its status.
        cursor = self._db.iter(bounds)
        cursor.seek(last)
        if taken and cursor.valid():
            cursor.next()
        cursor.status()
        if cursor.valid():
            raise StorageError(f"the store {self._path} ended a range before {cursor.key()!r}, which it holds")

    def _property(self, name: str) -> int:
        value = self._db.property_int_value(name)
        return value if value is not None else 0


def _options() -> Options:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(64 * MIB))
    blocks.set_bloom_filter(10, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_atomic_flush(True)
    options.set_write_buffer_size(64 * MIB)
    options.set_max_write_buffer_number(3)
    options.set_compression_type(DBCompressionType.none())
    options.set_block_based_table_factory(blocks)
    return options


def _open_failure(path: str, reason: str) -> str:
    if "lock" in reason.lower():
        return (
            f"the store {path} is in use by another process: stop that process, "
            f"or give this one a folder of its own ({reason})"
        )
    if "corrupt" in reason.lower():
        return (
            f"the store {path} is damaged: {reason.strip()} Keep a copy of the folder, then restore it from a backup; "
            "in a cluster, remove the folder and let the node join again"
        )
    return f"cannot open the store {path}: {reason}"
