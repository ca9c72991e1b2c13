"""What the clients of a crash test saw: one line of JSON for every call, as it ended.

The only thing that the judge knows beside the state of the node. Invariant: a call is written down with the reply that
came, or with none when the connection broke before one came; nothing is concluded here.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

Object = dict[str, Any]


class Call(Struct, frozen=True, tag="call", tag_field="kind"):
    """One request. Repeats of one command have the same `op`. `reply` is None when the outcome is unknown."""

    client: str
    op: str
    request: Object
    reply: Object | None
    start_us: int
    end_us: int


class Down(Struct, frozen=True, tag="down", tag_field="kind"):
    """A client noticed that its connection is gone: it will hear no more replies of that node's life."""

    client: str


class Broken(Struct, frozen=True, tag="broken", tag_field="kind"):
    """A client met something that no node may do: an answer that is no JSON, a 500, a reply for another request."""

    client: str
    reason: str


class Event(Struct, frozen=True, tag="event", tag_field="kind"):
    """What the crash test itself did to the node."""

    what: Literal["start", "kill", "cut", "stop", "checked"]
    at_us: int
    details: Object


Line = Call | Down | Broken | Event

_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode_line(line: Line) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def decode_line(text: bytes) -> Line:
    return _decoder.decode(text)
