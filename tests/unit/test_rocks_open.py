"""Opening and damage: what the RocksDB store refuses, and that each refusal names the folder and says what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from rustqueue.storage import StorageError
from rustqueue.storage.rocks import RocksKV

OPEN_IT = "import sys; from rustqueue.storage.rocks import RocksKV; RocksKV(sys.argv[1])"


def a_flushed_store(path: Path) -> None:
    kv = RocksKV(str(path))
    # Neighbouring blocks of rows that do not compress, so that damage to one block leaves others to be read.
    kv.write({b"%05d" % number: number.to_bytes(2, "big") * 100 for number in range(2_000)})
    kv.flush()
    kv.close()


def only_table(path: Path) -> Path:
    (table,) = path.glob("*.sst")
    return table


def damage(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 0xFF
    file.write_bytes(content)


def test_flushed_rows_are_there_after_opening_again(tmp_path: Path) -> None:
    a_flushed_store(tmp_path / "store")
    kv = RocksKV(str(tmp_path / "store"))
    assert len(kv.scan(b"", b"\xff", 9_999)) == 2_000
    kv.close()


def test_second_process_is_refused_by_name(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    kv = RocksKV(path)
    refused = subprocess.run([sys.executable, "-c", OPEN_IT, path], capture_output=True, text=True, timeout=30)
    kv.close()
    assert f"StorageError: the store {path} is in use by another process: stop that process" in refused.stderr


def test_close_frees_the_folder_though_reads_have_run(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    kv = RocksKV(path)
    kv.write({b"a": b"1", b"b": b"2"})
    kv.scan(b"", b"c", 1)
    kv.scan(b"", b"c", 9)
    kv.scan(b"", b"c", 1, reverse=True)
    kv.flush()
    kv.close()
    RocksKV(path).close()


def test_same_folder_twice_in_one_process_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    kv = RocksKV(path)
    with pytest.raises(StorageError, match=f"the store {path} is in use"):
        RocksKV(path)
    kv.close()


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StorageError, match=f"cannot open the store {tmp_path / 'store'}: .*exists"):
        RocksKV(str(tmp_path / "store"))


@pytest.mark.parametrize("harm", ["shortened", "missing", "manifest"])
def test_damage_found_at_the_start_is_refused_with_the_file(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "store"
    a_flushed_store(path)
    table = only_table(path)
    (manifest,) = path.glob("MANIFEST-*")
    match harm:
        case "shortened":
            table.write_bytes(table.read_bytes()[:1_000])
        case "missing":
            table.unlink()
        case _:
            damage(manifest, manifest.stat().st_size // 2)
    named = manifest if harm == "manifest" else table

    with pytest.raises(StorageError, match=f"the store {path} is damaged: .*{named.name}.*restore it from a backup"):
        RocksKV(str(path))


def test_damaged_block_is_an_error_and_never_a_shorter_range(tmp_path: Path) -> None:
    path = tmp_path / "store"
    a_flushed_store(path)
    table = only_table(path)
    damage(table, table.stat().st_size // 3)
    kv = RocksKV(str(path))
    named = f"cannot read the store {path}: Corruption.*{table.name}"
    with pytest.raises(StorageError, match=named):
        kv.scan(b"", b"\xff", 9_999)
    with pytest.raises(StorageError, match=named):
        kv.scan(b"", b"\xff", 9_999, reverse=True)
    with pytest.raises(Exception, match=f"Corruption.*{table.name}"):
        kv.get_many([b"%05d" % number for number in range(2_000)])
    assert kv.scan(b"", b"00002", 9) == [(b"00000", bytes(200)), (b"00001", b"\x00\x01" * 100)]
    kv.close()


def test_lost_configuration_of_the_library_is_harmless(tmp_path: Path) -> None:
    # rocksdict writes this file anew at every opening and does not sync it, so a power cut may leave it empty.
    path = tmp_path / "store"
    a_flushed_store(path)
    (path / "rocksdict-config.json").write_text("")
    kv = RocksKV(str(path))
    assert kv.get(b"00001") == b"\x00\x01" * 100
    kv.close()
