"""Jobs as the second system shows them: its statuses, its counting of attempts, its pages.

Which state is which status, and what of a job counts as an attempt, is decided here (decisions B3) and nowhere else.
"""

from typing import Final, assert_never

from msgspec import Raw

from rustqueue.machine import keys, rows
from rustqueue.machine.kv import View
from rustqueue.machine.rows import JobRow, StateRow
from rustqueue.machine.state import Lease, State
from rustqueue.model import limits
from rustqueue.model.ids import id_text
from rustqueue.model.kinds.replies import KindJobPage, OneKindJob
from rustqueue.model.kinds.requests import KindJobGet, KindJobList, KindQuery
from rustqueue.model.kinds.values import KindJob, Status
from rustqueue.model.replies import Reply
from rustqueue.model.times import to_text

_CHUNK_ROWS: Final = 64  # Rows read at once: they come with their payloads.
_ENDED: Final = {
    rows.COMPLETED: Status.SUCCEEDED,
    rows.DLQ: Status.FAILED_PERMANENT,
    rows.CANCELLED: Status.CANCELLED,
}


def answer(state: State, view: View, query: KindQuery) -> Reply:
    """Raises `ApiError`."""
    match query:
        case KindJobGet():
            job_id, row, state_row = state.load(view, query.id)
            return OneKindJob(job=shown(job_id, row, state_row, state.leases.get(job_id)))
        case KindJobList():
            return _page(state, view, query)
        case _:
            assert_never(query)


def known(state: State, view: View, job_id: bytes) -> KindJob:
    """A job that is there."""
    row = state.job_row(view, job_id)
    if row is None:
        raise AssertionError("a key names a job that is gone")
    return shown(job_id, row, state.state_row(view, job_id), state.leases.get(job_id))


def shown(job_id: bytes, row: JobRow, state_row: StateRow | None, lease: Lease | None) -> KindJob:
    status = status_of(state_row, lease)
    extras = row.extras
    return KindJob(
        id=id_text(job_id),
        kind=row.queue,
        status=status,
        attempts=_attempts(status, state_row, lease),
        max_attempts=row.max_attempts,
        last_error=None if state_row is None else state_row.last_error,
        payload=Raw(row.data),
        run_at=to_text(_run_at(row, state_row, lease)),
        idempotency_key=None if extras is None or extras.creation is None else extras.creation[1],
        created_at=to_text(row.created_at),
        updated_at=to_text(_updated_at(row, state_row, lease)),
    )


def status_of(state_row: StateRow | None, lease: Lease | None) -> Status:
    if lease is not None:
        return Status.RUNNING
    if state_row is None:
        return Status.QUEUED
    ended = _ENDED.get(state_row.state)
    if ended is not None:
        return ended
    return Status.RETRYING if state_row.attempt > 0 else Status.QUEUED


def _attempts(status: Status, state_row: StateRow | None, lease: Lease | None) -> int:
    """There an attempt counts when it begins, here when it has failed."""
    if lease is not None:
        return lease.attempt + 1
    if state_row is None:
        return 0
    given_up = status is Status.CANCELLED and state_row.token is not None
    return state_row.attempt + (status is Status.SUCCEEDED or given_up)


def _run_at(row: JobRow, state_row: StateRow | None, lease: Lease | None) -> int:
    """From when on the job may run, or might have: of an attempt that was begun only its beginning is kept."""
    if lease is not None:
        return lease.block.started_at if lease.attempt else row.created_at
    if state_row is None:
        return row.created_at
    if state_row.state == rows.DELAYED and state_row.until is not None:
        return state_row.until
    if state_row.attempt == 0:
        return row.created_at
    return state_row.updated_at if state_row.state == rows.WAITING else state_row.started_at or row.created_at


def _updated_at(row: JobRow, state_row: StateRow | None, lease: Lease | None) -> int:
    if lease is not None:
        return lease.block.started_at
    return row.created_at if state_row is None else state_row.updated_at


def _page(state: State, view: View, query: KindJobList) -> KindJobPage:
    """Walk ids from the newest on. What the walk has no budget left for, the answer says is missing."""
    if query.kind is not None and state.queue(view, query.kind) is None:
        return KindJobPage(jobs=[], whole=True)
    jobs: list[KindJob] = []
    skip, looked, payload_bytes = query.offset, 0, 0
    high = keys.after(b"j")
    while looked < limits.KIND_LIST_SCANNED_MAX:
        found = view.scan(b"j", high, _CHUNK_ROWS, True)
        for key, value in found:
            looked += 1
            job_id = key[1:]
            row = _wanted(state, view, query, job_id, value)
            if row is None:
                continue
            if skip > 0:
                skip -= 1
                continue
            payload_bytes += len(row.data)
            if jobs and payload_bytes > limits.LIST_BYTES_MAX:
                return KindJobPage(jobs=jobs, whole=False)
            jobs.append(shown(job_id, row, state.state_row(view, job_id), state.leases.get(job_id)))
            if len(jobs) == query.limit:
                return KindJobPage(jobs=jobs, whole=True)
        if len(found) < _CHUNK_ROWS:
            return KindJobPage(jobs=jobs, whole=True)
        high = found[-1][0]
    return KindJobPage(jobs=jobs, whole=False)


def _wanted(state: State, view: View, query: KindJobList, job_id: bytes, stored: bytes) -> JobRow | None:
    """The record of a job that fits the filters."""
    row = rows.decode_job(stored)
    if query.kind is not None and row.queue != query.kind:
        return None
    if query.status is None:
        return row
    lease = state.leases.get(job_id)
    state_row = None if lease is not None else state.state_row(view, job_id)
    return row if status_of(state_row, lease) == query.status else None
