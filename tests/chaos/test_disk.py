"""The power cut of the cluster rig: with the real library loaded, what was synced stays and what was not may go.

Those that compile the library are left to continuous integration: `make test` asks for no compiler.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.cluster.disk import (
    CREATED,
    HEADER,
    SYNC_BEGUN,
    SYNCED,
    WRITTEN,
    cut_power,
    end_life,
    read_records,
    unsynced_of,
)
from tests.chaos.cluster.shim import Control, compile_shim

# Writes over the front of a synced file, then behind it; a second file is never synced at all.
PROGRAM = """
import os, sys
folder = sys.argv[1]
file = os.open(folder + "/log", os.O_RDWR | os.O_CREAT)
os.pwrite(file, b"a" * 1000, 0)
os.fdatasync(file)
where = os.open(folder, os.O_RDONLY)
os.fsync(where)
os.pwritev(file, [b"b" * 100, b"c" * 100], 0)
os.pwrite(file, b"d" * 1000, 1000)
other = os.open(folder + "/fresh", os.O_RDWR | os.O_CREAT)
os.write(other, b"e" * 10)
print(flush=True)
sys.stdin.read()
try:
    os.fdatasync(file)
except OSError as error:
    print(error.errno)
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


def run(folder: Path, library: Path, fail_syncs: bool = False) -> str:
    (folder / "data").mkdir(parents=True)
    control = Control(folder / "control")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "RQ_SHIM_CONTROL": str(folder / "control"),
        "RQ_SHIM_DATA": str(folder / "data"),
        "RQ_SHIM_RECORD": str(folder / "record"),
    }
    words = [sys.executable, "-c", PROGRAM, str(folder / "data")]
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "\n"
        if fail_syncs:
            control.fail_syncs()
            said, _ = child.communicate("", timeout=60)
        else:
            child.kill()
            said = ""
    control.close()
    return said


@pytest.mark.slow
def test_what_is_not_safe_is_known(tmp_path: Path, library: Path) -> None:
    run(tmp_path, library)
    files = {Path(path).name: file for path, file in unsynced_of(read_records(tmp_path / "record")).items()}
    assert [(write.offset, write.length, len(write.old)) for write in files["log"].writes] == [
        (0, 200, 200), (1000, 1000, 0),
    ]  # fmt: skip
    assert (files["log"].fresh_name, files["fresh"].fresh_name) == (False, True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_cut_keeps_what_was_synced(tmp_path: Path, library: Path, seed: int) -> None:
    run(tmp_path, library)
    cut_power(tmp_path / "record", random.Random(seed))
    content = (tmp_path / "data" / "log").read_bytes()
    assert set(content[:200]) <= set(b"abc")
    assert content[200:1000] == b"a" * 800
    assert set(content[1000:]) <= set(b"d\0")
    assert not (tmp_path / "record").exists()


@pytest.mark.slow
def test_a_failed_sync_saves_nothing(tmp_path: Path, library: Path) -> None:
    assert run(tmp_path, library, fail_syncs=True) == "5\n"
    files = unsynced_of(read_records(tmp_path / "record"))
    assert len(files[str(tmp_path / "data" / "log")].writes) == 2


def a_record(kind: int, path: str, offset: int = 0, length: int = 0) -> bytes:
    return HEADER.pack(kind, len(path), offset, length, 0, 0) + path.encode()


def test_a_write_during_a_sync_is_not_covered_by_it(tmp_path: Path) -> None:
    # Given a write before a sync began, and one before it ended; the last record was cut off by the kill
    told = a_record(CREATED, "/f") + a_record(WRITTEN, "/f", 0, 5) + a_record(SYNC_BEGUN, "/f", 7)
    told += a_record(WRITTEN, "/f", 5, 5) + a_record(SYNCED, "/f", 7) + a_record(WRITTEN, "/f", 10, 5)[:-1]
    (tmp_path / "record").write_bytes(told)
    # Then only the second one may go
    files = unsynced_of(read_records(tmp_path / "record"))
    assert [write.offset for write in files["/f"].writes] == [5]


def test_what_a_kill_broke_off_is_not_taken_for_a_part_of_the_next_life(tmp_path: Path) -> None:
    # Given a life that was killed while it wrote down a write with a lot of old bytes, of which few were written
    record = tmp_path / "record"
    broken = HEADER.pack(WRITTEN, 2, 0, 4_096, 4_096, 4_096) + b"/f" + b"old"
    record.write_bytes(a_record(WRITTEN, "/f", 0, 5) + broken)
    # When the next one writes, and syncs the file
    end_life(record)
    with record.open("ab") as next_life:
        next_life.write(a_record(SYNC_BEGUN, "/f", 7) + a_record(SYNCED, "/f", 7) + a_record(WRITTEN, "/f", 9, 5))
    # Then what it told is understood: only its last write may go.
    assert [write.offset for write in unsynced_of(read_records(record))["/f"].writes] == [9]
