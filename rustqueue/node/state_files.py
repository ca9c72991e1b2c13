"""The store of a cluster's member as files: copied for others, exchanged for what came from the leader.

It must not know what is in the store. Invariants: the copy is of one applied index; at every moment of an exchange a
start finds either the old store or the new one; leftovers of a crash are removed at the next start.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from rustqueue.machine.kv import KV
from rustqueue.machine.machine import Machine
from rustqueue.raft.cluster.snapshots import INCOMING, NOTE, Checkpoint
from rustqueue.raft.ports import Disk, Executor
from rustqueue.storage import StorageError

_OLD = "store.old"
_SNAPSHOT = "snapshot-"


class CurrentStore:
    """The store as it is now: it can be exchanged while others hold on to this."""

    def __init__(self, kv: KV) -> None:
        self.kv = kv

    def flush(self) -> None:
        self.kv.flush()

    def close(self) -> None:
        self.kv.close()

    def size_bytes(self) -> int:
        return self.kv.size_bytes()

    def compact(self) -> bool:
        """Only for an engine that has something to compact."""
        done: bool = self.kv.compact()  # type: ignore[attr-defined] # No part of the port: the memory store has none.
        return done


def settle(folder: str, store: str) -> None:
    """Before the store is opened: end an exchange that a crash interrupted, and remove what it left."""
    path, new = f"{folder}/{store}", f"{folder}/{INCOMING}"
    if os.path.exists(f"{folder}/{NOTE}") and os.path.isdir(new):
        _exchange(folder, store, INCOMING)
    elif not os.path.isdir(path) and os.path.isdir(f"{folder}/{_OLD}"):
        os.rename(f"{folder}/{_OLD}", path)
    for name in os.listdir(folder):
        if name == _OLD or name.startswith(_SNAPSHOT):
            shutil.rmtree(f"{folder}/{name}", ignore_errors=True)


def _exchange(folder: str, store: str, name: str) -> None:
    path, old = f"{folder}/{store}", f"{folder}/{_OLD}"
    if os.path.isdir(path):
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
    os.rename(f"{folder}/{name}", path)


@dataclass(frozen=True, slots=True)
class FileParts:
    """What `NodeFiles` needs of the node."""

    disk: Disk
    background: Executor
    open_store: Callable[[], KV]
    replaced: Callable[[], None] = lambda: None
    """Told when the machine goes on from another state than before."""


class NodeFiles:
    """The body of `StateFiles` over the operating system's folders."""

    def __init__(self, folder: str, store_name: str, current: CurrentStore, machine: Machine, parts: FileParts) -> None:
        self._folder = folder
        self._store_name = store_name
        self._current = current
        self._machine = machine
        self._parts = parts

    def checkpoint(self, name: str, done: Callable[[Checkpoint | None], None]) -> None:
        """Flush beside the loop, so that the copy itself, which holds everything up, has little left to write."""
        path = f"{self._folder}/{name}"

        def flushed(_: object, error: BaseException | None) -> None:
            if error is not None:
                done(None)
                return
            try:
                shutil.rmtree(path, ignore_errors=True)
                self._current.kv.checkpoint(path)
            except (StorageError, OSError):
                done(None)
                return
            done(Checkpoint(self._machine.applied_index, self._machine.applied_term, path))

        self._parts.background.run(self._current.flush, flushed)

    def remove_folder(self, name: str) -> None:
        path = f"{self._folder}/{name}"
        self._parts.background.run(lambda: shutil.rmtree(path, ignore_errors=True), lambda *_: None)

    def adopt(self, name: str) -> None:
        if os.path.isdir(f"{self._folder}/{name}"):
            self._current.close()
            _exchange(self._folder, self._store_name, name)
            self._parts.disk.sync_dir(self._folder)
        kv = self._parts.open_store()
        self._current.kv = kv
        self._machine.open(kv)
        self._parts.replaced()
        with contextlib.suppress(OSError):
            self.remove_folder(_OLD)
