"""Recorded logs replay to the recorded state, entry by entry."""

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from rustqueue.model.commands import InternalCommand, LogForm, WireCommand
from rustqueue.model.entry import ENTRY_VERSION, decode_entry
from tests.golden.recording import ENTRIES_COUNT, FOLDER, lines_of, logs, release, replay


@pytest.mark.parametrize("path", logs(), ids=lambda path: path.stem)
def test_a_recorded_log_replays_to_the_same_state(path: Path) -> None:
    machine, wrong = replay(path)

    assert wrong == []
    assert machine.applied_index == ENTRIES_COUNT


def test_the_log_of_this_version_holds_every_verb() -> None:
    entries = [decode_entry(stored) for stored, _ in lines_of(FOLDER / f"v{ENTRY_VERSION}.log")]
    seen = {msgspec.json.decode(command, type=dict[str, Any])["cmd"] for entry in entries for command in entry.commands}
    kinds = get_args(WireCommand | InternalCommand | LogForm)
    verbs = {command.__struct_config__.tag for command in kinds}

    assert seen == verbs


def test_a_release_keeps_its_log_and_never_writes_it_again(tmp_path: Path) -> None:
    kept = release("9.1.0", tmp_path)
    assert kept.name == "9.1.0.log"
    assert list(lines_of(kept)) == list(lines_of(FOLDER / f"v{ENTRY_VERSION}.log"))
    with pytest.raises(FileExistsError):
        release("9.1.0", tmp_path)
