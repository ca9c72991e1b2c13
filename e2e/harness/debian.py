"""Programs out of Debian's packages without installing them: nothing is started, nothing of the system changes."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from e2e.harness.binaries import cache_root

DEADLINE_S = 300


class DebianFault(Exception):
    """A package cannot be had on this machine; the sentence says why."""


def download(folder: Path, packages: list[str]) -> None:
    """The packages as files in the folder."""
    if shutil.which("apt-get") is None:
        raise DebianFault("apt-get is not here: these packages are Debian's")
    options = ["-qq", "-o", "APT::Sandbox::User=root"]
    if _apt(folder, "download", *options, *packages):
        # A fresh machine has no lists of packages, an old one has old lists.
        _apt(folder, "update", *options)
        if fault := _apt(folder, "download", *options, *packages):
            raise DebianFault(f"apt-get download failed (the packages are those of Debian 12): {fault}")


def program(package: str, path: str) -> Path:
    """One program of a package, unpacked into the cache."""
    folder = cache_root() / "debian"
    root = folder / package
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            unfinished = folder / f"{package}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            download(unfinished, [package])
            [archive] = unfinished.glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, unfinished], check=True, timeout=DEADLINE_S)
            archive.unlink()
            unfinished.rename(root)
    return root / path


def _apt(folder: Path, *words: str) -> str:
    """What it complained about; empty when it worked."""
    done = subprocess.run(
        ["apt-get", *words], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"code {done.returncode}"
