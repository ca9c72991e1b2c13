"""What of one webhook is to be sent next: deliveries of one job go one after the other, those of several side by side.

It must not send anything. Invariants: of one job at most one delivery is on its way, and a later one goes only when the
earlier one is settled for good; what is on its way is never given out again; memory holds a part of the outbox from its
beginning on, as much as it takes to find something that is due.
"""

import heapq
from collections import deque

from rustqueue.effects.webhooks.ports import Waiting
from rustqueue.machine.webhooks.rows import changed

_CHUNK_ROWS = 200


class Line:
    """The deliveries of one webhook. `load` is asked for more when `wants_more`."""

    def __init__(self) -> None:
        self._chains: dict[bytes, deque[Waiting]] = {}
        self._due: list[tuple[int, bytes, bytes]] = []
        """(when, delivery, chain) of the first of each chain that is not on its way."""
        self._on_way: dict[bytes, bytes] = {}
        """Chain by delivery."""
        self._cursor = b""
        self._held_count = 0
        self._at_end = False
        self._healthy = 1
        self.proven = False
        """The last try succeeded."""

    @property
    def on_way_count(self) -> int:
        return len(self._on_way)

    @property
    def allowance(self) -> int:
        """How many may be on their way: one that fails is probed by one at a time, one that works gets more."""
        return self._healthy

    @property
    def chunk(self) -> tuple[bytes, int]:
        """From which id on to load, and how many."""
        return self._cursor, _CHUNK_ROWS

    def wants_more(self, now_ms: int) -> bool:
        """Whether nothing that is loaded could be sent now, while there may be more."""
        return not self._at_end and (not self._due or self._due[0][0] > now_ms)

    def counted(self, waiting_count: int) -> None:
        """The outbox has so many deliveries: if that is more than are held here, there is something to load."""
        if waiting_count > self._held_count:
            self._at_end = False

    def load(self, rows: list[Waiting]) -> None:
        """What was asked for by `chunk`."""
        self._at_end = len(rows) < _CHUNK_ROWS
        self._held_count += len(rows)
        for delivery_id, row in rows:
            self._cursor = delivery_id
            chain_key = row.job_id or b"queue " + row.queue.encode()
            chain = self._chains.get(chain_key)
            if chain is None:
                chain = self._chains[chain_key] = deque()
            chain.append((delivery_id, row))
            if len(chain) == 1 and delivery_id not in self._on_way:
                heapq.heappush(self._due, (row.next_at, delivery_id, chain_key))

    def reload(self) -> None:
        """Begin anew: deliveries may have come in between, or gone. What is on its way stays on its way."""
        self._chains.clear()
        self._due.clear()
        self._cursor = b""
        self._held_count = 0
        self._at_end = False

    def take(self, now_ms: int) -> Waiting | None:
        """The next delivery that is due, which is on its way then."""
        while self._due and self._due[0][0] <= now_ms:
            _, delivery_id, chain_key = heapq.heappop(self._due)
            chain = self._chains.get(chain_key)
            if chain and chain[0][0] == delivery_id and not self._is_busy(chain_key):
                self._on_way[delivery_id] = chain_key
                return chain[0]
        return None

    def _is_busy(self, chain_key: bytes) -> bool:
        return chain_key in self._on_way.values()

    def next_due_ms(self) -> int | None:
        return self._due[0][0] if self._due else None

    def settled(self, delivery_id: bytes) -> None:
        """It is over: the next one of its job may go."""
        self._back(delivery_id, None)

    def failed(self, delivery_id: bytes, next_at: int) -> None:
        """It is to be tried again at a time."""
        self._back(delivery_id, next_at)

    def _back(self, delivery_id: bytes, next_at: int | None) -> None:
        chain_key = self._on_way.pop(delivery_id, None)
        chain = self._chains.get(chain_key) if chain_key is not None else None
        if chain_key is None or chain is None:
            return
        # It is the first of its chain, unless one that was sent again came in before it.
        place = next((place for place, (known, _) in enumerate(chain) if known == delivery_id), None)
        if place is not None and next_at is None:
            del chain[place]
            self._held_count -= 1
        elif place is not None and next_at is not None:
            row = chain[place][1]
            chain[place] = (delivery_id, changed(row, attempts=row.attempts + 1, next_at=next_at))
        if chain:
            heapq.heappush(self._due, (chain[0][1].next_at, chain[0][0], chain_key))
        else:
            del self._chains[chain_key]

    def judge(self, succeeded: bool, most: int) -> None:
        """Slow start and quick retreat: a receiver that hangs must not take the places of those that work."""
        self.proven = succeeded
        self._healthy = min(self._healthy + 1, most) if succeeded else 1
