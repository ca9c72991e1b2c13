"""Workers that say who they are: what they hold, when they were last seen, and whether they shall drain.

A row a worker, written when it is seen and the row is some seconds old; the leases come from the lease blocks. All of
them are in memory, so that the hot path costs one look-up a pull. Invariants: memory is what the rows say; a worker
that holds nothing, is not to drain and has not been seen for an hour is forgotten.
"""

from rustqueue.machine import keys, rows
from rustqueue.machine.kv import View
from rustqueue.machine.reads import cursors
from rustqueue.machine.rows import WorkerRow
from rustqueue.machine.state import LeaseBlock, State, Worker
from rustqueue.machine.tx import Tx
from rustqueue.model import limits
from rustqueue.model.commands import WorkerDrain
from rustqueue.model.errors import NotFound
from rustqueue.model.queries import WorkerList
from rustqueue.model.replies import Done, Reply, WorkerPage, WorkerState
from rustqueue.model.times import to_text


def leased(state: State, tx: Tx, worker_id: str, block: LeaseBlock) -> None:
    """A worker was given the jobs of a block."""
    seen(state, tx, worker_id)
    worker = state.workers.get(worker_id)
    if worker is not None:
        worker.blocks[block.key] = block


def seen(state: State, tx: Tx, worker_id: str) -> None:
    """The worker has given a sign of life."""
    worker = state.workers.get(worker_id)
    if worker is None:
        if len(state.workers) < limits.WORKERS_MAX:
            _store(state, tx, worker_id, WorkerRow(tx.now_ms))
            state.put_due(tx, tx.now_ms + limits.WORKER_KEPT_MS, keys.DUE_WORKER, worker_id.encode("utf-8"))
    elif worker.row.seen_at + limits.WORKER_SEEN_STEP_MS <= tx.now_ms:
        _store(state, tx, worker_id, rows.changed(worker.row, seen_at=tx.now_ms))


def _store(state: State, tx: Tx, worker_id: str, row: WorkerRow) -> None:
    worker = state.workers.setdefault(worker_id, Worker(row))
    worker.row = row
    tx.rows[keys.worker(worker_id)] = rows.encode(row)


def is_draining(state: State, worker_id: str | None, now_ms: int) -> bool:
    worker = state.workers.get(worker_id) if worker_id else None
    return worker is not None and worker.row.draining_until > now_ms


def drain(state: State, tx: Tx, command: WorkerDrain) -> Reply:
    """Only a worker that is known can be asked: a slip of the pen must not drain a worker to come."""
    worker = state.workers.get(command.worker_id)
    if worker is None:
        raise NotFound("WORKER_NOT_FOUND", f"Worker '{command.worker_id}' was not seen within the last hour")
    until = tx.now_ms + limits.WORKER_DRAIN_MS if command.drain else 0
    _store(state, tx, command.worker_id, rows.changed(worker.row, draining_until=until))
    return Done()


def lapse(state: State, tx: Tx, reference: bytes) -> None:
    """A worker's row is due: forget the worker, or look again when it may be forgotten."""
    worker_id = reference.decode("utf-8")
    worker = state.workers.get(worker_id)
    if worker is None:
        return
    at_ms = max(worker.row.seen_at + limits.WORKER_KEPT_MS, worker.row.draining_until)
    if worker.blocks:
        at_ms = max(at_ms, tx.now_ms + limits.WORKER_KEPT_MS)
    if at_ms <= tx.now_ms:
        del state.workers[worker_id]
        tx.rows[keys.worker(worker_id)] = None
    else:
        state.put_due(tx, at_ms, keys.DUE_WORKER, reference)


def listed(state: State, view: View, query: WorkerList) -> WorkerPage:
    low = keys.WORKERS if query.cursor is None else keys.worker(cursors.to_name(query.cursor)) + b"\0"
    found = view.scan(low, keys.after(keys.WORKERS), query.limit + 1)
    shown = [_told(state, key[1:].decode("utf-8")) for key, _ in found[: query.limit]]
    more = len(found) > query.limit
    return WorkerPage(workers=shown, next_cursor=cursors.of_name(shown[-1].worker_id) if more else None)


def _told(state: State, worker_id: str) -> WorkerState:
    worker, now_ms = state.workers[worker_id], state.meta.now_ms
    blocks = list(worker.blocks.values())
    oldest = min((block.started_at for block in blocks), default=now_ms)
    return WorkerState(
        worker_id,
        sorted({block.queue for block in blocks}),
        sum(block.open for block in blocks),
        max(0, now_ms - oldest),
        to_text(worker.row.seen_at),
        worker.row.draining_until > now_ms,
    )
