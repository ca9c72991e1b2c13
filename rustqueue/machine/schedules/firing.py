"""Due ticks become jobs: what the leader worked out, judged against what the schedule is now.

It must not know when a schedule runs: the ticks come with the command. Invariants: a firing counts once, since it names
the turn that it was planned on and raises it; each tick is decided once; a job that its queue refuses is a line of the
history, and the timetable goes on.
"""

from rustqueue.machine import rows as job_rows
from rustqueue.machine.schedules import rows
from rustqueue.machine.schedules.rows import DefinitionRow, RunRow, Stored, TimetableRow
from rustqueue.machine.state import State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import push
from rustqueue.model.errors import ApiError
from rustqueue.model.events import JobsChanged, SchedulesChanged, SchedulesFired
from rustqueue.model.replies import Fired, Reply
from rustqueue.model.schedules import Firing, ScheduleFire


def fire(state: State, tx: Tx, command: ScheduleFire) -> Reply:
    """Every firing that was planned on what is there now."""
    counts = [0] * len(rows.OUTCOMES)
    changed: list[str] = []
    for firing in command.firings:
        found = rows.find(tx, firing.name)
        if found is None or found.table.stopped or found.table.turn != firing.turn:
            continue
        _Firing(state, tx, found, counts).all(firing)
        changed.append(firing.name)
    if changed:
        tx.events.append(SchedulesChanged(changed))
        tx.events.append(SchedulesFired(dict(zip(rows.OUTCOMES, counts, strict=True))))
    return Fired(fired=len(changed))


def push_job(state: State, tx: Tx, definition: DefinitionRow) -> bytes:
    """One job of a schedule. It passes a pause (decisions A11); raises what else refuses it."""
    queue = push.open_queue(state, tx, definition.queue, 1, inner=True)
    ids = push.push_rich(state, tx, queue, [rows.job_of(definition)], in_batch=False)
    tx.events.append(JobsChanged("pushed", queue.name, ids))
    return ids[0]


class _Firing:
    """One schedule's due ticks, in order."""

    def __init__(self, state: State, tx: Tx, found: Stored, counts: list[int]) -> None:
        self._state = state
        self._tx = tx
        self._found = found
        self._table = found.table
        self._counts = counts

    def all(self, firing: Firing) -> None:
        if firing.missed:
            self._write(RunRow(self._tx.now_ms, rows.MISSED, firing.missed_at, ticks=firing.missed))
        for tick in firing.ticks:
            self._tick(tick, firing.refused)
            if self._table.stopped:
                break
        after_ms = max(self._table.after_ms, firing.until)
        table = job_rows.changed(self._table, turn=self._tx.index, after_ms=after_ms)
        rows.put_table(self._tx, self._found.name, table)

    def _tick(self, tick: int, refused: str | None) -> None:
        now_ms = self._tx.now_ms
        definition = self._found.definition
        if rows.forbids_overlap(definition) and self._is_running():
            self._write(RunRow(now_ms, rows.OVERLAPPED, tick, self._table.last_job))
            return
        try:
            job_id = push_job(self._state, self._tx, definition) if refused is None else None
        except ApiError as error:
            job_id, refused = None, f"{error.code}: {error.message}"
        if job_id is None:
            self._write(RunRow(now_ms, rows.REFUSED, tick, error=refused))
            return
        self._write(RunRow(now_ms, rows.PUSHED, tick, job_id))
        count = self._table.execution_count + 1
        last = definition.max_executions is not None and count >= definition.max_executions
        self._table = job_rows.changed(
            self._table,
            execution_count=count,
            last_run_at=now_ms,
            last_job=job_id,
            stopped=rows.EXHAUSTED if last else 0,
        )

    def _is_running(self) -> bool:
        """Whether the job of the run before has not ended yet."""
        job_id = self._table.last_job
        if job_id is None or self._state.job_row(self._tx, job_id) is None:
            return False
        state = self._state.state_row(self._tx, job_id)
        return state is None or state.state not in job_rows.FINISHED

    def _write(self, run: RunRow) -> None:
        rows.add_run(self._tx, self._found.name, self._table.runs, run)
        self._table = _with_line(self._table)
        self._counts[run.outcome] += run.ticks


def _with_line(table: TimetableRow) -> TimetableRow:
    return job_rows.changed(table, runs=table.runs + 1)
