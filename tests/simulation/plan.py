"""The faults of a world as a list that can be made shorter.

It must not know what a fault does. Invariant: when a fault of a kind comes does not depend on what others did, nor on
whether it was left out; so what is left of a list means the same as before.
"""

from collections import Counter
from random import Random
from typing import NamedTuple, Protocol

from tests.simulation.timeline import Timeline


class Event(NamedTuple):
    """The so-many-th fault of a kind that somebody suffers: a node, the network, or the members."""

    owner: str
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.owner}/{self.kind}/{self.number}"

    @classmethod
    def read(cls, text: str) -> "Event":
        owner, kind, number = text.split("/")
        return cls(owner, kind, int(number))


class Troublemaker(Protocol):
    """Who suffers or makes faults, by its name."""

    name: str
    active: bool

    def happen(self, kind: str) -> None: ...


class Plan:
    """Asked before each fault whether it shall happen. `kept` None: all do."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._numbers: Counter[tuple[str, str]] = Counter()
        self.kept: frozenset[Event] | None = None
        self.happened: list[tuple[int, Event]] = []
        """With the microsecond of each."""

    def repeat(self, who: Troublemaker, kind: str, rng: Random, mean_us: float) -> None:
        """Let a kind of fault come again and again while its maker is active. `rng` is for this kind alone."""

        def come() -> None:
            if not who.active:
                return
            if self._takes(who.name, kind):
                who.happen(kind)
            self.repeat(who, kind, rng, mean_us)

        self.timeline.after(round(rng.expovariate(1 / mean_us)) + 1, come)

    def _takes(self, owner: str, kind: str) -> bool:
        self._numbers[owner, kind] += 1
        event = Event(owner, kind, self._numbers[owner, kind])
        if self.kept is not None and event not in self.kept:
            return False
        self.happened.append((self.timeline.now_us, event))
        return True
