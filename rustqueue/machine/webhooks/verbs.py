"""What clients do to webhooks. Definitions come here with their secrets sealed (`WebhookStore`)."""

from typing import TypeVar

from msgspec import UNSET, UnsetType

from rustqueue.machine import keys
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import ownership
from rustqueue.machine.webhooks import outbox, rows, shown
from rustqueue.machine.webhooks.registry import Webhook
from rustqueue.machine.webhooks.rows import WebhookRow
from rustqueue.model import limits
from rustqueue.model.errors import Conflict, Limited, NotFound, ValidationFailed
from rustqueue.model.events import WebhookChanged
from rustqueue.model.ids import id_text, parse_id
from rustqueue.model.replies import Done, OneWebhook, Reply, WebhookResent, WebhookStored, WebhookTested
from rustqueue.model.webhooks.commands import (
    WebhookCommand,
    WebhookDelete,
    WebhookOutcomes,
    WebhookPause,
    WebhookResend,
    WebhookResume,
    WebhookStore,
    WebhookTest,
)
from rustqueue.model.webhooks.values import RetryRules

_T = TypeVar("_T")


def apply(state: State, tx: Tx, command: WebhookCommand) -> Reply:
    """One arm a verb."""
    match command:
        case WebhookStore():
            return store(state, tx, command)
        case WebhookDelete():
            return delete(state, tx, command)
        case WebhookPause():
            return suspend(state, tx, command, True)
        case WebhookResume():
            return suspend(state, tx, command, False)
        case WebhookTest():
            return test(state, tx, command)
        case WebhookResend():
            return resend(state, tx, command)
        case WebhookOutcomes():
            return outbox.settle(state, tx, command)


def store(state: State, tx: Tx, command: WebhookStore) -> Reply:
    """Make or replace a webhook. What is missing of secrets, headers and `suspended` stays."""
    known = None if command.name is None else state.webhooks.find(command.name)
    if known is not None and command.is_new:
        raise Conflict.webhook(known.row.name)
    present = None if known is None else known.row.ownership
    ownership.require(present, command)
    if known is None:
        _check_new(state, command.name)
    before = known.row if known is not None else None
    webhook_id = tx.ids(1)[0] if before is None else before.id
    retry = command.retry or RetryRules()
    row = WebhookRow(
        id=webhook_id,
        name=before.name if before is not None else command.name or id_text(webhook_id),
        url=command.url,
        events=sorted({rows.CODES[name] for name in command.events}),
        queues=sorted(set(command.queues)),
        secret=_kept(command.secret, None if before is None else before.secret),
        previous_secret=_kept(command.previous_secret, None if before is None else before.previous_secret),
        headers=_kept(command.headers, None if before is None else before.headers),
        header_names=_header_names(command, before),
        timeout_ms=command.timeout_ms,
        max_retries=retry.max_retries,
        max_age_ms=retry.max_age_ms,
        max_delay_ms=retry.max_delay_ms,
        suspended=(before is not None and before.suspended) if command.suspended is None else command.suspended,
        created_at=tx.now_ms if before is None else before.created_at,
        updated_at=tx.now_ms if before is None else before.updated_at,
        ownership=ownership.declared(present, command),
    )
    webhook = known if known is not None and row == known.row else _put(state, tx, row)
    return WebhookStored(webhook=shown.info(webhook), created=known is None)


def _check_new(state: State, name: str | None) -> None:
    if len(state.webhooks.by_name) >= limits.WEBHOOKS_MAX:
        raise ValidationFailed(f"there are {limits.WEBHOOKS_MAX} webhooks", "name", limit=limits.WEBHOOKS_MAX)
    if name is not None and parse_id(name) is not None:
        # It could not be told from the id of another one.
        raise ValidationFailed("'name' looks like an id", "name")


def _kept(given: _T | UnsetType | None, before: _T | None) -> _T | None:
    return before if given is UNSET else given


def _header_names(command: WebhookStore, before: WebhookRow | None) -> list[str]:
    if command.headers is UNSET:
        return [] if before is None else before.header_names
    return sorted(command.header_names)


def _put(state: State, tx: Tx, row: WebhookRow) -> Webhook:
    row = rows.changed(row, updated_at=tx.now_ms, ownership=ownership.risen(row.ownership))
    tx.events.append(WebhookChanged(row.id))
    return state.webhooks.put(tx, row)


def delete(state: State, tx: Tx, command: WebhookDelete) -> Reply:
    """Delete it with its outbox. Both of its families are bounded, so one entry does it."""
    webhook = state.webhooks.existing(command.name)
    ownership.require(webhook.row.ownership, command)
    for prefix in (keys.outbox(webhook.row.id), keys.given_up(webhook.row.id)):
        for key, _ in tx.scan(*keys.of_webhook(prefix), limits.WEBHOOK_OUTBOX_MAX):
            tx.rows[key] = None
    for slot in range(min(webhook.counters.tries, limits.WEBHOOK_LOG_MAX)):
        tx.rows[keys.tried(webhook.row.id, slot)] = None
    state.webhooks.remove(tx, webhook)
    tx.events.append(WebhookChanged(webhook.row.id))
    return Done()


def suspend(state: State, tx: Tx, command: WebhookPause | WebhookResume, suspended: bool) -> Reply:
    webhook = state.webhooks.existing(command.name)
    ownership.require(webhook.row.ownership, command)
    if webhook.row.suspended != suspended:
        webhook = _put(state, tx, rows.changed(webhook.row, suspended=suspended))
    return OneWebhook(webhook=shown.info(webhook))


def test(state: State, tx: Tx, command: WebhookTest) -> Reply:
    webhook = state.webhooks.existing(command.name)
    if state.webhooks.room(webhook) == 0:
        raise Limited.outbox_full(webhook.row.name, limits.WEBHOOK_OUTBOX_MAX)
    delivery_id = outbox.append_test(state, tx, webhook)
    tx.events.append(WebhookChanged(webhook.row.id))
    return WebhookTested(delivery=id_text(delivery_id))


def resend(state: State, tx: Tx, command: WebhookResend) -> Reply:
    """Put given-up deliveries back into the outbox, as many as it takes, with all their tries before them."""
    webhook = state.webhooks.existing(command.name)
    room = state.webhooks.room(webhook)
    prefix = keys.given_up(webhook.row.id)
    if command.delivery is None:
        found = tx.scan(*keys.of_webhook(prefix), min(room, limits.WEBHOOK_GIVEN_UP_MAX)) if room else []
    else:
        delivery_id = parse_id(command.delivery)
        key = prefix + (delivery_id or b"")
        stored = tx.get(key) if delivery_id is not None else None
        if stored is None:
            raise NotFound.delivery(command.delivery)
        found = [(key, stored)] if room else []
    if not room and webhook.counters.kept:
        raise Limited.outbox_full(webhook.row.name, limits.WEBHOOK_OUTBOX_MAX)
    for key, value in found:
        row = rows.changed(rows.decode_delivery(value), since=tx.now_ms, attempts=0, next_at=0)
        tx.rows[key] = None
        tx.rows[keys.outbox(webhook.row.id, key[len(prefix) :])] = rows.encode(row)
    if found:
        webhook.counters.kept -= len(found)
        state.webhooks.waits(webhook, len(found))
        tx.events.append(WebhookChanged(webhook.row.id))
    return WebhookResent(moved=len(found), left=webhook.counters.kept)
