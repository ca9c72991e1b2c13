"""Reads of the applied state. They change nothing, look at a bounded number of rows, and never enter the log."""

from collections.abc import Iterator
from typing import Final, assert_never

import msgspec

from rustqueue.machine import keys, render, rows, workers
from rustqueue.machine.kv import View
from rustqueue.machine.machine import Machine
from rustqueue.machine.reads import cursors, dead, history, kinds, scale, why
from rustqueue.machine.rows import JobRow
from rustqueue.machine.schedules import reads as schedule_reads
from rustqueue.machine.state import State
from rustqueue.machine.verbs import ownership, queues, tokens
from rustqueue.machine.webhooks import shown as webhooks
from rustqueue.model import limits, times
from rustqueue.model.errors import ApiError, NotFound
from rustqueue.model.ids import first_id_at, id_text, parse_id
from rustqueue.model.jobs import Counts, FlowSummary, Job, JobState
from rustqueue.model.kinds.requests import KindQuery
from rustqueue.model.queries import (
    Dlq,
    DlqGroups,
    Flow,
    Get,
    JobHistory,
    JobList,
    JobParents,
    JobResult,
    JobWhy,
    ListQueues,
    QueueGet,
    QueueScale,
    Read,
    Stats,
    SweepGet,
    TokenList,
    WebhookQuery,
    WorkerList,
)
from rustqueue.model.replies import (
    FlowPage,
    JobOutcome,
    JobPage,
    OneJob,
    ParentPage,
    ParentState,
    QueueInfo,
    QueueNames,
    QueueStats,
    QueueSummary,
    Reply,
    SweepState,
)
from rustqueue.model.schedules import ScheduleGet, ScheduleList, ScheduleRuns

_NO_COUNTS: Final = Counts()
_CHUNK_ROWS: Final = 64  # Rows read at once: they come with their payloads.
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def answer(machine: Machine, query: Read) -> Reply:
    """Answer from the applied state. Raises `ApiError`."""
    state, view = machine.state, machine.view()
    if isinstance(query, WebhookQuery):
        return webhooks.answer(state, view, query)
    if isinstance(query, KindQuery):
        return kinds.answer(state, view, query)
    match query:
        case Get() | JobList() | JobParents() | Flow():
            return _jobs(state, view, query)
        case Dlq():
            return _dead(state, view, query)
        case ListQueues():
            return QueueNames(queues=list(_queues(view)))
        case QueueGet() | Stats():
            return _queue(state, view, query)
        case SweepGet() | TokenList() | ScheduleGet() | ScheduleList() | ScheduleRuns():
            return _beside_jobs(state, view, query)
        case _:
            return _looked_into(state, view, query)


def _jobs(state: State, view: View, query: Get | JobList | JobParents | Flow) -> Reply:
    match query:
        case Get():
            job_id, row, state_row = state.load(view, query.id)
            return OneJob(job=render.any_job(job_id, row, state_row, state.leases.get(job_id)))
        case JobList():
            return _list(state, view, query)
        case JobParents():
            return _parents(state, view, query)
        case Flow():
            return _flow(state, view, query)
        case _:
            assert_never(query)


def _looked_into(
    state: State, view: View, query: QueueScale | JobWhy | JobHistory | JobResult | DlqGroups | WorkerList
) -> Reply:
    match query:
        case QueueScale():
            return scale.scale(state, view, query)
        case JobWhy():
            return why.why(state, view, query.id)
        case JobHistory():
            return history.history(state, view, query.id)
        case DlqGroups():
            return dead.groups(state, view, query)
        case WorkerList():
            return workers.listed(state, view, query)
        case JobResult():
            job_id, _, row = state.load(view, query.id)
            code = state.code_of(job_id, row)
            result = None if row is None or row.result is None else msgspec.Raw(row.result)
            error = row.last_error if row is not None and code == rows.DLQ else None
            return JobOutcome(id=id_text(job_id), state=rows.STATE_NAMES[code], result=result, last_error=error)
        case _:
            assert_never(query)


def _beside_jobs(
    state: State, view: View, query: SweepGet | TokenList | ScheduleGet | ScheduleList | ScheduleRuns
) -> Reply:
    if isinstance(query, SweepGet):
        return _sweep(view, query)
    if isinstance(query, TokenList):
        return tokens.listed(state)
    return schedule_reads.answer(view, query)


