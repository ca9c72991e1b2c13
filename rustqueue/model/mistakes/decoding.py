"""Errors of the JSON decoder in our terms. Works on its messages, which say the reason and the path."""

import re
from typing import Final

import msgspec
from msgspec import inspect

from rustqueue.model.errors import ApiError, ParseError, UnknownCommand, ValidationFailed
from rustqueue.model.mistakes import choices
from rustqueue.model.mistakes.given import instead, shown_key, wrong_key
from rustqueue.model.mistakes.nearest import advice
from rustqueue.model.mistakes.places import Place, field_names, forms, place_of
from rustqueue.model.mistakes.wanted import decoders_words, words

_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING_FIELD: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_BOUND: Final = re.compile(r"(?:of length )?[<>]=? (-?\d+)")
_ALIKE: Final = 0.7
"""How much a field must resemble an unknown one: short names are alike by chance at the usual 0.6."""

_NAME_SHOWN_CHARACTERS: Final = 100
"""Of a name that nobody knows: it may be as long as a request."""

_NOWHERE: Final = Place((), None)


def api_error(error: msgspec.MsgspecError, kind: type[msgspec.Struct] | None = None, text: bytes = b"") -> ApiError:
    """The decoder's error in our terms: PARSE_ERROR, or VALIDATION_ERROR naming the field (422 shape, 400 value).

    `kind` is what was to come out of `text`, if that is known: then the error says what may stand there, and what stood
    there instead.
    """
    said = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return ParseError(f"The request is not valid JSON: {said}")
    reason, _, path = said.partition(" - at `")
    # Of a bad key the decoder says "key` in `$.labels`": the object is what has a name.
    in_key = path.startswith("key` in `")
    field = path.removesuffix("`").removeprefix("key` in `").removeprefix("$").removeprefix(".")
    place = _NOWHERE if kind is None else place_of(kind, field, text)
    if found := _UNKNOWN_FIELD.match(reason):
        within = f"{field}." if field else ""
        name = within + found[1][:_NAME_SHOWN_CHARACTERS]
        return ValidationFailed(
            f"unknown field '{name}'{advice(found[1], field_names(place), _ALIKE, within=within)}", name
        )
    if found := _MISSING_FIELD.match(reason):
        name = f"{field}.{found[1]}" if field else found[1]
        return ValidationFailed(f"missing field '{name}'", name, shape=True)
    if field == "cmd" and reason.startswith("Invalid value"):
        return UnknownCommand(reason.removeprefix("Invalid value ").strip("'")[:_NAME_SHOWN_CHARACTERS])
    return _key_error(reason, field, place) if in_key else _value_error(reason, field, place)


def _value_error(reason: str, field: str, place: Place) -> ApiError:
    if found := _BOUND.search(reason):
        text = f"'{field}' must be {_wanted(place, reason)}{instead(reason, place.given)}"
        return ValidationFailed(text, field, limit=int(found[1]))
    if "matching regex" in reason:
        return ValidationFailed(f"'{field}' must be {_wanted(place, reason)}", field)
    allowed = choices.allowed(place) if reason.startswith("Invalid ") else []
    if allowed:
        return ValidationFailed.none_of(field, allowed)
    if reason.startswith(("Invalid enum value", "Invalid value")) or "out of range" in reason.lower():
        return ValidationFailed(f"'{field}': {reason}", field)
    named = field or "request"
    return ValidationFailed(
        f"'{named}' must be {_wanted(place, reason)}{instead(reason, place.given)}", named, shape=True
    )


def _key_error(reason: str, field: str, place: Place) -> ApiError:
    kinds = [one.key_type for kind in place.types for one in forms(kind) if isinstance(one, inspect.DictType)]
    wanted = _wanted(Place(tuple(kinds), None), reason)
    told = f"a key of '{field}' must be {wanted}{shown_key(wrong_key(place))}"
    if found := _BOUND.search(reason):
        return ValidationFailed(told, field, limit=int(found[1]))
    return ValidationFailed(told, field)


def _wanted(place: Place, reason: str) -> str:
    """From the type if it can only be one, else from the decoder's words."""
    allowed = choices.allowed(place)
    if allowed:
        return f"one of {', '.join(allowed)}"
    told = list(dict.fromkeys(found for kind in place.types if (found := words(kind)) is not None))
    return told[0] if len(told) == 1 else decoders_words(reason)
