"""What the types do not say of a webhook: names, filters, headers. The URL is judged by the guard of outgoing calls."""

import re
from typing import Final

from msgspec import UNSET

from rustqueue.model import limits
from rustqueue.model.errors import ValidationFailed
from rustqueue.model.webhooks.commands import WebhookCreate, WebhookPut

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_PATTERN: Final = re.compile(r"[A-Za-z0-9._-]+\*?|\*", re.ASCII)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|", re.ASCII)
_RESERVED: Final = frozenset(
    {
        *(
            "host",
            "content-length",
            "content-type",
            "content-encoding",
            "transfer-encoding",
            "connection",
            "keep-alive",
        ),
        *("te", "trailer", "upgrade", "expect", "user-agent", "accept-encoding", "proxy-connection"),
    }
)
_RESERVED_PREFIXES: Final = ("webhook-", "x-rustqueue-", "proxy-")


def check_definition(wire: WebhookCreate | WebhookPut) -> None:
    """Raise `ValidationFailed` naming the field."""
    if wire.name is not None and _NAME.fullmatch(wire.name) is None:
        raise ValidationFailed("'name' may only hold ASCII letters, digits, '-', '_' and '.'", "name")
    for place, pattern in enumerate(wire.queues):
        if _PATTERN.fullmatch(pattern) is None:
            field = f"queues[{place}]"
            raise ValidationFailed(f"'{field}' is no name of a queue, with or without '*' at its end", field)
    for field in ("secret", "previous_secret"):
        text = getattr(wire, field)
        if text not in (None, UNSET) and len(text.encode("utf-8", "surrogatepass")) > limits.WEBHOOK_SECRET_BYTES_MAX:
            limit = limits.WEBHOOK_SECRET_BYTES_MAX
            raise ValidationFailed(f"'{field}' is longer than {limit} bytes", field, limit=limit)
        if text not in (None, UNSET) and any("\ud800" <= character <= "\udfff" for character in text):
            raise ValidationFailed(f"'{field}' holds half a surrogate pair", field)
    if wire.headers is not UNSET and wire.headers is not None:
        _check_headers(wire.headers)


def _check_headers(headers: dict[str, str]) -> None:
    seen = set()
    for name, value in headers.items():
        lower = name.lower()
        if _HEADER_NAME.fullmatch(name) is None:
            raise ValidationFailed("'headers' holds a name that HTTP does not take", "headers")
        field = f"headers.{name}"
        if lower in _RESERVED or lower.startswith(_RESERVED_PREFIXES):
            raise ValidationFailed(f"'{field}' is set by the node itself", field)
        if lower in seen:
            raise ValidationFailed(f"'{field}' stands there twice", field)
        seen.add(lower)
        if _HEADER_VALUE.fullmatch(value) is None:
            raise ValidationFailed(f"'{field}' may only hold visible ASCII and spaces between", field)
