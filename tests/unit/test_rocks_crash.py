"""What kill -9 leaves of a RocksDB store without a write-ahead log: a batch boundary, at or behind the last flush."""

import subprocess
import sys
from pathlib import Path

from rustqueue.storage.rocks import RocksKV
from tests.unit.rocks_writer import COUNTER, batch_of

ROOT = Path(__file__).parents[2]
ROUNDS_COUNT = 6


def kill_after(path: str, batches_count: int) -> int:
    """Let the writer flush up to that batch or further, kill it, and give the last batch that it told as flushed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.unit.rocks_writer", path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        flushed = 0
        while flushed < batches_count:
            flushed = int(writer.stdout.readline())
        writer.kill()
        # Flushes that ended between the last line read and the kill count too: the writer has said so.
        told = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    return int(told[-1]) if told else flushed


def test_kill_leaves_a_batch_boundary_at_or_behind_the_last_flush(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    model: dict[bytes, bytes] = {}
    recovered = 0
    for turn in range(ROUNDS_COUNT):
        flushed = kill_after(path, recovered + 400 + 300 * turn)

        kv = RocksKV(path)
        found = dict(kv.scan(b"", b"\xff", 1_000_000))
        kv.close()

        number = int(found[COUNTER])
        assert number >= flushed
        for batch in range(recovered + 1, number + 1):
            for key, value in batch_of(batch).items():
                if value is None:
                    model.pop(key, None)
                else:
                    model[key] = value
        assert found == model
        recovered = number
