"""The header `traceparent` of a request that makes jobs, as what these jobs carry (W3C trace context).

It must not know spans: whether this node makes any is another matter. Invariants: what a body says of a job wins over
the header; a header that is no context is passed over, as the recommendation has it, and never a mistake of the client;
the body that comes out is whole JSON exactly when the one that went in was.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from rustqueue.model import limits

HEADER: Final = "traceparent"

_CONTEXT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]*)?", re.ASCII
)
_OWN_VERSION: Final = "00-"
_OWN_BYTES: Final = 55
_NAME: Final = b'"traceparent"'
_SPACE: Final = b" \t\r\n"

_members: Final = msgspec.json.Decoder(dict[str, Raw])
_elements: Final = msgspec.json.Decoder(list[Raw])


def context_of(headers: Mapping[str, str]) -> str | None:
    """The context that the header names, None for none that can be used."""
    text = headers.get(HEADER)
    if text is None or len(text) > limits.TRACEPARENT_BYTES_MAX or _CONTEXT.fullmatch(text) is None:
        return None
    # Later versions may be longer; this one may not, and no text may end the JSON string that it shall stand in.
    is_longer = len(text) > _OWN_BYTES
    return None if is_longer and (text.startswith(_OWN_VERSION) or '"' in text or "\\" in text) else text


def with_context(body: bytes, context: str) -> bytes:
    """The body of a push, each job in it with that context unless it names one. What is no job stays as it is."""
    whole = body.strip(_SPACE)
    member = b'%b:"%b"' % (_NAME, context.encode("ascii"))
    if whole.startswith(b"["):
        try:
            jobs = _elements.decode(whole)
        except (msgspec.MsgspecError, RecursionError):
            return body
        carrying = b"[%b]" % b",".join([_carrying(bytes(job), member) for job in jobs])
    else:
        carrying = _carrying(whole, member)
    return carrying if len(carrying) <= limits.BODY_BYTES_MAX else body


def _carrying(job: bytes, member: bytes) -> bytes:
    if not job.startswith(b"{") or (_NAME in job and _names_one(job)):
        return job
    rest = job[1:].lstrip(_SPACE)
    return job if rest.startswith(b"}") else b"{%b,%b" % (member, rest)


def _names_one(job: bytes) -> bool:
    """Whether it is the job itself, or its options, that names a context, not something in a payload."""
    try:
        members = _members.decode(job)
        options = members.get("options")
        nested = _members.decode(options) if options is not None and bytes(options).startswith(b"{") else {}
    except (msgspec.MsgspecError, RecursionError):
        return True
    return HEADER in members or HEADER in nested