def queue_of_job(machine: Machine, reference: str) -> str | None:
    """The queue of a job; None if there is no such job, or nothing can be called so."""
    state, view = machine.state, machine.view()
    try:
        job_id = state.resolve(view, reference)
    except ApiError:
        return None
    lease = state.leases.get(job_id)
    if lease is not None:
        return lease.queue
    row = state.job_row(view, job_id)
    return None if row is None else row.queue


def queue_of_sweep(machine: Machine, reference: str) -> str | None:
    """The queue that a sweep works on, None if there is no such sweep."""
    sweep_id = parse_id(reference)
    stored = machine.view().get(keys.sweep(sweep_id)) if sweep_id is not None else None
    return None if stored is None else rows.decode_sweep(stored).queue


def queue_of_schedule(machine: Machine, name: str) -> str | None:
    """The queue that a schedule pushes to, None if there is no such schedule."""
    return schedule_reads.queue_of(machine.view(), name)


def _queue(state: State, view: View, query: QueueGet | Stats) -> Reply:
    """Settings need a queue; counts of an unknown queue are all zero (contract A4)."""
    if isinstance(query, QueueGet):
        queue = state.existing(view, query.queue)
        counted = queues.counts(queue.counters)
        return QueueInfo(
            name=queue.name, counts=counted, settings=queue.settings, mode=queue.mode, **queues.shown(queue)
        )
    known = state.queue(view, query.queue)
    if known is None:
        return QueueStats(counts=_NO_COUNTS, mode="normal")
    return QueueStats(counts=queues.counts(known.counters), mode=known.mode)


def _queues(view: View) -> Iterator[QueueSummary]:
    """Queues that hold a job or have settings (contract A4)."""
    start = b"n"
    while found := view.scan(start, b"o", 1_000):
        for key, value in found:
            counters = rows.decode_counters(value)
            stored = view.get(keys.settings(key[1:]))
            counted = queues.counts(counters)
            if stored is None and counted == _NO_COUNTS and counters.cancelled == 0:
                continue
            row = None if stored is None else rows.decode_queue(stored)
            mode = "normal" if row is None else queues.settings_of(row).mode
            declared = ownership.shown(None if row is None else row.ownership)
            yield QueueSummary(key[1:-1].decode("ascii"), counted, mode, **declared)
        start = found[-1][0] + b"\0"


def _list(state: State, view: View, query: JobList) -> JobPage:
    """Walk ids in order of creation and keep what matches."""
    prefix = b"j" if query.flow_id is None else keys.flow_prefix(query.flow_id)
    low, high = prefix, keys.after(prefix) if prefix == b"j" else prefix + b"\xff" * 17
    if query.created_after is not None:
        low = prefix + first_id_at((times.from_text(query.created_after) or 0) + 1)
    if query.cursor is not None:
        at = prefix + cursors.to_id(query.cursor)
        low, high = (max(low, at + b"\0"), high) if query.order == "asc" else (low, min(high, at))
    page = _Page(state, view, query.limit)
    looked, more = 0, True
    while more and looked < limits.LIST_SCANNED_MAX:
        found = view.scan(low, high, _CHUNK_ROWS, query.order == "desc")
        more = len(found) == _CHUNK_ROWS
        for key, value in found:
            looked += 1
            row = rows.decode_job(value) if prefix == b"j" else state.job_row(view, key[-16:])
            wanted = row is not None and _may_match(query, row)
            if not page.add(key[-16:], row if wanted else None, query.state):
                return JobPage(jobs=page.jobs, next_cursor=page.cursor)
        if found and query.order == "asc":
            low = found[-1][0] + b"\0"
        elif found:
            high = found[-1][0]
    return JobPage(jobs=page.jobs, next_cursor=page.cursor if more else None)


class _Page:
    """Jobs of one answer: at most so many, and at most so many bytes of payload. `cursor` is the last id looked at."""

    def __init__(self, state: State, view: View, limit: int) -> None:
        self._state = state
        self._view = view
        self._limit = limit
        self._bytes = limits.LIST_BYTES_MAX
        self.jobs: list[Job] = []
        self.cursor: str | None = None

    def add(self, job_id: bytes, row: JobRow | None, wanted: JobState | None = None) -> bool:
        """Look at one job; False if it does not fit any more, and the page is to be answered without it."""
        if row is not None:
            if len(self.jobs) == self._limit or (self.jobs and self._bytes < len(row.data)):
                return False
            job = render.any_job(job_id, row, self._state.state_row(self._view, job_id), self._state.leases.get(job_id))
            if wanted is None or job.state == wanted:
                self.jobs.append(job)
                self._bytes -= len(row.data) + (memoryview(job.result).nbytes if job.result is not None else 0)
        self.cursor = id_text(job_id)
        return True


