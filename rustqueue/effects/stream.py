"""The stream of events: the latest ones, and everybody who follows them.

It must not know how text reaches a follower. Invariants: memory is bounded however many events or followers there are;
a follower that does not take what it is sent costs nothing until it does, and is then told that it has missed some;
telling takes a bounded share of the loop, so that pushes go on.

Followers do not have queues. Each has a place in the one ring of latest events and reads on from there; only who is
awake has a turn. A place that has left the ring becomes a gap marker.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, Protocol

from msgspec import Struct

from rustqueue.auth.grants import matches
from rustqueue.model import limits
from rustqueue.model.events import EVENT_NAMES, Cursor, Event, JobsChanged, QueueChanged, QueueEvent
from rustqueue.model.ids import id_text
from rustqueue.model.times import to_text
from rustqueue.raft.ports import Clock

_OF_QUEUES: Final = (JobsChanged, QueueChanged)


class Follower(Protocol):
    """Who is told. `send` gets texts that are wrapped already, and must not wait."""

    def send(self, data: bytes) -> None: ...


class EventFilter(Struct, frozen=True):
    """What a follower wants. None is everything; in the name of a queue `*` stands for any characters."""

    events: frozenset[str] | None = None
    queues: tuple[str, ...] | None = None
    job_id: bytes | None = None
    visible: Callable[[str], bool] | None = None
    """Whether the follower may read a queue."""

    def takes(self, event: str, queue: str) -> bool:
        if self.events is not None and event not in self.events:
            return False
        if self.queues is not None and not any(matches(pattern, queue) for pattern in self.queues):
            return False
        return self.visible is None or self.visible(queue)


class _Told(Struct):
    """The events of one entry. `first` counts all texts told before, `ordinals` those of the entry before an event;
    nobody may ever ask for these, so they are counted late.
    """

    index: int
    now_ms: int
    events: list[QueueEvent]
    first: int
    count: int
    ordinals: list[int] = []
    texts: dict[int, bytes] = {}
    """All texts of an event by its place in `events`, wrapped and joined, once somebody has read them."""


class Place:
    """Where a follower stands. Made by `EventStream.join`."""

    __slots__ = ("_stream", "after", "awake", "follower", "gap", "next", "number", "wants")

    def __init__(self, stream: "EventStream", follower: Follower, wants: EventFilter) -> None:
        self._stream = stream
        self.follower = follower
        self.wants = wants
        self.next = 0  # Of the entries with events, counted from the start of this process.
        self.number = 0  # Of the events told before.
        self.after: Cursor | None = None
        self.gap = False
        self.awake = True

    @property
    def index(self) -> int:
        """Everything up to this entry was told, or happened before the follower came."""
        return self._stream.last_index if self.after is None else self.after.entry

    def sleep(self) -> None:
        """The follower takes no more for now."""
        self._stream.asleep(self)

    def wake(self) -> None:
        self._stream.awake(self)

    def leave(self) -> None:
        self._stream.left(self)


class EventStream:
    """`wrap` is put around each text; `applied_index` tells from where on events are known."""

    def __init__(self, clock: Clock, wrap: Callable[[bytes], bytes], applied_index: int) -> None:
        self._clock = clock
        self._wrap = wrap
        self._told: list[_Told] = []
        self._base = 0  # Number of the first of `_told`.
        self._numbers = 0
        self._known_after = Cursor(applied_index)
        self.last_index = applied_index
        self._places: dict[Place, None] = {}
        self._awake: dict[Place, None] = {}
        self._turns: deque[Place] = deque()
        self._news = False
        self._pumping = False

    @property
    def followers_count(self) -> int:
        return len(self._places)

    def on_events(self, index: int, now_ms: int, events: Sequence[Event]) -> None:
        """A subscriber of the bus."""
        self.last_index = index
        shown = [event for event in events if isinstance(event, _OF_QUEUES) and event.event in EVENT_NAMES]
        if not shown:
            return
        count = sum([_size(event) for event in shown])
        self._told.append(_Told(index, now_ms, shown, self._numbers, count))
        self._numbers += count
        if self._numbers - self._told[0].first > 2 * limits.EVENTS_KEPT_MAX:
            self._forget()
        self._tell()

    def jumped(self, index: int) -> None:
        """The state is that of a later entry now, and what led to it was told elsewhere: everybody has missed it."""
        self._base += len(self._told)
        self._told.clear()
        self._known_after = Cursor(index)
        self.last_index = index
        for place in self._places:
            place.gap, place.after = True, None
        self._tell()

    def join(self, follower: Follower, wants: EventFilter, after: Cursor | None) -> Place:
        """Follow from now on, or from behind `after`. The first text comes after this call."""
        place = Place(self, follower, wants)
        place.next, place.number = self._base + len(self._told), self._numbers
        self._places[place] = None
        self._awake[place] = None
        if after is not None:
            self._go_back(place, after)
            self._tell()
        return place

    def asleep(self, place: Place) -> None:
        place.awake = False
        self._awake.pop(place, None)

    def awake(self, place: Place) -> None:
        if place in self._places and not place.awake:
            place.awake = True
            self._awake[place] = None
            self._tell()

    def left(self, place: Place) -> None:
        self.asleep(place)
        self._places.pop(place, None)

    def _go_back(self, place: Place, after: Cursor) -> None:
        if after < self._known_after or after.entry > self.last_index + limits.EVENT_AHEAD_MAX:
            # An index far beyond ours comes from another life of this data: it says nothing about what was missed.
            place.gap = True
            after = self._known_after
        at = bisect_right(self._told, after.entry - 1, key=lambda told: told.index)
        place.next = self._base + at
        place.number = self._told[at].first if at < len(self._told) else self._numbers
        place.after = after

    def _forget(self) -> None:
        """Half of what is kept goes at once, so that moving the rest costs little for each event."""
        dropped = bisect_right(self._told, self._numbers - limits.EVENTS_KEPT_MAX, key=lambda told: told.first) - 1
        if dropped > 0:
            last = self._told[dropped - 1]
            self._known_after = Cursor(last.index, last.count - 1)
            self._base += dropped
            del self._told[:dropped]

    # Telling.

    def _tell(self) -> None:
        if not self._awake:
            return
        self._news = True
        if not self._pumping:
            self._pumping = True
            self._clock.call_soon(self._pump)

    def _pump(self) -> None:
        """Give turns until nobody awake has anything to read, or the slice is over."""
        started_us = self._clock.monotonic_us()
        turns = self._turns
        while turns or self._news:
            if not turns:
                self._news = False
                turns.extend(self._awake)
                continue
            place = turns.popleft()
            if place.awake and self._serve(place):
                turns.append(place)
            spent_us = self._clock.monotonic_us() - started_us
            if spent_us >= limits.EVENT_SLICE_US:
                pause_ms = spent_us * (100 // limits.EVENT_TIME_PERCENT - 1) // 1_000
                self._clock.call_later(max(1, pause_ms), self._pump)
                return
        self._pumping = False

    def _serve(self, place: Place) -> bool:
        """Send one turn's worth. True if there is more."""
        texts: list[bytes] = []
        size = 0
        if place.next < self._base or place.gap:
            texts.append(self._gap(place))
        end = self._base + len(self._told)
        while place.next < end and size < limits.EVENT_CLIENT_BYTES:
            told = self._told[place.next - self._base]
            place.next += 1
            place.number = told.first + told.count
            for text in self._texts_for(place, told):
                texts.append(text)
                size += len(text)
        if texts:
            place.follower.send(b"".join(texts))
        return place.next < end and place.awake

    def _gap(self, place: Place) -> bytes:
        """Says how many events of all kinds were passed over, if that is known, and moves the place behind them."""
        missed = "null"
        if place.next < self._base:
            first = self._told[0].first if self._told else self._numbers
            missed = "null" if place.gap else str(first - place.number)
            place.next, place.number = self._base, first
        place.gap = False
        text = f'{{"event":"stream.gap","missed":{missed},"cursor":"{self._known_after}"}}'
        return self._wrap(text.encode())

    def _texts_for(self, place: Place, told: _Told) -> list[bytes]:
        wants, after = place.wants, place.after
        if after is not None:
            if told.index > after.entry:
                place.after = None
            else:
                return _single(self._wrap, told, wants, after.ordinal) if told.index == after.entry else []
        if wants.job_id is not None:
            return _single(self._wrap, told, wants, -1)
        return [
            self._text(told, place)
            for place, event in enumerate(told.events)
            if wants.takes(EVENT_NAMES[event.event], event.queue)
        ]

    def _text(self, told: _Told, place: int) -> bytes:
        """All texts of one event. Written when it is first wanted: what nobody follows costs only a look."""
        text = told.texts.get(place)
        if text is None:
            if not told.ordinals:
                told.ordinals = list(accumulate([_size(event) for event in told.events], initial=0))
            texts = _texts(told, told.events[place], told.ordinals[place])
            text = told.texts[place] = b"".join([self._wrap(text) for text in texts])
        return text


