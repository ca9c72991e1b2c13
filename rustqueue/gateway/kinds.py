"""The kinds of jobs that the second system ships: queues whose payloads have a schema from the start.

A kind is a queue with a payload schema. These four need no declaration where jobs are created by kind; a queue of the
same name that was declared with a schema of its own has that one. Unknown extra keys are allowed, as there.
"""

from typing import Any, Final

import msgspec

from rustqueue.gateway.schemas import Misfit, Schema

_TEXT: Final = {"type": "string"}
_U32: Final = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}


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


def problem(kind: str, schema: bytes, payload: bytes) -> str | None:
    """What is wrong with a payload of this kind, in the words of the second system; None if it fits."""
    try:
        Schema(schema).check(payload)
    except Misfit as misfit:
        field = misfit.path.removeprefix(".")
        reason = f"{field}: {misfit.reason}" if field else misfit.reason
        return f"payload validation failed for {kind}: {reason}"
    return None
