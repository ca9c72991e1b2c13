"""What a worker tells of a job that it holds: done, failed, progress, still alive.

An attempt token proves the lease; without one the original's rule holds: any client that knows the id of an active job
may speak for it (contract A10, decisions section 5).
"""

from typing import Final

from msgspec import UNSET

from rustqueue.machine import endings, flows, keys, rows, workers
from rustqueue.machine.retry import backoff_ms
from rustqueue.machine.rows import JobRow, LiveRow, StateRow, Trace
from rustqueue.machine.state import Lease, State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import follow_ups
from rustqueue.model import limits
from rustqueue.model.commands import Ack, AckBatch, AckItem, Fail, FailBatch, FailItem, Heartbeat, Progress
from rustqueue.model.errors import ApiError, Conflict, NotFound
from rustqueue.model.events import JobsChanged
from rustqueue.model.ids import id_text, parse_id
from rustqueue.model.replies import (
    AckedBatch,
    Done,
    ErrorBody,
    FailedBatch,
    FailedJob,
    ItemResult,
    Leased,
    Reply,
)
from rustqueue.model.times import to_text

STALLED: Final = rows.STALLED
TIMED_OUT: Final = rows.TIMED_OUT
_NO_TRACE: Final = Trace()
_NOTHING: Final[list[str]] = []


def ack(state: State, tx: Tx, command: Ack) -> Reply:
    refused, queue, job_id = _complete(state, tx, command.id, command)
    if job_id is not None:
        tx.events.append(JobsChanged("cancelled" if command.cancelled else "completed", queue, [job_id]))
    return Done(follow_ups_refused=refused) if refused else Done()


def ack_batch(state: State, tx: Tx, command: AckBatch) -> Reply:
    """Each item stands alone (contract A7)."""
    results: list[ItemResult] = []
    done: dict[tuple[str, bool], list[bytes]] = {}
    acked = failed = 0
    if command.items is not None:
        items: list[tuple[str, AckItem | None]] = [(item.id, item) for item in command.items]
    else:
        items = [(reference, None) for reference in command.ids or ()]
    for reference, item in items:
        try:
            refused, queue, job_id = _complete(state, tx, reference, item)
        except ApiError as error:
            failed += 1
            results.append(ItemResult(reference, False, ErrorBody(error.code, error.message, error.details)))
            continue
        acked += 1
        if job_id is not None:
            kind = queue, item is not None and item.cancelled
            if (same := done.get(kind)) is None:
                done[kind] = [job_id]
            else:
                same.append(job_id)
        if not tx.unread:
            told = ItemResult(reference, True, follow_ups_refused=refused) if refused else ItemResult(reference, True)
            results.append(told)
    for (queue, was_cancelled), ids in done.items():
        tx.events.append(JobsChanged("cancelled" if was_cancelled else "completed", queue, ids))
    return AckedBatch(ok=failed == 0, acked=acked, failed=failed, results=results)


def _complete(state: State, tx: Tx, reference: str, given: Ack | AckItem | None) -> tuple[list[str], str, bytes | None]:
    """Complete one job. Returns refused follow-ups, its queue and its id; no id for a repeated ack."""
    lease = _lease(state, tx, reference, None if given is None else given.attempt_token)
    if lease is None:
        return _NOTHING, "", None
    result = None
    if given is not None:
        if given.cancelled:
            cancel_lease(state, tx, lease)
            return _NOTHING, lease.queue, lease.id
        if given.result is not UNSET:
            result = bytes(given.result)
            if result == b"null":
                result = None
    job_id, name, before = lease.id, lease.queue, lease.before
    queue = state.queues.get(name) or state.existing(tx, name)
    queue.counters.active -= 1
    if not queue.dirty:
        state.touch(queue)
    endings.end_lease(state, tx, lease)
    if lease.extras is not None:
        return _complete_rich(state, tx, lease, result), name, job_id
    ordinal = endings.outcome_ordinal(tx, before is not None and before.history)
    tx.rows[b"s" + job_id] = rows.encode(_ended(tx, lease, rows.COMPLETED, ordinal, result))
    endings.add_outcome(tx, name, rows.COMPLETED, ordinal, job_id)
    if state.meta.parents:
        endings.parent_ended(state, tx, job_id, rows.COMPLETED)
    return _NOTHING, name, job_id


