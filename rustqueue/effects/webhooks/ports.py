"""What delivering needs from the rest of the node, and from the world.

It must not name a body of these ports: `rustqueue.node` brings them together.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rustqueue.machine.webhooks.rows import DeliveryRow, WebhookRow
from rustqueue.model.replies import Reply
from rustqueue.model.webhooks.commands import WebhookOutcomes

Waiting = tuple[bytes, DeliveryRow]
"""A delivery by its id."""


class Outboxes(Protocol):
    """The outboxes as the applied state has them. Every call is bounded work on the loop."""

    @property
    def waiting_count(self) -> int:
        """Deliveries in all of them."""
        ...

    def with_waiting(self) -> Iterable[tuple[WebhookRow, int]]:
        """The webhooks that have deliveries waiting, and how many."""
        ...

    def webhook(self, webhook_id: bytes) -> WebhookRow | None: ...

    def waiting(self, webhook_id: bytes, after: bytes, limit: int) -> list[Waiting]:
        """Deliveries of one webhook behind the id `after`, in order of their events."""
        ...


class Posting(NamedTuple):
    """One call of a receiver."""

    url: str
    headers: dict[str, str]
    body: bytes
    timeout_ms: int


class Answer(NamedTuple):
    """What came of it. `error` None: the receiver took it. It never repeats the URL, which may hold a secret."""

    status: int | None
    error: str | None
    retry_after_ms: int = 0


class Sender(Protocol):
    """Calls receivers. `done` is called exactly once, on the loop and not before `post` has returned."""

    def post(self, posting: Posting, done: Callable[[Answer], None]) -> Callable[[], None]:
        """What is returned forgets the call: then `done` is not called any more."""
        ...


Propose = Callable[[WebhookOutcomes, Callable[[Reply], None]], None]
"""Brings outcomes into the log; the reply comes on the loop, exactly once."""


@dataclass(frozen=True, slots=True)
class Times:
    """Clocks. `monotonic_us` is for measuring, `now_ms` is the time that the machine lives by."""

    monotonic_us: Callable[[], int]
    now_ms: Callable[[], int]
    call_soon: Callable[[Callable[[], None]], None]
    call_later: Callable[[int, Callable[[], None]], Callable[[], None]]
