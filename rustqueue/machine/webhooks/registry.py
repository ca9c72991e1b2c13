"""The webhooks that there are, in memory: who wants which event, and how much each has waiting.

All of it can be rebuilt from rows. Without webhooks an entry pays one look at an empty dictionary.
"""

from rustqueue.machine import keys
from rustqueue.machine.kv import View
from rustqueue.machine.tx import Tx
from rustqueue.machine.webhooks import rows
from rustqueue.machine.webhooks.rows import WebhookCounters, WebhookRow
from rustqueue.model import limits
from rustqueue.model.errors import NotFound
from rustqueue.model.ids import parse_id


class Webhook:
    """One webhook in memory: definition and counters."""

    __slots__ = ("counters", "dirty", "exact", "given_up_floor", "mask", "prefixes", "row")

    def __init__(self, row: WebhookRow, counters: WebhookCounters) -> None:
        self.counters = counters
        self.dirty = False
        self.given_up_floor = b""
        """No given-up delivery has a smaller key: what looks for the oldest need not pass the deleted ones."""
        self.set_row(row)

    def set_row(self, row: WebhookRow) -> None:
        self.row = row
        self.mask = sum(1 << code for code in row.events)
        self.exact = frozenset(name for name in row.queues if not name.endswith("*"))
        self.prefixes = tuple(name[:-1] for name in row.queues if name.endswith("*"))

    def wants(self, code: int, queue: str) -> bool:
        if self.mask and not self.mask >> code & 1:
            return False
        return not self.row.queues or queue in self.exact or queue.startswith(self.prefixes)


class Registry:
    """All webhooks by name, in order of name."""

    def __init__(self, view: View) -> None:
        self.by_name: dict[str, Webhook] = {}
        self.by_id: dict[bytes, Webhook] = {}
        self.waiting = 0
        """Deliveries in all outboxes."""
        self._touched: list[Webhook] = []
        self._matches: dict[tuple[int, str], list[Webhook]] = {}
        for _, value in view.scan(*keys.WEBHOOKS, limits.WEBHOOKS_MAX):
            row = rows.decode_webhook(value)
            stored = view.get(keys.webhook_counters(row.id))
            self._hold(Webhook(row, WebhookCounters() if stored is None else rows.decode_counters(stored)))

    def _hold(self, webhook: Webhook) -> None:
        self.by_name[webhook.row.name] = self.by_id[webhook.row.id] = webhook
        self.waiting += webhook.counters.waiting

    def find(self, reference: str) -> Webhook | None:
        """By name, else by id."""
        webhook = self.by_name.get(reference)
        if webhook is None and (webhook_id := parse_id(reference)) is not None:
            webhook = self.by_id.get(webhook_id)
        return webhook

    def existing(self, reference: str) -> Webhook:
        webhook = self.find(reference)
        if webhook is None:
            raise NotFound.webhook(reference)
        return webhook

    def wanting(self, code: int, queue: str) -> list[Webhook]:
        """The webhooks that get this event, in order of name."""
        found = self._matches.get((code, queue))
        if found is None:
            if len(self._matches) >= limits.WEBHOOK_MATCHES_CACHED_MAX:
                self._matches.clear()
            found = [self.by_name[name] for name in sorted(self.by_name) if self.by_name[name].wants(code, queue)]
            self._matches[code, queue] = found
        return found

    def put(self, tx: Tx, row: WebhookRow) -> Webhook:
        """Write a definition, new or changed."""
        tx.rows[keys.webhook(row.name)] = rows.encode(row)
        webhook = self.by_id.get(row.id)
        if webhook is None:
            webhook = Webhook(row, WebhookCounters())
            tx.rows[keys.webhook_name(row.id)] = row.name.encode("ascii")
            self._hold(webhook)
            self.touch(webhook)
        else:
            webhook.set_row(row)
        self._matches.clear()
        return webhook

    def remove(self, tx: Tx, webhook: Webhook) -> None:
        """Delete the definition and its counters. Deliveries are deleted by who calls."""
        row = webhook.row
        for key in (keys.webhook(row.name), keys.webhook_name(row.id), keys.webhook_counters(row.id)):
            tx.rows[key] = None
        self.waiting -= webhook.counters.waiting
        del self.by_name[row.name], self.by_id[row.id]
        if webhook.dirty:
            self._touched.remove(webhook)
        self._matches.clear()

    def room(self, webhook: Webhook) -> int:
        """How many more deliveries its outbox takes."""
        own = limits.WEBHOOK_OUTBOX_MAX - webhook.counters.waiting
        return max(0, min(own, limits.WEBHOOK_OUTBOX_ALL_MAX - self.waiting))

    def waits(self, webhook: Webhook, more: int) -> None:
        """So many deliveries came into the outbox, or left it."""
        webhook.counters.waiting += more
        self.waiting += more
        self.touch(webhook)

    def touch(self, webhook: Webhook) -> None:
        """Its counters will be written with this entry."""
        if not webhook.dirty:
            webhook.dirty = True
            self._touched.append(webhook)

    def store_touched(self, tx: Tx) -> None:
        for webhook in self._touched:
            webhook.dirty = False
            tx.rows[keys.webhook_counters(webhook.row.id)] = rows.encode(webhook.counters)
        self._touched.clear()