def _complete_rich(state: State, tx: Tx, lease: Lease, result: bytes | None) -> list[str]:
    """The rest of an ack for a job with options: index rows, children, follow-ups, removal."""
    row = _job_row(state, tx, lease.id)
    ended = _ended(tx, lease, rows.COMPLETED, 0, result)
    if lease.extras is not None and lease.extras.remove_on_complete:
        _erase_ended(state, tx, lease, row, ended)
    else:
        endings.finish(state, tx, (lease.id, row), ended)
        endings.parent_ended(state, tx, lease.id, rows.COMPLETED)
    return follow_ups.push_all(state, tx, lease.id, row, result) if lease.follows_up else []


def _erase_ended(state: State, tx: Tx, lease: Lease, row: JobRow, ended: StateRow) -> None:
    """remove_on_complete and remove_on_fail: the job goes at once; its children learn how it ended."""
    if lease.extras is not None:
        queue = state.existing(tx, row.queue)
        if lease.extras.unique_key is not None:
            tx.rows[keys.unique(queue.part, lease.extras.unique_key)] = None
        flows.release(state, tx, lease.extras.depends_on)
        state.touch(queue)
    endings.parent_ended(state, tx, lease.id, ended.state)
    endings.erase(state, tx, (lease.id, row, ended))


def _ended(
    tx: Tx, lease: Lease, code: int, ordinal: int, result: bytes | None = None, error: str | None = None
) -> StateRow:
    """The state row of an attempt that ends now. `ordinal` says in which outcome block, where it is known already."""
    before, block, now_ms = lease.before, lease.block, tx.now_ms
    if before is None and lease.live is None:
        trace = None if block.worker_id is None else Trace(worker_id=block.worker_id)
        at_ms = block.started_at
        token = block.first_token
        return StateRow(code, 0, 1, now_ms, at_ms, now_ms, error, result, token, tx.index, ordinal, 0, trace)
    attempt = 0
    if before is not None:
        attempt = before.attempt
        error = error if error is not None else before.last_error
    return StateRow(
        code,
        attempt,
        lease.fence,
        now_ms,
        block.started_at,
        now_ms,
        error,
        result,
        lease.token,
        tx.index,
        ordinal,
        0,
        _trace(lease),
        before is not None and before.history,
    )


def _trace(lease: Lease) -> Trace | None:
    """What the attempt leaves for readers: progress and logs of this and earlier attempts, worker, heartbeat."""
    live = lease.live.trace if lease.live is not None else None
    if live is not None:
        return live
    before = lease.before.trace if lease.before is not None else None
    worker_id = lease.block.worker_id
    if before is None:
        return None if worker_id is None else Trace(worker_id=worker_id)
    return rows.changed(before, worker_id=worker_id, last_heartbeat=None)


def _lease(state: State, tx: Tx, reference: str, token: str | None) -> Lease | None:
    """The lease that a worker speaks for; None for a repeated ack of a job completed under the same token."""
    job_id = parse_id(reference)
    lease = None if job_id is None else state.leases.get(job_id)
    if lease is None:
        resolved = state.resolve(tx, reference)
        lease = state.leases.get(resolved)
        if lease is None:
            _require_repeat(state, tx, resolved, token)
            return None
    if token is not None and (token != lease.token or lease.until <= tx.now_ms):
        raise Conflict.stale(id_text(lease.id))
    return lease


