"""What an audit has found so far, and how it walks a store.

It must not know what a job is; it counts what the other parts of the audit tell it.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from rustqueue.machine import keys, rows
from rustqueue.machine.kv import Row, View
from rustqueue.machine.rows import LeaseBlockRow, MetaRow
from rustqueue.model import limits

PROBLEMS_MAX: Final = 1_000  # A broken store may have millions; the first thousand say enough.
_CHUNK_ROWS: Final = 1_000


def walk(view: View, start: bytes, end: bytes) -> Iterator[Row]:
    """All rows of a range. The store must not be written meanwhile."""
    while found := view.scan(start, end, _CHUNK_ROWS):
        yield from found
        start = found[-1][0] + b"\0"


def family(view: View, prefix: bytes) -> Iterator[Row]:
    """All rows whose key starts with one byte."""
    return walk(view, prefix, keys.after(prefix))


class Tally:
    """What was counted of one queue."""

    def __init__(self) -> None:
        self.states: Counter[int] = Counter()
        self.placed: Counter[int] = Counter()
        self.groups: dict[str, GroupTally] = {}
        self.seq_max = -1

    def group(self, name: str) -> "GroupTally":
        return self.groups.setdefault(name, GroupTally())


class GroupTally:
    """What was counted of one group of a queue. `priority` is the highest of its waiting jobs."""

    def __init__(self) -> None:
        self.waiting = 0
        self.active = 0
        self.priority = limits.PRIORITY_MIN


class Leased:
    """A lease that its block claims: where it stands and the fence it carries."""

    def __init__(self, key: bytes, fence: int, block: LeaseBlockRow) -> None:
        self.key = key
        self.fence = fence
        self.block = block


class Census:
    """The store being audited, what was counted in it, and what is wrong with it."""

    def __init__(self, view: View, meta: MetaRow) -> None:
        self.view = view
        self.meta = meta
        self.problems: list[str] = []
        self.queues: dict[str, Tally] = {}
        self.claims: dict[bytes, list[Leased]] = {}
        """Every lease that stands in a block, ended or not."""
        self.active: dict[bytes, Leased] = {}
        self.block_ends: dict[bytes, int] = {}
        """For each lease block with an active lease, when time ends the first of them."""
        self.dependants: Counter[bytes] = Counter()
        """Unfinished children by parent."""
        self.custom_ids = 0
        self.creation_keys = 0
        self.flow_rows = 0
        self.unique_keys = 0
        for key, value in family(view, b"a"):
            block = rows.decode_lease_block(value)
            for place, at in enumerate(range(0, len(block.ids), 16)):
                fence = block.fences[place] if block.fences is not None else 1
                self.claims.setdefault(block.ids[at : at + 16], []).append(Leased(key, fence, block))

    def problem(self, sentence: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(sentence)

    def tally(self, queue: str) -> Tally:
        return self.queues.setdefault(queue, Tally())
