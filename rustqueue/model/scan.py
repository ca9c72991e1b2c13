"""What a JSON decoder does not tell: nesting of raw payloads, and keys given twice.

Knows nothing of commands; works on text.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from rustqueue.model.errors import ValidationFailed

_members: Final = msgspec.json.Decoder(dict[str, Raw])
_elements: Final = msgspec.json.Decoder(list[Raw])

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKEN: Final = re.compile(rb'("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
"""A key with its colon, another string, or a bracket."""


_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{[}]")
_OPENING: Final = frozenset(b"{[")


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether a JSON text is nested deeper than so many levels."""
    depth = 0
    for byte in _STRING.sub(b"", text).translate(None, _NO_BRACKETS):
        if byte in _OPENING:
            depth += 1
            if depth > levels:
                return True
        else:
            depth -= 1
    return False


_OWN_OBJECTS: Final = frozenset(
    {
        "options",
        "defaults",
        "filter",
        "limits",
        "retention",
        "completed",
        "dlq",
        "cancelled",
        "labels",
        "owner",
        "rate",
        "job_options",
        "headers",
        "retry",
    }
)
_OWN_LISTS: Final = frozenset({"jobs", "items", "queues", "operations"})
_OWN_VALUES: Final = _OWN_OBJECTS | _OWN_LISTS
_BRACE: Final = ord("{")
_BRACKET: Final = ord("[")


def refuse_duplicate_keys(text: bytes | Raw, field: str = "") -> None:
    """Raise for a key that stands twice in one of our own objects; payloads pass unchanged.

    A decoded object keeps one value a key, so a dropped one shows: in length where the text has no spaces, else in the
    number of colons, since our keys hold none and every value says how many are its own.
    """
    members = _members.decode(text)
    values = members.values()
    shortest = len("".join(members)) + len(b"".join(values)) + 4 * len(members) + 1
    if memoryview(text).nbytes != shortest and len(members) != own_colons(bytes(text), map(bytes, values)):
        raise _twice(bytes(text), field)
    if _OWN_VALUES.isdisjoint(members):
        return
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


def own_colons(text: bytes, inner: Iterable[bytes]) -> int:
    """Colons of a text that stand in none of its inner texts. Outside strings a colon always ends a key."""
    return text.count(b":") - sum([part.count(b":") for part in inner])


def _twice(text: bytes, field: str) -> ValidationFailed:
    """Find the first key that an object has twice. Walks its tokens, since a payload inside may be deep or huge."""
    seen: set[str] = set()
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token[0][:1]
        if mark in b"{[":
            depth += 1
        elif mark in b"}]":
            depth -= 1
        elif depth == 1 and token[1]:
            key = msgspec.json.decode(token[1], type=str)
            if key in seen:
                named = key if not field else f"{field}.{key}"
                return ValidationFailed(f"the key '{key}' stands twice in one object", named)
            seen.add(key)
    raise AssertionError("an object lost a member though no key stands in it twice")
