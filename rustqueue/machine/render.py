"""From rows to the job object that clients see. No decisions here."""

from typing import Final

from msgspec import UNSET, Raw, UnsetType

from rustqueue.machine import rows
from rustqueue.machine.rows import Extras, JobRow, StateRow, Trace
from rustqueue.machine.state import Lease
from rustqueue.model.ids import id_text
from rustqueue.model.jobs import Job, LogLine
from rustqueue.model.times import to_text

_EXTRAS: Final = Extras()
_TRACE: Final = Trace()
_NO_TAGS: Final[list[str]] = []
_NO_LOGS: Final[list[LogLine]] = []


def leased_job(lease: Lease, row: JobRow, started: str, expires: str) -> Job:
    """The job as the pull that leased it answers. Its times are the same for all jobs of a pull, so they come as
    text.
    """
    if row.extras is not None or lease.before is not None:
        return _full(lease, row, started, expires)
    return Job(
        id_text(lease.id),
        None,
        row.name,
        row.queue,
        Raw(row.data),
        None,
        "active",
        None,
        _NO_LOGS,
        row.priority,
        None,
        to_text(row.created_at),
        started,
        started,
        None,
        row.max_attempts,
        0,
        rows.BACKOFFS[row.backoff],
        row.backoff_delay_ms,
        None,
        None,
        row.timeout_ms,
        None,
        _NO_TAGS,
        None,
        _NO_TAGS,
        None,
        False,
        False,
        False,
        lease.block.worker_id,
        None,
        lease.fence,
        None,
        "cascade",
        None,
        lease.block.first_token,
        expires,
    )


def _full(lease: Lease, row: JobRow, started: str, expires: str) -> Job:
    job = _job(lease.id, row, lease.before, rows.ACTIVE)
    job.updated_at = job.started_at = started
    job.worker_id = lease.block.worker_id
    job.fence = lease.fence
    job.delay_until = None
    job.attempt_token = lease.token
    job.lease_expires_at = expires
    return job


def any_job(job_id: bytes, row: JobRow, state: StateRow | None, lease: Lease | None) -> Job:
    """The job as a read shows it. The attempt token is only for the one who pulled it."""
    if lease is None:
        return _job(job_id, row, state, rows.WAITING if state is None else state.state)
    job = _job(job_id, row, lease.before, rows.ACTIVE)
    job.started_at = to_text(lease.block.started_at)
    job.updated_at = job.started_at
    job.delay_until = None
    job.worker_id = lease.block.worker_id
    job.fence = lease.fence
    if lease.live is not None:
        job.cancel_requested = True if lease.live.cancel_requested else UNSET
        trace = lease.live.trace
        if trace is not None:
            job.progress = trace.progress
            job.logs = _logs(trace)
            job.last_heartbeat = _time(trace.last_heartbeat)
    return job


def _logs(trace: Trace) -> list[LogLine]:
    return [LogLine(to_text(at_ms), message) for at_ms, message in trace.logs]


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else to_text(at_ms)


def _job(job_id: bytes, row: JobRow, state: StateRow | None, code: int) -> Job:
    extras = row.extras or _EXTRAS
    trace = _TRACE if state is None or state.trace is None else state.trace
    metadata: Raw | UnsetType = UNSET if extras.metadata is None else Raw(extras.metadata)
    result = None if state is None or state.result is None else Raw(state.result)
    until = None if state is None else state.until
    return Job(
        id=id_text(job_id),
        custom_id=extras.custom_id,
        name=row.name,
        queue=row.queue,
        data=Raw(row.data),
        result=result,
        state=rows.STATE_NAMES[code],
        progress=trace.progress,
        logs=_logs(trace),
        priority=row.priority,
        delay_until=_time(until) if code == rows.DELAYED else None,
        created_at=to_text(row.created_at),
        updated_at=to_text(row.created_at if state is None else state.updated_at),
        started_at=None if state is None else _time(state.started_at),
        completed_at=_time(until) if code == rows.COMPLETED else None,
        max_attempts=row.max_attempts,
        attempt=0 if state is None else state.attempt,
        backoff=rows.BACKOFFS[row.backoff],
        backoff_delay_ms=row.backoff_delay_ms,
        last_error=None if state is None else state.last_error,
        ttl_ms=extras.ttl_ms,
        timeout_ms=row.timeout_ms,
        unique_key=extras.unique_key,
        tags=extras.tags,
        group_id=extras.group_id,
        depends_on=[id_text(parent) for parent in extras.depends_on],
        flow_id=extras.flow_id,
        lifo=extras.lifo,
        remove_on_complete=extras.remove_on_complete,
        remove_on_fail=extras.remove_on_fail,
        worker_id=trace.worker_id,
        last_heartbeat=_time(trace.last_heartbeat),
        fence=0 if state is None else state.fence,
        max_backoff_ms=extras.max_backoff_ms,
        on_parent_failure=rows.POLICIES[extras.policy],
        traceparent=extras.traceparent,
        metadata=metadata,
    )
