"""A full disk under a real node, over TCP: pushes are refused, all else goes on, and it serves again by itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The small disk lives in a mount namespace of its own, so that nothing is left behind and no privilege is needed.
NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
MOUNT = 'mount -t tmpfs -o size=96m tmpfs "$0" && exec "$@"'


@pytest.mark.slow
def test_a_full_disk_is_worked_off_and_serves_again_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.unit.node_on_full_disk", str(tmp_path)]
    run = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT, str(tmp_path), *program], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert run.stderr == ""
    report = json.loads(run.stdout)
    assert report.pop("trimmed") > 0
    assert report.pop("again_s") > 0
    assert report == {
        "accepted": report["accepted"],
        "kept": True,
        "all worked off": True,
        "cleaned": True,
        "more": report["more"],
        "waiting": report["more"],
        "full": 0,
        "kept again": True,
    }
    assert report["accepted"] > 10_000
