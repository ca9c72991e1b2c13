"""The power cut of the crash test: it takes away what was not promised, and never what was."""

import json
import random
from pathlib import Path

import pytest

from rustqueue.history.lines import Object
from rustqueue.machine import keys, rows
from rustqueue.model.entry import ENTRY_VERSION, Entry, encode_entry
from rustqueue.raft.records import SEGMENT_HEADER_BYTES, Identity, encode_record, encode_segment_header
from rustqueue.storage.rocks import RocksKV
from tests.chaos.power import StoreCopies, cut_journal, find_ends, op_of, records_in, stored_index


def a_folder(folder: Path, ops: list[str], synced: list[int]) -> Path:
    """A data folder whose log has one entry for each op; `synced` is what each calls durable."""
    journal = folder / "journal"
    journal.mkdir(parents=True)
    blob = encode_segment_header(Identity(b"c" * 16, "n0"), 1)
    for index, (op, durable) in enumerate(zip(ops, synced, strict=True), start=1):
        command = json.dumps({"cmd": "ack", "id": "x", "request_id": op, "fill": "y" * 600}).encode()
        payload = encode_entry(Entry(ENTRY_VERSION, 1, index, bytes(16), [b'{"cmd":"!tick"}', command]))
        blob += encode_record(index, 1, durable, payload)
    (journal / f"{1:020d}.log").write_bytes(blob + bytes(5_000))
    (folder / "store").mkdir()
    (folder / "store" / "CURRENT").write_text("first")
    return folder


def indexes(folder: Path) -> list[int]:
    return [record.index for record in records_in(folder / "journal" / f"{1:020d}.log")]


@pytest.mark.parametrize("seed", range(40))
def test_a_cut_leaves_all_promised_entries(tmp_path: Path, seed: int) -> None:
    # Given five entries, of which the second was answered, and the fourth says that the third was durable
    folder = a_folder(tmp_path / "data", ["a", "b", "c", "d", "e"], [0, 1, 1, 3, 3])
    ends = find_ends(folder, {"a", "b", "unknown"}, 0)
    size = ends.written - SEGMENT_HEADER_BYTES
    assert (ends.promised - SEGMENT_HEADER_BYTES, ends.synced - SEGMENT_HEADER_BYTES) == (size * 2 // 5, size * 3 // 5)
    # When the power goes
    details = cut_journal(ends, random.Random(seed))
    # Then the answered ones are whole, and sectors go only behind what was durable
    kept = indexes(folder)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= (3 if details["how"] == "sectors" else 2)


def test_all_ways_of_cutting_come_up(tmp_path: Path) -> None:
    ways = set()
    for seed in range(40):
        folder = a_folder(tmp_path / str(seed), ["a", "b"], [0, 1])
        ways.add(cut_journal(find_ends(folder, set(), 0), random.Random(seed))["how"])
    assert ways == {"shorten", "blank", "sectors"}


@pytest.mark.parametrize(
    ("command", "op"),
    [
        ({"cmd": "!tick"}, None),
        ({"cmd": "ack", "id": "x", "request_id": "w1-2"}, "w1-2"),
        ({"cmd": "push", "name": "n", "data": {"op": "p1-3"}, "idempotency_key": "p1-3"}, "p1-3"),
        ({"cmd": "push", "name": "n", "data": {"op": "p1-4"}}, "p1-4"),
        ({"cmd": "push_batch", "jobs": [{"name": "n", "data": {"op": "p1-5"}}]}, "p1-5"),
    ],
)
def test_logged_commands_are_recognised(command: Object, op: str | None) -> None:
    assert op_of(command) == op


def test_an_earlier_store_is_brought_back_unless_the_log_moved_on(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "data", ["a"], [0])
    (tmp_path / "copies").mkdir()
    copies = StoreCopies(tmp_path / "copies")
    assert copies.bring_back(folder, random.Random(1)) is None
    copies.take(folder)
    (folder / "store" / "CURRENT").write_text("second")
    assert copies.bring_back(folder, random.Random(1)) == "store-0"
    assert (folder / "store" / "CURRENT").read_text() == "first"
    # When the log begins later, what the copy lacks is gone from it
    (folder / "journal" / f"{1:020d}.log").rename(folder / "journal" / f"{9:020d}.log")
    assert copies.bring_back(folder, random.Random(1)) is None
    (folder / "store" / "CURRENT").write_text("third")
    copies.take(folder)
    assert copies.bring_back(folder, random.Random(1)) == "store-0"
    assert (folder / "store" / "CURRENT").read_text() == "third"


def test_a_cut_stays_behind_what_the_store_holds(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "data", ["a", "b", "c", "d"], [0, 1, 2, 3])
    (folder / "store" / "CURRENT").unlink()
    store = RocksKV(str(folder / "store"))
    store.write({keys.META: rows.encode(rows.MetaRow(applied_index=4))})
    store.flush()
    store.close()
    ends = find_ends(folder, {"a"}, stored_index(folder, tmp_path / "scratch"))
    assert (ends.promised, ends.synced) == (ends.written, ends.written)
