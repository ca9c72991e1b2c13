"""The closed set behind a field: what may stand where a client wrote something else.

The sets are read off the types, so that none is written down a second time and a new one is told of by itself. Only the
way to an error comes here; nothing of it is on the hot path.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

import msgspec
from msgspec import inspect

from rustqueue.model.mistakes.places import Place, forms


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


def allowed(place: Place) -> list[str]:
    """The words that may stand at a place; nothing if that is no closed set."""
    return list(dict.fromkeys(text for kind in place.types for text in _texts(kind)))


def _texts(kind: inspect.Type) -> Iterator[str]:
    for one in forms(kind):
        match one:
            case inspect.LiteralType():
                yield from map(str, one.values)
            case inspect.EnumType():
                yield from (str(member.value) for member in one.cls)
