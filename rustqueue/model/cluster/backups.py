"""Backups: what a node is asked to make one, what it answers, and the list of contents that a backup carries.

A backup is asked in three steps that every protocol can carry: `backup_create` lays a copy of the state of one applied
index beside the store and lists it, `backup_read` gives its files piece by piece, `backup_delete` removes the copy.
Invariant: whoever has the list can tell whether each piece is what the node had.
"""

from typing import Annotated

from msgspec import Meta, Struct

from rustqueue.model import limits
from rustqueue.model.replies import Reply
from rustqueue.model.requests import Request

BACKUP_FORMAT = 1
"""Of the list and of the file that a backup is kept in."""

FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*\Z", max_length=limits.BACKUP_FILE_NAME_BYTES_MAX)]
BackupId = Annotated[str, Meta(min_length=1, max_length=limits.REQUEST_ID_BYTES_MAX)]


class BackupFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the store."""

    name: FileName
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class BackupManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup holds: the state of `node` in `cluster_id` after log entry `index` of `term`, as of `taken_at`.

    `version` is the program that made it; `feature_level` what a program must know to open it, which
    `feature_version` was the first to use ("" for the first level). `state_hash` is that of the state itself.
    """

    format: int = BACKUP_FORMAT
    version: str
    node: str
    cluster_id: str
    index: int
    term: int
    taken_at: str
    feature_level: int
    feature_version: str
    state_hash: str
    files: Annotated[list[BackupFile], Meta(max_length=limits.BACKUP_FILES_MAX)]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class BackupCreate(Request, frozen=True, kw_only=True, tag="backup_create"):
    """Lay a copy of the present state beside the store of the asked node, to be read piece by piece. A node has one at
    a time; it goes when it was not read for a minute.
    """


class BackupRead(Request, frozen=True, kw_only=True, tag="backup_read"):
    """A piece of one file of a backup, from `offset` on: 1 MiB, or what is left of it."""

    id: BackupId
    file: FileName
    offset: Annotated[int, Meta(ge=0, le=limits.COUNT_MAX)] = 0


class BackupDelete(Request, frozen=True, kw_only=True, tag="backup_delete"):
    """Remove the copy from the node: the backup is done, or not wanted any more."""

    id: BackupId


BackupRequest = BackupCreate | BackupRead | BackupDelete


class BackupCreated(Reply, frozen=True, kw_only=True):
    """`id` names the copy on the node that was asked, and on no other."""

    id: str
    manifest: BackupManifest


class BackupPiece(Reply, frozen=True, kw_only=True):
    """`data` is base64. `last`: the file ends with it."""

    data: bytes
    last: bool
