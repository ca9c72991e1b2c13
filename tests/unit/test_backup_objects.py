"""Backups in an object store: the one that the library keeps in memory stands for S3, which `make e2e-api` has."""

import hashlib
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from obstore.store import MemoryStore

from rustqueue.cli.program import run
from rustqueue.model.cluster.backups import BackupFile, BackupManifest
from rustqueue.rescue.archive import BackupDamaged, write_backup
from rustqueue.rescue.objects import ObjectPlace, ObjectShelf, ObjectStoreError
from rustqueue.rescue.shelves import FolderShelf, Shelf, name_of

FILES = {"CURRENT": b"MANIFEST-000005\n", "000008.sst": bytes(range(256)) * 9_000, "000009.log": b""}
MANIFEST = BackupManifest(
    version="0.1.0", node="n0", cluster_id="00" * 16, index=7, term=2, taken_at="2026-01-01T00:00:00Z",
    feature_level=1, feature_version="", state_hash="11" * 16,
    files=[BackupFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()],
)  # fmt: skip


def read(name: str, offset: int) -> bytes:
    return FILES[name][offset : offset + 100_000]


def shelves(folder: Path) -> list[Shelf]:
    folder.mkdir()
    return [FolderShelf(folder), ObjectShelf(MemoryStore(), "backups", "mail/"), ObjectShelf(MemoryStore(), "b", "")]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    place = ObjectPlace(MemoryStore(), "backups", "mail/jobs.rqb")
    into = tmp_path / "into"
    into.mkdir()
    place.write(MANIFEST, read)
    assert place.read(into) == MANIFEST
    assert {path.name: path.read_bytes() for path in into.iterdir()} == FILES
    assert str(place) == "s3://backups/mail/jobs.rqb"


def test_an_object_is_the_same_bytes_as_a_file(tmp_path: Path) -> None:
    store = MemoryStore()
    ObjectPlace(store, "backups", "jobs.rqb").write(MANIFEST, read)
    write_backup(tmp_path / "jobs.rqb", MANIFEST, read)
    assert bytes(store.get("jobs.rqb").bytes()) == (tmp_path / "jobs.rqb").read_bytes()
    with tarfile.open(tmp_path / "jobs.rqb") as archive:
        assert archive.getnames() == ["manifest.json", "manifest.sha256", *(f"store/{name}" for name in FILES)]


def test_a_backup_that_broke_off_leaves_no_object() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match=r"000008\.sst: ends at byte"):
        ObjectPlace(store, "b", "jobs.rqb").write(
            MANIFEST, lambda name, offset: read(name, offset) * (offset < 200_000)
        )
    assert store.list().collect() == []


@pytest.mark.parametrize("damage", [lambda data: data[:-9_000], lambda data: data[:2_000] + b"?" + data[2_001:]])
def test_a_damaged_object_is_refused_by_its_name(damage: object) -> None:
    store = MemoryStore()
    place = ObjectPlace(store, "b", "jobs.rqb")
    place.write(MANIFEST, read)
    assert callable(damage)
    store.put("jobs.rqb", damage(bytes(store.get("jobs.rqb").bytes())))
    with pytest.raises(BackupDamaged, match=r"s3://b/jobs\.rqb"):
        place.read()


def test_what_is_not_there_is_said_in_one_line() -> None:
    with pytest.raises(ObjectStoreError) as told:
        ObjectPlace(MemoryStore(), "b", "jobs.rqb").read()
    assert str(told.value).startswith("Object at location jobs.rqb not found")
    assert "\n" not in str(told.value)


def test_the_newest_stay_and_what_is_no_backup_is_left_alone(tmp_path: Path) -> None:
    for shelf in shelves(tmp_path / "shelf"):
        names = [name_of(msgspec.structs.replace(MANIFEST, index=index)) for index in (9, 10, 11)]
        for name in (*names, "jobs.rqb", "rustqueue-notes.txt"):
            shelf.place(name).write(MANIFEST, read)
        assert shelf.thin_out(2) == [str(shelf.place(names[0]))]
        assert shelf.thin_out(2) == []
        for name in (*names[1:], "jobs.rqb", "rustqueue-notes.txt"):
            assert shelf.place(name).read() == MANIFEST


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("gs://backups/jobs.rqb", "gs://backups/jobs.rqb: is neither a path nor s3://BUCKET/KEY"),
        ("s3:///jobs.rqb", "s3:///jobs.rqb: is neither a path nor s3://BUCKET/KEY"),
        ("s3://backups", "s3://backups: names no backup: a key is missing behind the bucket"),
        ("s3://backups/mail/", "s3://backups/mail/: names no backup: a key is missing behind the bucket"),
    ],
)
def test_an_address_that_names_no_backup_is_refused(
    address: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["backup", "verify", address]) != 0
    assert sentence in capsys.readouterr().err
    assert run(["restore", address, "--data", str(tmp_path / "data")]) != 0
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_what_a_store_answers_is_told_as_plain_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = "<Message>the region &#34;eu-x&#34; &amp; so on</Message>"
            body = f"<Error><Code>AuthorizationHeaderMalformed</Code>{text}</Error>".encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert run(["backup", "verify", "s3://backups/jobs.rqb"]) != 0
        server.shutdown()
    assert 'AuthorizationHeaderMalformed: the region "eu-x" & so on' in capsys.readouterr().err