def _require_repeat(state: State, tx: Tx, job_id: bytes, token: str | None) -> None:
    """Raise unless this repeats what ended the job: the same token, not too long ago."""
    row = state.state_row(tx, job_id)
    if row is None and tx.get(keys.job(job_id)) is None:
        raise NotFound.job(id_text(job_id))
    code = rows.WAITING if row is None else row.state
    if token is None:
        raise Conflict.state(rows.STATE_NAMES[code], "Active")
    if row is None or row.token != token or code not in (rows.COMPLETED, rows.CANCELLED):
        raise Conflict.stale(id_text(job_id))
    if (row.until or 0) + limits.COMPLETED_TOKEN_WINDOW_MS <= tx.now_ms:
        raise Conflict.stale(id_text(job_id))


def _ended_state(state: State, tx: Tx, reference: str) -> int:
    """How a job ended that `_lease` has found ended under the token given."""
    row = state.state_row(tx, state.resolve(tx, reference))
    return rows.COMPLETED if row is None else row.state


def fail(state: State, tx: Tx, command: Fail) -> Reply:
    at_ms, retried = _fail_one(state, tx, command)
    return FailedJob(retry=retried, will_retry=retried, next_attempt_at=None if at_ms is None else to_text(at_ms))


def fail_batch(state: State, tx: Tx, command: FailBatch) -> Reply:
    """Each item stands alone, as in `ack_batch`."""
    results: list[ItemResult] = []
    counts = {True: 0, False: 0}
    for item in command.items:
        try:
            at_ms, retried = _fail_one(state, tx, item)
        except ApiError as error:
            results.append(ItemResult(item.id, False, ErrorBody(error.code, error.message, error.details)))
            continue
        counts[retried] += 1
        text = None if at_ms is None else to_text(at_ms)
        results.append(ItemResult(item.id, True, retry=retried, will_retry=retried, next_attempt_at=text))
    failed = len(results) - counts[True] - counts[False]
    return FailedBatch(ok=failed == 0, retried=counts[True], dead=counts[False], failed=failed, results=results)


def _fail_one(state: State, tx: Tx, item: Fail | FailItem) -> tuple[int | None, bool]:
    lease = _lease(state, tx, item.id, item.attempt_token)
    if lease is None:
        ended = _ended_state(state, tx, item.id)
        if item.cancelled and ended == rows.CANCELLED:
            return None, False
        raise Conflict.state(rows.STATE_NAMES[ended], "Active")
    if item.cancelled:
        cancel_lease(state, tx, lease)
        tx.events.append(JobsChanged("cancelled", lease.queue, [lease.id]))
        return None, False
    return fail_lease(state, tx, lease, item.error)


def fail_lease(state: State, tx: Tx, lease: Lease, error: str) -> tuple[int | None, bool]:
    """An attempt failed: try again after the back-off, or bury. Returns the time of the next try and whether there is
    one.
    """
    row = _job_row(state, tx, lease.id)
    queue = state.existing(tx, lease.queue)
    queue.counters.active -= 1
    state.touch(queue)
    endings.end_lease(state, tx, lease)
    attempt = lease.attempt + 1
    again = attempt < row.max_attempts
    tx.events.append(JobsChanged("failed", queue.name, [lease.id], again))
    ended = rows.changed(_ended(tx, lease, rows.DLQ, 0, error=error), attempt=attempt)
    if not again:
        if row.extras is not None and row.extras.remove_on_fail:
            _erase_ended(state, tx, lease, row, ended)
        else:
            endings.finish(state, tx, (lease.id, row), ended)
            endings.parent_ended(state, tx, lease.id, rows.DLQ)
        tx.events.append(JobsChanged("dlq", queue.name, [lease.id]))
        return None, False
    ended = endings.keep_attempt(tx, lease.id, ended)
    cap_ms = row.extras.max_backoff_ms if row.extras is not None else None
    draw = tx.draw("backoff", tx.number(), 1 << 62)
    delay_ms = backoff_ms(rows.BACKOFFS[row.backoff], row.backoff_delay_ms, attempt, cap_ms, draw)
    if delay_ms == 0:
        tx.rows[keys.state(lease.id)] = rows.encode(rows.changed(ended, state=rows.WAITING, until=None, token=None))
        endings.make_ready(state, tx, queue, lease.id, row)
        tx.events.append(JobsChanged("ready", queue.name, [lease.id]))
        return None, True
    at_ms = tx.now_ms + delay_ms
    delayed = rows.changed(ended, state=rows.DELAYED, until=at_ms, token=None)
    endings.park(state, tx, queue, lease.id, delayed)
    return at_ms, True


