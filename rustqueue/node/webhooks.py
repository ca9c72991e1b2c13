"""Webhooks of one node: the key that seals secrets, the guard's rules, the sender and the leader's duty.

It must not decide anything about a delivery. Invariant: a node whose webhooks are off refuses all that is asked about
them, and has no key.
"""

import logging
from collections.abc import Iterable
from typing import Final

from rustqueue.effects.metrics import Metrics
from rustqueue.effects.webhooks.duty import DutyParts, WebhookDuty
from rustqueue.effects.webhooks.guard import Rules
from rustqueue.effects.webhooks.names import Names
from rustqueue.effects.webhooks.ports import Propose, Times, Waiting
from rustqueue.effects.webhooks.preparing import preparing, refusing
from rustqueue.effects.webhooks.sender import HttpSender
from rustqueue.gateway.preparing import Preparing
from rustqueue.machine import keys
from rustqueue.machine.machine import Machine
from rustqueue.machine.webhooks.rows import WebhookRow, decode_delivery
from rustqueue.model.errors import Unavailable
from rustqueue.seal import Sealer, load_sealer, make_key_file
from rustqueue.settings import Settings

log: Final = logging.getLogger("rustqueue.webhooks")

KEY_FILE: Final = "secret.key"
"""In the data folder, for a node that was given no file: no log, snapshot or backup has it."""


class MachineOutboxes:
    """The applied state as the duty reads it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def waiting_count(self) -> int:
        return self._machine.state.webhooks.waiting

    def with_waiting(self) -> Iterable[tuple[WebhookRow, int]]:
        for webhook in self._machine.state.webhooks.by_name.values():
            if webhook.counters.waiting:
                yield webhook.row, webhook.counters.waiting

    def webhook(self, webhook_id: bytes) -> WebhookRow | None:
        found = self._machine.state.webhooks.by_id.get(webhook_id)
        return None if found is None else found.row

    def waiting(self, webhook_id: bytes, after: bytes, limit: int) -> list[Waiting]:
        start, end = keys.of_webhook(keys.outbox(webhook_id))
        found = self._machine.view().scan(start + after + b"\0" if after else start, end, limit)
        return [(key[-16:], decode_delivery(value)) for key, value in found]


class Webhooks:
    """All that a node has for webhooks. `duty` is None where they are off."""

    def __init__(self, settings: Settings, folder: str) -> None:
        """Raises `SealError` for a key file that cannot be used."""
        self._settings = settings
        self.duty: WebhookDuty | None = None
        self._sender: HttpSender | None = None
        self._sealer: Sealer | None = None
        self._rules = Rules()
        if settings.webhooks.enabled:
            self._sealer = _sealer(settings.security.key_file, f"{folder}/{KEY_FILE}")
            server = settings.server
            self.listens_on([server.http_port, server.tcp_port])

    @property
    def preparing(self) -> Preparing:
        return refusing() if self._sealer is None else preparing(self._sealer, lambda: self._rules)

    def listens_on(self, ports: Iterable[int]) -> None:
        """No receiver is called on these ports, wherever it is."""
        given = self._settings.webhooks
        self._rules = Rules.of(given.allowed_networks, given.allowed_ports, ports)

    def check_query(self) -> None:
        """Raise WEBHOOKS_DISABLED where they are off."""
        if self._sealer is None:
            raise Unavailable.webhooks()

    def make_duty(self, machine: Machine, propose: Propose, times: Times, metrics: Metrics) -> WebhookDuty | None:
        """The work of a leader; call it on the loop."""
        if self._sealer is None:
            if machine.state.webhooks.by_name:
                log.warning("webhooks are off, nothing is delivered", extra={"waiting": machine.state.webhooks.waiting})
            return None
        given = self._settings.webhooks
        names = Names(lambda: times.monotonic_us() / 1e6)
        self._sender = HttpSender(names, lambda: self._rules, given.ca_file)
        parts = DutyParts(
            MachineOutboxes(machine), self._sender, propose, times, self._sealer, given.delivery_timeout_ms
        )
        self.duty = WebhookDuty(parts, metrics.webhook_tried)
        return self.duty

    async def close(self) -> None:
        if self.duty is not None:
            self.duty.end()
        if self._sender is not None:
            await self._sender.close()


def _sealer(given: str, own: str) -> Sealer:
    if given:
        return load_sealer(given)
    make_key_file(own)
    return load_sealer(own)


def webhook_numbers(machine: Machine, duty: WebhookDuty | None) -> list[tuple[str, str, float]]:
    """Gauges of webhooks."""
    registry = machine.state.webhooks
    hooks = registry.by_name.values()
    return [
        ("webhooks", "Webhooks that are defined.", len(registry.by_name)),
        ("webhooks_waiting_deliveries", "Deliveries in the outboxes.", registry.waiting),
        ("webhooks_given_up_deliveries", "Deliveries kept to be sent again.", sum(h.counters.kept for h in hooks)),
        ("webhooks_dropped_deliveries", "Events that found an outbox full.", sum(h.counters.dropped for h in hooks)),
        ("webhooks_failing", "Webhooks whose last try failed.", sum(h.counters.streak > 0 for h in hooks)),
        ("webhooks_calls", "Calls of receivers on their way.", 0 if duty is None else duty.on_way_count),
    ]