def _size(event: QueueEvent) -> int:
    """How many texts an event has: one a job."""
    return len(event.ids) if isinstance(event, JobsChanged) else 1


def _single(wrap: Callable[[bytes], bytes], told: _Told, wants: EventFilter, after_ordinal: int) -> list[bytes]:
    """The texts one by one: behind an ordinal, or of one job."""
    found = []
    ordinal = 0
    for event in told.events:
        texts = _texts(told, event, ordinal)
        ids = event.ids if isinstance(event, JobsChanged) else [b""]
        if wants.takes(EVENT_NAMES[event.event], event.queue):
            found += [
                wrap(text)
                for place, (job_id, text) in enumerate(zip(ids, texts, strict=True), ordinal)
                if place > after_ordinal and wants.job_id in (None, job_id)
            ]
        ordinal += len(texts)
    return found


def _texts(told: _Told, event: QueueEvent, ordinal: int) -> list[bytes]:
    """The JSON of each job's event. Nothing in it needs escaping: names of queues are letters, digits and `-_.`."""
    name, queue, at = EVENT_NAMES[event.event], event.queue, to_text(told.now_ms)
    if not isinstance(event, JobsChanged):
        cursor = f"{told.index}-{ordinal}"
        return [f'{{"event":"{name}","queue":"{queue}","timestamp":"{at}","cursor":"{cursor}"}}'.encode()]
    more = ""
    if event.event == "failed":
        more = f'"will_retry":{"true" if event.will_retry else "false"},'
    elif event.progress is not None:
        more = f'"progress":{event.progress},'
    head = f'{{"event":"{name}","job_id":"'
    middle = f'","queue":"{queue}","timestamp":"{at}",{more}"cursor":"{told.index}-'
    return [f'{head}{id_text(job_id)}{middle}{place}"}}'.encode() for place, job_id in enumerate(event.ids, ordinal)]
