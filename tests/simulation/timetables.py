"""What schedules did, as every node saw it, held against a timetable worked out here.

It must not ask the code under test when a schedule runs: intervals are added up, and the cron expressions of the
simulation are multiples of seconds. Names that begin with `x` belong to schedules that clients also pause: of these
only the order of their runs is known.
"""

from collections.abc import Sequence

from rustqueue.machine.machine import Machine
from rustqueue.machine.rows import decode_job
from rustqueue.machine.schedules import rows
from rustqueue.machine.schedules.reads import standings
from rustqueue.model import limits, times
from rustqueue.model.events import Event, SchedulesChanged
from rustqueue.model.schedules import Run
from tests.simulation.ledger import require

_MISSED_TOLD_MAX = 1_000
_LOOK_BACK = 5


class Timetables:
    """The histories of all schedules, although each keeps only its latest lines."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[int, Run]] = {}

    @property
    def ticks_count(self) -> int:
        """Ticks that became jobs."""
        return sum(run.outcome == "pushed" for lines in self._lines.values() for run in lines.values())

    def saw(self, machine: Machine, events: Sequence[Event]) -> None:
        """A node has applied an entry: whoever applies it sees the same lines."""
        for event in events:
            if isinstance(event, SchedulesChanged):
                for name in event.names:
                    self._read(machine, name)

    def _read(self, machine: Machine, name: str) -> None:
        known = self._lines.setdefault(name, {})
        found = rows.latest_runs(machine.view(), name, _LOOK_BACK)
        if found and found[-1].number > 1 and found[-1].number - 1 not in known:
            found = rows.latest_runs(machine.view(), name, 100)
        for run in found:
            first = known.setdefault(run.number, run)
            require(first == run, "I15", f"run {run.number} of {name} was {first}, and is {run}")

    def judge(self, machine: Machine) -> None:
        """At rest: every tick was decided once, and each that was pushed is one job."""
        for name, _ in standings(machine.view(), None, 1_000):
            self._read(machine, name)
        jobs: set[str] = set()
        complete = True
        for name, known in self._lines.items():
            stored = rows.find(machine.view(), name)
            require(stored is not None, "I15", f"schedule {name} is gone")
            assert stored is not None, "required"
            lines = [known[number] for number in sorted(known)]
            numbers = [run.number for run in lines]
            written = list(range(1, stored.table.runs + 1))
            kept = limits.SCHEDULE_RUNS_MAX
            if len(written) > kept and numbers != written and numbers[-kept:] == written[-kept:]:
                # More ran between two looks than the history holds: what was pushed out of it cannot be judged.
                complete = False
                continue
            require(numbers == written, "I15", f"{name} has the lines {numbers}, not {len(written)}")
            pushed = [run.job_id for run in lines if run.outcome == "pushed"]
            require(len(pushed) == stored.table.execution_count, "I15", f"{name} counts {stored.table.execution_count}")
            for job_id in pushed:
                require(job_id is not None and job_id not in jobs, "I15", f"two runs have the job {job_id}")
                jobs.add(job_id or "")
            _judge_ticks(rows.shown(stored).counted_from, stored, [run for run in lines if run.scheduled_at])
        pushed_count, made = len(jobs), _jobs_of_schedules(machine)
        require(
            made == pushed_count or not complete, "I15", f"{made} jobs came of schedules, {pushed_count} are told of"
        )


def _judge_ticks(counted_from: str, stored: rows.Stored, lines: list[Run]) -> None:
    definition, name = stored.definition, stored.name
    if definition.every_ms is not None:
        step_ms, after_ms = definition.every_ms, _ms(counted_from) - definition.every_ms
    else:
        step_ms = int(str(definition.cron_expr).split()[0].removeprefix("*/")) * 1_000
        after_ms = _ms(counted_from) // step_ms * step_ms
    for run in lines:
        tick = _ms(run.scheduled_at)
        count, rest = divmod(tick - after_ms, step_ms)
        require(rest == 0 and count > 0, "I15", f"{name}: {run} comes after {times.to_text(after_ms)}")
        told = run.ticks if run.outcome == "missed" else 1
        exact = count == told or (run.outcome == "missed" and told == _MISSED_TOLD_MAX < count)
        require(exact or name.startswith("x"), "I15", f"{name}: {count} ticks after {times.to_text(after_ms)}, {run}")
        require(_ms(run.at) >= tick, "I15", f"{name}: {run} began before its time")
        after_ms = tick


def _jobs_of_schedules(machine: Machine) -> int:
    count, start = 0, b"j"
    while found := machine.view().scan(start, b"k", 1_000):
        for _, value in found:
            count += decode_job(value).data.startswith(b'{"of":')
        start = found[-1][0] + b"\0"
    return count


def _ms(text: str | None) -> int:
    at_ms = times.from_text(text or "")
    assert at_ms is not None, text
    return at_ms
