"""`rustqueue check`: what it says about a sound folder, one in use, and every kind of damage it can meet."""

import json
import os
import shutil
from pathlib import Path

import pytest

from rustqueue.check import Report, check_folder, text_of
from rustqueue.cli.program import run
from rustqueue.client import Client
from rustqueue.machine import keys, rows
from rustqueue.raft.records import SEGMENT_HEADER_BYTES
from rustqueue.storage.rocks import RocksKV
from tests.unit.node_in_thread import node_in_thread, node_settings


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a node that had ten jobs, two of them completed, and was stopped."""
    folder = tmp_path_factory.mktemp("stopped") / "data"
    with node_in_thread(node_settings(folder)) as ports, Client(ports.url("tcp")) as client:
        client.push_batch("mail", [{"name": "greet", "data": number} for number in range(10)])
        for job in client.pull("mail", 2):
            client.ack(job)
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(stopped, tmp_path / "data")
    return tmp_path / "data"


def segment_of(folder: Path) -> Path:
    [segment] = (folder / "journal").glob("*.log")
    return segment


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_stopped_node_leaves_a_sound_folder_and_the_check_changes_nothing(folder: Path) -> None:
    before = contents(folder)
    report = check_folder(folder)
    assert contents(folder) == before
    assert report.log is not None
    assert report.store is not None
    assert (report.sound, report.problems, report.log.torn) == (True, [], None)
    assert (report.log.first_index, report.log.last_index) == (1, report.log.entries)
    assert (report.store.applied_index, report.store.replayed) == (report.log.last_index, 0)
    assert (report.store.jobs, report.store.queues) == (10, 1)
    assert text_of(report).endswith(f"{folder} is sound")


def test_an_empty_store_is_filled_from_the_log(folder: Path) -> None:
    whole = check_folder(folder)
    shutil.rmtree(folder / "store")
    (folder / "store").mkdir()
    report = check_folder(folder)
    assert report.store is not None
    assert whole.store is not None
    assert (report.sound, report.store.applied_index, report.store.jobs) == (True, 0, 10)
    assert report.store.state_hash == whole.store.state_hash


def test_a_running_node_is_left_alone(tmp_path: Path) -> None:
    with node_in_thread(node_settings(tmp_path / "data")):
        report = check_folder(tmp_path / "data")
    problem = f"{tmp_path / 'data'}: in use by a running node; stop it, or check a copy"
    assert report == Report(str(tmp_path / "data"), None, None, [problem])


def test_a_folder_of_something_else_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["check", str(tmp_path)])
    assert code == 1
    assert capsys.readouterr().out.splitlines() == [
        f"wrong  {tmp_path}/journal: not there; is {tmp_path} a data folder?",
        f"wrong  {tmp_path}/store: not there; is {tmp_path} a data folder?",
        f"{tmp_path} was not checked",
    ]


def test_a_flipped_byte_in_the_log_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = segment_of(folder)
    with segment.open("r+b") as file:
        file.seek(SEGMENT_HEADER_BYTES + 60)
        [byte] = file.read(1)
        file.seek(SEGMENT_HEADER_BYTES + 60)
        file.write(bytes([byte ^ 0x40]))
    code = run(["check", str(folder), "--output", "json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 1
    assert report["problems"][0].startswith(f"{segment}: byte {SEGMENT_HEADER_BYTES}: ")


def test_a_torn_end_is_told_and_is_no_damage(folder: Path) -> None:
    segment = segment_of(folder)
    report = check_folder(folder)
    assert report.log is not None
    with segment.open("r+b") as file:
        end = len(file.read().rstrip(b"\0"))
        file.truncate(end)
        file.seek(end)
        file.write(b"\xfb\x01 and then the power went")
        file.write(bytes(100))
    torn = check_folder(folder)
    assert torn.log is not None
    assert (torn.sound, torn.log.last_index) == (True, report.log.last_index)
    assert torn.log.torn is not None
    assert torn.log.torn.startswith(f"{segment}: byte {end}: ")


def test_a_log_that_ends_before_the_store_is_found(folder: Path) -> None:
    os.truncate(segment_of(folder), SEGMENT_HEADER_BYTES)
    report = check_folder(folder)
    assert report.store is not None
    index = report.store.applied_index
    assert f"the store is up to entry {index}, the log ends with 0: its end is missing" in report.problems


def test_counters_that_do_not_agree_with_the_jobs_are_found(folder: Path) -> None:
    # Given a store whose counters of one queue were changed behind the machine's back
    store = RocksKV(str(folder / "store"))
    key = keys.counters(keys.queue_part("mail"))
    stored = store.get(key)
    assert stored is not None
    counters = rows.decode_counters(stored)
    counters.waiting += 3
    store.write({key: rows.encode(counters)})
    store.flush()
    store.close()
    # When it is checked, then the difference is named
    assert check_folder(folder).problems == ["as stored: queue 'mail' counts 11 waiting jobs, but has 8"]


def test_a_store_that_does_not_open_is_found(folder: Path) -> None:
    (folder / "store" / "CURRENT").write_bytes(b"MANIFEST-999999\n")
    [problem] = check_folder(folder).problems
    assert str(folder / "store") in problem
    assert ".check-" not in problem
