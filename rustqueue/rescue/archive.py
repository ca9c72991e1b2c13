"""What a backup is kept as: a tar archive of a list of contents, its checksum, and the files of the store.

It must not know nodes, nor what is in the files; a bare installation of the client can write and check one. Invariants:
a file is whole or has another name (`.partial`); nothing of an archive is believed before its checksum was right; no
name in it leads out of the folder that it is unpacked into.
"""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

from rustqueue.model.cluster.backups import BACKUP_FORMAT, BackupFile, BackupManifest

LIST: Final = "manifest.json"
LIST_SUM: Final = "manifest.sha256"
_STORE: Final = "store/"
_LIST_BYTES_MAX: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024

ReadPiece = Callable[[str, int], bytes]
"""A piece of a file from an offset on; empty only at its end."""


class Readable(Protocol):
    """What `tarfile` asks of an archive that it reads once, from its begin to its end."""

    def read(self, count_bytes: int, /) -> bytes: ...


class BackupDamaged(Exception):
    """It is no backup, or not any more. The message names the part."""

    def __init__(self, name: object, part: str, reason: str) -> None:
        super().__init__(f"{name}: {part}: {reason}")
        self.part = part


def archive_of(manifest: BackupManifest, read: ReadPiece) -> Iterator[bytes]:
    """The archive, piece by piece. Raises `ValueError` where what comes is not what the list says."""
    text = msgspec.json.format(msgspec.json.encode(manifest))
    yield from _member(LIST, len(text), [text])
    digest = hashlib.sha256(text).hexdigest().encode()
    yield from _member(LIST_SUM, len(digest), [digest])
    for file in manifest.files:
        yield from _member(_STORE + file.name, file.size_bytes, _checked(file, read))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(name: str, size_bytes: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o600
    yield info.tobuf(tarfile.PAX_FORMAT)
    yield from pieces
    yield bytes(-size_bytes % tarfile.BLOCKSIZE)


def _checked(file: BackupFile, read: ReadPiece) -> Iterator[bytes]:
    """A file of the store as the node gives it."""
    offset, digest = 0, hashlib.sha256()
    while offset < file.size_bytes:
        piece = read(file.name, offset)
        if not piece:
            raise ValueError(f"{file.name}: ends at byte {offset} of {file.size_bytes}")
        digest.update(piece)
        offset += len(piece)
        yield piece
    if offset != file.size_bytes or digest.hexdigest() != file.sha256:
        raise ValueError(f"{file.name}: what came is not what the node had: try again")


def write_backup(path: Path, manifest: BackupManifest, read: ReadPiece) -> None:
    """Write the archive, durably, under its name only when it is whole. Raises `OSError`, `ValueError`."""
    partial = path.with_name(path.name + ".partial")
    try:
        # Payloads and the digests of tokens are in it: it is for its owner only.
        with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as target:
            target.writelines(archive_of(manifest, read))
            target.flush()
            os.fsync(target.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.absolute().parent)


def read_backup(path: Path, into: Path | None = None) -> BackupManifest:
    """What `read_archive` does, of a file."""
    with path.open("rb") as file:
        return read_archive(path, file, into)


def read_archive(name: object, source: Readable, into: Path | None = None) -> BackupManifest:
    """Check every byte; lay the files of the store into the folder `into` if one is given, which must be there and
    empty. Raises `BackupDamaged`, which calls the archive by its name, and `OSError`.
    """
    part = LIST
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:  # type: ignore[call-overload]
            manifest = _read_list(name, archive)
            for known in manifest.files:
                part = known.name
                _read_file(name, archive, known, into)
    except (tarfile.TarError, EOFError) as error:
        raise BackupDamaged(name, part, f"cannot be read: {error}") from error
    if into is not None:
        _sync_folder(into)
    return manifest


def _read_list(kept: object, archive: tarfile.TarFile) -> BackupManifest:
    text = _small(kept, archive, LIST)
    told = _small(kept, archive, LIST_SUM).decode("ascii", "replace").strip()
    if hashlib.sha256(text).hexdigest() != told:
        raise BackupDamaged(kept, LIST, "fails its checksum")
    try:
        version = msgspec.json.decode(text, type=_Format).format
        if version > BACKUP_FORMAT:
            reason = f"has format {version}, this program knows {BACKUP_FORMAT}: use a newer RustQueue"
            raise BackupDamaged(kept, LIST, reason)
        return msgspec.json.decode(text, type=BackupManifest)
    except msgspec.MsgspecError as error:
        raise BackupDamaged(kept, LIST, f"cannot be read: {error}") from error


class _Format(msgspec.Struct):
    format: int


def _small(kept: object, archive: tarfile.TarFile, name: str) -> bytes:
    source = _next(kept, archive, name, _LIST_BYTES_MAX)
    return source.read(_LIST_BYTES_MAX)


def _next(kept: object, archive: tarfile.TarFile, name: str, bytes_max: int) -> IO[bytes]:
    info = archive.next()
    if info is None:
        raise BackupDamaged(kept, name, "is missing: the file ends before it")
    if info.name != name:
        raise BackupDamaged(kept, name, f"is missing: {info.name!r} stands in its place")
    source = archive.extractfile(info) if info.isreg() else None
    if source is None or info.size > bytes_max:
        raise BackupDamaged(kept, name, "is no file, or larger than it may be")
    return source


def _read_file(kept: object, archive: tarfile.TarFile, known: BackupFile, into: Path | None) -> None:
    source = _next(kept, archive, _STORE + known.name, known.size_bytes)
    digest, count_bytes = hashlib.sha256(), 0
    target = None if into is None else (into / known.name).open("xb")
    try:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            count_bytes += len(chunk)
            if target is not None:
                target.write(chunk)
        if target is not None:
            target.flush()
            os.fsync(target.fileno())
    finally:
        if target is not None:
            target.close()
    if count_bytes != known.size_bytes or digest.hexdigest() != known.sha256:
        raise BackupDamaged(kept, known.name, "fails its checksum")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
