"""What a member's log says of leaders."""

import logging
from pathlib import Path

import pytest

from rustqueue.effects.logs import fields_of
from tests.unit.cluster_rig import cluster


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    return [
        (record.getMessage(), fields_of(record)) for record in caplog.records if "leader" in record.getMessage().split()
    ]


async def test_the_log_says_who_leads_in_which_term(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rustqueue.node"):
        # Given a cluster with a leader
        async with cluster(tmp_path) as rig:
            leader = await rig.led()
            first = ("leader", {"leader": leader, "term": rig.nodes[leader].replicator.term})
            assert first in told(caplog)
            # When it stops
            await rig.stop(leader)
            after = await rig.led()
            # Then the log has who leads now.
            assert ("leader", {"leader": after, "term": rig.nodes[after].replicator.term}) in told(caplog)
