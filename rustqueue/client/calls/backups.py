"""The verbs of backups; methods of the same names on the clients. `rustqueue backup create` puts them together."""

from msgspec import Struct

from rustqueue.client.call import Call, nothing, reader, whole
from rustqueue.model.cluster import backups
from rustqueue.model.cluster.backups import BackupManifest


class Backup(Struct, frozen=True):
    """A copy of the state on the node that was asked. `manifest` lists its files."""

    id: str
    manifest: BackupManifest


class _Piece(Struct, frozen=True):
    data: bytes


def begin_backup() -> Call[Backup]:
    """Lay a copy of the present state beside the store of this node. Ask all else of the same node."""
    return Call(backups.BackupCreate(), whole(Backup), repeat="asked")


def read_backup(backup_id: str, file: str, offset: int = 0) -> Call[bytes]:
    """A piece of a file from an offset on; empty at its end."""
    return Call(backups.BackupRead(id=backup_id, file=file, offset=offset), reader(_Piece, lambda piece: piece.data))


def end_backup(backup_id: str) -> Call[None]:
    """Remove the copy."""
    return Call(backups.BackupDelete(id=backup_id), nothing, repeat="asked")
