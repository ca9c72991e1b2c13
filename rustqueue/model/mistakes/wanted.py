"""What a field or a setting takes, in words: read off its type, so that an error and the check never say different
things.

A pattern says nothing to people; a text with a grammar of its own has a `description` beside it in its type.
"""

import re
from typing import Any, Final

from msgspec import inspect

_EXPECTED: Final = re.compile(r"Expected `([^`]+)`(?: (?:of length )?([<>]=) (-?\d+))?")
_NOUNS: Final = {
    "array": ("a list", " items"),
    "bool": ("true or false", ""),
    "float": ("a number", ""),
    "int": ("a whole number", ""),
    "object": ("an object", " keys"),
    "str": ("a text", " characters"),
}


def wanted(kind: Any) -> str:
    """`a whole number from 0 to 65535`, `one of 'pretty', 'json'`, `a list, each a text that is not empty`."""
    found = words(inspect.type_info(kind), items=True)
    assert found is not None, f"nothing can be set to {kind}"
    return found


def words(told: inspect.Type, *, items: bool = False) -> str | None:
    """`items`: of a list, what each of its items must be as well. None for what takes anything."""
    match told:
        case inspect.Metadata(extra_json_schema=schema) if schema is not None and "description" in schema:
            return str(schema["description"])
        case inspect.Metadata():
            return words(told.type, items=items)
        case inspect.UnionType():
            parts = [words(one, items=items) for one in told.types if not isinstance(one, inspect.NoneType)]
            return " or ".join(dict.fromkeys(part for part in parts if part is not None)) or None
        case inspect.LiteralType():
            texts = [repr(word) for word in told.values]
            return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"
        case inspect.ListType():
            each = words(told.item_type, items=items) if items else None
            return f"a list{_length(told, 'items')}" + (f", each {each}" if each is not None else "")
        case _:
            return _plain(told)


def _plain(told: inspect.Type) -> str | None:
    match told:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_span(told.ge, told.le, 'from')}"
        case inspect.StrType(min_length=1, max_length=None):
            return "a text that is not empty"
        case inspect.StrType():
            return f"a text{_length(told, 'characters')}"
        case inspect.DictType():
            return f"an object{_length(told, 'keys')}"
        case inspect.StructType():
            return "an object"
        case _:
            return None


def _length(told: inspect.StrType | inspect.ListType | inspect.DictType, unit: str) -> str:
    span = _span(told.min_length, told.max_length, "of")
    return f"{span} {unit}" if span else ""


def _span(least: int | None, most: int | None, word: str) -> str:
    if least is not None and most is not None:
        return f" {word} {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return f" of at most {most}" if most is not None else ""


def decoders_words(reason: str) -> str:
    """The same as well as the decoder's own message tells it: of two limits it names the one that was broken."""
    found = _EXPECTED.match(reason)
    names = [name for name in found[1].split(" | ") if name in _NOUNS] if found is not None else []
    if found is None or not names:
        return "another value"
    nouns = " or ".join(_NOUNS[name][0] for name in names)
    if found[2] is None:
        return nouns
    return f"{nouns} of at {'least' if found[2] == '>=' else 'most'} {found[3]}{_NOUNS[names[0]][1]}"
