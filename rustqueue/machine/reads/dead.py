"""Dead jobs by what killed them. Errors that differ only in numbers have one fingerprint."""

from rustqueue.machine import keys, rows
from rustqueue.machine.kv import View
from rustqueue.machine.reads import cursors
from rustqueue.machine.state import State
from rustqueue.machine.verbs.sweeps import fingerprint
from rustqueue.model import limits
from rustqueue.model.queries import DlqGroups
from rustqueue.model.replies import DeadGroup, DeadGroups
from rustqueue.model.times import to_text

_BLOCK_ROWS = 64


class _Group:
    """Counted so far, latest first: the first error seen is the latest."""

    __slots__ = ("count", "error", "first_ms", "last_ms")

    def __init__(self, error: str, at_ms: int) -> None:
        self.error = error
        self.count = 0
        self.first_ms = self.last_ms = at_ms


def groups(state: State, view: View, query: DlqGroups) -> DeadGroups:
    """The largest first. A page ends behind a block of jobs that died together."""
    prefix = keys.outcome_prefix(keys.queue_part(query.queue), rows.DLQ)
    high = keys.after(prefix) if query.cursor is None else prefix + cursors.to_outcome(query.cursor)
    found: dict[str, _Group] = {}
    looked, more = 0, True
    while more and looked < limits.LIST_LIMIT_MAX:
        blocks = view.scan(prefix, high, _BLOCK_ROWS, reverse=True)
        more = len(blocks) == _BLOCK_ROWS
        for key, value in blocks:
            ids = [value[at : at + 16] for at in range(1, len(value), 16)]
            for stored in view.get_many([keys.state(job_id) for job_id in ids]):
                if stored is not None:
                    _count(found, rows.decode_state(stored))
            looked, high = looked + len(ids), key
            if looked >= limits.LIST_LIMIT_MAX:
                more = True
                break
    cursor = cursors.of_outcome(high[len(prefix) :]) if more and view.scan(prefix, high, 1) else None
    largest = sorted(found.items(), key=lambda item: (-item[1].count, item[0]))
    told = [
        DeadGroup(name, group.count, group.error, to_text(group.first_ms), to_text(group.last_ms))
        for name, group in largest
    ]
    return DeadGroups(groups=told, looked_at=looked, next_cursor=cursor)


def _count(found: dict[str, _Group], row: rows.StateRow) -> None:
    error, died_ms = row.last_error or "", row.until or 0
    group = found.setdefault(fingerprint(error), _Group(error, died_ms))
    group.count += 1
    group.first_ms = min(group.first_ms, died_ms)
    group.last_ms = max(group.last_ms, died_ms)
