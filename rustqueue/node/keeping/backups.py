"""Backups of a running node: one copy of the store at a time, listed, read in pieces by whoever asked, removed.

It must not know protocols, nor what is in the files. Invariants: the list, the state hash and the files are of one
applied index; nothing of it is read or hashed on the loop; a copy that nobody reads goes after a while, and so does
what an earlier life of the node left.
"""

import hashlib
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

import rustqueue
from rustqueue.gateway.ports import Done
from rustqueue.machine.machine import Machine
from rustqueue.model import limits, times
from rustqueue.model.cluster.backups import (
    BackupCreate,
    BackupCreated,
    BackupDelete,
    BackupFile,
    BackupManifest,
    BackupPiece,
    BackupRead,
    BackupRequest,
)
from rustqueue.model.errors import ApiError, Conflict, NotFound, Unavailable, ValidationFailed
from rustqueue.model.replies import Done as DoneReply
from rustqueue.model.replies import Refused
from rustqueue.raft.cluster.snapshots import Checkpoint, StateFiles
from rustqueue.raft.ports import Clock, Disk, Executor

_FOLDER: Final = "backup"
_HASHED_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BackupParts:
    """What the office needs of the node. `files` is None for a store that has no files."""

    folder: str
    disk: Disk
    clock: Clock
    thread: Executor
    machine: Machine
    files: StateFiles | None
    whose: Callable[[], tuple[str, str]]
    """The cluster's id and the node's."""

    disk_full: Callable[[], bool]


@dataclass(slots=True)
class _Copy:
    """`read_us` is when it was last asked for; `manifest` is None while it is being made."""

    id: str
    path: str
    read_us: int
    manifest: BackupManifest | None = None


