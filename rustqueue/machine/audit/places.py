"""The rows that stand for jobs: does each name a job that belongs there, and only once?

It must not decide what a job's state is: `jobs` has found that out before.
"""

from itertools import pairwise

from rustqueue.machine import keys, rows
from rustqueue.machine.audit.census import Census, family
from rustqueue.machine.endings import is_indexed
from rustqueue.machine.ready.groups import group_of
from rustqueue.machine.rows import JobRow, StateRow
from rustqueue.model.ids import id_text

_TAIL = {b"y": 17, b"o": 21}


def check_places(census: Census) -> None:
    _check_ready(census)
    _check_parked(census)
    _check_finished(census)
    _check_leases(census)
    _check_shadows(census)
    _check_histories(census)
    _check_indexes(census)
    _check_families(census)


def _queue_of(key: bytes) -> tuple[str, bytes]:
    """Queue name and the rest of a key that lists jobs of a queue."""
    tail = _TAIL[key[:1]]
    return key[1 : -tail - 1].decode("ascii", "replace"), key[-tail:]


def _found(census: Census, job_id: bytes) -> tuple[JobRow | None, StateRow | None]:
    job, state = census.view.get(keys.job(job_id)), census.view.get(keys.state(job_id))
    return (
        rows.decode_job(job) if job is not None else None,
        rows.decode_state(state) if state is not None else None,
    )


def _check_ready(census: Census) -> None:
    for key, value in family(census.view, b"f"):
        queue, group, sort = keys.ready_parts(key)
        priority, first = keys.lane_parts(sort)
        entries = [
            (int.from_bytes(value[at : at + 8], "big"), value[at + 8 : at + 24]) for at in range(0, len(value), 24)
        ]
        if not entries or len(value) % 24 or any(one >= two for (one, _), (two, _) in pairwise(entries)):
            census.problem(f"ready block {key.hex()} is empty or out of order")
        for order, job_id in entries:
            if order < first:
                census.problem(f"job {id_text(job_id)} stands before the start of its ready block")
            part = key[1 : -keys.LANE_BYTES]
            if census.view.get(keys.single(part, keys.lane(priority, order))) is not None:
                census.problem(f"job {id_text(job_id)} is ready twice")
            _check_ready_job(census, (queue, group, priority, order), job_id)
    for key, job_id in family(census.view, b"w"):
        queue, group, sort = keys.ready_parts(key)
        _check_ready_job(census, (queue, group, *keys.lane_parts(sort)), job_id)


def _check_ready_job(census: Census, stands: tuple[str, str | None, int, int], job_id: bytes) -> None:
    census.tally(stands[0]).placed[rows.WAITING] += 1
    row, state = _found(census, job_id)
    if row is None:
        census.problem(f"job {id_text(job_id)} is ready, but has no record")
        return
    lifo = row.extras is not None and row.extras.lifo
    place = (row.queue, group_of(row), row.priority, -row.seq - 1 if lifo else row.seq)
    if place != stands:
        census.problem(f"job {id_text(job_id)} is ready at {stands}, but belongs to {place}")
    if job_id in census.active or (state is not None and state.state != rows.WAITING):
        census.problem(f"job {id_text(job_id)} is ready, but does not wait")


def _check_parked(census: Census) -> None:
    states = {keys.DELAYED_INDEX: rows.DELAYED, keys.BLOCKED_INDEX: rows.BLOCKED}
    for key, _ in family(census.view, b"y"):
        queue, sort = _queue_of(key)
        code, job_id = states.get(sort[0], 0), sort[1:]
        census.tally(queue).placed[code] += 1
        row, state = _found(census, job_id)
        if row is None or state is None or row.queue != queue or state.state != code:
            census.problem(f"job {id_text(job_id)} is listed as {rows.STATE_NAMES.get(code)} of '{queue}', but is not")


def _check_finished(census: Census) -> None:
    for key, value in family(census.view, b"o"):
        queue, sort = _queue_of(key)
        if len(value) < 17 or len(value) % 16 != 1:
            census.problem(f"outcome block {key.hex()} has a length of {len(value)}")
        for at in range(1, len(value), 16):
            job_id = value[at : at + 16]
            row, state = _found(census, job_id)
            if row is None or state is None:
                census.problem(f"job {id_text(job_id)} is listed as finished, but has no record")
                continue
            census.tally(queue).placed[state.state] += 1
            code, at_ms, index = sort[0], keys.outcome_at(key), int.from_bytes(sort[9:17], "big")
            ordinal = int.from_bytes(sort[17:], "big")
            if (row.queue, state.state, state.until, state.index, state.ordinal) != (
                queue,
                code,
                at_ms,
                index,
                ordinal,
            ):
                census.problem(f"job {id_text(job_id)} stands in an outcome block that is not its own")
            indexed = state.history or (row.extras is not None and is_indexed(row.extras))
            if bool(value[0]) != indexed:
                census.problem(f"the outcome block of job {id_text(job_id)} is wrong about its index rows")


