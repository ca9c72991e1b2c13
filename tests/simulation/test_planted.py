"""The test of the tester: each planted bug is found within its budget of seeds.

The seeds begin where the bug is found soon, so that the test is fast. From seed 0 on none takes more than 41 of its
200 seeds.
"""

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.world import World

pytestmark = pytest.mark.slow  # Some seeds run for minutes on a busy machine; `make test-slow` and CI run them.

LOAD_US = 15_000_000
SEEDS_MAX = 200


def seed_that_finds(bug: str, kinds: tuple[str, ...], first: int) -> int | None:
    """The first seed from `first` on whose world breaks a promise, None after 200."""
    for seed in range(first, first + SEEDS_MAX):
        try:
            World(seed, PLANTED[bug](), kinds, LOAD_US).run()
        except Exception:
            return seed
    return None


CASES = (
    ("sync removed", ("power cut",), 0),
    ("answered before durable", ("power cut",), 0),
    ("log dropped one too far", ("power cut", "kill"), 0),
    ("torn end not cut", ("power cut",), 0),
    ("torn end written over", ("power cut",), 39),
    ("damage taken for the end", ("bit flip",), 0),
    ("failed sync tried again", ("sync error", "power cut"), 0),
    ("log dropped up to the end of a flush", ("power cut",), 0),
)
"""The bug, the faults that its world has, and the seed to begin with."""


@pytest.mark.parametrize(("bug", "kinds", "first"), CASES)
def test_a_planted_bug_is_found(bug: str, kinds: tuple[str, ...], first: int) -> None:
    assert seed_that_finds(bug, kinds, first) is not None


def test_every_planted_bug_is_looked_for() -> None:
    assert {bug for bug, _, _ in CASES} == set(PLANTED)
