"""Reads of schedules. They change nothing and look at a bounded number of rows."""

from collections.abc import Iterator

from rustqueue.machine.kv import View
from rustqueue.machine.reads import cursors
from rustqueue.machine.schedules import rows
from rustqueue.model import limits
from rustqueue.model.commands import NewJob
from rustqueue.model.replies import OneSchedule, Reply, SchedulePage, ScheduleRunPage
from rustqueue.model.schedules import Schedule, ScheduleGet, ScheduleList, ScheduleRuns, Standing


def answer(view: View, query: ScheduleGet | ScheduleList | ScheduleRuns) -> Reply:
    """Raises SCHEDULE_NOT_FOUND, or VALIDATION_ERROR for a cursor."""
    if isinstance(query, ScheduleGet):
        return OneSchedule(schedule=rows.shown(rows.existing(view, query.name)))
    if isinstance(query, ScheduleRuns):
        rows.existing(view, query.name)
        return ScheduleRunPage(runs=rows.latest_runs(view, query.name, query.limit))
    return _page(view, query)


def _page(view: View, query: ScheduleList) -> Reply:
    shown: list[Schedule] = []
    room = limits.LIST_BYTES_MAX
    behind = None if query.cursor is None else cursors.to_name(query.cursor)
    for stored in rows.after(view, behind, query.limit + 1):
        room -= len(stored.definition.job_data)
        if len(shown) == query.limit or (shown and room < 0):
            return SchedulePage(schedules=shown, next_cursor=cursors.of_name(shown[-1].name))
        shown.append(rows.shown(stored))
    return SchedulePage(schedules=shown, next_cursor=None)


def standing(view: View, name: str) -> Standing | None:
    """What makes a schedule run; None for one that is paused or gone."""
    found = rows.find(view, name)
    return None if found is None else rows.standing(found)


def standings(view: View, after: str | None, count: int) -> Iterator[tuple[str, Standing | None]]:
    """Schedules by name, from the one behind `after`; None beside a name that is paused."""
    for stored in rows.after(view, after, count):
        yield stored.name, rows.standing(stored)


def queue_of(view: View, name: str) -> str | None:
    """Where a schedule pushes to; None for one that is gone."""
    found = rows.find(view, name)
    return None if found is None else found.definition.queue


def job_of(view: View, name: str) -> tuple[str, NewJob] | None:
    """The job that a schedule pushes, and where to."""
    found = rows.find(view, name)
    return None if found is None else (found.definition.queue, rows.job_of(found.definition))
