"""Bodies of the machine's byte store, and the one place that picks a body by name.

It must not know what rows mean. Engines are imported only when they are asked for, so that the client can be installed
without them. Invariant: whatever goes wrong in an engine leaves this package as `StorageError`.
"""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rustqueue.machine.kv import KV

Backend = Literal["rocks", "memory"]


class StorageError(Exception):
    """The store cannot be opened, read or written. The message names the place and says what can be done."""


class StoreFullError(StorageError):
    """The disk is full. A refused batch was not taken at all and can be written again once there is room."""


def open_store(backend: Backend, path: str, write_buffer_bytes: int | None = None) -> "KV":
    """Open the store in the folder `path`, made when missing. A memory store is empty unless `path` is a checkpoint.

    `write_buffer_bytes` is for disks that are too small for the engine's own size.
    """
    if backend == "memory":
        from rustqueue.storage.memory import MemoryKV

        return MemoryKV.open(path)
    from rustqueue.storage.rocks import WRITE_BUFFER_BYTES, RocksKV

    return RocksKV(path, write_buffer_bytes or WRITE_BUFFER_BYTES)
