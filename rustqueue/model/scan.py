"""What a JSON decoder does not tell: nesting of raw payloads, keys given twice, and decoder errors in our terms.

Knows nothing of commands; works on text and on the decoder's messages.
"""

import json
import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from rustqueue.model.errors import ApiError, ParseError, UnknownCommand, ValidationFailed

_members: Final = msgspec.json.Decoder(dict[str, Raw])
_elements: Final = msgspec.json.Decoder(list[Raw])

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def json_depth(text: bytes) -> int:
    """Deepest nesting of a valid JSON text."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", text):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


_OWN_OBJECTS: Final = frozenset(
    {"options", "defaults", "filter", "limits", "retention", "completed", "dlq", "cancelled"}
)
_OWN_LISTS: Final = frozenset({"jobs", "items", "queues"})
_BRACE: Final = ord("{")
_BRACKET: Final = ord("[")


def refuse_duplicate_keys(text: bytes | Raw, field: str = "") -> None:
    """Raise for a key that stands twice in one of our own objects; payloads pass unchanged.

    A decoded object keeps one value a key. If keys, values and punctuation add up to the length of the text, then
    nothing was dropped.
    """
    members = _members.decode(text)
    text_bytes = memoryview(text).nbytes
    used = len("".join(members)) + len(b"".join(members.values()))
    if text_bytes not in (used + 4 * len(members) + 1, used + 6 * len(members)):
        _refuse_by_pairs(bytes(text), field)
    for key in members.keys() & _OWN_OBJECTS:
        value = members[key]
        if memoryview(value)[0] == _BRACE:
            refuse_duplicate_keys(value, key)
    for key in members.keys() & _OWN_LISTS:
        value = members[key]
        if memoryview(value)[0] == _BRACKET:
            for element in _elements.decode(value):
                if memoryview(element)[0] == _BRACE:
                    refuse_duplicate_keys(element, key)


def _refuse_by_pairs(raw: bytes, field: str) -> None:
    """The exact check of one object's own keys, for spellings whose length alone does not tell."""
    pairs = json.JSONDecoder(object_pairs_hook=_Pairs).decode(raw.decode("utf-8"))
    seen: set[str] = set()
    for key, _ in pairs.items:
        if key in seen:
            raise ValidationFailed(
                f"the key '{key}' stands twice in one object", key if not field else f"{field}.{key}"
            )
        seen.add(key)


class _Pairs:
    def __init__(self, items: list[tuple[str, Any]]) -> None:
        self.items = items


_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING_FIELD: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_BOUND: Final = re.compile(r"(?:of length )?[<>]=? (-?\d+)")


def api_error(error: msgspec.MsgspecError) -> ApiError:
    """The decoder's error in our terms: PARSE_ERROR, or VALIDATION_ERROR naming the field (422 shape, 400 value)."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return ParseError(f"The request is not valid JSON: {text}")
    reason, _, path = text.partition(" - at `")
    field = path.removesuffix("`").removeprefix("$").removeprefix(".")
    if found := _UNKNOWN_FIELD.match(reason):
        name = f"{field}.{found[1]}" if field else found[1]
        return ValidationFailed(f"unknown field '{name}'", name)
    if found := _MISSING_FIELD.match(reason):
        name = f"{field}.{found[1]}" if field else found[1]
        return ValidationFailed(f"missing field '{name}'", name, shape=True)
    if field == "cmd" and reason.startswith("Invalid value"):
        return UnknownCommand(reason.removeprefix("Invalid value ").strip("'"))
    if found := _BOUND.search(reason):
        return ValidationFailed(f"'{field}': {reason}", field, limit=int(found[1]))
    if reason.startswith("Invalid enum value") or "out of range" in reason.lower():
        return ValidationFailed(f"'{field}': {reason}", field)
    return ValidationFailed(f"'{field or 'request'}': {reason}", field or "request", shape=True)
