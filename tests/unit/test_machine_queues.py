"""Queues: pause in its modes, settings, counts, lists, limits of their number, and what survives a restart."""

from typing import Any

import msgspec
import pytest

from rustqueue.machine import keys, rows
from rustqueue.machine.machine import ApplyFault, Machine
from rustqueue.model import limits
from rustqueue.model.commands import Configure, NewJob, PushJobs
from rustqueue.model.entry import Entry, decode_entry, encode_entry
from rustqueue.model.jobs import NodeDefaults
from rustqueue.model.replies import AckedBatch, Pulled, Reply
from rustqueue.storage import StoreFullError
from rustqueue.storage.memory import MemoryKV
from tests.unit.factories import START_MS, Rig, encode

Json = dict[str, Any]

PAUSED = (503, "QUEUE_PAUSED", None)


@pytest.mark.parametrize(
    ("pause", "mode", "pushes", "pulls"),
    [({}, "reject", False, True), ({"mode": "hold"}, "hold", True, False), ({"mode": "both"}, "both", False, False)],
)
def test_pause(pause: Json, mode: str, pushes: bool, pulls: bool) -> None:
    rig = Rig()
    waiting = rig.push()
    rig.told()
    assert rig.do("queue_pause", queue="q", **pause) == {"ok": True}
    assert rig.told() == [("paused", "q")]

    for _ in range(2):
        assert rig.ask("stats", queue="q")["mode"] == mode
        assert rig.ask("list_queues")["queues"][0]["mode"] == mode
        assert rig.machine.ready_count("q") == (1 if pulls else 0)
        if not pushes:
            assert rig.refused("push", queue="q", name="n") == PAUSED
            assert rig.refused("push_batch", queue="q", jobs=[]) == PAUSED
        rig.reopen()
    assert rig.pulled() == ([waiting] if pulls else [])
    if pushes:
        rig.push()

    assert rig.do("queue_resume", queue="q") == {"ok": True}
    assert rig.ask("stats", queue="q")["mode"] == "normal"
    rig.push()
    assert [event for event, _ in rig.told()][-2:] == ["resumed", "pushed"]


def test_any_name_can_be_paused_and_resumed() -> None:
    rig = Rig()
    rig.do("queue_resume", queue="none")
    assert rig.rows() == {}

    rig.do("queue_pause", queue="new")

    assert rig.refused("push", queue="new", name="n") == PAUSED
    assert [queue["name"] for queue in rig.ask("list_queues")["queues"]] == ["new"]


def test_retries_delays_and_retries_from_the_dlq_pass_a_pause() -> None:
    rig = Rig()
    failing, delayed, dead = rig.push(), rig.push(delay_ms=500), rig.push(max_attempts=1)
    rig.pulled(2)
    rig.do("queue_pause", queue="q")
    rig.do("fail", id=failing)
    rig.do("fail", id=dead)
    rig.do("job_retry", id=dead)
    rig.wait(1_000)

    assert rig.states(failing, delayed, dead) == ["waiting"] * 3


SETTINGS: Json = {
    "defaults": {"priority": 3, "max_attempts": 2, "metadata": {"a": 1}},
    "limits": {"max_waiting": 10},
    "retention": {"completed": {"age_ms": 5_000, "count": 2}, "dlq": {}, "cancelled": {"count": 0}},
    "lease_ms": 4_000,
}


def test_settings_are_replaced_whole_but_for_the_mode() -> None:
    rig = Rig()

    reply = rig.do("queue_settings", queue="q", mode="hold", **SETTINGS)
    zero = dict.fromkeys(("waiting", "active", "delayed", "completed", "failed", "dlq", "blocked"), 0)
    shown = {"ok": True, "name": "q", "counts": zero, "settings": {**SETTINGS, "mode": "hold"}, "mode": "hold"}
    shown |= {"labels": {}, "owner": None, "revision": 1}
    assert reply == {**shown, "created": True}
    assert rig.ask("queue_get", queue="q") == shown
    rig.reopen()
    assert rig.ask("queue_get", queue="q") == shown
    rig.told()

    second = rig.do("queue_settings", queue="q", lease_ms=5_000)
    assert (second["settings"], second["created"]) == ({"lease_ms": 5_000, "mode": "hold"}, False)
    assert rig.told() == []
    assert rig.do("queue_settings", queue="q", mode="normal")["settings"] == {}
    assert rig.told() == [("resumed", "q")]
    rig.do("queue_settings", queue="q", mode="both")
    assert rig.told() == [("paused", "q")]
    assert rig.status("queue_settings", queue="new") == 201
    assert rig.status("queue_settings", queue="new") == 200


