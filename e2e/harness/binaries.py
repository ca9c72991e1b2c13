"""The programs of Kubernetes, built from `e2e/build/` into a cache outside the checkout.

The cache's folder is named by the hash of everything in `e2e/build/`: a new pin is a new folder, and an old one can be
deleted at any time. `python -m e2e.harness.binaries GROUP...` builds and prints the folder.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = Path(__file__).resolve().parent.parent / "build"
GROUPS = ("control-plane", "nodes")
BUILD_DEADLINE_S = 2_700


class BuildFault(Exception):
    """The programs cannot be built here; the sentence says why."""


def cache_root() -> Path:
    """Where everything that is expensive to make is kept between runs."""
    if named := os.environ.get("RUSTQUEUE_E2E_CACHE"):
        return Path(named).resolve()
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "rustqueue-e2e"


def recipe_key() -> str:
    """A name for what the recipe makes."""
    digest = hashlib.sha256()
    for path in sorted(RECIPE.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(RECIPE)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def binaries(*groups: str) -> Path:
    """The folder with the programs of these groups; built first if it is not there."""
    home = cache_root() / recipe_key()
    folder = home / "bin"
    missing = [group for group in groups if not (home / f"{group}.built").exists()]
    if not missing:
        return folder
    home.mkdir(parents=True, exist_ok=True)
    # Two test runs that start together build once: the second waits for the first and finds everything there.
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for group in missing:
            if not (home / f"{group}.built").exists():
                _build(home, group)
    return folder


def _build(home: Path, group: str) -> None:
    if shutil.which("go") is None:
        raise BuildFault("Go is not installed; its version has to be at least the one in e2e/build/helm/go.mod")
    folder = home / "bin"
    folder.mkdir(exist_ok=True)
    begin = time.monotonic()
    print(f"Building {group} of Kubernetes into {home}; from nothing this takes about ten minutes.", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=home) as made:
        done = subprocess.run(["sh", RECIPE / "build.sh", made, group], timeout=BUILD_DEADLINE_S, check=False)
        if done.returncode != 0:
            raise BuildFault(f"e2e/build/build.sh {group} ended with code {done.returncode}")
        for program in Path(made).iterdir():
            program.rename(folder / program.name)
    (home / f"{group}.built").touch()
    print(f"Built {group} in {time.monotonic() - begin:.0f} s.", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", default=list(GROUPS), help="default: all")
    asked = parser.parse_args().groups
    if unknown := sorted(set(asked) - set(GROUPS)):
        parser.error(f"there is no group {unknown[0]}; there are {', '.join(GROUPS)}")
    try:
        print(binaries(*asked))
    except BuildFault as fault:
        raise SystemExit(str(fault)) from None


if __name__ == "__main__":
    main()
