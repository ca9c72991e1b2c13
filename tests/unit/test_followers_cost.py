"""Five thousand followers that never read do not slow a push."""

from pathlib import Path

import pytest

from benchmarks.followers import run
from benchmarks.servers import Starter


@pytest.mark.slow
def test_stalled_followers_cost_a_push_nothing(tmp_path: Path) -> None:
    with Starter(tmp_path, checkout=True).node() as server:
        found = run(server, stalled=5_000, reading=0, pushes=1_000)
    # Processor time, since wall time belongs to whoever else uses the machine.
    assert found.stalled.cpu_us < 1.3 * found.alone.cpu_us, found
    assert found.stalled.median_ms < 3 * found.alone.median_ms, found
