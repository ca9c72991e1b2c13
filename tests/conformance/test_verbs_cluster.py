"""Verbs about the cluster, asked of a node that runs alone, in every way that a client can ask."""

import pytest

from tests.conformance.bodies import Step, ask, refused
from tests.conformance.protocols import WAYS, play

ALONE = refused(
    "NOT_A_CLUSTER", "This node runs alone and has no members: a cluster is started with its [cluster] section"
)

CASES: dict[str, list[Step]] = {
    "changes of a cluster that is none": [
        (ask("member_add", id="n1", address="127.0.0.1:6801"), 409, ALONE),
        (ask("member_remove", id="n0"), 409, ALONE),
        (ask("member_replace", id="n0"), 409, ALONE),
        (ask("member_replace", id="n0", address="[::1]:6801"), 409, ALONE),
        (ask("cluster_transfer"), 409, ALONE),
        (ask("cluster_transfer", to="n0#7"), 409, ALONE),
    ],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
async def test_every_way_gives_the_same_whole_answer(case: str, way: str) -> None:
    steps = CASES[case]
    assert await play(steps, way) == [(status, body) for _, status, body in steps]
