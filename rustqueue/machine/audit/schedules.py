"""Schedules: has each both its rows, and a history of the right lines?

It must not look at jobs; a schedule's job may be gone.
"""

from rustqueue.machine import keys
from rustqueue.machine.audit.census import Census, walk
from rustqueue.machine.schedules import rows
from rustqueue.model import limits


def check_schedules(census: Census) -> None:
    count = 0
    lines: dict[bytes, list[int]] = {}
    for key, _ in walk(census.view, keys.schedule_runs(b""), keys.after(keys.schedule_runs(b""))):
        lines.setdefault(key[2:-8], []).append(int.from_bytes(key[-8:], "big"))
    for key, _ in walk(census.view, keys.SCHEDULES, keys.after(keys.SCHEDULES)):
        count += 1
        part = key[2:]
        name = part[:-1].decode("utf-8", "replace")
        if census.view.get(keys.timetable(part)) is None:
            census.problem(f"schedule '{name}' has no timetable")
            continue
        written = rows.existing(census.view, name).table.runs
        wanted = list(range(max(0, written - limits.SCHEDULE_RUNS_MAX), written))
        if lines.pop(part, []) != wanted:
            census.problem(f"the history of schedule '{name}' is not that of {written} runs")
    for part in lines:
        census.problem(f"there is a history of schedule '{part[:-1].decode('utf-8', 'replace')}', which is gone")
    tables = sum(1 for _ in walk(census.view, keys.timetable(b""), keys.after(keys.timetable(b""))))
    if not count == tables == census.meta.schedules:
        census.problem(f"there are {count} schedules and {tables} timetables, {census.meta.schedules} are counted")