class BackupOffice:
    """Given every request about backups."""

    def __init__(self, parts: BackupParts) -> None:
        self._parts = parts
        self._copy: _Copy | None = None
        self._closed = False
        self.fresh: Callable[[Callable[[bool], None]], None] = lambda go_on: go_on(False)
        """Waits until what is applied here is not older than the question."""
        shutil.rmtree(f"{parts.folder}/{_FOLDER}", ignore_errors=True)

    def submit(self, request: BackupRequest, raw: bytes, done: Done) -> None:
        try:
            match request:
                case BackupCreate():
                    self._create(done)
                case BackupRead():
                    self._read(request, done)
                case BackupDelete():
                    self._known(request.id)
                    self._remove()
                    done(DoneReply())
        except ApiError as error:
            done(Refused.of(error))

    def close(self) -> None:
        self._closed = True
        self._remove()

    # Making one.

    def _create(self, done: Done) -> None:
        if self._closed:
            raise Unavailable.stopping()
        if self._parts.files is None:
            raise Conflict("NOT_DURABLE", "This node keeps its jobs in memory only: there is nothing to back up")
        if self._copy is not None:
            text = "Another backup of this node is being made or read; it ends when nobody has read it for a minute"
            raise Conflict("BACKUP_IN_PROGRESS", text)
        if self._parts.disk_full():
            raise Unavailable.disk_full()
        copy = self._copy = _Copy(secrets.token_hex(16), "", self._parts.clock.monotonic_us())
        # Behind the removal of the one before, which goes by the same name: the thread does one thing after the other.
        self._parts.thread.run(_nothing, lambda *_: self.fresh(partial(self._lay, copy, done)))

    def _lay(self, copy: _Copy, done: Done, stale: bool) -> None:
        """Without a leader the state may be old, but it is a whole one, and its index says how old."""
        assert self._parts.files is not None, "there is a store to copy"
        self._parts.files.checkpoint(_FOLDER, partial(self._laid, copy, done))

    def _laid(self, copy: _Copy, done: Done, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None or self._closed:
            self._remove()
            done(Refused.of(Unavailable.stopping() if self._closed else _no_copy()))
            return
        copy.path = checkpoint.folder
        # The copy was laid a moment ago in this very turn of the loop, so that the machine is still at its index.
        meta, (cluster_id, node) = self._parts.machine.state.meta, self._parts.whose()
        about = BackupManifest(
            version=rustqueue.__version__, node=node, cluster_id=cluster_id, index=checkpoint.index,
            term=checkpoint.term, taken_at=times.to_text(meta.now_ms), feature_level=meta.feature_level,
            feature_version=meta.feature_version, state_hash=meta.state_hash.hex(), files=[],
        )  # fmt: skip
        self._parts.thread.run(partial(_listed, self._parts.disk, about, copy.path), partial(self._made, copy, done))

    def _made(self, copy: _Copy, done: Done, manifest: Any, error: BaseException | None) -> None:
        if error is not None or self._closed:
            self._remove()
            done(Refused.of(Unavailable.stopping() if self._closed else _no_copy()))
            return
        copy.manifest = manifest
        copy.read_us = self._parts.clock.monotonic_us()
        self._watch(copy)
        done(BackupCreated(id=copy.id, manifest=manifest))

    def _watch(self, copy: _Copy) -> None:
        """Remove it once nobody reads it any more."""
        if self._copy is not copy:
            return
        idle_ms = (self._parts.clock.monotonic_us() - copy.read_us) // 1_000
        if idle_ms >= limits.BACKUP_IDLE_MS:
            self._remove()
        else:
            self._parts.clock.call_later(limits.BACKUP_IDLE_MS - idle_ms, partial(self._watch, copy))

    # Reading it.

    def _known(self, backup_id: str) -> tuple[_Copy, BackupManifest]:
        copy = self._copy
        if copy is None or copy.id != backup_id or copy.manifest is None:
            text = f"This node has no backup '{backup_id}': it was removed, or another node has it"
            raise NotFound("BACKUP_NOT_FOUND", text)
        return copy, copy.manifest

    def _read(self, request: BackupRead, done: Done) -> None:
        copy, manifest = self._known(request.id)
        file = next((file for file in manifest.files if file.name == request.file), None)
        if file is None:
            raise ValidationFailed(f"the backup has no file '{request.file}'", "file")
        if request.offset > file.size_bytes:
            limit = file.size_bytes
            raise ValidationFailed(f"'offset' is behind the file's end at {limit}", "offset", limit=limit)
        copy.read_us = self._parts.clock.monotonic_us()
        path, left_bytes = f"{copy.path}/{file.name}", file.size_bytes - request.offset
        count_bytes = min(limits.BACKUP_PIECE_BYTES, left_bytes)

        def read(data: Any, error: BaseException | None) -> None:
            if error is not None or len(data) != count_bytes:
                done(Refused.of(NotFound("BACKUP_NOT_FOUND", "The backup is not there any more")))
            else:
                done(BackupPiece(data=data, last=count_bytes == left_bytes))

        self._parts.thread.run(partial(self._parts.disk.read, path, request.offset, count_bytes), read)

    def _remove(self) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            path = f"{self._parts.folder}/{_FOLDER}"
            self._parts.thread.run(partial(shutil.rmtree, path, ignore_errors=True), _ignore)


def _listed(disk: Disk, about: BackupManifest, folder: str) -> BackupManifest:
    """The list with all files of the copy in it. Blocks."""
    files = []
    for name in disk.list(folder):
        path, digest, offset = f"{folder}/{name}", hashlib.sha256(), 0
        while data := disk.read(path, offset, _HASHED_BYTES):
            digest.update(data)
            offset += len(data)
        files.append(BackupFile(name, offset, digest.hexdigest()))
    return msgspec.structs.replace(about, files=files)


def _no_copy() -> Unavailable:
    return Unavailable("DISK_FULL", "No copy of the state could be laid: the disk is full, or the store has failed")


def _nothing() -> None:
    pass


def _ignore(result: Any, error: BaseException | None) -> None:
    pass
