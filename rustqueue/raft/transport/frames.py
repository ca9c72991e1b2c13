"""Bytes to frames, frames to bytes: four bytes of length, little-endian, then as much msgpack.

It must not know sockets, nor what a frame says. Invariants: a frame longer than the limit is refused by its length,
before any of it is kept; what is kept of a frame that is not complete is no more than what came of it; bytes become
values of the one type that was asked for, by msgspec, and nothing else.
"""

import struct
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from rustqueue.model import limits
from rustqueue.raft.links import Hello

_LENGTH: Final = struct.Struct("<I")
_ROOM: Final = bytes(_LENGTH.size)

_encoder: Final = msgspec.msgpack.Encoder()


class Refusal(Struct, array_like=True, tag="refusal", frozen=True):
    """The last frame to a peer that is not let in."""

    reason: str


Greeting = Hello | Refusal
greeting_decoder: Final[msgspec.msgpack.Decoder[Greeting]] = msgspec.msgpack.Decoder(Greeting)


class FrameTooLarge(Exception):
    """The length says more than the limit."""


class FrameReader:
    """Cuts a stream into frames. `frame_bytes_max` may change between two frames."""

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._partial = bytearray()
        self._needed_bytes = 0

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """The frames that are complete now, as views of the bytes that came. To be used up, or the stream is lost."""
        stream: bytes | bytearray = data
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed_bytes:
                return
            # Never resized again: a view of it may live on.
            stream, self._partial = self._partial, bytearray()
        view, start, end = memoryview(stream), 0, len(stream)
        self._needed_bytes = _LENGTH.size
        while end - start >= _LENGTH.size:
            length: int = _LENGTH.unpack_from(view, start)[0]
            if length > self.frame_bytes_max:
                raise FrameTooLarge(f"a frame of {length} bytes, at most {self.frame_bytes_max}")
            first = start + _LENGTH.size
            if end - first < length:
                self._needed_bytes = _LENGTH.size + length
                break
            start = first + length
            yield view[first:start]
        if start < end:
            self._partial += view[start:]


def append_frame(out: bytearray, message: object) -> int:
    """Add a frame to `out` and return its length; `FrameTooLarge`, or whatever msgspec raises, leaves it as it was."""
    start = len(out)
    out += _ROOM
    try:
        _encoder.encode_into(message, out, -1)
        length = len(out) - start - _LENGTH.size
        if length > limits.PEER_FRAME_BYTES_MAX:
            raise FrameTooLarge(f"a frame of {length} bytes, at most {limits.PEER_FRAME_BYTES_MAX}")
    except Exception:
        del out[start:]
        raise
    _LENGTH.pack_into(out, start, length)
    return length


def frame_of(message: object) -> bytes:
    out = bytearray()
    append_frame(out, message)
    return bytes(out)
