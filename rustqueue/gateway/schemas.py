"""What a queue's payloads must look like: JSON Schemas, checked when jobs are pushed.

The only module that knows the library behind it. It must not know where a schema is kept. Invariants: a schema refers
to nothing outside itself, costs a bounded number of steps for each value of a payload, and its patterns match in linear
time: whoever may declare a queue cannot make it stop the node. Follow-ups are pushed by the log, which has no library
in it, and are not checked.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn

import jsonschema_rs
import msgspec
from msgspec import UNSET, Raw

from rustqueue.model import limits
from rustqueue.model.commands import Command, PushJobs, QueueSet, RunTransaction
from rustqueue.model.errors import ValidationFailed

_PATTERNS: Final = jsonschema_rs.RegexOptions(
    size_limit=limits.SCHEMA_PATTERN_BYTES_MAX, dfa_size_limit=limits.SCHEMA_PATTERN_BYTES_MAX
)
_OUTSIDE: Final = frozenset({"$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$vocabulary"})
"""Keywords that give names or lead elsewhere; `$ref` within the schema does what a payload needs."""
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose members are names of the user's choice, each with a schema."""
_DATA: Final = frozenset({"const", "enum", "default", "examples"})
_FIELD: Final = "payload_schema"
_NULL: Final = Raw(b"null")


class Misfit(Exception):
    """A payload that does not fit: where in it, and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


class Schema:
    """One schema, ready for use. Raises VALIDATION_ERROR for a text that is none."""

    def __init__(self, text: bytes) -> None:
        schema = msgspec.json.decode(text)
        if not isinstance(schema, dict):
            raise ValidationFailed(f"'{_FIELD}' must be an object", _FIELD, shape=True)
        _Cost(schema).check()
        try:
            self._validator = jsonschema_rs.validator_for(
                schema, pattern_options=_PATTERNS, retriever=_refuse, mask="the value"
            )
        except (jsonschema_rs.ValidationError, ValueError) as error:
            reason = str(error).partition("\n")[0][:_REASON_BYTES]
            raise ValidationFailed(f"'{_FIELD}' is no JSON Schema: {reason}", _FIELD) from None

    def check(self, payload: bytes) -> None:
        """Raises `Misfit`."""
        try:
            value = msgspec.json.decode(payload)
        except msgspec.MsgspecError as error:
            raise Misfit("", str(error)) from None
        if self._validator.is_valid(value):
            return
        first = next(iter(self._validator.iter_errors(value)))
        raise Misfit(_path(first.instance_path), first.message[:_REASON_BYTES])


_REASON_BYTES: Final = 200


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"'{uri}' is outside of the schema")


def _path(steps: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)[:_REASON_BYTES]


class _Cost:
    """How many steps the schema can take for one value: references may multiply, as in `allOf` of two `$ref`s each."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._known: dict[int, int] = {}

    def check(self) -> None:
        cost = self._of(self._schema, "")
        if cost > limits.SCHEMA_STEPS_MAX:
            limit = limits.SCHEMA_STEPS_MAX
            raise ValidationFailed(f"'{_FIELD}' takes more than {limit} steps for one value", _FIELD, limit=limit)

    def _of(self, schema: Any, at: str) -> int:
        if not isinstance(schema, dict):
            return 1
        known = self._known.get(id(schema))
        if known is not None:
            return known
        self._known[id(schema)] = 1  # A circle ends here: the library goes round once for each value.
        cost = 1
        for keyword, value in schema.items():
            if keyword in _OUTSIDE and isinstance(value, str):
                raise ValidationFailed(f"'{_FIELD}{at}' may not use '{keyword}'", f"{_FIELD}{at}.{keyword}")
            if keyword == "$ref":
                cost += self._of(self._target(value, at), f"{at}.$ref")
            elif keyword not in _DATA:
                cost += sum(self._of(inner, place) for inner, place in _inner(keyword, value, f"{at}.{keyword}"))
        self._known[id(schema)] = cost
        return cost

    def _target(self, reference: Any, at: str) -> Any:
        """What `#` or `#/a/b` means."""
        place: Any = self._schema
        field = f"{_FIELD}{at}.$ref"
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise ValidationFailed(f"'{field}' must lead to a place in this schema: '#' or '#/...'", field)
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            inner: Any = place.get(name) if isinstance(place, dict) else _item(place, name)
            if inner is None:
                raise ValidationFailed(f"'{field}' leads nowhere", field)
            place = inner
        return place


def _item(place: Any, name: str) -> Any:
    return place[int(name)] if isinstance(place, list) and name.isdecimal() and int(name) < len(place) else None


def _inner(keyword: str, value: Any, at: str) -> Iterator[tuple[Any, str]]:
    """The schemas in a keyword's value."""
    if isinstance(value, list):
        yield from ((inner, f"{at}[{place}]") for place, inner in enumerate(value))
    elif isinstance(value, dict) and keyword in _NAMED:
        yield from ((inner, f"{at}.{name}") for name, inner in value.items())
    elif isinstance(value, dict):
        yield value, at


class PayloadRules:
    """The schemas of queues as pushes meet them. `schema_of` gives the text of a queue's schema, None for none."""

    def __init__(self, schema_of: Callable[[str], bytes | None]) -> None:
        self._schema_of = schema_of
        self._schemas: dict[bytes, Schema] = {}

    def check(self, command: Command) -> None:
        """Raises VALIDATION_ERROR (422) naming the place of the first misfit, and for a schema that is none (400)."""
        if isinstance(command, PushJobs):
            self._check_push(command)
        elif isinstance(command, RunTransaction):
            for place, operation in enumerate(command.operations):
                if isinstance(operation, PushJobs):
                    self._check_push(operation, operation=place)
        elif isinstance(command, QueueSet) and command.payload_schema not in (UNSET, _NULL):
            Schema(bytes(command.payload_schema))

    def _check_push(self, push: PushJobs, **details: int) -> None:
        if self._schema_of(push.queue) is None:
            return
        for place, job in enumerate(push.jobs):
            if push.single:
                self._check_data(push.queue, job.data, "data", **details)
            else:
                self._check_data(push.queue, job.data, f"jobs[{place}].data", index=place, **details)

    def _check_data(self, queue: str, data: bytes, at: str, **details: int) -> None:
        text = self._schema_of(queue)
        if text is None:
            return
        try:
            self.schema(text).check(data)
        except Misfit as misfit:
            field = f"{at}{misfit.path}"
            reason = f"'{field}' does not fit the schema of queue '{queue}': {misfit.reason}"
            raise ValidationFailed(reason, field, shape=True, **details) from None

    def schema(self, text: bytes) -> Schema:
        """A schema, ready for use; those used last are kept."""
        schema = self._schemas.get(text)
        if schema is None:
            if len(self._schemas) >= limits.SCHEMAS_READY_MAX:
                self._schemas.pop(next(iter(self._schemas)))
            schema = self._schemas[text] = Schema(text)
        return schema
