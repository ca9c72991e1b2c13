"""Keys of objects that want to be looked at, each at its time and never twice at once. The only owner of time in the
operator's work; knows nothing of what is done with a key.
"""

import asyncio
import heapq
import random
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0
_ENTRIES_PER_KEY_MAX: Final = 8


class Work(Generic[K]):
    """A key that is added while it is being worked on comes again afterwards."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._running: set[K] = set()
        self._again: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._numbers = 0
        self._changed = asyncio.Event()

    def add(self, key: K, delay_s: float = 0.0) -> None:
        """Look at it no later than that; an earlier time that was set before stays."""
        due = asyncio.get_running_loop().time() + delay_s
        book = self._again if key in self._running else self._due
        if key in book and book[key] <= due:
            return
        book[key] = due
        if book is self._due:
            self._push(due, key)

    def later(self, key: K) -> None:
        """After a failure: 1 s, 2 s, up to a minute, spread so that many keys do not come at once."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures, 10))
        self.add(key, pause * (0.5 + random.random() / 2))

    def succeeded(self, key: K) -> None:
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        self._due.pop(key, None)
        self._again.pop(key, None)
        self._failures.pop(key, None)

    async def take(self) -> K:
        """The next key that is due; give it back with `done`."""
        while True:
            key = self._next()
            if key is not None:
                self._running.add(key)
                return key
            self._changed.clear()
            wait = self._heap[0][0] - asyncio.get_running_loop().time() if self._heap else None
            try:
                async with asyncio.timeout(None if wait is None else max(0.0, wait)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        self._running.discard(key)
        due = self._again.pop(key, None)
        if due is not None:
            self._due[key] = due
            self._push(due, key)

    @property
    def entries(self) -> int:
        """How much room the times take, overtaken ones included."""
        return len(self._heap)

    @property
    def pending(self) -> int:
        """Keys that are overdue or being worked on."""
        now = asyncio.get_running_loop().time()
        return len(self._running) + sum(1 for due in self._due.values() if due <= now)

    def oldest_s(self) -> float:
        """How long the key that waits longest is overdue."""
        now = asyncio.get_running_loop().time()
        return max((now - due for due in self._due.values()), default=0.0)

    def _next(self) -> K | None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            # An entry whose time is not the key's present one has been overtaken.
            if self._due.get(key) == due:
                del self._due[key]
                return key
        return None

    def _push(self, due: float, key: K) -> None:
        self._numbers += 1
        heapq.heappush(self._heap, (due, self._numbers, key))
        if len(self._heap) > _ENTRIES_PER_KEY_MAX * (len(self._due) + 1):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        self._changed.set()
