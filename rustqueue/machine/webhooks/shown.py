"""How webhooks and deliveries are shown, and the queries about them. Secrets are not here, not even sealed."""

from collections.abc import Callable
from typing import Final, cast

from rustqueue.machine import keys
from rustqueue.machine.kv import View
from rustqueue.machine.reads import cursors
from rustqueue.machine.state import State
from rustqueue.machine.verbs import ownership
from rustqueue.machine.webhooks import rows
from rustqueue.machine.webhooks.registry import Webhook
from rustqueue.machine.webhooks.rows import DeliveryRow
from rustqueue.model import limits
from rustqueue.model.errors import ValidationFailed
from rustqueue.model.ids import id_text
from rustqueue.model.queries import WebhookQuery
from rustqueue.model.replies import DeliveryPage, OneWebhook, Reply, WebhookPage
from rustqueue.model.times import to_text
from rustqueue.model.webhooks.commands import WebhookDeliveries, WebhookGet, WebhookList
from rustqueue.model.webhooks.values import (
    DeliveryCounts,
    DeliveryInfo,
    DeliveryState,
    EventName,
    RetryRules,
    WebhookInfo,
)

_FAMILIES: Final[dict[str, tuple[Callable[[bytes], bytes], DeliveryState]]] = {
    "waiting": (keys.outbox, "waiting"),
    "given_up": (keys.given_up, "given_up"),
}


def answer(state: State, view: View, query: WebhookQuery) -> Reply:
    """Raises WEBHOOK_NOT_FOUND, or VALIDATION_ERROR for a cursor."""
    if isinstance(query, WebhookList):
        by_name = state.webhooks.by_name
        return WebhookPage(webhooks=[info(by_name[name]) for name in sorted(by_name)])
    webhook = state.webhooks.existing(query.name)
    if isinstance(query, WebhookGet):
        return OneWebhook(webhook=info(webhook))
    return _recent(view, webhook, query) if query.show == "recent" else _page(view, webhook, query)


def info(webhook: Webhook) -> WebhookInfo:
    row = webhook.row
    return WebhookInfo(
        id=id_text(row.id),
        name=row.name,
        url=row.url,
        events=[cast("EventName", rows.NAMES[code]) for code in row.events],
        queues=row.queues,
        active=not row.suspended,
        suspended=row.suspended,
        created_at=to_text(row.created_at),
        updated_at=to_text(row.updated_at),
        headers=row.header_names,
        has_secret=row.secret is not None,
        has_previous_secret=row.previous_secret is not None,
        timeout_ms=row.timeout_ms,
        retry=RetryRules(row.max_retries, row.max_age_ms, row.max_delay_ms),
        deliveries=_counts(webhook),
        **ownership.shown(row.ownership),
    )


def _counts(webhook: Webhook) -> DeliveryCounts:
    counters = webhook.counters
    return DeliveryCounts(
        waiting=counters.waiting,
        delivered=counters.delivered,
        failed_tries=counters.failed,
        given_up=counters.given_up,
        given_up_kept=counters.kept,
        dropped=counters.dropped,
        consecutive_failures=counters.streak,
        last_success_at=_time(counters.last_success_at),
        last_failure_at=_time(counters.last_failure_at),
        last_error=counters.last_error,
    )


def _recent(view: View, webhook: Webhook, query: WebhookDeliveries) -> DeliveryPage:
    if query.cursor is not None:
        raise ValidationFailed("'cursor' goes with 'show' waiting or given_up; 'recent' is one page", "cursor")
    count = min(webhook.counters.tries, limits.WEBHOOK_LOG_MAX)
    stored = view.get_many([keys.tried(webhook.row.id, slot) for slot in range(count)])
    tries = [rows.decode_try(value) for value in stored if value is not None]
    tries.sort(key=lambda tried: -tried.number)
    shown = [_delivery(tried.id, tried.delivery, cast("DeliveryState", tried.state)) for tried in tries[: query.limit]]
    return DeliveryPage(deliveries=shown, next_cursor=None)


def _page(view: View, webhook: Webhook, query: WebhookDeliveries) -> DeliveryPage:
    family, state = _FAMILIES[query.show]
    start, end = keys.of_webhook(family(webhook.row.id))
    if query.cursor is not None:
        start += cursors.to_id(query.cursor) + b"\0"
    found = view.scan(start, end, query.limit + 1)
    shown = [_delivery(key[-16:], rows.decode_delivery(value), state) for key, value in found[: query.limit]]
    return DeliveryPage(deliveries=shown, next_cursor=shown[-1].id if len(found) > query.limit else None)


def _delivery(delivery_id: bytes, row: DeliveryRow, state: DeliveryState) -> DeliveryInfo:
    return DeliveryInfo(
        id=id_text(delivery_id),
        event=rows.NAMES[row.event],
        queue=row.queue or None,
        job_id=id_text(row.job_id) if row.job_id else None,
        state=state,
        created_at=to_text(row.at),
        attempts=row.attempts,
        next_attempt_at=_time(row.next_at),
        tried_at=_time(row.tried_at),
        duration_ms=row.took_ms if row.tried_at else None,
        status=row.status,
        error=row.error,
    )


def _time(at_ms: int) -> str | None:
    return to_text(at_ms) if at_ms else None
