"""The audit finds what is wrong: one kind of damage at a time, done to the rows of a sound store."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from rustqueue.machine import keys, rows
from rustqueue.machine.audit import PROBLEMS_MAX, audit
from rustqueue.storage.memory import MemoryKV
from tests.unit.factories import START_MS, Rig

Rows = dict[bytes, bytes]
Q = keys.queue_part("q")


def a_sound_store() -> Rows:
    """Something of everything: ready, delayed, blocked, leased and finished jobs, families, keys, a sweep."""
    rig = Rig()
    rig.push_many(3)
    rig.push(lifo=True, unique_key="u", custom_id="c", flow_id="f")
    rig.push(delay_ms=50_000, ttl_ms=60_000)
    done, parent = rig.push("p", remove_on_complete=True), rig.push("p")
    rig.push("b", depends_on=[done, parent])
    rig.pulled(queue="p")
    rig.do("ack", id=done, result=5)
    for queue in ("done", "done", "dead", "held"):
        rig.push(queue, max_attempts=1, **({"custom_id": "x"} if queue == "dead" else {}))
    rig.do("ack_batch", ids=rig.pulled(2, queue="done"))
    rig.do("fail", id=rig.pulled(queue="dead")[0])
    rig.do("heartbeat", id=rig.pulled(queue="held")[0])
    rig.do("queue_settings", queue="q", lease_ms=5_000, idempotency_key="k")
    rig.push_many(1_001, queue="swept")
    rig.do("queue_delete", queue="swept", force=True)
    return dict(rig.scan())


SOUND = a_sound_store()


def found(damaged: Rows) -> list[str]:
    return audit(MemoryKV(damaged))


def first(prefix: bytes) -> bytes:
    return next(key for key in sorted(SOUND) if key.startswith(prefix))


def without(*prefixes: bytes) -> Rows:
    return {key: value for key, value in SOUND.items() if not key.startswith(prefixes)}


def with_row(key: bytes, value: bytes) -> Rows:
    return {**SOUND, key: value}


def changed(key: bytes, **fields: Any) -> Rows:
    """One row with some fields changed."""
    decoders: dict[bytes, Callable[[bytes], msgspec.Struct]] = {
        b"m": rows.decode_meta,
        b"j": rows.decode_job,
        b"s": rows.decode_state,
        b"n": rows.decode_counters,
        b"a": rows.decode_lease_block,
        b"g": rows.decode_live,
        b"q": rows.decode_queue,
    }
    row = decoders[key[:1]](SOUND[key])
    return with_row(key, rows.encode(msgspec.structs.replace(row, **fields)))


def due_rows(kind: int) -> bytes:
    return next(key for key in SOUND if key[:1] == b"d" and key[9] == kind)


def no_due(kind: int) -> Rows:
    return {key: value for key, value in SOUND.items() if not (key[:1] == b"d" and key[9] == kind)}


def state_of(code: int) -> bytes:
    return next(key for key in sorted(SOUND) if key[:1] == b"s" and rows.decode_state(SOUND[key]).state == code)


def job_with(**wanted: Any) -> bytes:
    """The key of the first job whose options are these."""
    for key in sorted(SOUND):
        if key[:1] == b"j":
            extras = rows.decode_job(SOUND[key]).extras or rows.Extras()
            if all(getattr(extras, name) == value for name, value in wanted.items()):
                return key
    raise AssertionError(wanted)


PARENT = first(b"e")[1:17]
CHILD = first(b"e")[17:]
READY = first(b"f" + Q)
BLOCK = SOUND[READY]
OUTCOME = first(b"o" + keys.queue_part("done"))
LEASE = next(key for key in SOUND if key[:1] == b"a" and b"w" not in key)

DAMAGE: dict[str, tuple[Rows, str]] = {
    "no meta row": (without(b"m"), "no meta row"),
    "another version": (changed(b"m", version=99), "version 99"),
    "unknown row": (with_row(b"!x", b""), "no known kind"),
    "state that is none": (changed(state_of(rows.DELAYED), state=42), "stored state 42"),
    "stored active": (changed(state_of(rows.DELAYED), state=rows.ACTIVE), "stored state 4"),
    "lease of a delayed job": (
        with_row(
            LEASE + b"",
            rows.encode(msgspec.structs.replace(rows.decode_lease_block(SOUND[LEASE]), ids=state_of(rows.DELAYED)[1:])),
        ),
        "its state row says delayed",
    ),
    "leased twice": (with_row(LEASE[:-1] + b"\x09", SOUND[LEASE]), "leased twice under fence 1"),
    "fence behind": (changed(LEASE, fences=[7]), "a lease block is beyond"),
    "lease gone": (without(LEASE), "active jobs, but has 0"),
    "lease of a job that is gone": (
        with_row(b"a" + b"\x01" * 12, SOUND[LEASE].replace(rows.decode_lease_block(SOUND[LEASE]).ids, b"z" * 16)),
        "no active lease",
    ),
    "lease never ends": (no_due(keys.DUE_LEASE), "nothing will end it then"),
    "live row of a waiting job": (with_row(keys.live(BLOCK[8:24]), SOUND[first(b"g")]), "live row, but is not leased"),
    "delay never ends": (no_due(keys.DUE_READY), "nothing will wake it"),
    "never expires": (no_due(keys.DUE_TTL), "nothing will end it"),
    "custom id lost": (without(first(b"c" + Q)), "cannot be found by its custom id"),
    "custom id of nobody": (with_row(keys.custom(Q, "zz"), b"z" * 16), "3 custom ids are known, but 2 jobs"),
    "flow row lost": (without(first(b"l")), "not listed in its flow"),
    "flow row of nobody": (with_row(keys.flow("f", b"z" * 16), b""), "jobs are listed in flows"),
    "unique key lost": (without(first(b"u")), "does not hold its unique key"),
    "unique key of nobody": (with_row(keys.unique(Q, "zz"), b"z" * 16), "unique keys are taken"),
    "edge lost": (without(first(b"e")), "waits for 1 parents, but 0 know of it"),
    "edge to a stranger": (with_row(keys.edge(PARENT, BLOCK[8:24]), b""), "does not wait for it"),
    "edge of a parent that is gone": (without(b"j" + PARENT, b"s" + PARENT), "was never told"),
    "dependants miscounted": (
        with_row(keys.dependants(PARENT), (9).to_bytes(4, "big")),
        "has 1 dependants, but counts 9",
    ),
    "dependants unknown": (without(keys.dependants(PARENT)), "does not know its dependants"),
    "parents miscounted": (changed(b"m", parents=9), "2 jobs have dependants, but 9 are counted"),
    "result kept for nobody": (with_row(keys.kept_result(b"z" * 16), b"1"), "kept for nobody"),
    "ready block out of order": (with_row(READY, BLOCK[24:48] + BLOCK[:24] + BLOCK[48:]), "out of order"),
    "ready block empty": (with_row(READY, b""), "empty or out of order"),
    "ready block misplaced": (
        {**without(READY), keys.fresh(Q, keys.lane(0, 1)): BLOCK},
        "before the start of its ready block",
    ),
    "ready in the wrong lane": (
        {**without(READY), keys.fresh(Q, keys.lane(5, 0)): BLOCK},
        "is ready at ('q', None, 5, 0), but belongs to ('q', None, 0, 0)",
    ),
    "ready twice": (with_row(keys.single(Q, keys.lane(0, 0)), BLOCK[8:24]), "is ready twice"),
    "ready row of a job that is gone": (
        with_row(READY, BLOCK[:8] + b"z" * 16 + BLOCK[24:]),
        "is ready, but has no record",
    ),
    "ready row lost": (without(READY), "lists 1 waiting jobs, but has 4"),
    "ready and finished": (
        with_row(b"s" + BLOCK[8:24], SOUND[state_of(rows.COMPLETED)]),
        "is ready, but does not wait",
    ),
    "parked row lost": (without(keys.parked_prefix(Q, keys.DELAYED_INDEX)), "lists 0 delayed jobs, but has 1"),
    "parked row of nobody": (
        with_row(keys.parked(Q, keys.BLOCKED_INDEX, b"z" * 16), b""),
        "listed as blocked of 'q', but is not",
    ),
    "outcome block cut": (with_row(OUTCOME, SOUND[OUTCOME][:20]), "has a length of 20"),
    "outcome of nobody": (with_row(OUTCOME, SOUND[OUTCOME][:17] + b"z" * 16), "listed as finished, but has no record"),
    "outcome block of another time": (
        changed(state_of(rows.COMPLETED), until=START_MS - 1),
        "stands in an outcome block that is not its own",
    ),
    "outcome block of index rows": (with_row(OUTCOME, b"\x01" + SOUND[OUTCOME][1:]), "wrong about its index rows"),
    "outcome block lost": (without(OUTCOME), "lists 0 completed jobs, but has 2"),
    "state without a job": (with_row(b"s" + b"z" * 16, SOUND[state_of(rows.DLQ)]), "has a state, but no record"),
    "counters lost": (without(keys.counters(Q)), "has jobs, but no counters"),
    "counters wrong": (changed(keys.counters(Q), waiting=9), "counts 9 waiting jobs, but has 4"),
    "sequence behind": (changed(keys.counters(Q), seq=1), "would give the sequence number 1 twice"),
    "queues miscounted": (changed(b"m", queues=99), "but 99 are counted"),
    "retention asleep": (no_due(keys.DUE_RETENTION), "plans to forget completed jobs, but nothing will wake it"),
    "retention never planned": (
        changed(keys.counters(keys.queue_part("done")), completed_due=0),
        "has 2 completed jobs that no plan will ever forget",
    ),
    "settings without a queue": (
        with_row(keys.settings(keys.queue_part("zz")), SOUND[keys.settings(Q)]),
        "has settings, but no counters",
    ),
    "deleted by nobody": (without(b"z"), "is being deleted, but no sweep does it"),
    "sweep asleep": (no_due(keys.DUE_SWEEP), "stands still"),
    "key never lapses": (without(b"k"), "will never lapse"),
    "key lost": (without(b"i"), "0 idempotency keys are kept, 1 lapse, 1 are counted"),
    "keys asleep": (no_due(keys.DUE_IDEMPOTENCY), "nothing will forget them"),
    "keys unplanned": (changed(b"m", keys_due=0), "nothing will forget them"),
}


def test_a_sound_store_has_no_problems() -> None:
    assert found(SOUND) == []
    assert found({}) == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(damage: str) -> None:
    store, sentence = DAMAGE[damage]

    problems = found(store)

    assert any(sentence in problem for problem in problems), problems


def test_a_lost_row_is_noticed_unless_nothing_else_tells_of_it() -> None:
    unnoticed = [key for key in SOUND if key[:1] != b"d" and not found(without(key))]

    # Settings, the live part of a lease, a result kept for dependants, and the state row of a job that waits.
    assert {key[:1] for key in unnoticed} <= {b"q", b"g", b"x", b"s"}
    assert {rows.decode_state(SOUND[key]).state for key in unnoticed if key[:1] == b"s"} <= {rows.WAITING}


def test_a_ruined_store_is_described_in_a_bounded_number_of_sentences() -> None:
    rig = Rig()
    rig.push_many(PROBLEMS_MAX + 100)

    assert len(found({key: value for key, value in rig.scan() if key[:1] != b"j"})) == PROBLEMS_MAX
