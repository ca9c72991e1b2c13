"""What keeps backups: the ports of a place and of a shelf, and both in the file system.

It must not know nodes, addresses, nor what is in a backup. Invariants: a place holds a whole backup or none; only what
has the name of a backup is ever removed.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from rustqueue.model.cluster.backups import BackupManifest
from rustqueue.rescue.archive import ReadPiece, read_backup, write_backup

_NAME: Final = re.compile(r"rustqueue-\w+Z-\d+\.rqb")


class Place(Protocol):
    """Of one backup; as text, its name for people."""

    def write(self, manifest: BackupManifest, read: ReadPiece) -> None:
        """Raises `OSError`, `ValueError`."""

    def read(self, into: Path | None = None) -> BackupManifest:
        """Check every byte, and lay out the store's files if a folder is given. Raises `BackupDamaged`, `OSError`."""


class Shelf(Protocol):
    """Of the backups of one cluster, whose names sort by age."""

    def place(self, name: str) -> Place: ...

    def thin_out(self, keep: int) -> list[str]:
        """Remove all but the newest so many; their names. Raises `OSError`."""


class FilePlace(Struct, frozen=True):
    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def write(self, manifest: BackupManifest, read: ReadPiece) -> None:
        write_backup(self.path, manifest, read)

    def read(self, into: Path | None = None) -> BackupManifest:
        return read_backup(self.path, into)


class FolderShelf(Struct, frozen=True):
    path: Path

    def place(self, name: str) -> Place:
        return FilePlace(self.path / name)

    def thin_out(self, keep: int) -> list[str]:
        old = [self.path / name for name in older_than(keep, (path.name for path in self.path.iterdir()))]
        for path in old:
            path.unlink()
        return [str(path) for path in old]


def name_of(manifest: BackupManifest) -> str:
    """What a backup is called on a shelf."""
    at = manifest.taken_at[:19].replace("-", "").replace(":", "")
    return f"rustqueue-{at}Z-{manifest.index:012}.rqb"


def older_than(keep: int, names: Iterable[str]) -> list[str]:
    """The backups among these names that are not of the newest so many."""
    return sorted(filter(_NAME.fullmatch, names))[:-keep]
