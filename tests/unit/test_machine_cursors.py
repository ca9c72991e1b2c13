"""A cursor is a sign that a list has made: it is read back as it was meant, and nothing else passes for one."""

from collections.abc import Callable

import pytest

from rustqueue.machine.reads import cursors
from rustqueue.model import limits
from rustqueue.model.errors import ValidationFailed

BLOCK = bytes(range(20))
ID = "01a20287-015a-7000-8e28-fe3c43a31aad"


@pytest.mark.parametrize("name", ["s15", "a b/ü", "\0", "x" * limits.SCHEDULE_NAME_BYTES_MAX])
def test_a_name_comes_back(name: str) -> None:
    assert cursors.to_name(cursors.of_name(name)) == name
    assert len(cursors.of_name(name)) <= limits.CURSOR_BYTES_MAX


def test_a_place_among_finished_jobs_comes_back() -> None:
    assert cursors.to_outcome(cursors.of_outcome(BLOCK)) == BLOCK
    assert cursors.to_place(cursors.of_place(BLOCK, 63)) == (BLOCK, 63)
    assert cursors.to_id(ID).hex() == ID.replace("-", "")


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (cursors.to_name, ""),
        (cursors.to_name, "s15"),
        (cursors.to_name, "7"),
        (cursors.to_name, "73 31"),
        (cursors.to_name, "C3BC"),
        (cursors.to_name, "ff"),
        (cursors.to_name, "61" * (limits.SCHEDULE_NAME_BYTES_MAX + 1)),
        (cursors.to_outcome, ""),
        (cursors.to_outcome, "later"),
        (cursors.to_outcome, BLOCK[1:].hex()),
        (cursors.to_outcome, BLOCK.hex(" ")),
        (cursors.to_place, BLOCK.hex()),
        (cursors.to_place, f"{BLOCK.hex()}."),
        (cursors.to_place, f"{BLOCK.hex()}.-1"),
        (cursors.to_place, f"{BLOCK.hex()}.1.2"),
        (cursors.to_place, f"{BLOCK.hex()}.٣"),
        (cursors.to_place, f"{BLOCK.hex()[2:]}.1"),
        (cursors.to_id, ""),
        (cursors.to_id, ID[:-1]),
    ],
)
def test_another_text_is_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        read(text)
    assert caught.value.message == "Validation error: 'cursor' must be the 'next_cursor' of the page before"
    assert caught.value.details == {"field": "cursor"}
