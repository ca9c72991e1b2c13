"""What stood where something else was wanted, as the end of a message: `, not 101`.

It must not know where in a request that is. Invariants: of texts, which may be secret, only the length is told; of a
key that stands twice the decoder may have meant the other one, so what breaks no limit is not told.
"""

import re
from typing import Final

import msgspec
from msgspec import inspect

from rustqueue.model.mistakes.places import Place, elements_of, forms, members_of

_LIMITED: Final = re.compile(r"Expected `(int|str|array|object)` (?:of length )?([<>]=) (-?\d+)")
_GOT: Final = re.compile(r"Expected .*, got `(\w+)`")
_NUMBER: Final = re.compile(rb"-?[0-9]{1,40}")
_NOUNS: Final = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number with a fraction",
    "int": "a number",
    "null": "null",
    "object": "an object",
    "str": "a text",
}
_KEY_CHARACTERS_MAX: Final = 40

_text: Final = msgspec.json.Decoder(str)


def instead(reason: str, given: bytes | None) -> str:
    """What was `given`, as far as the decoder's `reason` or the text tells it."""
    if found := _GOT.match(reason):
        return f", not {_NOUNS.get(found[1], found[1])}"
    if (found := _LIMITED.match(reason)) is None:
        return ""
    count = _count(found[1], given)
    limit = int(found[3])
    if count is None or not (count < limit if found[2] == ">=" else count > limit):
        return ""
    return f", not {count}"


def wrong_key(place: Place) -> str | None:
    """The first key that an object may not have, if that can be told."""
    kinds = [one.key_type for kind in place.types for one in forms(kind) if isinstance(one, inspect.DictType)]
    texts = [one for kind in kinds for one in forms(kind) if isinstance(one, inspect.StrType)]
    return next((key for key in members_of(place.given) if not any(_fits(key, text) for text in texts)), None)


def shown_key(key: str | None) -> str:
    if key is None:
        return ""
    return f", not {key!r}" if len(key) <= _KEY_CHARACTERS_MAX else f", not one of {len(key)} characters"


def _fits(key: str, text: inspect.StrType) -> bool:
    length_fits = (text.min_length or 0) <= len(key) and (text.max_length is None or len(key) <= text.max_length)
    return length_fits and (text.pattern is None or re.search(text.pattern, key) is not None)


def _count(noun: str, given: bytes | None) -> int | None:
    """The number that was given, or how long the text, list or object was."""
    if given is None:
        return None
    match noun:
        case "int":
            return int(given) if _NUMBER.fullmatch(given) else None
        case "str":
            try:
                return len(_text.decode(given))
            except msgspec.MsgspecError:
                return None
        case "array":
            return len(elements_of(given))
        case _:
            return len(members_of(given))