def _check_leases(census: Census) -> None:
    """Every lease block has an active lease and will be looked at in time."""
    planned: dict[bytes, int] = {}
    for key, _ in family(census.view, b"d"):
        at_ms, kind, reference = keys.due_parts(key)
        if kind == keys.DUE_LEASE:
            planned[b"a" + reference] = min(at_ms, planned.get(b"a" + reference, at_ms))
    for key, _ in family(census.view, b"a"):
        ends_at = census.block_ends.get(key)
        if ends_at is None:
            census.problem(f"lease block {key.hex()} has no active lease")
        elif key not in planned or planned[key] >= ends_at + _STEP_MS:
            census.problem(f"lease block {key.hex()} ends at {ends_at}, but nothing will end it then")


_STEP_MS = 500


def _check_shadows(census: Census) -> None:
    """State rows and live rows belong to a job."""
    for key, _ in family(census.view, b"s"):
        if census.view.get(keys.job(key[1:])) is None:
            census.problem(f"job {id_text(key[1:])} has a state, but no record")
    for key, _ in family(census.view, b"g"):
        if key[1:] not in census.active:
            census.problem(f"job {id_text(key[1:])} has a live row, but is not leased")


def _check_histories(census: Census) -> None:
    """Earlier tries are there exactly for the jobs whose state row says so."""
    claimed = {key[1:] for key, value in family(census.view, b"s") if rows.decode_state(value).history}
    for key, _ in family(census.view, b"H"):
        if key[1:] not in claimed:
            census.problem(f"job {id_text(key[1:])} has earlier tries that nobody knows of")
        claimed.discard(key[1:])
    for job_id in claimed:
        census.problem(f"the earlier tries of job {id_text(job_id)} are lost")


def _check_indexes(census: Census) -> None:
    """Jobs were asked for their index rows; if there are no more rows than jobs, then none is left over."""
    for prefix, wanted, noun in (
        (b"u", census.unique_keys, "unique keys are taken"),
        (b"c", census.custom_ids, "custom ids are known"),
        (b"l", census.flow_rows, "jobs are listed in flows"),
        (b"K", census.creation_keys, "jobs are known by the key of their creation"),
    ):
        count = sum(1 for _ in family(census.view, prefix))
        if count != wanted:
            census.problem(f"{count} {noun}, but {wanted} jobs have one")


def _check_families(census: Census) -> None:
    """Counts of dependants, edges, and results kept for them."""
    parents = 0
    for key, value in family(census.view, b"p"):
        parents += 1
        count, found = int.from_bytes(value, "big"), census.dependants.pop(key[1:], 0)
        if count != found or count == 0:
            census.problem(f"job {id_text(key[1:])} has {found} dependants, but counts {count}")
    for parent in census.dependants:
        census.problem(f"job {id_text(parent)} does not know its dependants")
    if census.meta.parents != parents:
        census.problem(f"{parents} jobs have dependants, but {census.meta.parents} are counted")
    for key, _ in family(census.view, b"x"):
        if census.view.get(keys.dependants(key[1:])) is None or census.view.get(keys.job(key[1:])) is not None:
            census.problem(f"a result of job {id_text(key[1:])} is kept for nobody")
    settling = {keys.due_parts(key)[2][:16] for key, _ in family(census.view, b"d") if key[9] == keys.DUE_SETTLE}
    for key, _ in family(census.view, b"e"):
        parent, child = key[1:17], key[17:]
        row, state = _found(census, child)
        known = row is not None and row.extras is not None and parent in row.extras.depends_on
        if not known or state is None or state.state != rows.BLOCKED:
            census.problem(f"job {id_text(child)} is to be released by {id_text(parent)}, but does not wait for it")
        before, ended = _found(census, parent)
        if (before is None or (ended is not None and ended.state in rows.FINISHED)) and parent not in settling:
            census.problem(f"job {id_text(parent)} has ended, but {id_text(child)} was never told")
