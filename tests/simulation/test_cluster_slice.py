"""A slice of the cluster's worlds that runs with the other tests; `make sim` plays thousands."""

import pytest

from tests.simulation.cluster_world import ClusterWorld

SHORT_US = 8_000_000


@pytest.mark.parametrize("seed", range(6))
def test_a_cluster_keeps_its_promises(seed: int) -> None:
    report = ClusterWorld(seed, load_us=SHORT_US).run()
    assert report.faults["elections"] > 0


REGRESSIONS = (7, 42, 57, 67, 99, 125, 297, 367, 573)
"""Seeds that once found something; docs/safety.md says what."""


class PlainWorld(ClusterWorld):
    """As the worlds were then: all nodes set up by default."""

    odd = False


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_seed_that_once_found_something(seed: int) -> None:
    PlainWorld(seed).run()


def test_a_seed_gives_the_same_world_every_time() -> None:
    first, second = (ClusterWorld(3, load_us=SHORT_US) for _ in range(2))
    assert first.run() == second.run()
    assert first.notes == second.notes
