"""Kinds of jobs: queues whose payloads have a schema, four of which ship with the node as the second system's do.

A kind is a queue with a payload schema. The four need no declaration where jobs are created by kind; a queue of the
same name that was declared with a schema of its own has that one. Unknown extra keys are allowed, as there. Invariant:
no job is created by a name that is no kind, nor with a payload that does not fit.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from rustqueue.gateway.schemas import Misfit, PayloadRules
from rustqueue.model.commands import Command, PushJobs
from rustqueue.model.errors import ValidationFailed

_TEXT: Final = {"type": "string"}
_U32: Final = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_MISSING: Final = re.compile(r'^"(?P<name>.*)" is a required property$', re.DOTALL)


def _kind(required: dict[str, Any], **optional: Any) -> bytes:
    shape = {"type": "object", "required": list(required), "properties": {**required, **optional}}
    return msgspec.json.encode(shape)


BUILT_IN: Final = {
    "send_email": _kind({"to": _TEXT, "subject": _TEXT, "body": _TEXT}),
    "resize_image": _kind({"source_url": _TEXT, "width": _U32, "height": _U32}),
    "summarize_text": _kind({"text": _TEXT}, max_words={"anyOf": [_U32, {"type": "null"}]}),
    "webhook_delivery": _kind({"url": _TEXT, "body": True}),
}
"""Schemas by kind, as JSON text."""


class KindRules:
    """What every push must keep, and what a job created by its kind must keep besides."""

    def __init__(self, schema_of: Callable[[str], bytes | None]) -> None:
        self._schema_of = schema_of
        self._payloads = PayloadRules(schema_of)

    def check(self, command: Command) -> None:
        """Raises VALIDATION_ERROR."""
        if isinstance(command, PushJobs) and command.creation is not None:
            self._check_creation(command.queue, command.jobs[0].data)
        else:
            self._payloads.check(command)

    def _check_creation(self, kind: str, payload: bytes) -> None:
        text = self._schema_of(kind) or BUILT_IN.get(kind)
        if text is None:
            known = ", ".join(BUILT_IN)
            reason = f"unknown kind '{kind}', expected one of {known}, or a queue with a payload schema"
            raise ValidationFailed(reason, "kind", shape=True)
        try:
            self._payloads.schema(text).check(payload)
        except Misfit as misfit:
            field = misfit.path.removeprefix(".")
            missing = _MISSING.match(misfit.reason)
            reason = misfit.reason if missing is None else f"missing field `{missing['name']}`"
            reason = f"{field}: {reason}" if field else reason
            where = f"payload.{field}" if field else "payload"
            raise ValidationFailed(f"payload validation failed for {kind}: {reason}", where, shape=True) from None
