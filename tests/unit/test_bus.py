"""The bus: events in order, after the turn that made them."""

from collections.abc import Callable, Sequence

from rustqueue.bus import Bus
from rustqueue.model.events import Event, QueueChanged


def test_events_reach_every_subscriber_in_order_after_the_turn() -> None:
    soon: list[Callable[[], None]] = []
    heard: list[tuple[str, int, int, list[Event]]] = []
    x, y = QueueChanged("paused", "x"), QueueChanged("resumed", "y")

    def subscriber(name: str) -> Callable[[int, int, Sequence[Event]], None]:
        return lambda index, now_ms, events: heard.append((name, index, now_ms, list(events)))

    bus = Bus(soon.append)
    bus.subscribe(subscriber("a"))
    bus.subscribe(subscriber("b"))
    bus.publish(7, 7000, [x])
    bus.publish(8, 8000, [])
    bus.publish(9, 9000, [y])
    assert (heard, len(soon)) == ([], 1)
    soon.pop()()
    assert heard == [("a", 7, 7000, [x]), ("b", 7, 7000, [x]), ("a", 9, 9000, [y]), ("b", 9, 9000, [y])]
    bus.publish(10, 10000, [QueueChanged("paused", "z")])
    assert len(soon) == 1
