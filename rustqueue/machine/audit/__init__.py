"""Recounting a store: is every row where it belongs, and does every count say what is there?

`rustqueue check` and the tests of the machine ask it. It trusts no counter and no memory of a machine, only the layout
of rows, and it changes nothing. Each problem is one sentence; a sound store has none.
"""

from rustqueue.machine import keys, rows
from rustqueue.machine.audit.census import PROBLEMS_MAX, Census, walk
from rustqueue.machine.audit.groups import check_groups
from rustqueue.machine.audit.jobs import count_jobs
from rustqueue.machine.audit.places import check_places
from rustqueue.machine.audit.queues import check_queues
from rustqueue.machine.audit.schedules import check_schedules
from rustqueue.machine.audit.webhooks import check_webhooks
from rustqueue.machine.kv import View

__all__ = ["PROBLEMS_MAX", "audit"]

_KNOWN = b"HKTWacdefghijklmnopqrstuvwxyz"


def audit(view: View) -> list[str]:
    """All that is wrong with the rows, at most `PROBLEMS_MAX` sentences. Reads every row."""
    stored = view.get(keys.META)
    if stored is None:
        return [] if not view.scan(b"", b"\xff", 1) else ["there are rows, but no meta row"]
    meta = rows.decode_meta(stored)
    if meta.version != rows.ROWS_VERSION:
        return [f"the rows have version {meta.version}, this program knows {rows.ROWS_VERSION}"]
    census = Census(view, meta)
    for key, _ in walk(view, b"", b"\xff" * 8):
        if key[:1] not in _KNOWN:
            census.problem(f"row {key.hex()} is of no known kind")
    count_jobs(census)
    check_places(census)
    check_queues(census)
    check_groups(census)
    check_schedules(census)
    check_webhooks(census)
    return census.problems
