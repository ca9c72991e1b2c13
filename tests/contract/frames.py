"""Binary frames (contract A8) as a case spells them, and their answers as it reads them. All numbers are big-endian."""

import asyncio
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from tests.conformance.protocols import Json

_PUSH: Final = 1
_PULL: Final = 2
_ACK: Final = 3
_CHANNEL: Final = 0x10
_KINDS: Final = {"push": _PUSH, "pull": _PULL, "ack": _ACK}


class Frame(NamedTuple):
    """`push` with payloads, `pull` with how many are wanted, `ack` with ids; in a channel where one is given."""

    kind: str
    queue: str = ""
    items: Sequence[str] = ()
    wanted: int = 0
    channel: int | None = None


def written(frame: Frame) -> bytes:
    """The bytes of a frame whose names are meant as they stand."""
    kind, queue = _KINDS[frame.kind], frame.queue.encode()
    parts = [struct.pack(">B", kind)]
    if kind != _ACK:
        parts.append(struct.pack(">H", len(queue)) + queue)
    parts.append(struct.pack(">I", frame.wanted if kind == _PULL else len(frame.items)))
    if kind == _PUSH:
        parts += [struct.pack(">I", len(item.encode())) + item.encode() for item in frame.items]
    elif kind == _ACK:
        parts += [UUID(item).bytes for item in frame.items]
    channel = b"" if frame.channel is None else struct.pack(">BH", _CHANNEL, frame.channel)
    return channel + b"".join(parts)


async def read(frame: Frame, reader: asyncio.StreamReader) -> Json:
    """The answer to this frame."""

    async def number(size: int) -> int:
        return int.from_bytes(await reader.readexactly(size), "big")

    told: Json = {} if frame.channel is None else {"channel": await number(2)}
    if await number(1) != 0:
        return {**told, "error": (await reader.readexactly(await number(2))).decode()}
    if frame.kind == "ack":
        return {**told, "acked": await number(4), "failed": await number(4)}
    count = await number(4)
    if frame.kind == "push":
        return {**told, "ids": [str(UUID(bytes=await reader.readexactly(16))) for _ in range(count)]}
    jobs = []
    for _ in range(count):
        job_id = str(UUID(bytes=await reader.readexactly(16)))
        jobs.append({"id": job_id, "data": msgspec.json.decode(await reader.readexactly(await number(4)))})
    return {**told, "jobs": jobs}
