"""Definitions of webhooks before they are logged: the URL judged, secrets and headers sealed.

It must not know the machine. Invariants: no secret leaves here unsealed, in whatever way the request is refused; equal
requests become equal commands.
"""

from collections.abc import Callable
from typing import Final, NoReturn, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rustqueue.effects.webhooks.guard import Blocked, Rules, check_target, parse_target
from rustqueue.gateway.preparing import Prepared, Preparing
from rustqueue.model.errors import Unavailable, ValidationFailed
from rustqueue.model.webhooks.commands import WEBHOOK_COMMANDS, WebhookCreate, WebhookPut, WebhookStore
from rustqueue.model.webhooks.values import EventName
from rustqueue.seal import Sealer

SECRET_PURPOSE: Final = "webhook secret"
HEADERS_PURPOSE: Final = "webhook headers"


def preparing(sealer: Sealer, rules: Callable[[], Rules]) -> Preparing:
    """The steps of a node that delivers webhooks."""

    def step(wire: WebhookCreate | WebhookPut) -> Prepared:
        return Prepared(_stored(wire, sealer, rules()))

    return {WebhookCreate: step, WebhookPut: step}


def refusing() -> Preparing:
    """The steps of a node that has webhooks switched off (contract A15)."""

    def step(_: Struct) -> NoReturn:
        raise Unavailable.webhooks()

    return dict.fromkeys(WEBHOOK_COMMANDS, step)


def _stored(wire: WebhookCreate | WebhookPut, sealer: Sealer, rules: Rules) -> WebhookStore:
    try:
        check_target(parse_target(wire.url), rules)
    except Blocked as reason:
        raise ValidationFailed(f"'url' cannot be called: {reason}", "url") from None
    return WebhookStore(
        request_id=wire.request_id,
        idempotency_key=wire.idempotency_key,
        if_match=wire.if_match,
        if_owner=wire.if_owner,
        labels=wire.labels,
        owner=wire.owner,
        name=wire.name,
        is_new=isinstance(wire, WebhookCreate),
        url=wire.url,
        events=[cast("EventName", name.replace("_", ".")) for name in wire.events],
        queues=wire.queues,
        secret=_sealed(sealer, wire.secret),
        previous_secret=_sealed(sealer, wire.previous_secret),
        headers=_sealed_headers(sealer, wire.headers),
        header_names=sorted(wire.headers) if isinstance(wire.headers, dict) else [],
        timeout_ms=wire.timeout_ms,
        retry=wire.retry,
        suspended=wire.suspended,
    )


def _sealed(sealer: Sealer, text: str | UnsetType | None) -> bytes | UnsetType | None:
    return sealer.seal(SECRET_PURPOSE, text.encode()) if isinstance(text, str) else text


def _sealed_headers(sealer: Sealer, headers: dict[str, str] | UnsetType | None) -> bytes | UnsetType | None:
    if headers is UNSET:
        return UNSET
    return sealer.seal(HEADERS_PURPOSE, msgspec.json.encode(headers, order="sorted")) if headers else None
