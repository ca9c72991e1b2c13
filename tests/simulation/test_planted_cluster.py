"""The test of the cluster's tester: each planted bug is found within its budget of seeds."""

import pytest

from tests.simulation.cluster_faults import CLUSTER_KINDS
from tests.simulation.cluster_world import ClusterWorld
from tests.simulation.planted_cluster import PLANTED

pytestmark = pytest.mark.slow  # Some seeds run for seconds; `make test-slow` and CI run them.

SEEDS_MAX = 60

CASES = (
    ("follower acknowledges before durable", ("kill all", "slow disk"), 26, 8),
    ("leader counts its own copy before durable", CLUSTER_KINDS, 0, 15),
    ("commit over entries that were not compared", CLUSTER_KINDS, 0, 15),
    ("vote not persisted", CLUSTER_KINDS, 0, 15),
    ("two votes in one term", CLUSTER_KINDS, 5, 15),
    ("read without asking the others", CLUSTER_KINDS, 1, 15),
    ("snapshot lacks an entry", ("isolate", "kill"), 0, 8),
    ("cut that leaves the records", ("isolate", "kill leader", "power cut"), 2, 10),
    ("replicas stamp for themselves", ("kill leader",), 0, 10),
)
"""The bug, the faults that its world has, the seed to begin with (it is found there), and seconds of load."""


@pytest.mark.parametrize(("bug", "kinds", "first", "load_s"), CASES)
def test_a_planted_bug_is_found(bug: str, kinds: tuple[str, ...], first: int, load_s: int) -> None:
    for seed in range(first, first + SEEDS_MAX):
        try:
            ClusterWorld(seed, PLANTED[bug](), kinds, load_s * 1_000_000).run()
        except Exception:
            return
    pytest.fail(f"{SEEDS_MAX} seeds do not find it")


def test_every_planted_bug_is_looked_for() -> None:
    assert {bug for bug, *_ in CASES} == set(PLANTED)
