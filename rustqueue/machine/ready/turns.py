"""Whose turn it is: one pull over a queue that has jobs with and without groups.

Higher priorities come first whatever their group; among equals each group gives one job and goes to the end of the
ring. The jobs without a group take their turns together, as one more group. It must not know what a job holds.
"""

from collections import deque

from rustqueue.machine.ready.groups import Groups
from rustqueue.machine.ready.window import Ready, ReadyQueue
from rustqueue.machine.rows import CountersRow
from rustqueue.machine.tx import Tx
from rustqueue.model import limits


class Turns:
    """The order in which jobs are handed out. `show` and then `take`, one after the other."""

    def __init__(self, tx: Tx, groups: Groups, others: ReadyQueue, counters: CountersRow) -> None:
        self._tx = tx
        self._groups = groups
        self._others = others
        self._counters = counters
        self._level: deque[str | None] = deque()
        """Those who come next, all of one priority, in their order; None stands for the jobs without a group."""
        self._priority = 0
        self._is_whole = True
        """The level holds all that have its priority, so that who was served goes to its end."""

    def show(self) -> Ready | None:
        """The job that comes next, None if no group may start one."""
        while True:
            if not self._level and not self._fill():
                return None
            group = self._level[0]
            if group is not None and self._groups.park_if_full(self._tx, group):
                self._level.popleft()
                continue
            head = self._window(group).head(self._tx)
            if head is not None and head[0] == self._priority:
                return head[1]
            self._level.popleft()  # What was shown here is gone, and what follows has its own priority.

    def take(self) -> None:
        """Take the job that `show` has just shown."""
        group = self._level.popleft()
        if group is None:
            self._others.take(self._tx, 1)
            self._counters.plain_turn = self._groups.next_turn()
            again = True
        else:
            after = self._groups.take(self._tx, group)
            again = after.waiting > 0 and not after.parked
        if again and self._is_whole:
            self._level.append(group)

    def _window(self, group: str | None) -> ReadyQueue:
        return self._others if group is None else self._groups.window(group, self._groups.row(self._tx, group))

    def _fill(self) -> bool:
        """The next level: everybody at the highest priority there is, up to a bounded number."""
        tx, most = self._tx, limits.GROUPS_A_TURN_MAX
        found = self._groups.ring(tx, most + 1)
        head = self._others.head(tx)
        priorities = [place[0] for place in (found[0] if found else None, head) if place is not None]
        if not priorities:
            return False
        self._priority = max(priorities)
        level = [(turn, group) for priority, turn, group in found if priority == self._priority]
        self._is_whole = len(level) <= most
        members: list[tuple[int, str | None]] = [*level[:most]]
        if head is not None and head[0] == self._priority:
            turn = self._counters.plain_turn
            if self._is_whole or turn < members[-1][0]:
                members.append((turn, None))
        self._level.extend(group for _, group in sorted(members, key=lambda member: member[0]))
        return True
