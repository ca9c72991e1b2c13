"""Where in a request a decoder's error lies: the types that may stand there, and the text that stood there.

It must not know what is wrong. Only the way to an error comes here; nothing of it is on the hot path.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, inspect

from rustqueue.model import limits

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]")
"""A member by its name, or an element, or a value of a mapping, of which the decoder does not tell the key."""

_members: Final = msgspec.json.Decoder(dict[str, Raw])
_elements: Final = msgspec.json.Decoder(list[Raw])


class Place(NamedTuple):
    """`given` is the JSON text at the place; None where it cannot be told any more."""

    types: tuple[inspect.Type, ...]
    given: bytes | None


def place_of(kind: type[msgspec.Struct], path: str, text: bytes = b"") -> Place:
    """The place at a path as the decoder spells it (`scopes[0].verbs[1]`). A long `text` is not searched."""
    place = Place((_type_of(kind),), text if 0 < len(text) <= limits.MISTAKE_TEXT_BYTES_MAX else None)
    for step in _STEP.finditer(path):
        name, element = step[1], step[2]
        types = tuple(inner for one in _likely(place) for inner in _inside(one, name))
        place = Place(types, _given_inside(place.given, name, element))
    return place


def field_names(place: Place) -> list[str]:
    """The members that the objects at a place may have."""
    structs = [one for one in _likely(place) if isinstance(one, inspect.StructType)]
    return list(dict.fromkeys(field.encode_name for one in structs for field in one.fields))


def members_of(given: bytes | None) -> dict[str, Raw]:
    """What an object holds; nothing if it is none."""
    try:
        return {} if given is None else _members.decode(given)
    except (msgspec.MsgspecError, RecursionError):
        return {}


def elements_of(given: bytes | None) -> list[Raw]:
    """What a list holds; nothing if it is none."""
    try:
        return [] if given is None else _elements.decode(given)
    except (msgspec.MsgspecError, RecursionError):
        return []


def forms(place: inspect.Type) -> Iterator[inspect.Type]:
    """What a place may hold, one by one."""
    match place:
        case inspect.UnionType():
            for one in place.types:
                yield from forms(one)
        case inspect.Metadata():
            yield from forms(place.type)
        case _:
            yield place


@cache
def _type_of(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _likely(place: Place) -> list[inspect.Type]:
    """The forms at a place; of objects that a tag tells apart the one that was meant, where that can be told."""
    found = [one for among in place.types for one in forms(among)]
    tagged = [one for one in found if isinstance(one, inspect.StructType) and one.tag_field is not None]
    if len(tagged) < 2:
        return found
    members = members_of(place.given)
    meant = [one for one in tagged if bytes(members.get(one.tag_field or "", b"")) == f'"{one.tag}"'.encode()]
    return [*meant] or found


def _inside(place: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    """One step down: into the member of that name, or into an element for None."""
    match place:
        case inspect.StructType() if name is not None:
            if name == place.tag_field:
                yield inspect.LiteralType((str(place.tag),))
            yield from (field.type for field in place.fields if field.encode_name == name)
        case inspect.ListType() if name is None:
            yield place.item_type
        case inspect.DictType() if name is None:
            yield place.value_type


def _given_inside(given: bytes | None, name: str | None, element: str) -> bytes | None:
    if name is not None:
        found = members_of(given).get(name)
        return None if found is None else bytes(found)
    if not element.isdecimal():
        return None
    elements = elements_of(given)
    return bytes(elements[int(element)]) if int(element) < len(elements) else None
