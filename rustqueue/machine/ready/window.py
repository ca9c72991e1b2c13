"""The ready jobs of one queue: what a pull takes, in order of priority, then sequence.

On disk: jobs nobody has taken yet stand in blocks of up to 64 (one row for a whole push), all others in single rows.
In memory: a window over the smallest keys. `bound` is the first key that the window does not cover; None means that it
covers all. What a pull takes never depends on how much the window holds: it is extended from disk when short.
"""

from bisect import bisect_left, insort
from collections import deque
from itertools import islice
from struct import Struct
from typing import Final

import msgspec

from rustqueue.machine import keys
from rustqueue.machine.rows import JobRow
from rustqueue.machine.tx import Tx
from rustqueue.model import limits

_ENTRY: Final = Struct(">Q16s")
_ENTRY_BYTES: Final = _ENTRY.size
_SPAN: Final = limits.READY_BLOCK_JOBS_MAX - 1
_ENTRY_WEIGHT: Final = 150  # About what one entry takes in memory beside its record.
_JOBS_MAX_WHEN_FULL: Final = 1_024

Bound = tuple[int, int]
"""A place in the order of ready jobs: the negated priority, then the number."""


class WindowLimits:
    """How much memory windows may use. Shared by all queues of a machine; `used_bytes` is what job records take now."""

    def __init__(self, jobs_max: int = limits.WINDOW_JOBS_MAX, bytes_max: int = limits.WINDOW_BYTES_MAX) -> None:
        self._jobs_max = max(jobs_max, 1)
        self.bytes_max = bytes_max
        self.used_bytes = 0

    @property
    def jobs_max(self) -> int:
        """Entries a queue may hold now: fewer once all windows together are full."""
        return self._jobs_max if self.used_bytes < self.bytes_max else min(self._jobs_max, _JOBS_MAX_WHEN_FULL)


class Block:
    """A row of ready jobs; those before `at` are taken."""

    __slots__ = ("at", "data", "key")

    def __init__(self, key: bytes, data: bytes, at: int = 0) -> None:
        self.key = key
        self.data = data
        self.at = at

    def store(self, tx: Tx) -> None:
        rest = self.data[self.at :]
        tx.rows[self.key] = rest or None

    def without(self, job_id: bytes) -> bool:
        """Cut one job out; False if it does not stand here."""
        place = self.data.find(job_id, self.at)
        while place >= 0 and (place - 8) % _ENTRY_BYTES:
            place = self.data.find(job_id, place + 1)
        if place < 0:
            return False
        self.data = self.data[: place - 8] + self.data[place + 16 :]
        return True


class Ready(msgspec.Struct, frozen=True, gc=False):
    """One ready job in the window. `block` is None for a single row; `row` is None when only the store has it."""

    order: int
    id: bytes
    row: JobRow | None
    block: Block | None


def _weight(row: JobRow | None) -> int:
    return _ENTRY_WEIGHT if row is None else len(row.data) + 2 * _ENTRY_WEIGHT


