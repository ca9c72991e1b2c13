"""The original's binary frames (contract A8): bytes to requests of the common vocabulary, replies to bytes.

It must not know connections or the gateway. Invariants: a frame becomes the line that says the same, so that one
decoder checks both; whatever a frame holds, as many bytes are taken as it announces, or the conversation ends; a frame
begins with a byte with which no JSON text begins.
"""

from collections.abc import Generator
from dataclasses import dataclass
from struct import Struct
from typing import Final

import msgspec
from msgspec import Raw

from rustqueue.model import limits
from rustqueue.model.errors import ApiError
from rustqueue.model.ids import id_text, parse_id
from rustqueue.model.replies import AckedBatch, Pulled, PulledOne, PushedBatch, Refused, Reply, Seen

PUSH: Final = 0x01
PULL: Final = 0x02
ACK: Final = 0x03
CHANNEL: Final = 0x10
STARTS: Final = frozenset({PUSH, PULL, ACK, CHANNEL})

_U16: Final = Struct(">H")
_U32: Final = Struct(">I")
_TWO: Final = Struct(">BII")
_ID_BYTES: Final = 16
_TEXT_BYTES_MAX: Final = 65_535
_encode: Final = msgspec.json.Encoder().encode


class FrameBroken(ApiError):
    """What comes is no frame, or too long to be taken: nobody knows where the next one begins."""

    def __init__(self, text: str) -> None:
        super().__init__("PARSE_ERROR", text)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came, written as the line that says the same. `line` is an error if it says nothing that can be.

    `channel` is echoed in front of the answer.
    """

    line: bytes | ApiError
    channel: int | None


Reading = Generator[int, bytes, Frame]
"""Asks for so many bytes at a time."""


def reading(start: int) -> Reading:
    """Read what follows the first byte of a frame."""
    channel = None
    if start == CHANNEL:
        (channel,) = _U16.unpack((yield 2))
        start = (yield 1)[0]
    if start == PUSH:
        return Frame((yield from _push()), channel)
    if start == PULL:
        return Frame((yield from _pull()), channel)
    if start == ACK:
        return Frame((yield from _ack()), channel)
    raise FrameBroken(f"0x{start:02x} is no kind of frame that a channel carries")


def _push() -> Generator[int, bytes, bytes | ApiError]:
    queue = yield from _text()
    (count,) = _U32.unpack((yield 4))
    if count > limits.FRAME_PART_BYTES_MAX // _ID_BYTES:
        raise FrameBroken(f"{count} jobs are too many to read over, the limit is {limits.BATCH_JOBS_MAX}")
    parts: list[bytes] = []
    kept_bytes, error = 0, queue if isinstance(queue, ApiError) else None
    for place in range(count):
        (size_bytes,) = _U32.unpack((yield 4))
        if size_bytes > limits.FRAME_PART_BYTES_MAX:
            raise FrameBroken(f"a payload has {size_bytes} bytes, the limit is {limits.FRAME_PART_BYTES_MAX}")
        payload = (yield size_bytes) if size_bytes else b""
        kept_bytes += size_bytes
        if error is None:
            error = _objection(place, size_bytes, kept_bytes)
        if error is None:
            parts.append(b'{"name":"binary-job-%d","data":%b}' % (place, _json_of(payload)))
        else:
            parts.clear()
    if error is not None:
        return error
    return b'{"cmd":"push_batch","queue":%b,"jobs":[%b]}' % (_encode(queue), b",".join(parts))


def _objection(place: int, size_bytes: int, kept_bytes: int) -> ApiError | None:
    """Why nothing of a batch is taken. The rest of it is read all the same."""
    field, limit = "", 0
    if place >= limits.BATCH_JOBS_MAX:
        field, limit = "jobs", limits.BATCH_JOBS_MAX
    elif size_bytes > limits.DATA_BYTES_MAX:
        field, limit = f"jobs[{place}].data", limits.DATA_BYTES_MAX
    elif kept_bytes > limits.LINE_BYTES_MAX:
        field, limit = "frame", limits.LINE_BYTES_MAX
    return ApiError("VALIDATION_ERROR", f"'{field}' exceeds the limit of {limit}") if field else None


def _json_of(payload: bytes) -> bytes:
    """JSON as it is; anything else as a text, with a replacement for what is no UTF-8."""
    try:
        msgspec.json.decode(payload, type=Raw)
        payload.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _encode(payload.decode("utf-8", "replace"))
    except RecursionError:
        pass  # The common decoder says how deep a payload may be.
    return payload


def _pull() -> Generator[int, bytes, bytes | ApiError]:
    queue = yield from _text()
    (count,) = _U32.unpack((yield 4))
    if isinstance(queue, ApiError):
        return queue
    return b'{"cmd":"pull","queue":%b,"count":%d}' % (_encode(queue), count)


def _ack() -> Generator[int, bytes, bytes | ApiError]:
    (count,) = _U32.unpack((yield 4))
    if count * _ID_BYTES > limits.FRAME_PART_BYTES_MAX:
        raise FrameBroken(f"{count} ids are too many, the limit is {limits.FRAME_PART_BYTES_MAX // _ID_BYTES}")
    data = (yield count * _ID_BYTES) if count else b""
    ids = [id_text(data[at : at + _ID_BYTES]) for at in range(0, len(data), _ID_BYTES)]
    return b'{"cmd":"ack_batch","ids":%b}' % _encode(ids)


def _text() -> Generator[int, bytes, str | ApiError]:
    (size_bytes,) = _U16.unpack((yield 2))
    data = (yield size_bytes) if size_bytes else b""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ApiError("VALIDATION_ERROR", "'queue' is no UTF-8")


def encode_frame(reply: Reply, channel: int | None) -> bytes:
    """The response to a frame."""
    head = b"" if channel is None else _U16.pack(channel)
    return head + _body(reply)


def _body(reply: Reply) -> bytes:
    if isinstance(reply, Seen):
        reply = reply.reply
    match reply:
        case Refused():
            return error_frame(f"{reply.error.code}: {reply.error.message}")
        case PushedBatch():
            return b"\0" + _U32.pack(len(reply.ids)) + b"".join(map(_id_bytes, reply.ids))
        case Pulled() | PulledOne():
            jobs = reply.jobs if isinstance(reply, Pulled) else [] if reply.job is None else [reply.job]
            parts = [b"\0", _U32.pack(len(jobs))]
            for job in jobs:
                data = bytes(job.data)
                parts += (_id_bytes(job.id), _U32.pack(len(data)), data)
            return b"".join(parts)
        case AckedBatch():
            return _TWO.pack(0, reply.acked, reply.failed)
        case _:
            raise AssertionError(f"no frame asks for {type(reply).__name__}")


def _id_bytes(text: str) -> bytes:
    found = parse_id(text)
    assert found is not None, "the node makes ids that are ids"
    return found


def error_frame(text: str) -> bytes:
    encoded = text.encode()[:_TEXT_BYTES_MAX]
    return b"\x01" + _U16.pack(len(encoded)) + encoded
