"""The leader's work: send what waits in the outboxes, and bring into the log what became of it.

It must not decide when something is tried again, nor whether it is given up: the machine does. Invariants:
- a delivery goes out only after its event is durable, and the next one of its job only after its own outcome is;
- each webhook has a bounded number of places and all together have; those whose last try failed share half of them, so
  that receivers that hang take nothing from those that work;
- an outcome that could not be brought into the log is brought again, or the delivery is sent again by the next leader
  under the same id;
- nothing that is secret is logged, and no error repeats a URL.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

import rustqueue
from rustqueue.effects.webhooks.lines import Line
from rustqueue.effects.webhooks.ports import Answer, Outboxes, Posting, Propose, Sender, Times, Waiting
from rustqueue.effects.webhooks.preparing import HEADERS_PURPOSE, SECRET_PURPOSE
from rustqueue.effects.webhooks.signing import signature_headers
from rustqueue.machine.webhooks.rows import NAMES, DeliveryRow, WebhookRow
from rustqueue.model import limits
from rustqueue.model.events import Event, WebhookChanged
from rustqueue.model.ids import id_text
from rustqueue.model.replies import Reply, WebhookSettled
from rustqueue.model.times import to_text
from rustqueue.model.webhooks.commands import Outcome, WebhookOutcomes
from rustqueue.seal import Sealer, SealError

log: Final = logging.getLogger("rustqueue.webhooks")

_AGAIN_MS: Final = 500  # After outcomes that the log did not take.
_TIMER_MS_MAX: Final = 60_000
_STALE: Final = -1


@dataclass(frozen=True, slots=True)
class DutyParts:
    outboxes: Outboxes
    sender: Sender
    propose: Propose
    times: Times
    sealer: Sealer
    timeout_ms: int
    """For webhooks that say nothing of it."""


@dataclass(frozen=True, slots=True)
class DutyLimits:
    sends_max: int = limits.WEBHOOK_SENDS_MAX
    sends_each_max: int = limits.WEBHOOK_SENDS_EACH_MAX


class WebhookDuty:
    """A `LeaderDuty`. `on_events` is a subscriber of the bus. `tried` is told each try: whether it succeeded, and the
    microseconds that it took.
    """

    def __init__(self, parts: DutyParts, tried: Callable[[bool, int], None], bounds: DutyLimits | None = None) -> None:
        self._outboxes = parts.outboxes
        self._times = parts.times
        self._parts = parts
        self._tried = tried
        self._bounds = bounds or DutyLimits()
        self._lines: dict[bytes, Line] = {}
        self._cancels: dict[tuple[bytes, bytes], Callable[[], None]] = {}
        self._outcomes: list[Outcome] = []
        self._proposing = False
        self._turn_asked = False
        self._disarm: Callable[[], None] | None = None
        self._term = 0
        """Grows with each begin and end, so that what comes back from an earlier time is known by it."""
        self._active = False
        self._unproven: set[tuple[bytes, bytes]] = set()
        self._served_count = 0

    @property
    def on_way_count(self) -> int:
        """Calls of receivers that have not ended."""
        return len(self._cancels)

    # The duty.

    def begin(self) -> None:
        self._term += 1
        self._active = True
        self._ask_turn()

    def end(self) -> None:
        self._term += 1
        self._active = False
        for cancel in self._cancels.values():
            cancel()
        self._cancels.clear()
        self._lines.clear()
        self._outcomes.clear()
        self._unproven.clear()
        self._proposing = False
        self._arm(None)

    def on_events(self, index: int, now_ms: int, events: Sequence[Event]) -> None:
        """Something was applied: there may be more to send."""
        if not self._active:
            return
        for event in events:
            if isinstance(event, WebhookChanged):
                self._changed(event.id)
        if self._outboxes.waiting_count:
            self._ask_turn()

    def _changed(self, webhook_id: bytes) -> None:
        line = self._lines.get(webhook_id)
        if line is None:
            return
        if self._outboxes.webhook(webhook_id) is not None:
            line.reload()
        else:
            del self._lines[webhook_id]
            for key in [key for key in self._cancels if key[0] == webhook_id]:
                self._unproven.discard(key)
                self._cancels.pop(key)()

    # Sending.

    def _ask_turn(self) -> None:
        if not self._turn_asked:
            self._turn_asked = True
            self._times.call_soon(self._turn)

    def _turn(self) -> None:
        """Give out what is due, one delivery of each webhook in turns, until places or deliveries run out."""
        self._turn_asked = False
        if not self._active:
            return
        now_ms = self._times.now_ms()
        lines = self._lines
        opened: list[tuple[WebhookRow, Line]] = []
        for row, count in self._outboxes.with_waiting():
            if not row.suspended:
                line = lines.setdefault(row.id, Line())
                line.counted(count)
                opened.append((row, line))
        # When there are not enough places for all, the turn begins where the one before has ended.
        start = self._served_count % max(1, len(opened))
        waiting = opened[start:] + opened[:start]
        while waiting and len(self._cancels) < self._bounds.sends_max:
            waiting = [(row, line) for row, line in waiting if self._send_one(row, line, now_ms)]
        times = [line.next_due_ms() for _, line in opened if line.on_way_count < line.allowance]
        self._arm(min((due_ms for due_ms in times if due_ms is not None and due_ms > now_ms), default=None))

    def _send_one(self, row: WebhookRow, line: Line, now_ms: int) -> bool:
        """Send the next delivery of a webhook. False if it has none that may go now."""
        if line.on_way_count >= line.allowance or len(self._cancels) >= self._bounds.sends_max:
            return False
        if not line.proven and len(self._unproven) * 2 >= self._bounds.sends_max:
            return False
        while line.wants_more(now_ms):
            line.load(self._outboxes.waiting(row.id, *line.chunk))
        waiting = line.take(now_ms)
        if waiting is None:
            return False
        self._served_count += 1
        self._send(row, line, waiting)
        return True

    def _send(self, row: WebhookRow, line: Line, waiting: Waiting) -> None:
        delivery_id, delivery = waiting
        key = (row.id, delivery_id)
        term, started_us = self._term, self._times.monotonic_us()
        if not line.proven:
            self._unproven.add(key)

        def done(answer: Answer) -> None:
            if term == self._term and self._cancels.pop(key, None) is not None:
                self._unproven.discard(key)
                self._answered(row.id, delivery_id, delivery.attempts, answer, started_us)

        try:
            posting = self._posting(row, delivery_id, delivery)
        except SealError as error:
            # An operator's mistake, which he can mend: the delivery is tried again like any other.
            log.error("webhook cannot be delivered", extra={"webhook": row.name, "reason": str(error)})
            self._cancels[key] = _nothing
            self._times.call_soon(lambda: done(Answer(None, "the secrets of this webhook cannot be opened")))
            return
        self._cancels[key] = self._parts.sender.post(posting, done)

    def _posting(self, row: WebhookRow, delivery_id: bytes, delivery: DeliveryRow) -> Posting:
        sealer = self._parts.sealer
        body = body_of(row, delivery)
        sealed = [secret for secret in (row.secret, row.previous_secret) if secret is not None]
        secrets = [sealer.open(SECRET_PURPOSE, secret).decode() for secret in sealed]
        own: dict[str, str] = {}
        if row.headers is not None:
            own = msgspec.json.decode(sealer.open(HEADERS_PURPOSE, row.headers), type=dict[str, str])
        headers = {
            **own,
            "Content-Type": "application/json",
            "User-Agent": f"RustQueue/{rustqueue.__version__}",
            "X-RustQueue-Event": NAMES[delivery.event],
            "X-RustQueue-Webhook-Id": id_text(row.id),
            **signature_headers(id_text(delivery_id), self._times.now_ms() // 1_000, body, secrets),
        }
        return Posting(row.url, headers, body, row.timeout_ms or self._parts.timeout_ms)

    def _answered(self, webhook_id: bytes, delivery_id: bytes, attempts: int, answer: Answer, started_us: int) -> None:
        took_us = self._times.monotonic_us() - started_us
        self._tried(answer.error is None, took_us)
        line = self._lines.get(webhook_id)
        if line is None:
            return
        line.judge(answer.error is None, self._bounds.sends_each_max)
        error = None if answer.error is None else answer.error[: limits.WEBHOOK_ERROR_CHARACTERS_MAX]
        outcome = Outcome(
            webhook_id, delivery_id, attempts, answer.status, error, took_us // 1_000, answer.retry_after_ms
        )
        self._outcomes.append(outcome)
        if not self._proposing:
            self._proposing = True
            # All that is answered in this turn of the loop goes into one command.
            self._times.call_soon(self._propose)
        self._ask_turn()

    # Outcomes.

    def _propose(self) -> None:
        if not self._active:
            return
        outcomes, self._outcomes = (
            self._outcomes[: limits.WEBHOOK_OUTCOMES_MAX],
            self._outcomes[limits.WEBHOOK_OUTCOMES_MAX :],
        )
        if not outcomes:
            self._proposing = False
            return
        term = self._term

        def landed(reply: Reply) -> None:
            if term == self._term:
                self._landed(outcomes, reply)

        self._parts.propose(WebhookOutcomes(outcomes=outcomes), landed)

    def _landed(self, outcomes: list[Outcome], reply: Reply) -> None:
        if not isinstance(reply, WebhookSettled):
            # Whether it counted or not, it may be said again: an outcome counts once.
            self._outcomes = outcomes + self._outcomes
            self._times.call_later(_AGAIN_MS, self._propose_again(self._term))
            return
        for outcome, result in zip(outcomes, reply.results, strict=True):
            line = self._lines.get(outcome.webhook)
            if line is None:
                continue
            if result > 0:
                line.failed(outcome.delivery, result)
            else:
                line.settled(outcome.delivery)
                if result == _STALE:
                    line.reload()
        self._propose()
        self._ask_turn()

    def _propose_again(self, term: int) -> Callable[[], None]:
        def again() -> None:
            if term == self._term:
                self._propose()

        return again

    def _arm(self, due_ms: int | None) -> None:
        if self._disarm is not None:
            self._disarm()
            self._disarm = None
        if due_ms is not None:
            delay_ms = min(max(1, due_ms - self._times.now_ms()), _TIMER_MS_MAX)
            self._disarm = self._times.call_later(delay_ms, self._ask_turn)


def body_of(row: WebhookRow, delivery: DeliveryRow) -> bytes:
    """The original's body, with what it did not tell. It is the same at every try."""
    job_id = id_text(delivery.job_id) if delivery.job_id else None
    data: dict[str, object] = {"job_id": job_id, "queue": delivery.queue or None}
    if delivery.will_retry is not None:
        data["will_retry"] = delivery.will_retry
    if delivery.progress is not None:
        data["progress"] = delivery.progress
    return msgspec.json.encode(
        {
            "event": NAMES[delivery.event],
            "webhook_id": id_text(row.id),
            "timestamp": to_text(delivery.at),
            "data": data,
        }
    )


def _nothing() -> None:
    pass
