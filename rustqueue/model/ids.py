"""Job ids: UUIDv7 made from the entry's stamp and seed, carrying a 12-bit partition number.

The only place that makes ids or looks inside one. Inside the machine an id is 16 bytes, outside it is UUID text.
"""

from typing import NewType

JobId = NewType("JobId", bytes)
"""Sixteen bytes, ordered by creation."""

_LOW_BITS = (
    1 << 61
) - 1  # One bit below the 62 of the format, so that adding an ordinal never carries into the variant.


def make_ids(now_ms: int, seed: bytes, first: int, count: int, partition: int = 0) -> list[JobId]:
    """`count` ids of one log entry: 48 bits of time, version 7, the partition, and seed + ordinal. They increase in
    input order.
    """
    base = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (partition & 0xFFF) << 64 | 0x2 << 62
    base += (int.from_bytes(seed[:8], "big") & _LOW_BITS) + first
    return [JobId((base + ordinal).to_bytes(16, "big")) for ordinal in range(count)]


def id_text(job_id: bytes) -> str:
    """The hyphenated lower-case form."""
    text = job_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


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
