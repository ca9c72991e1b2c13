"""An HTTP request as the JSON line that TCP would send, so that one decoder serves both protocols.

Purpose: put the verb, the parameters of the path, the query, the idempotency key and the members of the body into one
object. It must not know what the members mean: `wire.decode_request` judges the line.

Why a spliced body cannot inject anything. For an object, `{` is replaced by `{"cmd":...,"id":...,`: what follows is
read in the same state of the JSON grammar, so the line is valid exactly when the body was. A member that stands in the
path as well stands twice in the line, which the decoder refuses. An array is checked to be one whole value first,
since text behind it could otherwise close it and go on.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from rustqueue.api.routes import METADATA, Body, Kind, Route, decoded
from rustqueue.model import ids, limits, wire
from rustqueue.model.errors import ParseError, UnknownCommand, ValidationFailed
from rustqueue.model.mistakes.decoding import api_error
from rustqueue.model.mistakes.nearest import advice

_PLAIN: Final = re.compile(r"[A-Za-z0-9._:+/= -]*", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_FLAGS: Final = {"1": b"true", "true": b"true", "0": b"false", "false": b"false"}
_SPACE: Final = b" \t\r\n"
_OPEN_OBJECT: Final = ord("{")
_OPEN_ARRAY: Final = ord("[")

_SPELLING_BYTES: Final = 64  # Enough of a batch to see how its first member is spelled.

_encoder: Final = msgspec.json.Encoder()
_whole: Final = msgspec.json.Decoder(Raw)
_members: Final = msgspec.json.Decoder(dict[str, Raw])


Member = tuple[bytes, bytes]


def guards(headers: Mapping[str, str]) -> list[Member]:
    """The headers If-Match and If-Owner as members (decisions C). A revision may stand in quotes, as an entity tag."""
    members: list[Member] = []
    revision, owner = headers.get("If-Match"), headers.get("If-Owner")
    if revision is not None:
        number = revision.strip().removeprefix('"').removesuffix('"')
        members.append((b"if_match", _query_value(Kind.NUMBER, "If-Match", number)))
    if owner is not None:
        members.append((b"if_owner", _quoted(owner, "If-Owner")))
    return members


def reading(headers: Mapping[str, str]) -> list[Member]:
    """The headers X-RustQueue-Consistency and X-RustQueue-Min-Index as members (decisions F)."""
    members: list[Member] = []
    consistency, min_index = headers.get("X-RustQueue-Consistency"), headers.get("X-RustQueue-Min-Index")
    if consistency is not None:
        members.append((b"consistency", _quoted(consistency, "X-RustQueue-Consistency")))
    if min_index is not None:
        members.append((b"min_index", _query_value(Kind.NUMBER, "X-RustQueue-Min-Index", min_index)))
    return members


def compose(
    route: Route, path: Mapping[str, str], query: str, key: str | None, body: bytes, guarded: Sequence[Member] = ()
) -> bytes:
    """The line. `key` is the header Idempotency-Key, `guarded` what `guards` made of others. Raises `ApiError` for what
    only HTTP can get wrong.
    """
    members: list[Member] = [(b"cmd", b'"%b"' % route.verb.encode()), *guarded]
    for name, text in path.items():
        members.append(_path_member(route, name, text))
    if query:
        members += _query_members(route, query)
    if key is not None and not route.is_safe:
        members.append((b"idempotency_key", _quoted(key, "Idempotency-Key")))
    first = body[0] if body else 0
    if first in _SPACE:
        body = body.strip(_SPACE)
        first = body[0] if body else 0
    if first == _OPEN_OBJECT and route.body is not Body.NONE:
        if route.missing:
            members += _unsaid(route, body)
        return b"{%b%b" % (_joined(members), _spliced(route, body))
    if first == _OPEN_ARRAY and route.body in (Body.PUSH, Body.ITEMS):
        return _around_array(route, members, body)
    if body:
        check_whole(body)
        raise _wrong_body(route)
    if route.body in (Body.OPTIONAL, Body.NONE):
        return b"{%b}" % _joined(members)
    raise ParseError("The request body is empty")


def decode(route: Route, line: bytes, body: bytes) -> wire.Request:
    """The request in a composed line. Errors of syntax count bytes from the start of the body, as the client does."""
    try:
        return wire.decode_request(line, data_required=route.body is Body.PUSH)
    except ParseError:
        check_whole(body)
        raise
    except UnknownCommand:
        # The route has said what is asked; a body that says it too is wrong whatever it says.
        raise ValidationFailed("unknown field 'cmd'", "cmd") from None


def _joined(members: list[Member]) -> bytes:
    return b",".join([b'"%b":%b' % member for member in members])


def _path_member(route: Route, name: str, text: str) -> Member:
    if name == "id" and route.path.startswith("/api/v1/jobs/") and not _is_job_id(text):
        raise ValidationFailed("'id' is neither a UUID nor 'custom:QUEUE:ID'", "id")
    return name.encode(), _quoted(text, name)


def _is_job_id(text: str) -> bool:
    return text.startswith("custom:") or ids.parse_id(text) is not None


def _query_members(route: Route, query: str) -> list[Member]:
    """Query keys as members; `metadata.KEY` are gathered in one object."""
    seen: set[str] = set()
    members: list[Member] = []
    metadata: list[bytes] = []
    for part in query.split("&"):
        if not part:
            continue
        name, _, text = part.partition("=")
        name, text = decoded(name.replace("+", " ")), decoded(text.replace("+", " "))
        if name in seen:
            raise ValidationFailed(f"the query key '{name}' is given twice", name)
        seen.add(name)
        is_metadata = name.startswith(METADATA) and METADATA in route.query
        kind = route.query.get(METADATA if is_metadata else name)
        if kind is None or name == METADATA:
            hint = advice(name, [key for key in route.query if key != METADATA])
            raise ValidationFailed(f"unknown query key '{name[:100]}'{hint}", name[:100])
        if is_metadata:
            metadata.append(_quoted(name.removeprefix(METADATA), name) + b":" + _quoted(text, name))
        else:
            members.append((name.encode(), _query_value(kind, name, text)))
    if metadata:
        members.append((b"metadata", b"{%b}" % b",".join(metadata)))
    return members


def _query_value(kind: Kind, name: str, text: str) -> bytes:
    if kind is Kind.TEXT:
        return _quoted(text, name)
    if kind is Kind.NUMBER:
        if _NUMBER.fullmatch(text) is None:
            raise ValidationFailed(f"'{name}' is not a whole number of at most 20 digits", name)
        return b"%d" % int(text)
    if text not in _FLAGS:
        raise ValidationFailed.none_of(name, list(_FLAGS))
    return _FLAGS[text]


def _quoted(text: str, field: str) -> bytes:
    """Text as a JSON string. Header values can hold bytes that are no UTF-8."""
    if _PLAIN.fullmatch(text) is not None:
        return b'"%b"' % text.encode("ascii")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ParseError(f"'{field}' is not valid UTF-8") from None
    return _encoder.encode(text)


def _spliced(route: Route, body: bytes) -> bytes:
    """The body's members and its closing brace, with a comma in front when there is a member."""
    if route.required:
        given = _members_of(body)
        for name in route.required:
            if name not in given:
                raise ValidationFailed(f"missing field '{name}'", name, shape=True)
    inner = body[1:] if body[1:2] not in (b" ", b"\t", b"\r", b"\n") else body[1:].lstrip(_SPACE)
    return inner if inner[:1] == b"}" else b"," + inner