class ReadyQueue:
    """Window and rows of one queue. All writes go into the entry's rows."""

    __slots__ = ("_blocks", "_bound", "_lanes", "_limits", "_order", "_queue", "_size")

    def __init__(self, queue: bytes, window_limits: WindowLimits, empty: bool) -> None:
        self._queue = queue
        self._limits = window_limits
        self._lanes: dict[int, deque[Ready]] = {}
        self._order: list[int] = []  # negated priorities, ascending
        self._blocks: dict[bytes, Block] = {}
        self._size = 0
        self._bound: Bound | None = None if empty else (-limits.PRIORITY_MAX, -(1 << 63))

    @property
    def size(self) -> int:
        """Jobs in the window."""
        return self._size

    def fronts(self) -> tuple[list[bytes], Bound | None]:
        """The next job of each priority in the window, and from where on only rows know the next ones; None: nowhere.

        A priority with a job in the window needs no second look.
        """
        ids = [lane[0].id for lane in self._lanes.values()]
        bound = self._bound
        if bound is not None and bound[0] in self._lanes:
            bound = (bound[0] + 1, -(1 << 63)) if bound[0] < -limits.PRIORITY_MIN else None
        return ids, bound

    def release(self) -> None:
        """Give back the memory account; the object must not be used afterwards."""
        for lane in self._lanes.values():
            for entry in lane:
                self._limits.used_bytes -= _weight(entry.row)

    def push_fresh(
        self, tx: Tx, priority: int, first_seq: int, ids: list[bytes], job_rows: list[JobRow | None]
    ) -> None:
        """Add new jobs with consecutive sequence numbers, none of which was ever taken."""
        inside = self._covers(-priority, first_seq)
        pack = _ENTRY.pack
        for start in range(0, len(ids), limits.READY_BLOCK_JOBS_MAX):
            chunk = ids[start : start + limits.READY_BLOCK_JOBS_MAX]
            seq = first_seq + start
            key = keys.fresh(self._queue, keys.lane(priority, seq))
            data = b"".join([pack(seq + place, job_id) for place, job_id in enumerate(chunk)])
            tx.rows[key] = data
            if not inside:
                continue
            if self._size + len(chunk) > self._limits.jobs_max and not self._make_room(-priority, seq, len(chunk)):
                self._bound = (-priority, seq)
                inside = False
                continue
            block = Block(key, data)
            self._blocks[key] = block
            self._append(priority, seq, chunk, job_rows[start : start + len(chunk)], block)

    def _append(self, priority: int, seq: int, chunk: list[bytes], rows_: list[JobRow | None], block: Block) -> None:
        lane = self._lane(priority)
        used = 0
        room = self._limits.bytes_max - self._limits.used_bytes
        for job_id, row in zip(chunk, rows_, strict=True):
            weight = _ENTRY_WEIGHT if row is None else len(row.data) + 2 * _ENTRY_WEIGHT
            if used + weight > room:
                row, weight = None, _ENTRY_WEIGHT
            used += weight
            lane.append(Ready(seq, job_id, row, block))
            seq += 1
        self._limits.used_bytes += used
        self._size += len(chunk)

    def push_single(self, tx: Tx, priority: int, order: int, job_id: bytes) -> None:
        """Add a job that comes back, or one that goes to the front (LIFO, `order` negative)."""
        tx.rows[keys.single(self._queue, keys.lane(priority, order))] = job_id
        if not self._covers(-priority, order):
            return
        if self._size + 1 > self._limits.jobs_max and not self._make_room(-priority, order, 1):
            self._bound = (-priority, order)
            return
        self._insert(self._lane(priority), Ready(order, job_id, None, None))
        self._limits.used_bytes += _ENTRY_WEIGHT
        self._size += 1

    @staticmethod
    def _insert(lane: deque[Ready], entry: Ready) -> None:
        if not lane or entry.order > lane[-1].order:
            lane.append(entry)
        elif entry.order < lane[0].order:
            lane.appendleft(entry)
        else:
            lane.insert(bisect_left(lane, entry.order, key=lambda other: other.order), entry)

    def peek(self, tx: Tx, count: int) -> list[Ready]:
        """The next `count` jobs in order. Nothing is taken."""
        if self._size < count and self._bound is not None:
            self._extend(tx, count)
        if not self._order:
            return []
        found = list(islice(self._lanes[self._order[0]], count))
        for negated in self._order[1:]:
            if len(found) == count:
                break
            found += islice(self._lanes[negated], count - len(found))
        return found

    def head(self, tx: Tx) -> tuple[int, Ready] | None:
        """The next job with its priority."""
        shown = self.peek(tx, 1)
        return (-self._order[0], shown[0]) if shown else None

    def take(self, tx: Tx, count: int) -> None:
        """Take the first `count` jobs that `peek` has just shown."""
        touched: dict[bytes, Block] = {}
        rows_ = tx.rows
        used = 0
        left = count
        while left:
            negated = self._order[0]
            lane = self._lanes[negated]
            for _ in range(min(left, len(lane))):
                entry = lane.popleft()
                row, block = entry.row, entry.block
                used += _ENTRY_WEIGHT if row is None else len(row.data) + 2 * _ENTRY_WEIGHT
                if block is None:
                    rows_[keys.single(self._queue, keys.lane(-negated, entry.order))] = None
                else:
                    block.at += _ENTRY_BYTES
                    touched[block.key] = block
                left -= 1
            if not lane:
                self._drop_lane(negated)
        self._limits.used_bytes -= used
        self._size -= count
        for block in touched.values():
            block.store(tx)
            if block.at == len(block.data):
                self._blocks.pop(block.key, None)

    def remove(self, tx: Tx, priority: int, order: int, job_id: bytes) -> None:
        """Take one job out of the middle."""
        self._forget(-priority, order)
        single = keys.single(self._queue, keys.lane(priority, order))
        if tx.get(single) is not None:
            tx.rows[single] = None
            return
        block = self._block_of(tx, priority, order)
        if block is None or not block.without(job_id):
            raise AssertionError("a waiting job stands in no ready row")
        block.store(tx)
        if block.at == len(block.data):
            self._blocks.pop(block.key, None)

    def _block_of(self, tx: Tx, priority: int, order: int) -> Block | None:
        """The block that holds a number. Blocks hold consecutive numbers, so it starts at most one span before."""
        start = keys.fresh(self._queue, keys.lane(priority, max(0, order - _SPAN)))
        end = keys.fresh(self._queue, keys.lane(priority, order)) + b"\0"
        found = tx.scan(start, end, _SPAN + 1)
        if not found:
            return None
        key, data = found[-1]
        return self._blocks.get(key) or Block(key, data)

    def _forget(self, negated: int, order: int) -> None:
        lane = self._lanes.get(negated)
        if lane is None or not self._covers(negated, order):
            return
        place = bisect_left(lane, order, key=lambda other: other.order)
        if place < len(lane) and lane[place].order == order:
            self._limits.used_bytes -= _weight(lane[place].row)
            del lane[place]
            self._size -= 1
            if not lane:
                self._drop_lane(negated)

    def _covers(self, negated: int, order: int) -> bool:
        return self._bound is None or (negated, order) < self._bound

    def _lane(self, priority: int) -> deque[Ready]:
        lane = self._lanes.get(-priority)
        if lane is None:
            lane = self._lanes[-priority] = deque()
            insort(self._order, -priority)
        return lane

    def _drop_lane(self, negated: int) -> None:
        del self._lanes[negated]
        self._order.remove(negated)

    def _make_room(self, negated: int, order: int, count: int) -> bool:
        """Drop entries after the given key until `count` more fit; False if the key itself is then outside."""
        while self._size + count > self._limits.jobs_max and self._order:
            last = self._order[-1]
            lane = self._lanes[last]
            if (last, lane[-1].order) < (negated, order):
                return False
            entry = lane.pop()
            self._limits.used_bytes -= _weight(entry.row)
            self._size -= 1
            self._bound = (last, entry.order)
            if not lane:
                self._drop_lane(last)
        return self._size + count <= self._limits.jobs_max

    def _extend(self, tx: Tx, count: int) -> None:
        """Load ready rows from the bound on until the window holds `count` jobs or everything."""
        while self._size < count and self._bound is not None:
            wanted = max(count - self._size, min(self._limits.jobs_max // 2, 512))
            blocks, blocks_end = self._load_blocks(tx, self._bound, wanted)
            singles, singles_end = self._load_singles(tx, self._bound, wanted)
            end = min((edge for edge in (blocks_end, singles_end) if edge is not None), default=None)
            found = sorted(blocks + singles, key=lambda item: item[:2])
            inside = [item for item in found if end is None or item[:2] < end]
            if len(inside) > wanted:
                end = inside[wanted][:2]
                inside = inside[:wanted]
            for negated, order, job_id, block in inside:
                if block is not None:
                    self._blocks[block.key] = block
                self._lane(-negated).append(Ready(order, job_id, None, block))
            self._size += len(inside)
            self._limits.used_bytes += len(inside) * _ENTRY_WEIGHT
            self._bound = end

    def _load_blocks(
        self, tx: Tx, bound: tuple[int, int], wanted: int
    ) -> tuple[list[tuple[int, int, bytes, Block | None]], tuple[int, int] | None]:
        prefix = b"f" + self._queue
        start = keys.fresh(self._queue, keys.lane(-bound[0], max(-(1 << 63), bound[1] - _SPAN)))
        limit = _SPAN + 1 + wanted
        found = tx.scan(start, keys.after(prefix), limit)
        entries: list[tuple[int, int, bytes, Block | None]] = []
        place = len(prefix)
        loaded = 0
        for key, data in found:
            if loaded > wanted:
                priority, order = keys.lane_parts(key[place:])
                return entries, (-priority, order)
            block = self._blocks.get(key) or Block(key, data)
            negated = -keys.lane_parts(key[place:])[0]
            for order, job_id in _ENTRY.iter_unpack(block.data[block.at :]):
                if (negated, order) >= bound:
                    entries.append((negated, order, job_id, block))
                    loaded += 1
        if len(found) == limit and entries:
            return entries, (entries[-1][0], entries[-1][1] + 1)
        return entries, None

    def _load_singles(
        self, tx: Tx, bound: tuple[int, int], wanted: int
    ) -> tuple[list[tuple[int, int, bytes, Block | None]], tuple[int, int] | None]:
        prefix = b"w" + self._queue
        start = keys.single(self._queue, keys.lane(-bound[0], bound[1]))
        found = tx.scan(start, keys.after(prefix), wanted + 1)
        place = len(prefix)
        entries: list[tuple[int, int, bytes, Block | None]] = []
        for key, job_id in found:
            priority, order = keys.lane_parts(key[place:])
            entries.append((-priority, order, job_id, None))
        return entries, (entries[-1][0], entries[-1][1] + 1) if len(found) == wanted + 1 else None
