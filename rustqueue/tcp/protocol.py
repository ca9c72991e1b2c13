"""Bytes to lines, replies to bytes: the part of the TCP protocol that needs no socket.

It must not know connections, time or the gateway. Invariants: a line is never longer than its limit; every answer is
one line; an answer to a line that carried a `request_id` carries it too, even when the line was refused.
"""

from collections import deque
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from rustqueue.model.commands import RequestId
from rustqueue.model.replies import ErrorBody, ErrorEnvelope, Refused, Reply, Seen

_encoder: Final = msgspec.json.Encoder()
_ON_ONE_LINE: Final = bytes.maketrans(b"\n\r", b"  ")


class _Correlated(Struct):
    """What is wanted of a line that could not be taken as a request."""

    request_id: RequestId | None = None


_correlated: Final = msgspec.json.Decoder(_Correlated)


class Slot:
    """The place of one answer in the order of the lines."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: bytes | None = None


class AnswerOrder:
    """Keeps the answers to lines without `request_id` in the order of their lines."""

    def __init__(self) -> None:
        self._slots: deque[Slot] = deque()

    def __len__(self) -> int:
        return len(self._slots)

    def open(self) -> Slot:
        """The next place."""
        slot = Slot()
        self._slots.append(slot)
        return slot

    def fill(self, slot: Slot, answer: bytes) -> list[bytes]:
        """Put the answer into its place; returns all answers that are no longer held up."""
        slot.answer = answer
        slots = self._slots
        free: list[bytes] = []
        while slots and (first := slots[0].answer) is not None:
            free.append(first)
            slots.popleft()
        return free


def encode_answer(reply: Reply, request_id: str | int | None) -> bytes:
    """The line of a reply, without its end."""
    if isinstance(reply, Seen):
        seen = b',"index":%d%b}' % (reply.index, b',"stale":true' if reply.stale else b"")
        return encode_answer(reply.reply, request_id)[:-1] + seen
    if isinstance(reply, Refused):
        return _encoder.encode(ErrorEnvelope(False, reply.error, UNSET if request_id is None else request_id))
    text = _encoder.encode(reply)
    if b"\n" in text or b"\r" in text:
        # Payloads are kept as they were written, perhaps over several lines; inside strings these bytes stand escaped.
        text = text.translate(_ON_ONE_LINE)
    if request_id is None:
        return text
    return b"".join((text[:-1], b',"request_id":', _encoder.encode(request_id), b"}"))


def request_id_of(line: bytes) -> str | int | None:
    """The `request_id` of a line that was refused, if it can be made out."""
    try:
        return _correlated.decode(line).request_id
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def plainly_not_found(reply: Reply) -> Reply:
    """TCP `get` of a missing job and `schedule_get` of a missing schedule answer NOT_FOUND, since published clients
    need exactly that (decisions A29, contract A7).
    """
    if isinstance(reply, Seen):
        return msgspec.structs.replace(reply, reply=plainly_not_found(reply.reply))
    if not isinstance(reply, Refused):
        return reply
    code, text, details = reply.error.code, reply.error.message, reply.error.details
    if code == "SCHEDULE_NOT_FOUND":
        text = f"Schedule '{text.partition(': ')[2]}' not found"
    elif code != "JOB_NOT_FOUND":
        return reply
    return Refused(error=ErrorBody("NOT_FOUND", text, details), status=reply.status)
