"""The groups of one queue: their ready jobs, how many they run, and the ring in which they take turns.

A group exists, as a row, while it has a waiting or an active job. It stands in the ring while it has a waiting job and
may start one; a group that runs as many as it may is parked: it comes back when one of them ends, at the end of the
ring. Invariants: `counters.grouped` counts the waiting jobs of all groups, `counters.held` those of parked ones; the
row of a group in the ring names the priority of its next job. Windows over its jobs are memory: nothing depends on
them.
"""

from typing import Final

from rustqueue.machine import keys, rows
from rustqueue.machine.ready.window import ReadyQueue, WindowLimits
from rustqueue.machine.rows import CountersRow, GroupRow, JobRow
from rustqueue.machine.tx import Tx
from rustqueue.model import limits

_NONE: Final = GroupRow()


class Groups:
    """All groups of a queue. `limit` is how many jobs each may run at once, None for any number."""

    __slots__ = ("_counters", "_part", "_window_limits", "_windows", "limit")

    def __init__(self, part: bytes, window_limits: WindowLimits, counters: CountersRow) -> None:
        self._part = part
        self._window_limits = window_limits
        self._counters = counters
        self._windows: dict[str, ReadyQueue] = {}
        self.limit: int | None = None

    def release(self) -> None:
        """Give back the memory of all windows."""
        for window in self._windows.values():
            window.release()
        self._windows.clear()

    def row(self, tx: Tx, group: str) -> GroupRow:
        stored = tx.get(keys.group(self._part, group))
        return _NONE if stored is None else rows.decode_group(stored)

    def window(self, group: str, known: GroupRow) -> ReadyQueue:
        """The ready jobs of a group. Those of the groups used least recently are forgotten."""
        window = self._windows.pop(group, None)
        if window is None:
            if len(self._windows) >= limits.GROUP_WINDOWS_MAX:
                self._windows.pop(next(iter(self._windows))).release()
            window = ReadyQueue(keys.group_part(self._part, group), self._window_limits, empty=known.waiting == 0)
        self._windows[group] = window
        return window

    def push(self, tx: Tx, group: str, row: JobRow, job_id: bytes) -> None:
        """A job that nobody has taken yet."""
        before = self.row(tx, group)
        self.window(group, before).push_fresh(tx, row.priority, row.seq, [job_id], [row])
        self._added(tx, group, before, row.priority)

    def put(self, tx: Tx, group: str, priority: int, order: int, job_id: bytes) -> None:
        """A job that comes back, or goes to the front."""
        before = self.row(tx, group)
        self.window(group, before).push_single(tx, priority, order, job_id)
        self._added(tx, group, before, priority)

    def _added(self, tx: Tx, group: str, before: GroupRow, priority: int) -> None:
        first = before.waiting == 0
        after = rows.changed(
            before,
            waiting=before.waiting + 1,
            priority=priority if first else max(priority, before.priority),
            turn=self.next_turn() if first else before.turn,
        )
        self._store(tx, group, before, after)

    def remove(self, tx: Tx, group: str, priority: int, order: int, job_id: bytes) -> None:
        """Take one job out of the middle."""
        before = self.row(tx, group)
        window = self.window(group, before)
        window.remove(tx, priority, order, job_id)
        self._store(tx, group, before, self._headed(tx, window, rows.changed(before, waiting=before.waiting - 1)))

    def take(self, tx: Tx, group: str) -> GroupRow:
        """The next job of the group is leased; the group goes to the end of the ring."""
        before = self.row(tx, group)
        window = self.window(group, before)
        window.take(tx, 1)
        after = rows.changed(before, waiting=before.waiting - 1, active=before.active + 1, turn=self.next_turn())
        after = self._headed(tx, window, rows.changed(after, parked=self._is_full(after)))
        self._store(tx, group, before, after)
        return after

    def park_if_full(self, tx: Tx, group: str) -> bool:
        """Take a group out of the ring that runs more than it may since the limit was lowered."""
        before = self.row(tx, group)
        if self._is_full(before):
            self._store(tx, group, before, rows.changed(before, parked=True))
            return True
        return False

    def ended(self, tx: Tx, group: str) -> None:
        """A job of the group does not run any more."""
        before = self.row(tx, group)
        after = rows.changed(before, active=before.active - 1)
        self._store(tx, group, before, self._judged(after))

    def limit_changed(self, tx: Tx) -> None:
        """Look at all groups again: the first thousand now, others at their turn or when one of their jobs ends."""
        prefix = keys.group_prefix(self._part)
        for key, value in tx.scan(prefix, keys.after(prefix), limits.GROUPS_LOOKED_MAX):
            before = rows.decode_group(value)
            after = self._judged(before)
            if after is not before:
                self._store(tx, keys.group_of(self._part, key), before, after)

    def _judged(self, row: GroupRow) -> GroupRow:
        """Parked as the limit says; a group that comes back stands at the end of the ring."""
        if row.parked == self._is_full(row):
            return row
        return rows.changed(row, parked=not row.parked, turn=self.next_turn() if row.parked else row.turn)

    def _is_full(self, row: GroupRow) -> bool:
        return self.limit is not None and row.active >= self.limit

    def next_turn(self) -> int:
        self._counters.turn += 1
        return self._counters.turn

    def ring(self, tx: Tx, count: int) -> list[tuple[int, int, str]]:
        """Priority, turn and name of the first groups in the ring."""
        prefix = keys.ring_prefix(self._part)
        found = tx.scan(prefix, keys.after(prefix), count)
        return [(*keys.lane_parts(key[len(prefix) :]), value.decode("utf-8")) for key, value in found]

    @staticmethod
    def _headed(tx: Tx, window: ReadyQueue, row: GroupRow) -> GroupRow:
        """With the priority of the job that is next now."""
        head = window.head(tx) if row.waiting else None
        return row if head is None or head[0] == row.priority else rows.changed(row, priority=head[0])

    def _store(self, tx: Tx, group: str, before: GroupRow, after: GroupRow) -> None:
        counters, was, now = self._counters, self._place(before), self._place(after)
        if was != now:
            if was is not None:
                tx.rows[was] = None
            if now is not None:
                tx.rows[now] = group.encode("utf-8")
        counters.grouped += after.waiting - before.waiting
        counters.held += (after.waiting if after.parked else 0) - (before.waiting if before.parked else 0)
        gone = after.waiting == 0 and after.active == 0
        tx.rows[keys.group(self._part, group)] = None if gone else rows.encode(after)

    def _place(self, row: GroupRow) -> bytes | None:
        """The key of the group in the ring."""
        return keys.ring(self._part, row.priority, row.turn) if row.waiting and not row.parked else None


def group_of(row: JobRow) -> str | None:
    """The group of a job; an empty name is none."""
    return (row.extras.group_id or None) if row.extras is not None else None
