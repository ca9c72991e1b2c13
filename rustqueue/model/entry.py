"""The log entry: what is journalled, replicated and replayed.

One entry carries all commands of one loop turn together with the two things a deterministic machine cannot make
itself: the time and sixteen random bytes. A command is kept as the JSON text that decodes into it, so a TCP line is
logged as the client sent it.
"""

import msgspec

ENTRY_VERSION = 1
"""Version of the envelope and of the meaning of the commands inside; a change of either raises it (design 4.8)."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`now_ms` is the leader's stamp (never decreasing along the log); `seed` is 16 random bytes; `term` the leader's
    term.
    """

    version: int
    term: int
    now_ms: int
    seed: bytes
    commands: list[bytes]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def decode_entry(blob: bytes) -> Entry:
    """Raises `msgspec.DecodeError` for bytes that are no entry: the journal's checksum was right, so that is a
    version mismatch.
    """
    return _decoder.decode(blob)
