"""A slice of the simulator that runs with the other tests: few seeds, short worlds, every kind of fault."""

from collections import Counter

import pytest

from tests.simulation.faults import KINDS
from tests.simulation.world import World

SHORT_US = 12_000_000


@pytest.mark.parametrize("first", range(0, 24, 4))
def test_a_world_keeps_its_promises(first: int) -> None:
    for seed in range(first, first + 4):
        report = World(seed, load_us=SHORT_US).run()
        assert report.completed_count > 0


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_alone_breaks_nothing(kind: str) -> None:
    faults: Counter[str] = Counter()
    for seed in range(1_000, 1_010):
        faults += World(seed, kinds=(kind,), load_us=5_000_000).run().faults
        if faults[kind] >= 5:
            break
    assert faults[kind] > 0


def test_a_seed_gives_the_same_world_every_time() -> None:
    first, second = (World(5, load_us=SHORT_US) for _ in range(2))
    assert first.run() == second.run()
    assert first.notes == second.notes
