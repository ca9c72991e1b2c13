"""Requests of the second system as requests of the vocabulary.

It must not know what a job is. What differs from our own routes does so because that system's clients rely on it:
members that it does not know are passed over, a limit out of range is taken as the nearest good one, and a body of the
wrong shape is 422 whatever is wrong with it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from rustqueue.api.compose import check_whole
from rustqueue.api.context import context_of
from rustqueue.api.refusals import shown
from rustqueue.api.routes import Route, decoded
from rustqueue.model import ids, limits, wire
from rustqueue.model.commands import Cancel, PushJobs
from rustqueue.model.errors import ParseError, ValidationFailed
from rustqueue.model.kinds.requests import JobCreate, KindJobGet, KindJobList
from rustqueue.model.kinds.values import Status
from rustqueue.model.mistakes.decoding import api_error
from rustqueue.model.scan import own_colons
from rustqueue.model.wire import Request

Asked = tuple[Request, bytes]
"""The request, and its text for the log."""

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_STATUSES: Final = frozenset(Status)
_READING: Final = {"X-RustQueue-Consistency": "consistency", "X-RustQueue-Min-Index": "min_index"}


class _Body(Struct, frozen=True):
    kind: Annotated[str, Meta(min_length=1, max_length=limits.QUEUE_NAME_BYTES_MAX)]
    payload: Raw
    max_attempts: Annotated[int, Meta(ge=1, le=limits.ATTEMPTS_MAX)] | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=limits.IDEMPOTENCY_KEY_BYTES_MAX)] | None = None


R = TypeVar("R", KindJobGet, KindJobList)

_body: Final = msgspec.json.Decoder(_Body)
_members: Final = msgspec.json.Decoder(dict[str, Raw])


class Sent(NamedTuple):
    """What came beside the path. `scope` says whose idempotency key it is."""

    headers: Mapping[str, str]
    body: bytes
    scope: str


def asked(route: Route, path: Mapping[str, str], query: str, sent: Sent) -> Asked:
    """What is asked. Raises `ApiError`."""
    headers = sent.headers
    if route.verb == "job_create":
        create = _creation(headers.get("Idempotency-Key"), sent)
        return create[0], wire.encode_command(create[1])
    request: Request
    if route.verb == "job_list":
        request = _read(_page(_pairs(query)), headers, KindJobList)
    elif route.verb == "job_get":
        request = _read({"id": _id_of(path)}, headers, KindJobGet)
    else:
        request = Cancel(id=_id_of(path), running=True)
    return request, wire.encode_command(request)


def _creation(key: str | None, sent: Sent) -> tuple[PushJobs, JobCreate]:
    """The header wins over the member of the body."""
    body = sent.body
    if key is not None:
        _check_key(key)
    if not body:
        raise ParseError("The request body is empty")
    check_whole(body)
    try:
        given = _body.decode(body)
        _refuse_twice(body)
        create = JobCreate(
            kind=given.kind,
            payload=given.payload,
            max_attempts=given.max_attempts,
            key=given.idempotency_key if key is None else key,
            scope=sent.scope,
            traceparent=context_of(sent.headers),
        )
        return wire.creation(create), create
    except msgspec.MsgspecError as error:
        problem = api_error(error, _Body, body)
        raise ValidationFailed(_plain(problem.message), (problem.details or {}).get("field"), shape=True) from None
    except ValidationFailed as error:
        raise ValidationFailed(_plain(error.message), (error.details or {}).get("field"), shape=True) from None


def _refuse_twice(body: bytes) -> None:
    """Raise for a member that stands twice: the decoder has kept one of them.

    Outside of strings a colon always ends a key; what is left of a text without the values that were kept has more of
    them than there are keys if one was dropped. A colon that a key spells by an escape only hides that.
    """
    members = _members.decode(body)
    keys = len(members) + sum(name.count(":") for name in members)
    if own_colons(body, map(bytes, members.values())) > keys:
        twice = next((name for name in _Body.__struct_fields__ if body.count(f'"{name}"'.encode()) > 1), None)
        raise ValidationFailed("a key stands twice" if twice is None else f"the key '{twice}' stands twice", twice)


def _check_key(key: str) -> None:
    limit = limits.IDEMPOTENCY_KEY_BYTES_MAX
    try:
        bytes_count = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        raise ParseError("'Idempotency-Key' is not valid UTF-8") from None
    if not 1 <= bytes_count <= limit:
        reason = f"'Idempotency-Key' must have 1 to {limit} bytes"
        raise ValidationFailed(reason, "Idempotency-Key", limit=limit)


def _plain(message: str) -> str:
    return message.removeprefix("Validation error: ")


def _id_of(path: Mapping[str, str]) -> str:
    if ids.parse_id(path["id"]) is None:
        raise ValidationFailed("the job id is no UUID", "id")
    return path["id"]


def _pairs(query: str) -> dict[str, str]:
    """The keys of a query. One that is not known passes."""
    pairs: dict[str, str] = {}
    for part in query.split("&"):
        name, _, text = part.partition("=")
        name = decoded(name.replace("+", " "))
        if name in pairs:
            raise ValidationFailed(f"the query key '{name}' is given twice", name)
        if part:
            pairs[name] = decoded(text.replace("+", " "))
    return pairs


def _page(pairs: Mapping[str, str]) -> dict[str, Any]:
    """The filters and the place in the list; numbers out of range count as the nearest good ones."""
    found: dict[str, Any] = {name: pairs[name] for name in ("consistency", "min_index") if name in pairs}
    if "kind" in pairs:
        wire.check_name(pairs["kind"], "kind", limits.QUEUE_NAME_BYTES_MAX)
        found["kind"] = pairs["kind"]
    if "status" in pairs:
        if pairs["status"] not in _STATUSES:
            reason = f"unknown status '{shown(pairs['status'])}', expected one of {', '.join(Status)}"
            raise ValidationFailed(reason, "status")
        found["status"] = Status(pairs["status"])
    if "limit" in pairs:
        found["limit"] = min(max(_number("limit", pairs["limit"]), 1), limits.KIND_LIST_MAX)
    if "offset" in pairs:
        found["offset"] = min(max(_number("offset", pairs["offset"]), 0), limits.COUNT_MAX)
    return found


def _number(name: str, text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise ValidationFailed(f"'{name}' is not a whole number", name)
    return int(text)


def _read(values: dict[str, Any], headers: Mapping[str, str], kind: type[R]) -> R:
    """A query, as fresh as its keys or headers ask (decisions D)."""
    for header, name in _READING.items():
        text = headers.get(header)
        if text is not None:
            values[name] = text
    if "min_index" in values:
        values["min_index"] = _number("min_index", values["min_index"])
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise api_error(error, kind, msgspec.json.encode(values)) from None