def _may_match(query: JobList, row: JobRow) -> bool:
    """Everything that the record alone tells."""
    extras = row.extras
    if query.queue is not None and row.queue != query.queue:
        return False
    if query.name is not None and row.name != query.name:
        return False
    if query.tag is not None and (extras is None or query.tag not in extras.tags):
        return False
    if query.metadata:
        return extras is not None and extras.metadata is not None and _has_metadata(query.metadata, extras.metadata)
    return True


def _has_metadata(wanted: dict[str, str], metadata: bytes) -> bool:
    """Each wanted key stands at the top level with that text, or with a value whose JSON is that text."""
    try:
        members = _members.decode(metadata)
    except msgspec.MsgspecError:
        return False
    for key, text in wanted.items():
        value = members.get(key)
        if value is None:
            return False
        decoded = msgspec.json.decode(value)
        if decoded != text and bytes(value) != text.encode("utf-8"):
            return False
    return True


def _dead(state: State, view: View, query: Dlq) -> JobPage:
    """Dead jobs, latest first. The cursor is the outcome block and the place in it."""
    prefix = keys.outcome_prefix(keys.queue_part(query.queue), rows.DLQ)
    high, skip = keys.after(prefix), 0
    if query.cursor is not None:
        block, skip = cursors.to_place(query.cursor)
        high = prefix + block + b"\0"
    page = _Page(state, view, query.limit)
    found = view.scan(prefix, high, query.limit + 1, reverse=True) if query.limit else []
    for key, value in found:
        ids = [value[at : at + 16] for at in range(1, len(value), 16)][::-1]
        for place, job_id in enumerate(ids[skip:], skip):
            if not page.add(job_id, state.job_row(view, job_id)):
                return JobPage(jobs=page.jobs, next_cursor=cursors.of_place(key[len(prefix) :], place))
        skip = 0
    return JobPage(jobs=page.jobs, next_cursor=None)


def _flow(state: State, view: View, query: Flow) -> FlowPage:
    prefix = keys.flow_prefix(query.flow_id)
    low = prefix if query.cursor is None else prefix + cursors.to_id(query.cursor) + b"\0"
    found = view.scan(low, prefix + b"\xff" * 17, limits.LIST_LIMIT_MAX + 1)
    page = _Page(state, view, limits.LIST_LIMIT_MAX)
    more = not all(page.add(key[-16:], state.job_row(view, key[-16:])) for key, _ in found)
    counted = {name: sum(job.state == name for job in page.jobs) for name in _SUMMARY_STATES}
    summary = FlowSummary(total=len(page.jobs), **counted)
    cursor = page.cursor if more else None
    return FlowPage(flow_id=query.flow_id, jobs=page.jobs, summary=summary, next_cursor=cursor)


_SUMMARY_STATES: Final = (JobState.WAITING, JobState.ACTIVE, JobState.BLOCKED, JobState.COMPLETED, JobState.DLQ)


def _parents(state: State, view: View, query: JobParents) -> ParentPage:
    _, row, _ = state.load(view, query.id)
    parents = sorted(row.extras.depends_on) if row.extras is not None else []
    if query.cursor is not None:
        after = cursors.to_id(query.cursor)
        parents = [parent for parent in parents if parent > after]
    page = parents[: query.limit]
    shown = [_parent(state, view, parent) for parent in page]
    return ParentPage(parents=shown, next_cursor=id_text(page[-1]) if len(page) < len(parents) else None)


def _parent(state: State, view: View, parent: bytes) -> ParentState:
    row, state_row = state.job_row(view, parent), state.state_row(view, parent)
    kept = view.get(keys.kept_result(parent))
    if row is None:
        return ParentState(id_text(parent), "removed", None if kept is None else msgspec.Raw(kept))
    result = None if state_row is None or state_row.result is None else msgspec.Raw(state_row.result)
    return ParentState(id_text(parent), rows.STATE_NAMES[state.code_of(parent, state_row)], result)


def _sweep(view: View, query: SweepGet) -> SweepState:
    sweep_id = parse_id(query.id)
    stored = view.get(keys.sweep(sweep_id)) if sweep_id is not None else None
    if stored is None:
        raise NotFound.sweep(query.id)
    sweep = rows.decode_sweep(stored)
    return SweepState(id=query.id, state=sweep.state, matched=sweep.matched, moved=sweep.moved)
