"""The file that a backup is kept in: a tar archive of a list of contents, its checksum, and the files of the store.

It must not know nodes, nor what is in the files; a bare installation of the client can write and check one. Invariants:
a file is whole or has another name (`.partial`); nothing of an archive is believed before its checksum was right; no
name in it leads out of the folder that it is unpacked into.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import msgspec

from rustqueue.model.cluster.backups import BACKUP_FORMAT, BackupFile, BackupManifest

LIST: Final = "manifest.json"
LIST_SUM: Final = "manifest.sha256"
_STORE: Final = "store/"
_LIST_BYTES_MAX: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024

ReadPiece = Callable[[str, int], bytes]
"""A piece of a file from an offset on; empty only at its end."""


class BackupDamaged(Exception):
    """The file is no backup, or not any more. The message names the part."""

    def __init__(self, path: Path, part: str, reason: str) -> None:
        super().__init__(f"{path}: {part}: {reason}")
        self.part = part


class _Source:
    """A file of the store as `tarfile` reads one; raises `ValueError` if it is not what the list says."""

    def __init__(self, file: BackupFile, read: ReadPiece) -> None:
        self._file = file
        self._read = read
        self._offset = 0
        self._left = b""
        self._digest = hashlib.sha256()

    def read(self, count_bytes: int) -> bytes:
        while len(self._left) < count_bytes and self._offset < self._file.size_bytes:
            piece = self._read(self._file.name, self._offset)
            if not piece:
                raise ValueError(f"{self._file.name}: ends at byte {self._offset} of {self._file.size_bytes}")
            self._digest.update(piece)
            self._offset += len(piece)
            self._left += piece
        taken, self._left = self._left[:count_bytes], self._left[count_bytes:]
        return taken

    def check(self) -> None:
        if self._offset != self._file.size_bytes or self._digest.hexdigest() != self._file.sha256:
            raise ValueError(f"{self._file.name}: what came is not what the node had: try again")


def write_backup(path: Path, manifest: BackupManifest, read: ReadPiece) -> None:
    """Write the archive, durably, under its name only when it is whole. Raises `OSError`, `ValueError`."""
    partial = path.with_name(path.name + ".partial")
    try:
        # Payloads and the digests of tokens are in it: it is for its owner only.
        with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as target:
            with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                text = msgspec.json.format(msgspec.json.encode(manifest))
                _add(archive, LIST, text)
                _add(archive, LIST_SUM, hashlib.sha256(text).hexdigest().encode())
                for file in manifest.files:
                    source = _Source(file, read)
                    archive.addfile(_info(_STORE + file.name, file.size_bytes), source)  # type: ignore[arg-type]
                    source.check()
            target.flush()
            os.fsync(target.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.absolute().parent)


def read_backup(path: Path, into: Path | None = None) -> BackupManifest:
    """Check every byte; lay the files of the store into the folder `into` if one is given, which must be there and
    empty. Raises `BackupDamaged`, `OSError`.
    """
    part = LIST
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
            manifest = _read_list(path, archive)
            for known in manifest.files:
                part = known.name
                _read_file(path, archive, known, into)
    except (tarfile.TarError, EOFError) as error:
        if part == LIST:
            raise BackupDamaged(
                path, part, f"cannot be read ({error}): this is no backup, or its beginning is damaged"
            ) from error
        raise BackupDamaged(path, part, f"cannot be read: {error}") from error
    if into is not None:
        _sync_folder(into)
    return manifest


def _read_list(path: Path, archive: tarfile.TarFile) -> BackupManifest:
    text = _small(path, archive, LIST)
    told = _small(path, archive, LIST_SUM).decode("ascii", "replace").strip()
    if hashlib.sha256(text).hexdigest() != told:
        raise BackupDamaged(path, LIST, "fails its checksum")
    try:
        version = msgspec.json.decode(text, type=_Format).format
        if version > BACKUP_FORMAT:
            reason = f"has format {version}, this program knows {BACKUP_FORMAT}: use a newer RustQueue"
            raise BackupDamaged(path, LIST, reason)
        return msgspec.json.decode(text, type=BackupManifest)
    except msgspec.MsgspecError as error:
        raise BackupDamaged(path, LIST, f"cannot be read: {error}") from error


class _Format(msgspec.Struct):
    format: int


def _small(path: Path, archive: tarfile.TarFile, name: str) -> bytes:
    source = _next(path, archive, name, _LIST_BYTES_MAX)
    return source.read(_LIST_BYTES_MAX)


def _next(path: Path, archive: tarfile.TarFile, name: str, bytes_max: int) -> IO[bytes]:
    info = archive.next()
    if info is None:
        raise BackupDamaged(path, name, "is missing: the file ends before it")
    if info.name != name:
        raise BackupDamaged(path, name, f"is missing: {info.name!r} stands in its place")
    source = archive.extractfile(info) if info.isreg() else None
    if source is None or info.size > bytes_max:
        raise BackupDamaged(path, name, "is no file, or larger than it may be")
    return source


def _read_file(path: Path, archive: tarfile.TarFile, known: BackupFile, into: Path | None) -> None:
    source = _next(path, archive, _STORE + known.name, known.size_bytes)
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
        raise BackupDamaged(path, known.name, "fails its checksum")


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(_info(name, len(data)), io.BytesIO(data))


def _info(name: str, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o600
    return info


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
