"""WebSocket frames (RFC 6455): bytes to messages and back, for both ends. Sans-IO.

It must not know what a message says, nor a socket. Extensions are not spoken, so their bits are faults. Invariants:
no more is kept of a message than its limit; what breaks the protocol raises once, with the code to close with.
"""

import base64
import hashlib
import re
import struct
from typing import Final, NamedTuple

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_PROTOCOL: Final = 1002
CLOSE_NOT_TEXT: Final = 1007
CLOSE_POLICY: Final = 1008
CLOSE_TOO_LARGE: Final = 1009
CLOSE_NO_CODE: Final = 1005
"""Never sent: it stands for a close that gave no code."""

CONTROL_BYTES_MAX: Final = 125
KEY_BYTES: Final = 16
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==", re.ASCII)
_KNOWN: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_SENT_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015)})


class Message(NamedTuple):
    """A whole message, or a control frame."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        """Of a close frame."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else CLOSE_NO_CODE

    @property
    def close_reason(self) -> str:
        return self.payload[2:].decode("utf-8", "replace")


class ProtocolViolation(Exception):
    """The other end broke the rules; the connection ends with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def accept_of(key: str) -> str | None:
    """The value that answers a `Sec-WebSocket-Key`, or None when that is no key."""
    if _KEY.fullmatch(key) is None:
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def frame(opcode: int, payload: bytes, mask: bytes | None = None) -> bytes:
    """One final frame. Clients give four bytes of chance as `mask`, servers none."""
    size, flag = len(payload), 0 if mask is None else 0x80
    if size < 126:
        head = bytes((0x80 | opcode, flag | size))
    elif size < 65_536:
        head = struct.pack(">BBH", 0x80 | opcode, flag | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, flag | 127, size)
    return head + payload if mask is None else head + mask + _masked(payload, mask)


def text_frame(payload: bytes) -> bytes:
    """What a server sends for one message of text."""
    return frame(TEXT, payload)


def close_frame(code: int, reason: str = "", mask: bytes | None = None) -> bytes:
    text = reason.encode()[: CONTROL_BYTES_MAX - 2].decode("utf-8", "ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + text, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    pattern = mask * (size // 4 + 1)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern[:size], "big")).to_bytes(size, "big")


class FrameReader:
    """What was received, cut into messages. `masked`: whether the other end is a client, which has to mask."""

    def __init__(self, *, masked: bool, message_bytes_max: int) -> None:
        self._masked = masked
        self._limit = message_bytes_max
        self._buffer = bytearray()
        self._parts = bytearray()
        self._parts_opcode = CONTINUATION

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises `ProtocolViolation`."""
        self._buffer += data
        messages = []
        while (part := self._next_frame()) is not None:
            message = self._taken(*part)
            if message is not None:
                messages.append(message)
        return messages

    def _next_frame(self) -> tuple[int, bool, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, final, size = buffer[0] & 0x0F, bool(buffer[0] & 0x80), buffer[1] & 0x7F
        self._check_head(opcode, final, size)
        start = 2
        if size > CONTROL_BYTES_MAX:
            start += 2 if size == 126 else 8
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if opcode < CLOSE and size + len(self._parts) > self._limit:
            raise ProtocolViolation(CLOSE_TOO_LARGE, f"a message is larger than {self._limit} bytes")
        mask = b""
        if self._masked:
            mask = bytes(buffer[start : start + 4])
            start += 4
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        del buffer[: start + size]
        return opcode, final, _masked(payload, mask) if mask else payload

    def _check_head(self, opcode: int, final: bool, size: int) -> None:
        first, second = self._buffer[0], self._buffer[1]
        if first & 0x70:
            raise ProtocolViolation(CLOSE_PROTOCOL, "a reserved bit is set")
        if opcode not in _KNOWN:
            raise ProtocolViolation(CLOSE_PROTOCOL, "unknown kind of frame")
        if bool(second & 0x80) != self._masked:
            raise ProtocolViolation(CLOSE_PROTOCOL, "a client masks its frames, a server does not")
        if opcode >= CLOSE and (size > CONTROL_BYTES_MAX or not final):
            raise ProtocolViolation(CLOSE_PROTOCOL, "a control frame is long or in parts")

    def _taken(self, opcode: int, final: bool, payload: bytes) -> Message | None:
        if opcode >= CLOSE:
            if opcode == CLOSE:
                _check_close(payload)
            return Message(opcode, payload)
        if (opcode == CONTINUATION) != bool(self._parts_opcode):
            raise ProtocolViolation(CLOSE_PROTOCOL, "the parts of a message are out of order")
        self._parts_opcode = self._parts_opcode or opcode
        self._parts += payload
        if not final:
            return None
        whole, opcode = bytes(self._parts), self._parts_opcode
        self._parts, self._parts_opcode = bytearray(), CONTINUATION
        if opcode == TEXT:
            _check_text(whole)
        return Message(opcode, whole)


def _check_close(payload: bytes) -> None:
    if not payload:
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _SENT_CODES or 3000 <= code < 5000):
        raise ProtocolViolation(CLOSE_PROTOCOL, "a close frame has no good code")
    _check_text(payload[2:])


def _check_text(payload: bytes) -> None:
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation(CLOSE_NOT_TEXT, "a text is not UTF-8") from None
