"""The outbox: deliveries are written in the batch of the event that they tell of, and settled by the leader's word.

Invariants: no event without its delivery, no delivery without its event; a delivery keeps its id whatever happens to
it; an outcome counts once, since it names how often the delivery had been tried; what finds the outbox full is dropped
and counted, since a receiver that is down must hold up nobody.
"""

from typing import Final

from rustqueue.machine import keys
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.machine.webhooks import rows
from rustqueue.machine.webhooks.registry import Webhook
from rustqueue.machine.webhooks.rows import DeliveryRow, TryRow
from rustqueue.model import limits
from rustqueue.model.events import EVENT_NAMES, JobsChanged, QueueChanged
from rustqueue.model.replies import Reply, WebhookSettled
from rustqueue.model.webhooks.commands import Outcome, WebhookOutcomes

SETTLED: Final = 0
STALE: Final = -1

_CODES: Final = {event: rows.CODES[name] for event, name in EVENT_NAMES.items()}
"""By the machine's own names; events that nobody outside hears of have none."""

_FAILED: Final = rows.CODES["job.failed"]


def collect(state: State, tx: Tx) -> None:
    """Write the deliveries of all that has happened in this entry. Called once an entry, when there are webhooks."""
    wanting = state.webhooks.wanting
    for event in tx.events:
        if isinstance(event, JobsChanged):
            code = _CODES.get(event.event)
            if code is None:
                continue
            will_retry = event.will_retry if code == _FAILED else None
            row = DeliveryRow(
                code, event.queue, b"", tx.now_ms, tx.now_ms, will_retry=will_retry, progress=event.progress
            )
            for webhook in wanting(code, event.queue):
                _append(state, tx, webhook, row, event.ids)
        elif isinstance(event, QueueChanged) and event.event in _CODES:
            code = _CODES[event.event]
            row = DeliveryRow(code, event.queue, b"", tx.now_ms, tx.now_ms)
            for webhook in wanting(code, event.queue):
                _append(state, tx, webhook, row, [b""])


def _append(state: State, tx: Tx, webhook: Webhook, row: DeliveryRow, job_ids: list[bytes]) -> None:
    count = min(len(job_ids), state.webhooks.room(webhook))
    for delivery_id, job_id in zip(tx.ids(count), job_ids, strict=False):
        tx.rows[keys.outbox(webhook.row.id, delivery_id)] = rows.encode(
            DeliveryRow(row.event, row.queue, job_id, row.at, row.since, 0, 0, row.will_retry, row.progress)
        )
    webhook.counters.dropped += len(job_ids) - count
    state.webhooks.waits(webhook, count)


def append_test(state: State, tx: Tx, webhook: Webhook) -> bytes:
    """Put a test into the outbox, which has room; returns the delivery's id."""
    delivery_id = tx.ids(1)[0]
    tx.rows[keys.outbox(webhook.row.id, delivery_id)] = rows.encode(
        DeliveryRow(rows.TEST, "", b"", tx.now_ms, tx.now_ms)
    )
    state.webhooks.waits(webhook, 1)
    return delivery_id


def settle(state: State, tx: Tx, command: WebhookOutcomes) -> Reply:
    """What became of tries. Those of deliveries that are gone, or have had other tries, change nothing."""
    return WebhookSettled(results=[_settle(state, tx, outcome) for outcome in command.outcomes])


def _settle(state: State, tx: Tx, outcome: Outcome) -> int:
    webhook = state.webhooks.by_id.get(outcome.webhook)
    key = keys.outbox(outcome.webhook, outcome.delivery)
    stored = tx.get(key) if webhook is not None else None
    if webhook is None or stored is None:
        return SETTLED
    row = rows.decode_delivery(stored)
    if row.attempts != outcome.attempts:
        return STALE
    error = None if outcome.error is None else outcome.error[: limits.WEBHOOK_ERROR_CHARACTERS_MAX]
    row = rows.changed(
        row,
        attempts=row.attempts + 1,
        tried_at=tx.now_ms,
        took_ms=outcome.took_ms,
        status=outcome.status,
        error=error,
        next_at=0,
    )
    counters = webhook.counters
    state.webhooks.touch(webhook)
    if error is None:
        counters.delivered += 1
        counters.streak = 0
        counters.last_success_at = tx.now_ms
        tx.rows[key] = None
        state.webhooks.waits(webhook, -1)
        _log(tx, webhook, outcome.delivery, "delivered", row)
        return SETTLED
    counters.failed += 1
    counters.streak += 1
    counters.last_failure_at = tx.now_ms
    counters.last_error = error
    next_at = _next_try(state, webhook, row, outcome.retry_after_ms, tx.now_ms)
    if next_at is not None:
        row = rows.changed(row, next_at=next_at)
        tx.rows[key] = rows.encode(row)
        _log(tx, webhook, outcome.delivery, "failed", row)
        return next_at
    _give_up(state, tx, webhook, outcome.delivery, row)
    return SETTLED


def _next_try(state: State, webhook: Webhook, row: DeliveryRow, asked_ms: int, now_ms: int) -> int | None:
    """When a failed delivery is tried again, None for never. What the receiver asks for counts up to the longest
    delay.
    """
    rules, defaults = webhook.row, state.defaults
    retries = defaults.webhook_max_retries if rules.max_retries is None else rules.max_retries
    if row.attempts > retries:
        return None
    longest_ms = limits.WEBHOOK_DELAY_MS_DEFAULT if rules.max_delay_ms is None else rules.max_delay_ms
    doublings = min(row.attempts - 1, limits.WEBHOOK_DOUBLINGS_MAX)
    next_at = now_ms + min(longest_ms, max(defaults.webhook_retry_base_ms << doublings, asked_ms))
    if rules.max_age_ms is not None and next_at - row.since > rules.max_age_ms:
        return None
    return next_at


def _give_up(state: State, tx: Tx, webhook: Webhook, delivery_id: bytes, row: DeliveryRow) -> None:
    """Keep it where it can be sent again; the oldest one that is kept gives way when there are too many."""
    tx.rows[keys.outbox(webhook.row.id, delivery_id)] = None
    state.webhooks.waits(webhook, -1)
    counters = webhook.counters
    counters.given_up += 1
    first, end = keys.of_webhook(keys.given_up(webhook.row.id))
    if counters.kept >= limits.WEBHOOK_GIVEN_UP_MAX:
        oldest = tx.scan(max(first, webhook.given_up_floor), end, 1)[0][0]
        tx.rows[oldest] = None
        webhook.given_up_floor = oldest
        counters.kept -= 1
    key = keys.given_up(webhook.row.id, delivery_id)
    tx.rows[key] = rows.encode(row)
    webhook.given_up_floor = min(webhook.given_up_floor, key)
    counters.kept += 1
    _log(tx, webhook, delivery_id, "given_up", row)


def _log(tx: Tx, webhook: Webhook, delivery_id: bytes, outcome: str, row: DeliveryRow) -> None:
    """A ring of slots: it is written over, so nothing has to be found and deleted."""
    number = webhook.counters.tries
    webhook.counters.tries += 1
    slot = keys.tried(webhook.row.id, number % limits.WEBHOOK_LOG_MAX)
    tx.rows[slot] = rows.encode(TryRow(number, delivery_id, outcome, row))
