"""The library that a node of the cluster rig is started with: compiled here, and told here how to disturb it.

`shim.c` says what it can do. It must not know nodes. Invariant: a fresh `Control` disturbs nothing.
"""

import errno
import mmap
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "shim.c"
LAYOUT = struct.Struct("=qiiii")
COMPILE_DEADLINE_S = 60


class ShimError(Exception):
    """The library cannot be made here; the text says what to do."""


def compile_shim(folder: Path) -> Path:
    """Make the library in this folder."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ShimError("no C compiler: install gcc, which makes the library that disturbs disk and clock")
    library = folder / "shim.so"
    words = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    made = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMPILE_DEADLINE_S)
    if made.returncode != 0:
        raise ShimError(f"{compiler} cannot make the library: {made.stderr}")
    return library


class Control:
    """The page of memory that the library looks at before each call."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(mmap.PAGESIZE))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._clock_offset_ms = 0
        self._sync_errno = self._write_errno = self._sync_delay_ms = 0
        self._lies = False

    def step_clock(self, offset_ms: int) -> None:
        """The wall clock of the node is so far off from now on."""
        self._clock_offset_ms = offset_ms
        self._tell()

    def fail_syncs(self) -> None:
        self._sync_errno = errno.EIO
        self._tell()

    def refuse_writes(self) -> None:
        self._write_errno = errno.ENOSPC
        self._tell()

    def slow_syncs(self, delay_ms: int) -> None:
        self._sync_delay_ms = delay_ms
        self._tell()

    def lie(self) -> None:
        """Every sync from now on says that it succeeded, and does nothing: no node survives that, and no judge may
        overlook it.
        """
        self._lies = True
        self._tell()

    def good_disk(self) -> None:
        self._sync_errno = self._write_errno = self._sync_delay_ms = 0
        self._tell()

    def close(self) -> None:
        self._page.close()

    def _tell(self) -> None:
        values = (self._clock_offset_ms * 1_000_000, self._sync_errno, self._write_errno, self._sync_delay_ms)
        self._page[: LAYOUT.size] = LAYOUT.pack(*values, self._lies)
