"""Replies as HTTP bytes.

It must not know routes or connections. Invariant: what is sent has exactly one head with the right length, so that the
next answer on the connection is found.
"""

import time
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec

from rustqueue.model.replies import ErrorEnvelope, Refused, Reply, Seen

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_encoder: Final = msgspec.json.Encoder()
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def encoded(reply: Reply, request_id: str) -> bytes:
    """The body of a reply. Only an internal error shows the request id inside: it is all that the client can quote."""
    if isinstance(reply, Seen):
        return encoded(reply.reply, request_id)
    if not isinstance(reply, Refused):
        return _encoder.encode(reply)
    if reply.status >= 500 and reply.error.code == "INTERNAL_ERROR":
        return _encoder.encode(ErrorEnvelope(False, reply.error, request_id))
    return _encoder.encode(ErrorEnvelope(False, reply.error))


def head(status: int, length: int, request_id: str, extra: str = "", media_type: str = JSON_TYPE) -> bytes:
    """Status line and headers. `extra` is whole lines, each with its line end."""
    start = _start(status, media_type, int(time.time()))
    size = "" if status == HTTPStatus.NO_CONTENT else f"Content-Length: {length}\r\n"
    return f"{start}{extra}{size}X-Request-Id: {request_id}\r\n\r\n".encode("latin-1")


def switching(agreed: str, request_id: str) -> bytes:
    """The head that ends HTTP on a connection. `agreed` is whole lines."""
    return f"HTTP/1.1 101 Switching Protocols\r\n{agreed}X-Request-Id: {request_id}\r\n\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _start(status: int, media_type: str, now_s: int) -> str:
    """What all answers of one second have in common. Nothing that this server says may be kept by a cache."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    media = "" if status == HTTPStatus.NO_CONTENT else f"Content-Type: {media_type}\r\n"
    return f"HTTP/1.1 {status} {phrase}\r\nDate: {_date(now_s)}\r\nCache-Control: no-store\r\n{media}"


def _date(now_s: int) -> str:
    """An HTTP date. Not `strftime`: that follows the locale."""
    at = time.gmtime(now_s)
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year} {clock} GMT"