def test_a_queue_that_has_jobs_but_no_settings_is_created_by_settings() -> None:
    rig = Rig()
    rig.push()

    assert rig.do("queue_settings", queue="q")["created"] is True
    assert rig.counts() == {"waiting": 1}


def test_counts_of_an_unknown_queue_are_zero_and_its_settings_are_not_found() -> None:
    rig = Rig()

    assert (rig.counts("none"), rig.ask("stats", queue="none")["mode"]) == ({}, "normal")
    assert rig.unanswered("queue_get", queue="none") == (404, "QUEUE_NOT_FOUND")
    assert rig.machine.ready_count("none") == 0


def test_the_list_of_queues_is_sorted_and_leaves_out_empty_ones() -> None:
    rig = Rig()
    for queue in ("b", "a", "c.d", "emptied"):
        rig.push(queue)
    rig.do("job_remove", id=rig.ask("job_list", queue="emptied")["jobs"][0]["id"])
    rig.do("queue_settings", queue="declared")

    names = [queue["name"] for queue in rig.ask("list_queues")["queues"]]

    assert names == ["a", "b", "c.d", "declared"]
    counted = {name: counts.waiting for name, counts in rig.machine.queue_counts()}
    assert counted == {"a": 1, "b": 1, "c.d": 1, "declared": 0, "emptied": 0}


def test_queues_have_a_number() -> None:
    rig = Rig()
    rig.audited = False
    rig.push("a")
    stored = rig.kv.get(keys.META)
    assert stored is not None
    rig.kv.write({keys.META: rows.encode(msgspec.structs.replace(rows.decode_meta(stored), queues=limits.QUEUES_MAX))})
    rig.reopen()

    for cmd, fields in (("push", {"name": "n"}), ("queue_pause", {}), ("queue_settings", {})):
        refused = rig.refused(cmd, queue="b", **fields)
        assert refused == (400, "VALIDATION_ERROR", {"field": "queue", "limit": limits.QUEUES_MAX})
    rig.push("a")
    rig.do("queue_delete", queue="a", force=True)
    rig.push("b")


def test_more_queues_than_memory_keeps_are_found_again() -> None:
    rig = Rig()
    rig.audited = False
    count = limits.QUEUES_CACHED_MAX + 50
    for first in range(0, count, 500):
        rig.apply(
            *[{"cmd": "push", "queue": f"q{number}", "name": "n"} for number in range(first, min(first + 500, count))]
        )

    assert len(rig.machine.state.queues) == limits.QUEUES_CACHED_MAX
    assert rig.machine.state.queues.keys().isdisjoint({"q0", "q49"})
    assert len(rig.pull(2, queue="q0")) == 1
    assert rig.machine.ready_count("q1") == 1


def test_configuration_is_replicated_and_survives_a_restart() -> None:
    rig = Rig()
    wanted = NodeDefaults(max_attempts=7, auto_create=False)
    rig.apply(Configure(defaults=wanted))
    rig.reopen()

    assert rig.machine.defaults == wanted


def entry(*commands: Json, at_ms: int = START_MS) -> Entry:
    return Entry(1, 3, at_ms, b"s" * 16, [encode(command) for command in commands])


def test_an_entry_decodes_its_own_commands() -> None:
    machine = Machine(MemoryKV())
    stored = encode_entry(
        entry({"cmd": "push", "queue": "q", "name": "n"}, {"cmd": "push_batch", "queue": "q", "jobs": [{"name": "n"}]})
    )

    replies = machine.apply(1, decode_entry(stored))

    assert [type(reply).__name__ for reply in replies] == ["Pushed", "PushedBatch"]
    assert (machine.applied_index, machine.applied_term, machine.now_ms) == (1, 3, START_MS)


@pytest.mark.parametrize("index", [0, 2, 5])
def test_entries_come_in_order(index: int) -> None:
    machine = Machine(MemoryKV())

    with pytest.raises(ValueError, match=f"entry {index} does not follow entry 0"):
        machine.apply(index, entry())
    machine.apply(1, entry())


def test_a_bug_in_apply_leaves_the_store_untouched_and_names_the_command() -> None:
    kv = MemoryKV()
    machine = Machine(kv)
    machine.apply(1, entry({"cmd": "push", "queue": "q", "name": "n"}))
    before = kv.scan(b"", b"\xff", 100)
    fine: Any = PushJobs("q", [NewJob("n", b"{}", None)], True)
    broken: Any = PushJobs("q", None, True)  # type: ignore[arg-type]

    with pytest.raises(ApplyFault, match=r"command 1 \(PushJobs\) of log entry 2"):
        machine.apply(2, entry(), [fine, broken])

    assert kv.scan(b"", b"\xff", 100) == before