def cancel_lease(state: State, tx: Tx, lease: Lease) -> None:
    """The worker gives the job up as cancelled (decisions A12)."""
    row = _job_row(state, tx, lease.id)
    queue = state.existing(tx, lease.queue)
    queue.counters.active -= 1
    state.touch(queue)
    endings.end_lease(state, tx, lease)
    endings.finish(state, tx, (lease.id, row), _ended(tx, lease, rows.CANCELLED, 0))
    endings.parent_ended(state, tx, lease.id, rows.CANCELLED)


def _job_row(state: State, tx: Tx, job_id: bytes) -> JobRow:
    row = state.job_row(tx, job_id)
    if row is None:
        raise AssertionError("a leased job has no record")
    return row


def progress(state: State, tx: Tx, command: Progress) -> Reply:
    """Does not renew the lease: only a heartbeat says that the worker still works on it (decisions A14)."""
    lease = _active(state, tx, command.id, command.attempt_token)
    trace = _current_trace(lease)
    logs = trace.logs
    if command.message is not None:
        logs = _kept_lines([*logs, (tx.now_ms, command.message)])
    percent = min(command.progress, 100)
    _set_live(tx, lease, lease.until, rows.changed(trace, progress=percent, logs=logs))
    tx.events.append(JobsChanged("progress", lease.queue, [lease.id], progress=percent))
    return _leased(state, tx, lease)


def _kept_lines(logs: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The latest lines that are within the limits of number and size."""
    room = limits.LOG_BYTES_MAX
    first = len(logs)
    while first > 0 and len(logs) - first < limits.LOG_LINES_MAX:
        room -= len(logs[first - 1][1])
        if room < 0:
            break
        first -= 1
    return logs[first:]


def heartbeat(state: State, tx: Tx, command: Heartbeat) -> Reply:
    lease = _active(state, tx, command.id, command.attempt_token)
    trace = rows.changed(_current_trace(lease), last_heartbeat=tx.now_ms)
    _set_live(tx, lease, max(lease.until, tx.now_ms + lease.block.lease_ms), trace)
    return _leased(state, tx, lease)


def _active(state: State, tx: Tx, reference: str, token: str | None) -> Lease:
    lease = _lease(state, tx, reference, token)
    if lease is None:
        raise Conflict.state(rows.STATE_NAMES[_ended_state(state, tx, reference)], "Active")
    return lease


def _current_trace(lease: Lease) -> Trace:
    if lease.live is not None and lease.live.trace is not None:
        return lease.live.trace
    return _trace(lease) or _NO_TRACE


def _set_live(tx: Tx, lease: Lease, until: int, trace: Trace | None) -> None:
    requested = lease.live is not None and lease.live.cancel_requested
    lease.until = until
    lease.live = LiveRow(until, requested, trace)
    tx.rows[keys.live(lease.id)] = rows.encode(lease.live)


def request_cancel(tx: Tx, lease: Lease) -> None:
    """Remember the wish; heartbeat and progress replies carry it to the worker."""
    trace = lease.live.trace if lease.live is not None else None
    lease.live = LiveRow(lease.until, True, trace)
    tx.rows[keys.live(lease.id)] = rows.encode(lease.live)


def _leased(state: State, tx: Tx, lease: Lease) -> Leased:
    requested = lease.live is not None and lease.live.cancel_requested
    drains = workers.is_draining(state, lease.block.worker_id, tx.now_ms)
    if lease.block.worker_id:
        workers.seen(state, tx, lease.block.worker_id)
    return Leased(cancel_requested=requested, drain=drains, lease_expires_at=to_text(lease.until))
