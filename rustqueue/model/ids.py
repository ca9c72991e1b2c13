"""Job ids: UUIDv7 made from the entry's stamp and seed, carrying a 12-bit partition number.

The only place that makes ids or looks inside one. Inside the machine an id is 16 bytes, outside it is UUID text.
"""

from typing import Final, NewType

JobId = NewType("JobId", bytes)
"""Sixteen bytes, ordered by creation."""

_INDEX_BITS: Final = 24
_CHANCE_BITS: Final = 37
_LOW_BITS: Final = 48
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
"""The last group of the text. Consecutive ids differ only there, so the rest of a batch is written once."""


def make_ids(now_ms: int, seed: bytes, index: int, first: int, count: int, partition: int = 0) -> list[JobId]:
    """`count` ids of log entry `index`, from the `first`-th of the entry on: UUIDs of version 7.

    48 bits of time, the partition in `rand_a`, then the low bits of the entry's index, then chance + ordinal: ids of
    one millisecond stand in order of creation too. One bit of chance is left clear, so that adding never carries.
    """
    base = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (partition & 0xFFF) << 64 | 0x2 << 62
    base |= (index & (1 << _INDEX_BITS) - 1) << _CHANCE_BITS
    base += (int.from_bytes(seed[:8], "big") & (1 << _CHANCE_BITS - 1) - 1) + first
    return _consecutive(base, count)


def _consecutive(first: int, count: int) -> list[JobId]:
    low = first & _LOW_MASK
    if low + count > _LOW_MASK:
        return [JobId((first + place).to_bytes(16, "big")) for place in range(count)]
    high = (first >> _LOW_BITS).to_bytes(10, "big")
    return [JobId(high + number.to_bytes(6, "big")) for number in range(low, low + count)]


def id_text(job_id: bytes) -> str:
    """The hyphenated lower-case form."""
    text = job_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def consecutive_texts(first: bytes, count: int) -> list[str]:
    """The texts of `count` ids that follow each other, beginning with `first`."""
    low = int.from_bytes(first[10:], "big")
    if low + count > _LOW_MASK:
        return [id_text(job_id) for job_id in _consecutive(int.from_bytes(first, "big"), count)]
    head = id_text(first)[:24]
    return [f"{head}{number:012x}" for number in range(low, low + count)]


def parse_id(text: str) -> JobId | None:
    """Sixteen bytes of any usual UUID spelling (hyphens, capitals, braces, `urn:uuid:`), or None."""
    if len(text) != 36:
        text = text.removeprefix("urn:uuid:").strip("{}")
        if len(text) not in (32, 36):
            return None
    try:
        # Sixteen bytes out of 32 or 36 characters: only digits and four hyphens can have been there.
        found = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    return JobId(found) if len(found) == 16 else None


def created_ms(job_id: bytes) -> int:
    """The time inside an id, in milliseconds since 1970."""
    return int.from_bytes(job_id[:6], "big")


def first_id_at(at_ms: int) -> bytes:
    """The smallest possible id of that time or later: lower bound of scans by creation time."""
    return max(0, min(at_ms, 0xFFFF_FFFF_FFFF)).to_bytes(6, "big") + b"\0" * 10