class FullOnce(MemoryKV):
    """A store whose disk is full for one write."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False

    def write(self, rows: Any) -> None:
        if self.full:
            self.full = False
            raise StoreFullError("no room")
        super().write(rows)


def test_an_entry_refused_by_a_full_store_is_written_later_and_decided_once() -> None:
    kv = FullOnce()
    machine = Machine(kv)
    machine.apply(1, entry({"cmd": "push", "queue": "q", "name": "n"}))
    pull = entry({"cmd": "pull", "queue": "q"}, at_ms=START_MS + 5)
    kv.full = True
    with pytest.raises(StoreFullError):
        machine.apply(2, pull)
    assert (machine.applied_index, machine.now_ms) == (1, START_MS)

    (reply,) = machine.apply(2, pull)

    other = Machine(MemoryKV())
    other.apply(1, entry({"cmd": "push", "queue": "q", "name": "n"}))
    assert other.apply(2, pull) == [reply]
    assert (other.state_hash, other.applied_index) == (machine.state_hash, machine.applied_index)


def test_replies_that_nobody_reads_are_not_made_and_the_state_does_not_tell() -> None:
    # Given entries with all that a pull may meet: own leases of jobs, a key, several queues
    entries = [
        entry({"cmd": "push_batch", "queue": "q", "jobs": [{"name": "n", "data": n} for n in range(5)]}),
        entry({"cmd": "push", "queue": "q", "name": "n", "options": {"lease_ms": 7_000}}),
        entry({"cmd": "push", "queue": "p", "name": "n"}),
        entry({"cmd": "pull", "queue": "q", "count": 2}, {"cmd": "pull", "queue": "q", "idempotency_key": "k"}),
        entry({"cmd": "pull", "queues": [{"queue": "p"}, {"queue": "q"}], "count": 9}),
        entry({"cmd": "pull", "queue": "q", "idempotency_key": "k"}),
    ]
    read, unread = Machine(MemoryKV()), Machine(MemoryKV())
    replies = []
    for index, one in enumerate(entries, 1):
        # When one machine applies them for somebody and another one for nobody
        replies = read.apply(index, one)
        # Then the other gives no replies
        assert unread.apply(index, one, None, unread=True) == []
        # And their states are equal
        assert unread.state_hash == read.state_hash
    # And whoever repeats the pull with the key gets the same from both
    again = entry({"cmd": "pull", "queue": "q", "idempotency_key": "k"})
    assert unread.apply(7, again) == read.apply(7, again) == replies


def test_acks_that_nobody_reads_end_the_same_jobs() -> None:
    # Given the same leased jobs on two machines
    read, unread = Machine(MemoryKV()), Machine(MemoryKV())
    both(read, unread, 1, {"cmd": "push_batch", "queue": "q", "jobs": [{"name": "n"}] * 5})
    [pulled] = both(read, unread, 2, {"cmd": "pull", "queue": "q", "count": 5})
    assert isinstance(pulled, Pulled)
    ids = [job.id for job in pulled.jobs]
    # When jobs are ended, one of them twice and one under a key
    [ended] = both(read, unread, 3, {"cmd": "ack_batch", "ids": [*ids[:2], ids[0]]})
    items: list[Json] = [{"id": ids[2], "result": 7}, {"id": ids[3], "cancelled": True}]
    both(read, unread, 4, {"cmd": "ack_batch", "items": items})
    keyed: Json = {"cmd": "ack_batch", "ids": ids[4:], "idempotency_key": "k"}
    kept = both(read, unread, 5, keyed)
    # Then who reads is told of each
    assert isinstance(ended, AckedBatch)
    assert (ended.acked, ended.failed, [item.ok for item in ended.results]) == (2, 1, [True, True, False])
    # And whoever repeats the keyed one gets the same from both
    assert unread.apply(6, entry(keyed)) == read.apply(6, entry(keyed)) == kept


def both(read: Machine, unread: Machine, index: int, command: Json) -> list[Reply]:
    """Apply for somebody and for nobody; the states must be equal."""
    one = entry(command)
    replies = read.apply(index, one)
    assert unread.apply(index, one, None, unread=True) == []
    assert unread.state_hash == read.state_hash
    return replies


def test_what_another_version_wrote_is_not_touched() -> None:
    rig = Rig()
    rig.push()
    later = msgspec.structs.replace(entry(), version=2)
    with pytest.raises(ValueError, match="entry 2 has version 2, this program knows 1"):
        rig.machine.apply(2, later)

    stored = rig.kv.get(keys.META)
    assert stored is not None
    rig.kv.write({keys.META: rows.encode(msgspec.structs.replace(rows.decode_meta(stored), version=2))})
    with pytest.raises(ValueError, match="rows of version 2, this program knows 1"):
        Machine(rig.kv)
