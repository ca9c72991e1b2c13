"""One line for every recorded run: what was run, on which code, and what came out."""

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
EVIDENCE = ROOT / "docs" / "evidence"
CODE = ("model", "machine", "storage", "raft")


def tree_hash() -> str:
    """A hash of the code that durability rests on. A later reader can tell whether the evidence is about his code."""
    digest = hashlib.sha256()
    for package in CODE:
        for path in sorted((ROOT / "rustqueue" / package).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def recorded(suite: str) -> Counter[str]:
    """What the evidence of a suite adds up to for the code as it is now."""
    path, code = EVIDENCE / f"{suite}.jsonl", tree_hash()
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return sum((Counter(line["tally"]) for line in lines if line["code"] == code), Counter())


def record(
    suite: str, tally: Mapping[str, int], seed: int, seconds: float, more: Mapping[str, object] | None = None
) -> None:
    """Append a run to the evidence of a suite. `seed` is where it began."""
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "code": tree_hash(),
        "tally": dict(sorted(tally.items())),
        **(more or {}),
    }
    with (EVIDENCE / f"{suite}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
