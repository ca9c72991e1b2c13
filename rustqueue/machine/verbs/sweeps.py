"""Bulk verbs: drain, clean, purge, DLQ retry by filter, delete with force.

Up to a thousand jobs go in the command's own entry. What is left is a sweep: a durable row that ticks advance, so that
no bulk verb holds up anybody else (design 4.13). A sweep remembers the last key it looked at.
"""

from hashlib import blake2b
from typing import Final

import msgspec

from rustqueue.machine import endings, keys, rows
from rustqueue.machine.rows import StateRow, SweepRow
from rustqueue.machine.state import QueueState, State
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import attempts, jobs
from rustqueue.model import limits, times
from rustqueue.model.commands import DlqFilter, DlqPurge, DlqRetry, QueueClean, QueueDrain, SweepCancel
from rustqueue.model.errors import Conflict, NotFound
from rustqueue.model.ids import id_text, parse_id
from rustqueue.model.replies import BulkDone, Done, Reply

_filter: Final = msgspec.json.Decoder(DlqFilter)
_READY_ROWS: Final = 32
_KEPT_MS: Final = 3_600_000
_WHOLE_BLOCK: Final = b"\xff" * 17

_BLOCKS, _SINGLES, _GROUPED_BLOCKS, _GROUPED_SINGLES, _DELAYED, _BLOCKED, _ACTIVE, _OUTCOMES = range(8)
_DRAIN_STAGES: Final = (_BLOCKS, _SINGLES, _GROUPED_BLOCKS, _GROUPED_SINGLES, _DELAYED)
_DELETE_STAGES: Final = (*_DRAIN_STAGES, _BLOCKED, _ACTIVE, _OUTCOMES)


def drain(state: State, tx: Tx, command: QueueDrain) -> Reply:
    """Jobs that are waiting or delayed now; later ones stay."""
    queue = state.existing(tx, command.queue)
    return start(state, tx, SweepRow("drain", queue.name, "running", 0, 0, b"", cutoff_seq=queue.counters.seq))


def clean(state: State, tx: Tx, command: QueueClean) -> Reply:
    queue = state.existing(tx, command.queue)
    cutoff_ms = tx.now_ms - command.older_than_ms
    code = rows.STATE_CODES[command.state]
    sweep = SweepRow("clean", queue.name, "running", 0, 0, b"", cutoff_ms=cutoff_ms, remaining=command.limit)
    return start(state, tx, rows.changed(sweep, outcome=code))


def purge(state: State, tx: Tx, command: DlqPurge) -> Reply:
    queue = state.existing(tx, command.queue)
    return start(state, tx, SweepRow("clean", queue.name, "running", 0, 0, b"", cutoff_ms=tx.now_ms, outcome=rows.DLQ))


def retry_dead(state: State, tx: Tx, command: DlqRetry) -> Reply:
    queue = state.existing(tx, command.queue)
    wanted = msgspec.json.encode(command.filter) if command.filter is not None else None
    sweep = SweepRow("retry", queue.name, "running", 0, 0, b"", cutoff_ms=tx.now_ms, remaining=command.limit)
    sweep = rows.changed(sweep, outcome=rows.DLQ, filter=wanted, rate_per_s=command.rate_per_s, dry_run=command.dry_run)
    return start(state, tx, sweep)


def start(state: State, tx: Tx, sweep: SweepRow) -> BulkDone:
    """Do the first step at once; keep the sweep only if something is left."""
    sweep = step(state, tx, sweep, step_size(sweep))
    if sweep.state == "done":
        return BulkDone(matched=sweep.matched, moved=sweep.moved, sweep=None)
    sweep_id = tx.ids(1)[0]
    keep(state, tx, sweep_id, sweep)
    return BulkDone(matched=sweep.matched, moved=sweep.moved, sweep=id_text(sweep_id))


