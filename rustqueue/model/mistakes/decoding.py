"""Errors of the JSON decoder in our terms. Works on its messages, which say the reason and the path."""

import re
from typing import Final

import msgspec

from rustqueue.model.errors import ApiError, ParseError, UnknownCommand, ValidationFailed
from rustqueue.model.mistakes import choices

_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING_FIELD: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_BOUND: Final = re.compile(r"(?:of length )?[<>]=? (-?\d+)")


def api_error(error: msgspec.MsgspecError, kind: type[msgspec.Struct] | None = None) -> ApiError:
    """The decoder's error in our terms: PARSE_ERROR, or VALIDATION_ERROR naming the field (422 shape, 400 value).

    `kind` is what was to come out, if that is known: where only some words are good, the error lists them.
    """
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return ParseError(f"The request is not valid JSON: {text}")
    reason, _, path = text.partition(" - at `")
    # Of a bad key the decoder says "key` in `$.labels`": the object is what has a name.
    field = path.removesuffix("`").removeprefix("key` in `").removeprefix("$").removeprefix(".")
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
    if "matching regex" in reason:
        return ValidationFailed(f"'{field}' may not hold such a text or key", field)
    words = choices.allowed(kind, field) if kind is not None and reason.startswith("Invalid ") else []
    if words:
        return ValidationFailed.none_of(field, words)
    if reason.startswith(("Invalid enum value", "Invalid value")) or "out of range" in reason.lower():
        return ValidationFailed(f"'{field}': {reason}", field)
    return ValidationFailed(f"'{field or 'request'}': {reason}", field or "request", shape=True)
