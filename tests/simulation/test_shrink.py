"""Finding the smallest list of faults that fails."""

from tests.simulation.node import Variant
from tests.simulation.plan import Event
from tests.simulation.planted.durability import HastyJournal
from tests.simulation.shrink import Run, shrink
from tests.simulation.world import World

EVENTS = [Event(owner, kind, number) for kind in ("kill", "pause", "cut") for owner in "abc" for number in range(1, 8)]
NEEDED = {EVENTS[4], EVENTS[30], EVENTS[50]}


def play(kept: frozenset[Event] | None) -> Run:
    """Fails with I1 if all needed ones are there, and with I2 if only the second one is."""
    happened = tuple((at, event) for at, event in enumerate(EVENTS) if kept is None or event in kept)
    present = {event for _, event in happened} & NEEDED
    failure = "Violation: I1: lost" if present == NEEDED else "Violation: I2" if EVENTS[30] in present else None
    return Run(failure, happened)


def test_what_is_not_needed_goes() -> None:
    best = shrink(play)
    assert best.failure == "Violation: I1: lost"
    assert {event for _, event in best.happened} == NEEDED


def test_a_search_that_is_cut_short_gives_what_it_has() -> None:
    tries = iter([True, False])
    best = shrink(play, lambda: next(tries, False))
    assert best.failure == "Violation: I1: lost"
    assert {event for _, event in best.happened} >= NEEDED


def test_a_run_that_does_not_fail_stays_as_it_is() -> None:
    assert shrink(lambda kept: Run(None, ())) == Run(None, ())


def test_an_event_reads_as_it_is_written() -> None:
    assert [Event.read(str(event)) for event in EVENTS] == EVENTS


def test_a_world_fails_with_the_faults_that_were_kept() -> None:
    # Given a planted bug that a power cut brings to light
    def run(kept: frozenset[Event] | None) -> Run:
        world = World(0, Variant(journal=HastyJournal), ("power cut",), load_us=6_000_000)
        world.plan.kept = kept
        try:
            world.run()
        except AssertionError as error:
            return Run(str(error), tuple(world.plan.happened))
        return Run(None, tuple(world.plan.happened))

    # When the search has two tries, then what it gives back still fails.
    tries = iter([True, True])
    best = shrink(run, lambda: next(tries, False))
    assert best.failure is not None
    assert run(frozenset(event for _, event in best.happened)) == best
