"""The byte store as the machine sees it: sorted rows, one atomic batch per log entry.

This is a port: the machine owns it, `rustqueue.storage` has the bodies. It must not know what a row means, nor which
engine keeps it, nor anything about files.

Invariants every body keeps (one suite proves them for all: tests/conformance/test_kv.py):
- keys and values are `bytes` and nothing else, ordered as unsigned bytes;
- a batch is seen by the next read wholly or not at all, and so it is after a crash;
- after a crash the store is as it was after SOME batch at or behind the last completed flush. It never loses a
  flushed batch, never keeps half a batch and never keeps a batch without all batches before it. So the applied index
  in each batch says exactly where the log has to be replayed from;
- one thread writes, scans and gets. Only `flush` and `size_bytes` may run in another thread at the same time.
"""

from collections.abc import Mapping
from typing import Protocol

Row = tuple[bytes, bytes]


class View(Protocol):
    """Reading, by key or by range."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None for a key that is absent."""
        ...

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """One answer for each key, in the order asked."""
        ...

    def scan(self, start: bytes, end: bytes, limit: int, reverse: bool = False) -> list[Row]:
        """At most `limit` rows with start <= key < end in key order, or from the end downwards when `reverse`.

        A limit below one or an empty range gives no rows. All rows are of one moment. Start at a remembered lower
        bound where rows are taken from the front: a scan pays for every deleted row that it has to pass.
        """
        ...


class KV(View, Protocol):
    """A view that can be written. An engine fault is raised as the storage error of the body and must stop the node."""

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write one atomic batch in iteration order, None deletes. Not durable before a later `flush` has returned."""
        ...

    def flush(self) -> None:
        """Block until every write made before the call survives a power cut. Run it off the loop; writes may go on."""
        ...

    def checkpoint(self, path: str) -> None:
        """Flush, then lay a consistent copy at `path`, which must not exist; the same engine can open the copy."""
        ...

    def size_bytes(self) -> int:
        """About how much room the rows take, deleted rows that are not yet reclaimed included."""
        ...

    def close(self) -> None:
        """Let go of everything, without a flush. A second close does nothing; any other call afterwards is a fault."""
        ...
