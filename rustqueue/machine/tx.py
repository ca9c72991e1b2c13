"""One log entry being applied: its stamp, the rows it writes, the facts it tells.

Reads see the entry's own writes. Nothing reaches the store before `Machine.apply` writes all rows as one batch, so an
exception leaves the store untouched.
"""

from hashlib import blake2b
from typing import Final, NamedTuple

from rustqueue.machine.kv import Row, View
from rustqueue.model import limits
from rustqueue.model.events import Event
from rustqueue.model.ids import JobId, make_ids

_ABSENT: Final = object()


class Mark(NamedTuple):
    """A place between two commands of an entry."""

    rows: dict[bytes, bytes | None]
    events_count: int
    settled: int
    ids_made: int
    numbers: int


class Tx:
    """The overlay of one entry. `rows` maps key to value, None deletes; insertion order is write order."""

    __slots__ = (
        "_ids_made",
        "_numbers",
        "_view",
        "events",
        "finished",
        "index",
        "now_ms",
        "ordinal",
        "reply_room",
        "rows",
        "seed",
        "settled",
        "term",
        "unread",
    )

    def __init__(self, view: View, index: int, term: int, now_ms: int, seed: bytes) -> None:
        self._view = view
        self.rows: dict[bytes, bytes | None] = {}
        self.index = index
        self.term = term
        self.now_ms = now_ms
        self.seed = seed
        self.ordinal = 0
        self.settled = 0
        """Work done on children of ended parents: what is over the limit waits for the next entry."""
        self.events: list[Event] = []
        self.finished: dict[tuple[str, int, int], list[bytes]] = {}
        """Jobs that the command being applied has ended: ids by queue, outcome and block ordinal."""
        self.reply_room = limits.ENTRY_REPLIES_BYTES_MAX
        """Payload that the pulls of this entry may still answer with, together."""
        self.unread = False
        """Whether nobody will read the reply of the command being applied. No row may depend on it."""
        self._ids_made = 0
        self._numbers = 0

    def get(self, key: bytes) -> bytes | None:
        value = self.rows.get(key, _ABSENT)
        return self._view.get(key) if value is _ABSENT else value  # type: ignore[return-value]

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        rows = self.rows
        missing = [key for key in keys if key not in rows]
        found = dict(zip(missing, self._view.get_many(missing), strict=True)) if missing else {}
        return [rows[key] if key in rows else found[key] for key in keys]

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        self.rows[key] = None

    def scan(self, start: bytes, end: bytes, limit: int, reverse: bool = False) -> list[Row]:
        """As `View.scan`, over the store and this entry's writes together."""
        own = sorted((key for key in self.rows if start <= key < end), reverse=reverse)
        if not own:
            return self._view.scan(start, end, limit, reverse)
        stored = self._view.scan(start, end, limit + len(own), reverse)
        merged = dict(stored)
        for key in own:
            value = self.rows[key]
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = value
        cut = len(stored) == limit + len(own)
        last = stored[-1][0] if cut else None
        keys = sorted(merged, reverse=reverse)
        if last is not None:
            keys = [key for key in keys if (key >= last if reverse else key <= last)]
        return [(key, merged[key]) for key in keys[:limit]]

    def ids(self, count: int) -> list[JobId]:
        """New job ids, increasing in order of asking."""
        made = make_ids(self.now_ms, self.seed, self.index, self._ids_made, count)
        self._ids_made += count
        return made

    def number(self) -> int:
        """0, 1, 2 and so on within the entry: part of keys of rows that the entry makes."""
        self._numbers += 1
        return self._numbers - 1

    def mark(self) -> "Mark":
        """Where the entry stands now; `back_to` forgets what came after."""
        return Mark(dict(self.rows), len(self.events), self.settled, self._ids_made, self._numbers)

    def back_to(self, mark: "Mark") -> None:
        self.rows.clear()
        self.rows.update(mark.rows)
        del self.events[mark.events_count :]
        self.finished.clear()
        self.settled, self._ids_made, self._numbers = mark.settled, mark.ids_made, mark.numbers

    def draw(self, purpose: str, ordinal: int, below: int) -> int:
        """An integer in [0, below), the same on every node: a hash of the entry's seed, a purpose and an ordinal."""
        text = b"%b %b %d %d" % (self.seed, purpose.encode("ascii"), self.ordinal, ordinal)
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") % below if below > 0 else 0
