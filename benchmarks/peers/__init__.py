"""The peers: other queue systems, started here on loopback with their data in the run's scratch folder.

Each module says how one of them is found, started and loaded. Invariant: a peer that is not installed is left out with
the reason in the result, never silently and never as a failure. `install.sh` installs all of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path


class PeerMissing(Exception):
    """A peer cannot take part in this run; the text says why."""


def find_program(name: str, *folders: Path) -> Path:
    """Finds a program in the given folders or on the path."""
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    found = shutil.which(name)
    if found is None:
        raise PeerMissing(f"{name} is not installed (benchmarks/peers/install.sh)")
    return Path(found)
