"""Five thousand followers that never read do not slow a push."""

from pathlib import Path

import pytest

from benchmarks.followers import run
from benchmarks.servers import Starter


@pytest.mark.slow
def test_stalled_followers_cost_a_push_nothing(tmp_path: Path) -> None:
    with Starter(tmp_path, checkout=True).node() as server:
        found = run(server, stalled=5_000, reading=0, pushes=1_000)
    # Processor time, since wall time belongs to whoever else uses the machine. The last measure is without followers
    # again: what the machine itself became slower by in between is in it.
    alone_us = max(found.alone.cpu_us, found.reading.cpu_us)
    alone_ms = max(found.alone.median_ms, found.reading.median_ms)
    assert found.stalled.cpu_us < 1.3 * alone_us, found
    # A push that waited for a follower would take as long as the follower's deadline, not ten times its own disk's.
    assert found.stalled.median_ms < 10 * alone_ms, found
