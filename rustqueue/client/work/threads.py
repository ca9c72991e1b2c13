"""Threads for plain handlers. A job goes from thread to thread without a turn of the event loop in between."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from rustqueue.client.work.handlers import Handler, Outcome, run
from rustqueue.client.work.running import RunningJob


class Threads:
    """At most `count` threads. Outcomes are handed to `finished` on the event loop, many in one call of the loop."""

    def __init__(self, count: int, finished: Callable[[Outcome], None]) -> None:
        self._count = count
        self._finished = finished
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[RunningJob, Handler] | None] = SimpleQueue()
        self._outcomes: deque[Outcome] = deque()
        self._told = False
        self._threads: list[threading.Thread] = []

    def submit(self, job: RunningJob, handler: Handler) -> None:
        self._jobs.put((job, handler))
        if len(self._threads) < self._count:
            # A daemon: a handler that never returns must not keep the process from ending.
            thread = threading.Thread(target=self._work, name=f"rustqueue-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def withdraw(self) -> list[RunningJob]:
        """Take back the jobs that no thread has begun."""
        jobs = []
        with contextlib.suppress(Empty):
            while (item := self._jobs.get_nowait()) is not None:
                jobs.append(item[0])
        return jobs

    def close(self) -> None:
        """Let each thread end after its present job."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            self._outcomes.append(run(*item))
            if not self._told:
                self._told = True
                # The loop is closed when the worker's grace is over; then nobody wants the outcome any more.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        # First the flag: an outcome added after the last look below wakes the loop again.
        self._told = False
        while self._outcomes:
            self._finished(self._outcomes.popleft())
