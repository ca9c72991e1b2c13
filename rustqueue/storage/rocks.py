"""The byte store on RocksDB: the one home of rocksdict.

It must not know what rows mean, nor that a log exists; it knows only that somebody can write the rows again that were
not yet flushed. So the write-ahead log is off: a batch goes to memory, and RocksDB or `flush` writes the memory out in
the order of the batches (atomic_flush keeps this true should there ever be a second column family).

Invariants:
- one `write` is one WriteBatch, therefore one sequence range: recovery gives all of it or nothing;
- no iterator outlives the call that made it, otherwise `close` would leave the folder locked;
- whatever the engine raises on open, scan, write, flush and checkpoint is a `StorageError` that names the folder.
  `get` is the engine's own method and raises the engine's own exception: it too must stop the node;
- a full disk is a `StoreFullError`: the batch was not taken, reads go on, and the engine resumes by itself within about
  five seconds once one write buffer's worth of room is free again.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from threading import Lock
from typing import cast

from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    Checkpoint,
    CompactOptions,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
)
from rocksdict import WriteOptions as EngineWriteOptions

from rustqueue.machine.kv import Row
from rustqueue.model import limits
from rustqueue.storage import StorageError, StoreFullError

MIB = 1024 * 1024

# One buffer fills in a second at our fastest, and three of them let the machine go on while two are written out. Half
# the size costs a quarter more CPU for each job. After a full disk the engine resumes once this much is free again.
WRITE_BUFFER_BYTES = limits.WRITE_BUFFER_BYTES
WRITE_BUFFERS_COUNT_MAX = 3
# Rows just written are read from the buffers; what the cache misses is mostly in the page cache of the system.
BLOCK_CACHE_BYTES = 32 * MIB
# Below this share of deletions among the stored rows, rewriting the tables gives back too little room for its work.
WORTH_COMPACTING_PERCENT = 5
_TABLE_COUNT = re.compile(r"# (entries|deletions)=(\d+)")


class RocksKV:
    """One folder, one process. All calls in one thread, except `flush`, `checkpoint`, `compact` and `size_bytes`."""

    def __init__(self, path: str, write_buffer_bytes: int = WRITE_BUFFER_BYTES) -> None:
        self._path = path
        try:
            os.makedirs(path, exist_ok=True)
            self._db = Rdict(path, _options(write_buffer_bytes))
        except Exception as error:
            raise StorageError(_open_failure(path, " ".join(str(error).split()))) from error
        self._write_options = EngineWriteOptions()
        # A property, although the library's stub says method; called as a method it raises.
        self._write_options.disable_wal = True  # type: ignore[method-assign,assignment]
        # The engine's own bound method: a wrapper of ours would double the cost of reading a cached row.
        self.get: Callable[[bytes], bytes | None] = self._db.get
        # Closing under a running flush is refused by the engine with a borrow error, so close waits for it.
        self._flushing = Lock()
        self._compacting = Lock()
        self._closed = False
        self._full = False

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        # The engine's multi-get is no cheaper for each key, and it gives the interpreter lock away and may wait to have
        # it back.
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
            raise self._fault("read", error) from error
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
            raise self._fault("write to", error) from error

    def flush(self) -> None:
        with self._flushing:
            self._flush()

    def checkpoint(self, path: str) -> None:
        with self._flushing:
            # The flush gives the interpreter lock away and leaves the checkpoint, which does not, little to do.
            self._flush()
            try:
                Checkpoint(self._db).create_checkpoint(path)
            except Exception as error:
                raise self._fault(f"lay a checkpoint at {path} of", error) from error

    def compact(self) -> bool:
        """Give back the room of deleted rows. Blocks for long and leaves the interpreter free; False: nothing to gain.

        Without room for what is left of the tables it rewrites, the engine leaves them as they are.
        """
        with self._flushing:
            if self._closed:
                return False
            # Deletions count only in tables, and an engine that has not resumed must not be asked for more.
            self._flush()
            self._compacting.acquire()
        try:
            entries, deletions = self._table_counts()
            if deletions * 100 < entries * WORTH_COMPACTING_PERCENT or deletions == 0:
                return False
            options = CompactOptions()
            # By default the lowest tables would be moved instead of rewritten, deletions and all.
            options.set_bottommost_level_compaction(BottommostLevelCompaction.force())
            # Buffers go on being merged meanwhile, otherwise writers would come to a halt behind it.
            options.set_exclusive_manual_compaction(False)
            self._db.compact_range(None, None, options)
        finally:
            self._compacting.release()
        return True

    def size_bytes(self) -> int:
        return self._property("rocksdb.live-sst-files-size") + self._property("rocksdb.cur-size-all-mem-tables")

    def close(self) -> None:
        with self._flushing:
            if self._closed:
                return
            self._closed = True
            if self._compacting.locked():
                # It may have long to go, and nobody needs it any more.
                self._db.cancel_all_background(False)
            # The engine writes out what it still holds and may fail in it, but lets go of the folder all the same.
            # Nobody was promised those rows: whoever needs them on disk has called flush and knows how it went.
            with self._compacting, suppress(Exception):
                self._db.close()

    def _scan_down(self, start: bytes, end: bytes, limit: int, bounds: ReadOptions) -> list[Row]:
        # Our own loop: in rocksdict 0.3.29 set_iterate_lower_bound sets the upper bound, so the start is ours to watch.
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
        # vanishes from a range is worse than a stopped node, so a range that ends early is asked again for its status.
        cursor = self._db.iter(bounds)
        cursor.seek(last)
        if taken and cursor.valid():
            cursor.next()
        cursor.status()
        if cursor.valid():
            raise StorageError(f"the store {self._path} ended a range before {cursor.key()!r}, which it holds")

    def _flush(self) -> None:
        try:
            # After a full disk the engine resumes by itself, but only if no flush is asked for in the meantime: asking
            # again and again keeps it from resuming for ever. An empty batch asks whether it has resumed.
            if self._full:
                self._db.write(WriteBatch(raw_mode=True), self._write_options)
                self._full = False
            self._db.flush()
        except Exception as error:
            raise self._fault("flush", error) from error

    def _fault(self, doing: str, error: Exception) -> StorageError:
        message = f"cannot {doing} the store {self._path}: {error}"
        # Only the text tells: the library raises a bare Exception for everything.
        if "No space left on device" not in message:
            return StorageError(message)
        self._full = True
        return StoreFullError(message)

    def _table_counts(self) -> tuple[int, int]:
        """Rows in all tables, older versions included, and how many of them are deletions."""
        text = self._db.property_value("rocksdb.aggregated-table-properties") or ""
        counts = {name: int(digits) for name, digits in _TABLE_COUNT.findall(text)}
        return counts.get("entries", 0), counts.get("deletions", 0)

    def _property(self, name: str) -> int:
        value = self._db.property_int_value(name)
        return value if value is not None else 0


def _options(write_buffer_bytes: int) -> Options:
    """Measured with a backlog of one million jobs, pushed, pulled and acknowledged in order.

    Tried and left out: compaction on deletions (half as much CPU again), universal compaction, merging buffers before a
    flush and syncing files while they are written (no gain), filters in the block cache (a get then reads a whole one).
    """
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(BLOCK_CACHE_BYTES))
    # Unique keys and idempotency keys are mostly asked for when they are absent.
    blocks.set_bloom_filter(10, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_atomic_flush(True)
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_max_write_buffer_number(WRITE_BUFFERS_COUNT_MAX)
    # The engine's own numbers at full size. Small buffers mean a small disk, which has no room to rewrite much at once:
    # tables are written anew before the old ones go, and one merge must not take the last room from log and flushes.
    options.set_target_file_size_base(write_buffer_bytes)
    options.set_max_bytes_for_level_base(4 * write_buffer_bytes)
    if write_buffer_bytes < WRITE_BUFFER_BYTES:
        options.set_max_compaction_bytes(8 * write_buffer_bytes)
    options.set_block_based_table_factory(blocks)
    # Halves the bytes on disk for 0.1 us of CPU a row, also those that must be written when the disk is nearly full.
    options.set_compression_type(DBCompressionType.lz4())
    # The caller's thread must not be the one that deletes the files of a finished compaction.
    options.set_avoid_unnecessary_blocking_io(True)
    # The engine's own journal of events is for support; by default it would keep a thousand old ones.
    options.set_keep_log_file_num(4)
    options.set_max_log_file_size(4 * MIB)
    return options


def _open_failure(path: str, reason: str) -> str:
    if "lock" in reason.lower():
        return (
            f"the store {path} is in use by another process: stop that process, "
            f"or give this one a folder of its own ({reason})"
        )
    if "corrupt" in reason.lower():
        return (
            f"the store {path} is damaged: {reason} Keep a copy of the folder, then restore it from a backup; "
            "in a cluster, remove the folder and let the node join again"
        )
    return f"cannot open the store {path}: {reason}"
