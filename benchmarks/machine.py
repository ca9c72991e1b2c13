"""What the figures were made on: processor, kernel, interpreter, packages, disk and load.

Reads, and never changes, the machine.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from pathlib import Path

PACKAGES = ("rustqueue", "msgspec", "aiohttp", "uvloop", "rocksdict", "pysyncobj")
SYNCS = 200


def describe(scratch: Path) -> dict[str, object]:
    """Everything that a reader needs before comparing two runs."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": platform.release(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "fdatasync_ms": round(fdatasync_ms(scratch), 3),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def _processor() -> str:
    for row in Path("/proc/cpuinfo").read_text().splitlines():
        if row.startswith("model name"):
            return row.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def fdatasync_ms(folder: Path) -> float:
    """Median time of an appended 8 KiB write with its fdatasync: the floor under every acknowledged command."""
    path, block, times_ms = folder / "sync-probe", b"x" * 8192, list[float]()
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(SYNCS):
            started_s = time.monotonic()
            os.write(descriptor, block)
            os.fdatasync(descriptor)
            times_ms.append((time.monotonic() - started_s) * 1e3)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(times_ms)
