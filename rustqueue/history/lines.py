"""A history: one line of JSON for every call of every client as it ended, for what was done to the nodes meanwhile, and
for the state of the queue at the end.

The only thing that the judge knows. Invariant: a call is written down with the reply that came, or with none when the
connection broke before one came; nothing is concluded here. All times are one machine's monotonic microseconds.
"""

from typing import Any

import msgspec
from msgspec import Struct

Object = dict[str, Any]


class Call(Struct, frozen=True, tag="call", tag_field="kind", omit_defaults=True):
    """One request. Repeats of one command have the same `op`. `reply` is None when the outcome is unknown. `node` is
    where it was asked.
    """

    client: str
    op: str
    request: Object
    reply: Object | None
    start_us: int
    end_us: int
    node: str = ""


class Down(Struct, frozen=True, tag="down", tag_field="kind"):
    """A client noticed that its connection is gone: it will hear no more replies of that node's life."""

    client: str


class Broken(Struct, frozen=True, tag="broken", tag_field="kind"):
    """A client met something that no node may do: an answer that is no JSON, a 500, a reply for another request."""

    client: str
    reason: str


class Event(Struct, frozen=True, tag="event", tag_field="kind"):
    """What was done to the nodes. `fault` begins a fault and `healed` ends it; `details` name its `kind`."""

    what: str
    at_us: int
    details: Object


class JobLine(Struct, frozen=True, tag="job", tag_field="kind"):
    """A job as it was listed at the end."""

    job: Object


class CountsLine(Struct, frozen=True, tag="counts", tag_field="kind"):
    """The counts of all queues at the end; behind it the state is complete."""

    counts: dict[str, dict[str, int]]


class EndLine(Struct, frozen=True, tag="end", tag_field="kind"):
    """The clients ended by themselves."""


Line = Call | Down | Broken | Event | JobLine | CountsLine | EndLine

_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode_line(line: Line) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def decode_line(text: bytes) -> Line:
    return _decoder.decode(text)