def _unsaid(route: Route, body: bytes) -> list[Member]:
    """What the body means without saying so."""
    given = _members_of(body)
    return [(name.encode(), value) for name, value in route.missing if name not in given]


def _members_of(body: bytes) -> dict[str, Raw]:
    check_whole(body)
    return _members.decode(body)


def _around_array(route: Route, members: list[Member], body: bytes) -> bytes:
    check_whole(body)
    if route.body is Body.ITEMS:
        return b'{%b,"items":%b}' % (_joined(members), body)
    members[0] = (b"cmd", b'"push_batch"')
    members.append((b"jobs", body))
    if b'": ' in body[:_SPELLING_BYTES]:
        # The decoder proves by its length that a batch holds no key twice, if all of it is spelled in one way. Many
        # JSON libraries put a space behind each separator; the line then does so too.
        return b"{%b}" % b", ".join([b'"%b": %b' % member for member in members])
    return b"{%b}" % _joined(members)


def check_whole(body: bytes) -> None:
    """Raise unless the body is one JSON value."""
    try:
        body.decode("utf-8") if not body.isascii() else None
        _whole.decode(body)
    except UnicodeDecodeError as error:
        raise ParseError(f"The request is not valid UTF-8 (byte {error.start})") from None
    except msgspec.MsgspecError as error:
        raise api_error(error) from None
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> ValidationFailed:
    limit = limits.JSON_DEPTH_MAX
    return ValidationFailed(f"'request' is nested deeper than {limit} levels", "request", limit=limit)


def _wrong_body(route: Route) -> ValidationFailed:
    if route.body is Body.NONE:
        return ValidationFailed("this request takes no body", "body")
    expected = "an object or an array" if route.body in (Body.PUSH, Body.ITEMS) else "an object"
    return ValidationFailed(f"the body must be {expected}", "body", shape=True)
