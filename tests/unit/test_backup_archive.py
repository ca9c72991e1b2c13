"""The file of a backup: whole or refused, with the name of the part that is wrong."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import msgspec
import pytest

from rustqueue.model.cluster.backups import BackupFile, BackupManifest
from rustqueue.rescue.archive import BackupDamaged, read_backup, write_backup

FILES = {"CURRENT": b"MANIFEST-000005\n", "000008.sst": bytes(range(256)) * 40, "000009.log": b""}


def manifest(**changes: object) -> BackupManifest:
    files = [BackupFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()]
    told = BackupManifest(
        version="0.1.0", node="n0", cluster_id="00" * 16, index=7, term=2, taken_at="2026-01-01T00:00:00Z",
        feature_level=1, feature_version="", state_hash="11" * 16, files=files,
    )  # fmt: skip
    return msgspec.structs.replace(told, **changes)


def read(name: str, offset: int) -> bytes:
    return FILES[name][offset : offset + 1_000]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.rqb"
    write_backup(path, manifest(), read)
    return path


def test_what_was_written_is_read_again_and_is_for_its_owner_only(backup: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    assert read_backup(backup, into) == manifest()
    assert {path.name: path.read_bytes() for path in into.iterdir()} == FILES
    assert backup.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", "jobs.rqb"]


@pytest.mark.parametrize("part", ["manifest.json", "manifest.sha256", "CURRENT", "000008.sst"])
def test_one_changed_byte_is_found_and_its_part_named(backup: Path, part: str) -> None:
    with tarfile.open(backup) as archive:
        name = part if part.startswith("manifest") else f"store/{part}"
        offset = archive.getmember(name).offset_data + 8
    data = bytearray(backup.read_bytes())
    data[offset] ^= 1
    backup.write_bytes(data)
    with pytest.raises(BackupDamaged) as told:
        read_backup(backup)
    assert told.value.part == ("manifest.json" if part.startswith("manifest") else part)
    assert str(backup) in str(told.value)


@pytest.mark.parametrize("share", [0, 10, 50, 90])
def test_a_file_that_ends_too_early_is_refused(backup: Path, share: int) -> None:
    # Given an archive without the zeros that fill its last block
    with tarfile.open(backup) as archive:
        last = archive.getmember("store/000008.sst")
    os.truncate(backup, (last.offset_data + last.size) * share // 100)
    with pytest.raises(BackupDamaged):
        read_backup(backup)


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.rqb"
    path.write_bytes(os.urandom(5_000))
    with pytest.raises(BackupDamaged, match=r"manifest\.json"):
        read_backup(path)


def test_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "new.rqb"
    write_backup(path, manifest(format=2), read)
    with pytest.raises(BackupDamaged, match="has format 2, this program knows 1"):
        read_backup(path)


def archive_of(members: list[tuple[str, bytes]]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    listed = msgspec.json.encode(manifest()).replace(b"000009.log", b"../../evil")
    members = [("manifest.json", listed), ("manifest.sha256", hashlib.sha256(listed).hexdigest().encode())]
    path, into = tmp_path / "evil.rqb", tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    path.write_bytes(archive_of([*members, *((f"store/{name}", data) for name, data in FILES.items())]))
    with pytest.raises(BackupDamaged, match=r"manifest\.json: cannot be read"):
        read_backup(path, into)
    assert list(into.iterdir()) == []


def test_what_came_otherwise_than_listed_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "jobs.rqb"
    with pytest.raises(ValueError, match=r"000008\.sst: what came is not what the node had"):
        write_backup(
            path,
            manifest(),
            lambda name, offset: bytes(len(read(name, offset))) if "sst" in name else read(name, offset),
        )
    with pytest.raises(ValueError, match="CURRENT: ends at byte 0 of 16"):
        write_backup(path, manifest(), lambda name, offset: b"")
    assert list(tmp_path.iterdir()) == []
