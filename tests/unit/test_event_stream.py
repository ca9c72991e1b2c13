"""The stream of events: who is told what, in which order, and what happens to those who do not keep up."""

from typing import Any

import msgspec
import pytest

from rustqueue.effects.stream import EventFilter, EventStream, Place
from rustqueue.model import limits
from rustqueue.model.events import Cursor, Event, JobsChanged, QueueChanged
from rustqueue.model.ids import id_text
from tests.unit.gateway_world import ManualClock

AT_MS = 1_700_000_000_000
AT = "2023-11-14T22:13:20Z"
A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


class Ear:
    """A follower that remembers."""

    def __init__(self) -> None:
        self.heard = b""

    def send(self, data: bytes) -> None:
        self.heard += data

    def taken(self) -> list[dict[str, Any]]:
        lines, self.heard = self.heard.splitlines(), b""
        return [msgspec.json.decode(line) for line in lines]

    def cursors(self) -> list[str]:
        return [event["cursor"] for event in self.taken()]


class World:
    def __init__(self, applied_index: int = 0) -> None:
        self.clock = ManualClock()
        self.stream = EventStream(self.clock, lambda text: text + b"\n", applied_index)

    def join(self, wants: EventFilter | None = None, after: Cursor | None = None) -> tuple[Ear, Place]:
        ear = Ear()
        return ear, self.stream.join(ear, wants or EventFilter(), after)

    def tell(self, index: int, *events: Event) -> None:
        self.stream.on_events(index, AT_MS, events)

    def settle(self) -> None:
        self.clock.pass_ms(60_000)


def pushed(*ids: bytes, queue: str = "mail") -> JobsChanged:
    return JobsChanged("pushed", queue, list(ids))


def test_every_event_has_its_text() -> None:
    world = World()
    ear, _ = world.join()
    world.tell(
        7,
        pushed(A, B),
        JobsChanged("ready", "mail", [A]),
        JobsChanged("failed", "mail", [A], will_retry=True),
        JobsChanged("progress", "mail", [B], progress=40),
        QueueChanged("paused", "mail"),
    )
    world.settle()
    same = {"queue": "mail", "timestamp": AT}
    assert ear.taken() == [
        {"event": "job.pushed", "job_id": id_text(A), **same, "cursor": "7-0"},
        {"event": "job.pushed", "job_id": id_text(B), **same, "cursor": "7-1"},
        {"event": "job.failed", "job_id": id_text(A), **same, "will_retry": True, "cursor": "7-2"},
        {"event": "job.progress", "job_id": id_text(B), **same, "progress": 40, "cursor": "7-3"},
        {"event": "queue.paused", **same, "cursor": "7-4"},
    ]


