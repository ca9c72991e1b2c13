"""The jobs, one by one: is what each needs there, and what state is it in?

It must not look at the rows that list jobs in order (ready, parked, finished): those are checked from their own side.
"""

from rustqueue.machine import keys, rows
from rustqueue.machine.audit.census import Census, Leased, Tally, family
from rustqueue.machine.ready.groups import group_of
from rustqueue.machine.rows import Extras, JobRow, StateRow
from rustqueue.model.ids import id_text


def count_jobs(census: Census) -> None:
    """Look at every job record; fills the tallies of the census."""
    for key, value in family(census.view, b"j"):
        job_id, row = key[1:], rows.decode_job(value)
        stored = census.view.get(keys.state(job_id))
        state = rows.decode_state(stored) if stored is not None else None
        code = _code(census, job_id, row, state)
        tally = census.tally(row.queue)
        tally.states[code] += 1
        tally.seq_max = max(tally.seq_max, row.seq)
        _check_due(census, job_id, row, state, code)
        if row.extras is not None:
            _count_in_group(tally, row, code)
            _check_index(census, job_id, row, row.extras, code)
            _check_parents(census, job_id, row.extras, state, code)


def _count_in_group(tally: Tally, row: JobRow, code: int) -> None:
    name = group_of(row)
    if name is not None and code == rows.WAITING:
        group = tally.group(name)
        group.waiting += 1
        group.priority = max(group.priority, row.priority)
    elif name is not None and code == rows.ACTIVE:
        tally.group(name).active += 1


def _code(census: Census, job_id: bytes, row: JobRow, state: StateRow | None) -> int:
    """The state of a job; an active one is known by its lease alone."""
    code = rows.WAITING if state is None else state.state
    fence = 0 if state is None else state.fence
    if code not in rows.STATE_NAMES or code == rows.ACTIVE:
        census.problem(f"job {id_text(job_id)} has the stored state {code}")
    if code in rows.FINISHED:
        return code
    held = [lease for lease in census.claims.get(job_id, []) if lease.fence == fence + 1]
    if any(lease.fence > fence + 1 for lease in census.claims.get(job_id, [])):
        census.problem(f"job {id_text(job_id)} has fence {fence}, which a lease block is beyond")
    if not held:
        return code
    if len(held) > 1:
        census.problem(f"job {id_text(job_id)} is leased twice under fence {fence + 1}")
    if code != rows.WAITING:
        census.problem(f"job {id_text(job_id)} is leased, but its state row says {rows.STATE_NAMES.get(code)}")
    _note_lease(census, job_id, row, held[0])
    return rows.ACTIVE


def _note_lease(census: Census, job_id: bytes, row: JobRow, lease: Leased) -> None:
    census.active[job_id] = lease
    live = census.view.get(keys.live(job_id))
    until = rows.decode_live(live).until if live is not None else lease.block.started_at + lease.block.lease_ms
    ends_at = until if row.timeout_ms is None else min(until, lease.block.started_at + row.timeout_ms)
    census.block_ends[lease.key] = min(census.block_ends.get(lease.key, ends_at), ends_at)


def _check_due(census: Census, job_id: bytes, row: JobRow, state: StateRow | None, code: int) -> None:
    """A delayed job and one that can expire must be woken in time."""
    view = census.view
    until = state.until if state is not None else None
    if code == rows.DELAYED and (until is None or view.get(keys.due(until, keys.DUE_READY, job_id)) is None):
        census.problem(f"job {id_text(job_id)} is delayed, but nothing will wake it")
    if code in rows.FINISHED or code == rows.ACTIVE or (state is not None and state.fence > 0):
        return
    ttl_ms = row.extras.ttl_ms if row.extras is not None else None
    if ttl_ms is not None and view.get(keys.due(row.created_at + ttl_ms, keys.DUE_TTL, job_id)) is None:
        census.problem(f"job {id_text(job_id)} has a time to live, but nothing will end it")


def _check_index(census: Census, job_id: bytes, row: JobRow, extras: Extras, code: int) -> None:
    """Custom id, flow and key of creation as long as the job is there, unique key until it has ended."""
    part = keys.queue_part(row.queue)
    if extras.custom_id is not None:
        census.custom_ids += 1
        if census.view.get(keys.custom(part, extras.custom_id)) != job_id:
            census.problem(f"job {id_text(job_id)} cannot be found by its custom id")
    if extras.flow_id is not None:
        census.flow_rows += 1
        if census.view.get(keys.flow(extras.flow_id, job_id)) is None:
            census.problem(f"job {id_text(job_id)} is not listed in its flow")
    if extras.creation is not None:
        census.creation_keys += 1
        if census.view.get(keys.creation(*extras.creation)) != job_id:
            census.problem(f"job {id_text(job_id)} cannot be found by the key that it was created under")
    if extras.unique_key is not None and code not in rows.FINISHED:
        census.unique_keys += 1
        if census.view.get(keys.unique(part, extras.unique_key)) != job_id:
            census.problem(f"job {id_text(job_id)} does not hold its unique key")


def _check_parents(census: Census, job_id: bytes, extras: Extras, state: StateRow | None, code: int) -> None:
    """A blocked job waits for as many parents as have an edge to it; a finished one depends on nobody any more."""
    if code in rows.FINISHED:
        return
    edges = 0
    for parent in extras.depends_on:
        census.dependants[parent] += 1
        edges += census.view.get(keys.edge(parent, job_id)) is not None
    pending = state.pending if code == rows.BLOCKED and state is not None else 0
    if edges != pending or (code == rows.BLOCKED and pending == 0):
        census.problem(f"job {id_text(job_id)} waits for {pending} parents, but {edges} know of it")
