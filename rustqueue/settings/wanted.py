"""What a key takes, in words: read off its type, so that an error and the check can never say different things.

A pattern says nothing to people; a text with a grammar of its own has a `description` beside it in its type.
"""

from typing import Any

from msgspec import inspect


def wanted(kind: Any) -> str:
    """`a whole number from 0 to 65535`, `one of pretty, json`, `a list of texts`."""
    return _words(inspect.type_info(kind))


def _words(told: inspect.Type) -> str:
    match told:
        case inspect.Metadata(extra_json_schema=schema) if schema is not None:
            return str(schema["description"])
        case inspect.UnionType():
            return " or ".join(_words(one) for one in told.types if not isinstance(one, inspect.NoneType))
        case inspect.LiteralType():
            words = [repr(word) for word in told.values]
            return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_span(told.ge, told.le, 'from')}"
        case inspect.StrType():
            if (told.min_length, told.max_length) == (1, None):
                return "a text that is not empty"
            return f"a text{_length(told.min_length, told.max_length, 'characters')}"
        case inspect.ListType():
            return f"a list{_length(told.min_length, told.max_length, 'items')}, each {_words(told.item_type)}"
        case _:
            raise AssertionError(f"no key is {told}")


def _length(least: int | None, most: int | None, unit: str) -> str:
    span = _span(least, most, "of")
    return f"{span} {unit}" if span else ""


def _span(least: int | None, most: int | None, word: str) -> str:
    if least is not None and most is not None:
        return f" {word} {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return f" of at most {most}" if most is not None else ""
