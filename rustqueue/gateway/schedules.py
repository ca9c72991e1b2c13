"""What calendars have to do with requests: definitions are checked before they are proposed, and answers tell the next
runs.

The machine knows ticks only when they are due, so what is to come is worked out here, from what an answer shows. It
must not know the log, nor change anything.
"""

from functools import partial
from itertools import islice
from typing import Final

import msgspec

from rustqueue import cron
from rustqueue.gateway.preparing import Prepare, Prepared
from rustqueue.model import limits, times
from rustqueue.model.replies import OneSchedule, Reply, SchedulePage
from rustqueue.model.schedules import (
    Schedule,
    ScheduleCreate,
    SchedulePause,
    SchedulePut,
    ScheduleResume,
    Timing,
)


def _checked(command: ScheduleCreate | SchedulePut) -> Prepared:
    """Raises `ValidationFailed` for an expression or a zone that means nothing."""
    cron.check(command.cron_expr, command.timezone)
    return Prepared(command, with_next_runs)


def _unchecked(command: SchedulePause | ScheduleResume) -> Prepared:
    return Prepared(command, with_next_runs)


PREPARE_SCHEDULES: Final[dict[type[msgspec.Struct], Prepare]] = {
    ScheduleCreate: _checked,
    SchedulePut: _checked,
    SchedulePause: _unchecked,
    ScheduleResume: _unchecked,
}


def with_next_runs(reply: Reply) -> Reply:
    """The answer with the next five runs of every schedule in it; of a long list only the very next."""
    if isinstance(reply, OneSchedule):
        return msgspec.structs.replace(reply, schedule=_foreseen(reply.schedule, limits.SCHEDULE_NEXT_RUNS))
    if isinstance(reply, SchedulePage):
        count = limits.SCHEDULE_NEXT_RUNS if len(reply.schedules) <= limits.SCHEDULES_READ_MAX else 1
        return msgspec.structs.replace(reply, schedules=list(map(partial(_foreseen, count=count), reply.schedules)))
    return reply


def _foreseen(schedule: Schedule, count: int) -> Schedule:
    if schedule.paused:
        return schedule
    timing = timing_of(schedule)
    left = None if schedule.max_executions is None else schedule.max_executions - schedule.execution_count
    ticks = islice(cron.ticks(timing), count if left is None else max(0, min(count, left)))
    runs = [times.to_text(cron.starts_ms(timing, tick)) for tick in ticks]
    return msgspec.structs.replace(schedule, next_run_at=runs[0] if runs else None, next_runs=runs)


def timing_of(schedule: Schedule) -> Timing:
    return Timing(
        name=schedule.name,
        cron_expr=schedule.cron_expr,
        every_ms=schedule.every_ms,
        timezone=schedule.timezone,
        jitter_ms=schedule.jitter_ms,
        ends_ms=None if schedule.ends_at is None else times.from_text(schedule.ends_at),
        anchor_ms=times.from_text(schedule.counted_from) or 0,
        after_ms=times.from_text(schedule.decided_until) or 0,
    )
