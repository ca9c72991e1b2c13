"""Where a page ended, and where the next one goes on: the texts of `next_cursor`, made and read in one place.

A cursor is a sign of ours and nobody else's: each has exactly one spelling, and what could not have been made here is
refused, so that a client which mixes things up hears of it instead of getting some other page.
"""

from rustqueue.machine import keys
from rustqueue.model import limits
from rustqueue.model.errors import ValidationFailed
from rustqueue.model.ids import JobId, parse_id


def to_id(cursor: str) -> JobId:
    """Pages by id. Raises `ValidationFailed`."""
    found = parse_id(cursor)
    if found is None:
        raise refused()
    return found


def of_name(name: str) -> str:
    """Pages by name. The name itself would do as well, but then every text would pass for a cursor."""
    return name.encode("utf-8").hex()


def to_name(cursor: str) -> str:
    """Raises `ValidationFailed`."""
    try:
        name = bytes.fromhex(cursor).decode("utf-8")
    except ValueError:
        raise refused() from None
    if not name or len(cursor) > limits.CURSOR_BYTES_MAX or of_name(name) != cursor:
        raise refused()
    return name


def of_outcome(block: bytes) -> str:
    """Pages of finished jobs: the block that the next page goes on behind."""
    return block.hex()


def to_outcome(cursor: str) -> bytes:
    """Raises `ValidationFailed`."""
    try:
        block = bytes.fromhex(cursor)
    except ValueError:
        raise refused() from None
    if len(block) != keys.OUTCOME_BYTES or block.hex() != cursor:
        raise refused()
    return block


def of_place(block: bytes, place: int) -> str:
    """The same, in the middle of a block."""
    return f"{of_outcome(block)}.{place}"


def to_place(cursor: str) -> tuple[bytes, int]:
    """Raises `ValidationFailed`."""
    block, _, place = cursor.partition(".")
    if not (place.isascii() and place.isdecimal()):
        raise refused()
    return to_outcome(block), int(place)


def refused() -> ValidationFailed:
    """What every list says of a cursor that it has not made."""
    return ValidationFailed("'cursor' must be the 'next_cursor' of the page before", "cursor")
