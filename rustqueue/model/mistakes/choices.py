"""The closed set behind a field: what may stand where a client wrote something else.

The sets are read off the types, so that none is written down a second time and a new one is told of by itself. Only the
way to an error comes here; nothing of it is on the hot path.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, get_args

import msgspec
from msgspec import inspect

_STEP: Final = re.compile(r"([^.\[\]]+)|\[[^\]]*\]")
"""A member by its name, or an element, or a value of a mapping."""


class _Tagged(msgspec.Struct, frozen=True):
    cmd: str


_tagged: Final = msgspec.json.Decoder(_Tagged)


def by_tag(union: Any) -> dict[str, type[msgspec.Struct]]:
    """The structs of a union, each under its tag."""
    return {str(kind.__struct_config__.tag): kind for kind in get_args(union)}


def meant(text: bytes, kinds: Mapping[str, type[msgspec.Struct]]) -> type[msgspec.Struct] | None:
    """Which of its `kinds` a request was to be, as far as that can still be told."""
    try:
        return kinds.get(_tagged.decode(text).cmd)
    except (msgspec.MsgspecError, RecursionError):
        return None


def allowed(kind: type[msgspec.Struct], path: str) -> list[str]:
    """What may stand at a path as the decoder spells it (`scopes[0].verbs[1]`); nothing if that is no closed set."""
    places = [_type_of(kind)]
    for step in _STEP.finditer(path):
        places = [inner for place in places for inner in _inside(place, step[1])]
    return list(dict.fromkeys(text for place in places for text in _texts(place)))


@cache
def _type_of(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _inside(place: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    """One step down: into the member of that name, or into an element for None."""
    for one in _forms(place):
        match one:
            case inspect.StructType() if name is not None:
                if name == one.tag_field:
                    yield inspect.LiteralType((str(one.tag),))
                yield from (field.type for field in one.fields if field.encode_name == name)
            case inspect.ListType() if name is None:
                yield one.item_type
            case inspect.DictType() if name is None:
                yield one.value_type


def _texts(place: inspect.Type) -> Iterator[str]:
    for one in _forms(place):
        match one:
            case inspect.LiteralType():
                yield from map(str, one.values)
            case inspect.EnumType():
                yield from (str(member.value) for member in one.cls)


def _forms(place: inspect.Type) -> Iterator[inspect.Type]:
    """What a place may hold, one by one."""
    match place:
        case inspect.UnionType():
            for one in place.types:
                yield from _forms(one)
        case inspect.Metadata():
            yield from _forms(place.type)
        case _:
            yield place
