"""The operating system's bodies of the ports: files, clock and thread.

It must not know what is written or why. Invariants: a short write is an error; files grow by zeros written ahead, so
that the sync of a record finds its blocks in place and need not commit metadata (decision 0003 has the measurements).
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rustqueue.raft.ports import File, JobDone, Space

# While the loop computes, the journal's thread waits for the interpreter this long before it may start its write. The
# default of 5 ms would put a sync behind the apply of the previous entry instead of beside it (decision 0003).
SWITCH_INTERVAL_S = 0.0001


class OsFile:
    """A file by descriptor. `ahead_bytes` zeros are kept written beyond the end."""

    def __init__(self, descriptor: int, ahead_bytes: int) -> None:
        self._descriptor = descriptor
        self._ahead_bytes = ahead_bytes
        self._size_bytes = os.fstat(descriptor).st_size

    def write_at(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        parts = [data]
        if end > self._size_bytes and self._ahead_bytes:
            parts.append(bytes(self._ahead_bytes))
        written_bytes = self._pwrite_all(offset, parts, len(data))
        self._size_bytes = max(self._size_bytes, offset + written_bytes)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size_bytes: int) -> None:
        os.ftruncate(self._descriptor, size_bytes)
        self._size_bytes = size_bytes

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _pwrite_all(self, offset: int, parts: list[bytes], needed_bytes: int) -> int:
        """Write the parts; the zeros behind the first `needed_bytes` may come short on a nearly full disk."""
        count_bytes = os.pwritev(self._descriptor, parts, offset)
        data = parts[0]
        while count_bytes < needed_bytes:
            step_bytes = os.pwrite(self._descriptor, memoryview(data)[count_bytes:], offset + count_bytes)
            if step_bytes == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            count_bytes += step_bytes
        return count_bytes


class OsDisk:
    """The file system of this machine."""

    def make_dir(self, path: str) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(os.path.abspath(path))
        self.make_dir(parent)
        # Another process of the same user may make it in the same moment; the lock sorts out who goes on.
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        self.sync_dir(parent)

    def lock(self, path: str) -> Callable[[], None]:
        descriptor = os.open(f"{path}/LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return lambda: os.close(descriptor)

    def create(self, path: str, ahead_bytes: int = 0) -> File:
        return OsFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), ahead_bytes)

    def allocate(self, path: str, size_bytes: int) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Takes the blocks without writing them; where a file system cannot, the C library writes to each.
            os.posix_fallocate(descriptor, 0, size_bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def open(self, path: str, ahead_bytes: int = 0) -> File:
        return OsFile(os.open(path, os.O_RDWR | os.O_CLOEXEC), ahead_bytes)

    def read(self, path: str, offset: int, count_bytes: int) -> bytes:
        with open(path, "rb", buffering=0) as source:
            source.seek(offset)
            return source.read(count_bytes)

    def size_bytes(self, path: str) -> int:
        return os.stat(path).st_size

    def list(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def remove(self, path: str) -> None:
        os.unlink(path)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def sync_dir(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def space(self, path: str) -> Space:
        status = os.statvfs(path)
        # Blocks kept for root are no room for us: what `df` calls used and available is what counts.
        usable_blocks = status.f_blocks - status.f_bfree + status.f_bavail
        return Space(usable_blocks * status.f_frsize, status.f_bavail * status.f_frsize)


class LoopClock:
    """The machine's clocks and the running asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_soon(self, call: Callable[[], None]) -> None:
        self._loop.call_soon(call)

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> Callable[[], None]:
        return self._loop.call_later(delay_ms / 1_000, call).cancel


class ThreadExecutor:
    """One thread that waits on a queue: 20 to 30 µs less for a hand-off and back than `loop.run_in_executor`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], JobDone] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], Any], done: JobDone) -> None:
        self._jobs.put((job, done))

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            result, failure = None, None
            try:
                result = job()
            except BaseException as error:
                failure = error
            # A loop that was closed without `stop` has nobody left to tell; the process is going away.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(done, result, failure)
            del job, done, item, result, failure
