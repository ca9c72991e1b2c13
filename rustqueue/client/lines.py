"""The TCP framing: one JSON object a line (contract A7). Sans-IO.

A call with a `request_id` may be answered out of order; its answer carries the id.
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from rustqueue.client.call import Answer
from rustqueue.client.errors import InvalidRequest, http_port
from rustqueue.client.token import Token, text_of
from rustqueue.model import limits
from rustqueue.model.queries import Auth

_encode: Final = msgspec.json.Encoder().encode
_id_at_end: Final = re.compile(rb',"request_id":(\d+)\}\Z')
_ID_TAIL_BYTES: Final = 40


class _Tagged(Struct, frozen=True):
    request_id: int | str | None = None


_tagged: Final = msgspec.json.Decoder(_Tagged)


class Lines:
    """Framing of newline JSON; `token` is presented first on every connection."""

    multiplexed = True

    def __init__(self, token: Token | None = None) -> None:
        self._token = token

    def greeting(self) -> bytes:
        token = text_of(self._token)
        return b"" if token is None else self.encode(Auth(token=token), None, None)

    def encode(self, request: Struct, key: str | None, request_id: int | None) -> bytes:
        text = _encode(request)
        extra = b"" if key is None else b',"idempotency_key":' + _encode(key)
        if request_id is not None:
            extra += b',"request_id":%d' % request_id
        line = text[:-1] + extra + b"}\n"
        # The server closes the connection after a line that is too long, which would fail every other call on it.
        if len(line) > limits.LINE_BYTES_MAX:
            limit = limits.LINE_BYTES_MAX
            details = {"field": "line", "limit": limit}
            raise InvalidRequest("TOO_LARGE", f"the request is larger than {limit} bytes", 413, details)
        return line

    def parser(self) -> "LineParser":
        return LineParser()


class LineParser:
    """Splits what comes in at newlines. A long line is joined once, not at every piece. Raises `NetworkError` for the
    answer of an HTTP port.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> list[Answer]:
        if b"\n" not in data:
            self._pieces.append(data)
            return []
        self._pieces.append(data)
        *lines, rest = b"".join(self._pieces).split(b"\n")
        self._pieces = [rest] if rest else []
        if lines[0].startswith(b"HTTP/"):
            raise http_port()
        return [Answer(line, request_id=_request_id(line)) for line in lines]

    def end(self) -> list[Answer]:
        return []


def _request_id(line: bytes) -> int | None:
    """The id that the answer carries. What stands last in the line belongs to the outermost object, so a look at the
    end is enough where the server puts it there.
    """
    if found := _id_at_end.search(line, max(0, len(line) - _ID_TAIL_BYTES)):
        return int(found[1])
    try:
        request_id = _tagged.decode(line).request_id
    except msgspec.MsgspecError:
        return None
    return request_id if isinstance(request_id, int) else None
