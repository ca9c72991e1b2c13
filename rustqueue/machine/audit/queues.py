"""Queues and everything beside jobs: counters, plans of retention, remembered idempotency keys, sweeps.

It must not look at single jobs: it compares what the rest of the audit has counted with what the rows say.
"""

from typing import Final

import msgspec

from rustqueue.machine import keys, rows
from rustqueue.machine.audit.census import Census, Tally, family
from rustqueue.machine.rows import CountersRow
from rustqueue.model.jobs import NodeDefaults, QueueSettings, Retention, RetentionSettings

_COUNTED: Final = {
    rows.WAITING: "waiting",
    rows.DELAYED: "delayed",
    rows.BLOCKED: "blocked",
    rows.ACTIVE: "active",
    rows.COMPLETED: "completed",
    rows.DLQ: "dlq",
    rows.CANCELLED: "cancelled",
}


def check_queues(census: Census) -> None:
    _check_counters(census)
    _check_settings(census)
    _check_keys(census)
    _check_sweeps(census)
    _check_workers(census)


def _check_counters(census: Census) -> None:
    known = set()
    for key, value in family(census.view, b"n"):
        name, counters = key[1:-1].decode("ascii", "replace"), rows.decode_counters(value)
        known.add(name)
        tally = census.queues.get(name, Tally())
        for code, state in _COUNTED.items():
            count = getattr(counters, state)
            if count != tally.states[code]:
                census.problem(f"queue '{name}' counts {count} {state} jobs, but has {tally.states[code]}")
            if code != rows.ACTIVE and tally.placed[code] != tally.states[code]:
                census.problem(f"queue '{name}' lists {tally.placed[code]} {state} jobs, but has {tally.states[code]}")
        if counters.seq <= tally.seq_max:
            census.problem(f"queue '{name}' would give the sequence number {counters.seq} twice")
        _check_retention(census, name, counters)
    if census.meta.queues != len(known):
        census.problem(f"there are {len(known)} queues, but {census.meta.queues} are counted")
    for name in census.queues.keys() - known:
        census.problem(f"queue '{name}' has jobs, but no counters")


def _check_retention(census: Census, name: str, counters: CountersRow) -> None:
    """Whatever has to go one day must have a plan, and a plan a row that wakes a tick."""
    part = keys.queue_part(name)
    stored = census.view.get(keys.settings(part))
    kept = None
    if stored is not None:
        kept = msgspec.json.decode(rows.decode_queue(stored).settings, type=QueueSettings).retention
    defaults = msgspec.json.decode(census.meta.defaults, type=NodeDefaults)
    for code in rows.FINISHED:
        state = _COUNTED[code]
        count, planned = getattr(counters, state), getattr(counters, f"{state}_due")
        if planned and census.view.get(keys.due(planned, keys.DUE_RETENTION, part + bytes((code,)))) is None:
            census.problem(f"queue '{name}' plans to forget {state} jobs, but nothing will wake it")
        age_ms, count_max = _rule(kept, defaults, state)
        if not planned and count and (age_ms is not None or (count_max is not None and count > count_max)):
            census.problem(f"queue '{name}' has {count} {state} jobs that no plan will ever forget")


def _rule(kept: RetentionSettings | None, defaults: NodeDefaults, state: str) -> tuple[int | None, int | None]:
    own: Retention = (getattr(kept, state) if kept is not None else None) or Retention()
    age_ms, count = getattr(defaults, f"{state}_age_ms"), getattr(defaults, f"{state}_count")
    return own.age_ms if own.age_ms is not None else age_ms, own.count if own.count is not None else count


def _check_settings(census: Census) -> None:
    for key, value in family(census.view, b"q"):
        name = key[1:-1].decode("ascii", "replace")
        deleting = rows.decode_queue(value).deleting
        if census.view.get(keys.counters(key[1:])) is None:
            census.problem(f"queue '{name}' has settings, but no counters")
        if deleting is not None and census.view.get(keys.sweep(deleting)) is None:
            census.problem(f"queue '{name}' is being deleted, but no sweep does it")


def _check_keys(census: Census) -> None:
    """Idempotency keys and the order in which they lapse."""
    count = 0
    for key, value in family(census.view, b"i"):
        count += 1
        if census.view.get(keys.idempotency_expiry(rows.decode_idempotency(value).expires_at, key[1:])) is None:
            census.problem(f"idempotency key {key[1:].hex()} will never lapse")
    lapsing = sum(1 for _ in family(census.view, b"k"))
    if not lapsing == count == census.meta.keys:
        census.problem(f"{count} idempotency keys are kept, {lapsing} lapse, {census.meta.keys} are counted")
    due = census.meta.keys_due
    if (count and not due) or (due and census.view.get(keys.due(due, keys.DUE_IDEMPOTENCY, b"")) is None):
        census.problem("idempotency keys are kept, but nothing will forget them")


def _check_sweeps(census: Census) -> None:
    woken = {keys.due_parts(key)[2] for key, _ in family(census.view, b"d") if key[9] == keys.DUE_SWEEP}
    for key, _ in family(census.view, b"z"):
        if key[1:] not in woken:
            census.problem(f"sweep {key[1:].hex()} stands still")


def _check_workers(census: Census) -> None:
    woken = {keys.due_parts(key)[2] for key, _ in family(census.view, b"d") if key[9] == keys.DUE_WORKER}
    for key, _ in family(census.view, keys.WORKERS):
        if key[1:] not in woken:
            census.problem(f"worker {key[1:]!r} will never be forgotten")
