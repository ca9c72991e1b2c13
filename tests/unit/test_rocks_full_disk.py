"""A full disk under the RocksDB store: batches are refused whole, reads go on, and it resumes without reopening."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The small disk lives in a mount namespace of its own, so that nothing is left behind and no privilege is needed.
NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
MOUNT = 'mount -t tmpfs -o size=16m tmpfs "$0" && exec "$@"'


# The engine looks for free room only every five seconds, so this test mostly waits for it.
@pytest.mark.slow
def test_full_disk_refuses_batches_and_resumes_when_there_is_room(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.unit.rocks_on_full_disk", str(tmp_path)]
    run = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNT, str(tmp_path), *program], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert run.stderr == ""
    assert json.loads(run.stdout) == {
        "refused": "write",
        "read": True,
        "flush": "refused",
        "resumed": True,
        "kept": True,
    }
