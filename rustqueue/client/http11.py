"""The HTTP/1.1 framing: one exchange at a time over a kept connection. Sans-IO.

Only what a client of our own API needs: requests with a length, answers with a length, in chunks or until the end.
"""

import re
from typing import Final

from msgspec import Struct

from rustqueue.client.call import Answer
from rustqueue.client.errors import InvalidRequest, NetworkError, tcp_port
from rustqueue.client.routes import conditions_of, target_of
from rustqueue.client.token import Token, text_of
from rustqueue.model import limits

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: .*)?")
_END_OF_HEAD: Final = b"\r\n\r\n"
_NO_BODY: Final = frozenset({204, 304})


class Http11:
    """Framing of HTTP requests to one host."""

    multiplexed = False

    def __init__(self, authority: str, prefix: str = "", token: Token | None = None) -> None:
        self._prefix = f"{prefix}/api/v1"
        self._host = f"\r\nHost: {authority}\r\n"
        self._token = token
        self._fixed = None if callable(token) else self._host + _authorization(token)

    @property
    def _head(self) -> str:
        return self._fixed if self._fixed is not None else self._host + _authorization(text_of(self._token))

    def greeting(self) -> bytes:
        return b""

    def encode(self, request: Struct, key: str | None, request_id: int | None) -> bytes:
        method, path, body = target_of(request)
        head = f"{method} {self._prefix}{path} HTTP/1.1{self._head}"
        if key is not None:
            head += f"Idempotency-Key: {_header_value(key, 'idempotency_key')}\r\n"
        for name, value in conditions_of(request).items():
            head += f"{name}: {_header_value(value, name)}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        elif method != "GET":
            head += "Content-Length: 0\r\n"
        return f"{head}\r\n".encode("ascii") + (body or b"")

    def parser(self) -> "HttpParser":
        return HttpParser()


def _authorization(token: str | None) -> str:
    return "" if token is None else f"Authorization: Bearer {_header_value(token, 'token')}\r\n"


def _header_value(value: str, field: str) -> str:
    """A line break in a header would start another header."""
    if not (value.isascii() and value.isprintable()):
        raise InvalidRequest("VALIDATION_ERROR", f"'{field}' may only hold printable ASCII", 400, {"field": field})
    return value


class HttpParser:
    """Parses one answer after the other. Raises `NetworkError` for what is no HTTP."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None

    def feed(self, data: bytes) -> list[Answer]:
        self._buffer += data
        answers = []
        while (answer := self._next()) is not None:
            answers.append(answer)
        return answers

    def end(self) -> list[Answer]:
        head = self._head
        if head is None or head.length is not None or head.chunked:
            return []
        self._head = None
        return [head.answer(bytes(self._buffer), last=True)]

    def _next(self) -> Answer | None:
        head = self._head or self._parse_head()
        if head is None:
            return None
        self._head = head
        body = self._chunks() if head.chunked else self._counted(head.length)
        if body is None:
            return None
        self._head = None
        return head.answer(body, last=head.closes)

    def _parse_head(self) -> "_Head | None":
        while True:
            end = self._buffer.find(_END_OF_HEAD)
            if end < 0:
                if self._buffer.startswith(b"{"):
                    # A line of JSON has no end of headers: without this the call would wait for one to the last.
                    raise tcp_port()
                if len(self._buffer) > limits.HEADER_BYTES_MAX:
                    raise NetworkError("The answer has no end of its headers", sent=True)
                return None
            head = _Head(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_END_OF_HEAD)]
            if head.status >= 200:  # An interim answer (1xx) only announces the final one.
                return head

    def _counted(self, length: int | None) -> bytes | None:
        if length is None or len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _chunks(self) -> bytes | None:
        """The joined chunks once the last one is there. Looked through from the start each time: our own server does
        not send chunks, only a proxy in between may.
        """
        position = 0
        pieces: list[bytes] = []
        while True:
            line_end = self._buffer.find(b"\r\n", position)
            if line_end < 0:
                return None
            try:
                size = int(self._buffer[position:line_end].partition(b";")[0], 16)
            except ValueError:
                raise NetworkError("The answer has a chunk without a size", sent=True) from None
            start = line_end + 2
            if size == 0:
                return self._after_trailers(start, pieces)
            if len(self._buffer) < start + size + 2:
                return None
            pieces.append(bytes(self._buffer[start : start + size]))
            position = start + size + 2

    def _after_trailers(self, start: int, pieces: list[bytes]) -> bytes | None:
        """Trailers are lines like headers and end, as those do, with an empty line."""
        end = self._buffer.find(_END_OF_HEAD, start - 2)
        if end < 0:
            return None
        del self._buffer[: end + len(_END_OF_HEAD)]
        return b"".join(pieces)


class _Head:
    """Status line and the few headers that matter."""

    __slots__ = ("chunked", "closes", "length", "retry_after_s", "status")

    def __init__(self, text: bytes) -> None:
        status_line, *lines = text.split(b"\r\n")
        found = _STATUS_LINE.fullmatch(status_line)
        if found is None:
            raise NetworkError(f"The answer is not HTTP: {status_line[:60]!r}", sent=True)
        self.status = int(found[1])
        self.closes = status_line.startswith(b"HTTP/1.0")
        self.chunked = False
        self.length: int | None = 0 if self.status in _NO_BODY else None
        self.retry_after_s: float | None = None
        for line in lines:
            name, _, value = line.partition(b":")
            self._take(name.strip().lower(), value.strip().lower())

    def _take(self, name: bytes, value: bytes) -> None:
        match name:
            case b"content-length":
                if not value.isdigit():
                    raise NetworkError("The answer has a length that is no number", sent=True)
                self.length = int(value)
            case b"transfer-encoding":
                self.chunked = value == b"chunked"
            case b"connection":
                self.closes = value == b"close" or (self.closes and value != b"keep-alive")
            case b"retry-after" if value.isdigit():
                self.retry_after_s = float(value)
            case _:
                return

    def answer(self, body: bytes, last: bool) -> Answer:
        return Answer(body, self.status, self.retry_after_s, None, last or (self.length is None and not self.chunked))