FILTERS = {
    "everything": (EventFilter(), ["1-0", "1-1", "2-0", "2-1"]),
    "one kind": (EventFilter(events=frozenset({"job.completed"})), ["2-0"]),
    "one queue": (EventFilter(queues=("mail.out",)), ["1-0", "2-0"]),
    "a beginning": (EventFilter(queues=("mail.*",)), ["1-0", "2-0", "2-1"]),
    "one job": (EventFilter(job_id=B), ["1-1"]),
    "both at once": (EventFilter(events=frozenset({"job.pushed"}), queues=("mail.*",)), ["1-0"]),
    "what may be seen": (EventFilter(visible=lambda queue: queue == "ads"), ["1-1"]),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_takes_what_it_names(name: str) -> None:
    wants, expected = FILTERS[name]
    world = World()
    ear, _ = world.join(wants)
    world.tell(1, pushed(A, queue="mail.out"), pushed(B, queue="ads"))
    world.tell(2, JobsChanged("completed", "mail.out", [A]), QueueChanged("paused", "mail.in"))
    world.settle()
    assert ear.cursors() == expected


def test_a_follower_hears_what_comes_after_it_joined() -> None:
    world = World()
    world.tell(1, pushed(A))
    ear, _ = world.join()
    world.tell(2, pushed(B))
    world.settle()
    assert ear.cursors() == ["2-0"]


RESUMES = {
    "inside an entry": (Cursor(2, 0), ["2-1", "3-0"]),
    "behind an entry": (Cursor(2), ["3-0"]),
    "behind the last": (Cursor(3), []),
    "between entries": (Cursor(1, 5), ["2-0", "2-1", "3-0"]),
    "ahead, as another node told": (Cursor(4), []),
}


@pytest.mark.parametrize("name", RESUMES)
def test_a_follower_comes_back_to_where_it_was(name: str) -> None:
    after, expected = RESUMES[name]
    world = World()
    world.tell(1, pushed(A))
    world.tell(2, pushed(B, C))
    world.tell(3, pushed(A))
    ear, _ = world.join(after=after)
    world.settle()
    assert ear.cursors() == expected


def test_what_was_told_elsewhere_is_not_told_again() -> None:
    world = World()
    ear, _ = world.join(after=Cursor(2, 0))
    world.tell(1, pushed(A))
    world.tell(2, pushed(A, B))
    world.tell(3, pushed(C))
    world.settle()
    assert ear.cursors() == ["2-1", "3-0"]


@pytest.mark.parametrize("after", [Cursor(3), Cursor(10**15)])
def test_an_unknown_past_is_a_gap(after: Cursor) -> None:
    """Before the start of this process, or from another life of the data."""
    world = World(applied_index=10)
    world.tell(12, pushed(A))
    ear, _ = world.join(after=after)
    world.settle()
    first, *rest = ear.taken()
    assert first == {"event": "stream.gap", "missed": None, "cursor": "10"}
    assert [event["cursor"] for event in rest] == ["12-0"]


def test_a_sleeper_is_told_how_much_it_missed() -> None:
    world = World()
    ear, place = world.join()
    world.tell(1, pushed(A))
    world.settle()
    place.sleep()
    batch = [A] * 1_000
    entries = 2 * limits.EVENTS_KEPT_MAX // 1_000 + 1
    for index in range(2, 2 + entries):
        world.tell(index, pushed(*batch))
        world.settle()
    place.wake()
    world.settle()
    heard = ear.taken()
    assert (heard[0]["cursor"], heard[1]["event"]) == ("1-0", "stream.gap")
    kept = len(heard) - 2
    assert heard[1]["missed"] == entries * 1_000 - kept
    assert limits.EVENTS_KEPT_MAX <= kept < limits.EVENTS_KEPT_MAX + 1_000
    assert heard[1]["cursor"] == f"{int(heard[2]['cursor'].split('-')[0]) - 1}-999"


def test_a_state_from_elsewhere_is_a_gap_for_everybody() -> None:
    """A member that was far behind goes on from a snapshot: nobody here knows what happened before it."""
    world = World()
    ear, _ = world.join()
    returning, _ = world.join(after=Cursor(0))
    world.tell(1, pushed(A))
    world.settle()
    assert ear.cursors() == returning.cursors() == ["1-0"]
    world.tell(2, pushed(A))
    world.stream.jumped(90)
    world.tell(91, pushed(B))
    world.settle()
    heard = ear.taken()
    assert heard[0] == {"event": "stream.gap", "missed": None, "cursor": "90"}
    assert [event["cursor"] for event in heard[1:]] == ["91-0"]
    assert returning.cursors() == ["90", "91-0"]


def test_who_left_is_not_counted_and_hears_nothing() -> None:
    world = World()
    ear, place = world.join()
    assert world.stream.followers_count == 1
    place.leave()
    place.wake()
    world.tell(1, pushed(A))
    world.settle()
    assert (world.stream.followers_count, ear.taken()) == (0, [])


def test_sleepers_cost_nothing() -> None:
    """However many do not read, telling asks the clock for no turn."""
    world = World()
    places = [world.join()[1] for _ in range(100)]
    world.settle()
    for place in places:
        place.sleep()
    world.tell(1, pushed(A))
    world.clock.run_soon()
    assert world.clock.timers_count == 0


def test_a_slice_ends_and_the_rest_comes_later() -> None:
    """Each text takes a slice here, so that every follower needs a turn of its own."""
    world = World()

    class Slow(Ear):
        def send(self, data: bytes) -> None:
            super().send(data)
            world.clock.now_us += limits.EVENT_SLICE_US

    ears = [Slow() for _ in range(3)]
    for ear in ears:
        world.stream.join(ear, EventFilter(), None)
    world.tell(1, pushed(A))
    world.clock.run_soon()
    assert [len(ear.heard) > 0 for ear in ears] == [True, False, False]
    world.settle()
    assert [ear.cursors() for ear in ears] == [["1-0"]] * 3
