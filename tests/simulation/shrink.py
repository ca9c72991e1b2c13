"""The smallest list of faults with which a world still fails in the same way: whole kinds go first, then single ones.

It must not know what a fault does. Invariant: whatever it gives back was played and failed.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.simulation.plan import Event


class Run(NamedTuple):
    """What came of a world: how it failed, if it did, and which faults it had."""

    failure: str | None
    happened: tuple[tuple[int, Event], ...]


Play = Callable[[frozenset[Event] | None], Run]
"""Plays a world with these faults only; None: with all of them."""


def shrink(play: Play, goes_on: Callable[[], bool] = lambda: True) -> Run:
    """The shortest failing run found until `goes_on` says no. A world that does not fail comes back as it is."""
    best = play(None)
    if best.failure is None:
        return best
    kind = kind_of(best.failure)

    def without(dropped: set[Event]) -> bool:
        nonlocal best
        left = frozenset(event for _, event in best.happened if event not in dropped)
        tried = play(left)
        if tried.failure is None or kind_of(tried.failure) != kind:
            return False
        best = tried
        return True

    for name in sorted({event.kind for _, event in best.happened}):
        if goes_on():
            without({event for _, event in best.happened if event.kind == name})
    size = max(1, len(best.happened) // 2)
    while goes_on():
        if not _one_pass(lambda: [event for _, event in best.happened], size, without, goes_on) and size == 1:
            break
        size = max(1, size // 2)
    return best


def _one_pass(
    events: Callable[[], list[Event]], size: int, without: Callable[[set[Event]], bool], goes_on: Callable[[], bool]
) -> bool:
    """Try to leave out each stretch of so many. Whether anything could go."""
    at, shorter = 0, False
    while at < len(events()) and goes_on():
        if without(set(events()[at : at + size])):
            shorter = True
        else:
            at += size
    return shorter


def kind_of(failure: str) -> str:
    """The broken invariant, or the kind of error: the rest of the text tells of times and ids."""
    found = re.search(r"\bI\d+\b", failure)
    return found.group() if found else failure.partition(":")[0]