def keep(state: State, tx: Tx, sweep_id: bytes, sweep: SweepRow) -> None:
    """Store a sweep and plan its next step; an ended one is kept for an hour to be asked about."""
    if sweep.state != "running":
        sweep = rows.changed(sweep, ended_at=tx.now_ms)
    tx.rows[keys.sweep(sweep_id)] = rows.encode(sweep)
    pause_ms = 0 if sweep.rate_per_s is None else max(1, 1_000 * step_size(sweep) // sweep.rate_per_s)
    at_ms = tx.now_ms + (pause_ms if sweep.state == "running" else _KEPT_MS)
    state.put_due(tx, at_ms, keys.DUE_SWEEP, sweep_id)


def step_size(sweep: SweepRow) -> int:
    """Jobs looked at in one step: a thousand, or a second's worth of a limited rate."""
    return limits.SWEEP_JOBS_MAX if sweep.rate_per_s is None else min(limits.SWEEP_JOBS_MAX, max(1, sweep.rate_per_s))


def cancel(state: State, tx: Tx, command: SweepCancel) -> Reply:
    sweep_id = parse_id(command.id)
    stored = tx.get(keys.sweep(sweep_id)) if sweep_id is not None else None
    if sweep_id is None or stored is None:
        raise NotFound.sweep(command.id)
    sweep = rows.decode_sweep(stored)
    if sweep.verb == "delete":
        raise Conflict("INVALID_STATE", "The deletion of a queue cannot be cancelled", {"state": sweep.state})
    if sweep.state == "running":
        keep(state, tx, sweep_id, rows.changed(sweep, state="cancelled"))
    return Done()


def advance(state: State, tx: Tx, sweep_id: bytes) -> int:
    """A tick advances one sweep; returns how many jobs were looked at, for the tick's budget."""
    stored = tx.get(keys.sweep(sweep_id))
    if stored is None:
        return 0
    sweep = rows.decode_sweep(stored)
    if sweep.state != "running":
        # A cancelled sweep still has the due row of the step that does not come any more.
        if sweep.ended_at + _KEPT_MS <= tx.now_ms:
            tx.rows[keys.sweep(sweep_id)] = None
        return 1
    budget = step_size(sweep)
    keep(state, tx, sweep_id, step(state, tx, sweep, budget))
    return budget


def step(state: State, tx: Tx, sweep: SweepRow, budget: int) -> SweepRow:
    """Look at up to `budget` jobs."""
    queue = state.queue(tx, sweep.queue)
    if queue is None or sweep.remaining == 0:
        return rows.changed(sweep, state="done")
    run = _Run(state, tx, queue, sweep, budget)
    if sweep.verb in ("clean", "retry"):
        run.outcomes((sweep.outcome,))
    else:
        run.waiting(_DRAIN_STAGES if sweep.verb == "drain" else _DELETE_STAGES)
    done = run.result()
    if done.state == "done" and sweep.verb == "delete":
        _delete_records(state, tx, queue)
    return done


class _Run:
    """One step of a sweep."""

    def __init__(self, state: State, tx: Tx, queue: QueueState, sweep: SweepRow, budget: int) -> None:
        self._state = state
        self._tx = tx
        self._queue = queue
        self._sweep = sweep
        self._left = budget
        self._cursor = sweep.cursor
        self._stage = sweep.stage
        self._matched = 0
        self._moved = 0
        self._finished = False
        self._wanted = _filter.decode(sweep.filter) if sweep.filter is not None else None

    def result(self) -> SweepRow:
        sweep = self._sweep
        remaining = None if sweep.remaining is None else max(0, sweep.remaining - self._matched)
        state = "done" if self._finished or remaining == 0 else "running"
        return rows.changed(
            sweep,
            state=state,
            matched=sweep.matched + self._matched,
            moved=sweep.moved + self._moved,
            cursor=self._cursor,
            stage=self._stage,
            remaining=remaining,
        )

    def waiting(self, stages: tuple[int, ...]) -> None:
        """Remove what stands in ready, parked, lease and outcome rows, stage by stage.

        Jobs go on moving between the steps of a deletion: one may fail or be retried behind its back. So a deletion
        starts again as long as the queue has jobs.
        """
        left_before: int | None = None
        while self._left > 0:
            if self._stage >= len(stages):
                endings.store_outcomes(self._state, self._tx)
                if self._sweep.verb != "delete" or not self._queue.jobs:
                    self._finished = True
                    return
                if left_before == self._left:
                    raise AssertionError("a queue counts jobs that stand nowhere")
                left_before, self._stage = self._left, 0
            if not self._one_stage(stages[self._stage]):
                self._stage += 1
                self._cursor = b""

    def _one_stage(self, stage: int) -> bool:
        """One scan of a stage; False when the stage has no more rows."""
        part = self._queue.part
        if stage == _OUTCOMES:
            self.outcomes(rows.FINISHED)
            more, self._finished = not self._finished, False
            return more
        if stage == _ACTIVE:
            return self._active()
        prefix = {
            _BLOCKS: b"f" + part,
            _SINGLES: b"w" + part,
            _GROUPED_BLOCKS: b"f" + keys.grouped_part(part),
            _GROUPED_SINGLES: b"w" + keys.grouped_part(part),
            _DELAYED: keys.parked_prefix(part, keys.DELAYED_INDEX),
            _BLOCKED: keys.parked_prefix(part, keys.BLOCKED_INDEX),
        }[stage]
        count = _READY_ROWS if stage in (_BLOCKS, _GROUPED_BLOCKS) else self._left
        found = self._tx.scan(max(self._cursor, prefix), keys.after(prefix), count)
        for key, value in found:
            if self._left <= 0:
                return True
            for job_id in _ids_of(stage, key, value):
                self._remove(job_id)
            self._cursor = key + b"\0"
        return len(found) == count

    def _remove(self, job_id: bytes) -> None:
        row = self._state.job_row(self._tx, job_id)
        self._left -= 1 if row is None else endings.work_of(row)
        if row is None or (self._sweep.verb == "drain" and row.seq >= self._sweep.cutoff_seq):
            return
        jobs.remove_idle(self._state, self._tx, (job_id, row, self._state.state_row(self._tx, job_id)))
        self._matched += 1
        self._moved += 1

    def _active(self) -> bool:
        """Deleting a queue takes its leases away: the workers' next word gets JOB_NOT_FOUND."""
        held = sorted(job_id for job_id, lease in self._state.leases.items() if lease.queue == self._queue.name)
        for job_id in held[: self._left]:
            self._left -= 1
            lease = self._state.leases[job_id]
            attempts.cancel_lease(self._state, self._tx, lease)
        return len(held) > 0

    def outcomes(self, codes: tuple[int, ...]) -> None:
        """Finished jobs, oldest first, block by block."""
        endings.store_outcomes(self._state, self._tx)
        place = 0
        while place < len(codes) and self._left > 0:
            prefix = keys.outcome_prefix(self._queue.part, codes[place])
            if self._cursor[: len(prefix)] > prefix:
                place += 1
                continue
            found = self._tx.scan(self._outcome_start(prefix), keys.after(prefix), 16)
            for key, value in found:
                if keys.outcome_at(key) > self._sweep.cutoff_ms and self._sweep.verb != "delete":
                    self._finished = True
                    return
                if not self._block(key, value):
                    return
            if len(found) < 16:
                place += 1
        self._finished = place >= len(codes)

    def _outcome_start(self, prefix: bytes) -> bytes:
        """Where to go on: behind the last block if that was looked at to its end, else at that block."""
        if self._cursor.endswith(_WHOLE_BLOCK):
            return max(self._cursor, prefix)
        return max(self._cursor[: len(prefix) + keys.OUTCOME_BYTES], prefix)

    def _block(self, key: bytes, value: bytes) -> bool:
        """The jobs of one outcome block from the cursor on; False if the budget or the limit ended inside it.

        Inside a block the cursor holds the key and the last id looked at, so that a job that stays is not seen twice.
        """
        ids = sorted(value[at : at + 16] for at in range(1, len(value), 16))
        after = self._cursor[len(key) :] if self._cursor.startswith(key) and len(self._cursor) > len(key) else b""
        for job_id in ids:
            if job_id <= after:
                continue
            if self._left <= 0 or (self._sweep.remaining is not None and self._matched >= self._sweep.remaining):
                return False
            self._left -= 1
            self._cursor = key + job_id
            self._finished_job(job_id)
        self._cursor = key + _WHOLE_BLOCK
        return True

    def _finished_job(self, job_id: bytes) -> None:
        state, tx = self._state, self._tx
        row, state_row = state.job_row(tx, job_id), state.state_row(tx, job_id)
        if row is None or state_row is None:
            raise AssertionError("an outcome block names a job without rows")
        if self._wanted is not None and not matches(self._wanted, row, state_row):
            return
        self._matched += 1
        if self._sweep.dry_run:
            return
        if self._sweep.verb == "retry":
            try:
                jobs.revive(state, tx, (job_id, row, state_row), self._queue)
            except Conflict:
                # Another job holds its unique key now; it stays in the DLQ and is counted as matched, not moved.
                return
        else:
            jobs.remove_idle(state, tx, (job_id, row, state_row))
        self._moved += 1


def _ids_of(stage: int, key: bytes, value: bytes) -> list[bytes]:
    if stage in (_BLOCKS, _GROUPED_BLOCKS):
        return [value[at + 8 : at + 24] for at in range(0, len(value), 24)]
    return [value] if stage in (_SINGLES, _GROUPED_SINGLES) else [key[-16:]]


def matches(wanted: DlqFilter, row: rows.JobRow, state_row: StateRow) -> bool:
    """Whether a dead job fits a filter; every part that is given must."""
    error, died = state_row.last_error or "", state_row.until or 0
    before = times.from_text(wanted.before) if wanted.before is not None else None
    after = times.from_text(wanted.after) if wanted.after is not None else None
    checks = (
        wanted.name is None or row.name == wanted.name,
        wanted.error_contains is None or wanted.error_contains in error,
        wanted.fingerprint is None or fingerprint(error) == wanted.fingerprint,
        before is None or died < before,
        after is None or died > after,
    )
    return all(checks)


def fingerprint(error: str) -> str:
    """Groups errors that differ only in numbers: hexadecimal digits over the text with every run of digits as `#`."""
    text = "".join("#" if character.isdigit() else character for character in error)
    while "##" in text:
        text = text.replace("##", "#")
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=limits.FINGERPRINT_DIGITS // 2).hexdigest()


def _delete_records(state: State, tx: Tx, queue: QueueState) -> None:
    """The last step of a deletion: the queue is empty, so its own rows go."""
    tx.rows[keys.settings(queue.part)] = None
    tx.rows[keys.counters(queue.part)] = None
    queue.dirty = False
    state.touched = [other for other in state.touched if other is not queue]
    state.forget_queue(queue.name)
    state.meta.queues -= 1
