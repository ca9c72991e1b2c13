"""The fan-out of events: what the machine tells reaches effects after the replies of the same turn.

It must not know what an event means. Invariants: events come in the order of the log, each to every subscriber once;
a subscriber runs outside apply, so that a fault in an effect is never taken for a fault of the machine.
"""

from collections.abc import Callable, Sequence

from rustqueue.model.events import Event

Subscriber = Callable[[int, int, Sequence[Event]], None]
"""Takes the index of an entry, its stamp in milliseconds since 1970, and what it changed."""


class Bus:
    """`call_soon` runs a call on the loop after the present one. What waits is bounded: it is handed out each turn."""

    def __init__(self, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self._call_soon = call_soon
        self._subscribers: list[Subscriber] = []
        self._published: list[tuple[int, int, Sequence[Event]]] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """`subscriber` must be quick."""
        self._subscribers.append(subscriber)

    def publish(self, index: int, now_ms: int, events: Sequence[Event]) -> None:
        """Called by the machine for every written batch."""
        if not events:
            return
        if not self._published:
            self._call_soon(self._hand_out)
        self._published.append((index, now_ms, events))

    def _hand_out(self) -> None:
        published, self._published = self._published, []
        for index, now_ms, events in published:
            for subscriber in self._subscribers:
                subscriber(index, now_ms, events)
