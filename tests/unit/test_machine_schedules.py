"""Schedules in the machine: definitions, firings that count once, policies, history, bounds."""

from typing import Any

import pytest

from rustqueue.machine.schedules import reads
from rustqueue.model import limits
from rustqueue.model.errors import ApiError
from rustqueue.model.events import SchedulesChanged, SchedulesFired
from rustqueue.model.jobs import NodeDefaults
from rustqueue.model.replies import Refused
from rustqueue.model.schedules import Firing, ScheduleFire
from tests.unit.factories import START_MS, Json, Rig, at, plain

MINUTE_MS = 60_000


class Room(Rig):
    """A rig whose leader is told by the test."""

    def define(self, name: str = "s", verb: str = "schedule_create", **fields: Any) -> Json:
        given = {"queue": "q", "job_name": "work", "every_ms": MINUTE_MS, **fields}
        found: Json = self.do(verb, name=name, **{key: value for key, value in given.items() if value is not None})
        shown: Json = found["schedule"]
        return shown

    def turn(self, name: str = "s") -> int:
        standing = reads.standing(self.kv, name)
        assert standing is not None, "it is paused or gone"
        return standing.turn

    def fire(self, *ticks: int, name: str = "s", **fields: Any) -> int:
        """The leader's proposal on what there is now; how many firings counted."""
        turn = fields.pop("turn", None) or self.turn(name)
        return self.propose(Firing(name, turn, list(ticks), max(ticks, default=self.now_ms), **fields))

    def propose(self, *firings: Firing) -> int:
        (reply,) = self.apply(ScheduleFire(firings=list(firings)))
        counted: int = plain(reply)["fired"]
        return counted

    def runs(self, name: str = "s", limit: int = 100) -> list[Json]:
        found: list[Json] = self.ask("schedule_runs", name=name, limit=limit)["runs"]
        return found

    def outcomes(self, name: str = "s") -> list[str]:
        return [run["outcome"] for run in self.runs(name)][::-1]

    def schedule(self, name: str = "s") -> Json:
        found: Json = self.ask("schedule_get", name=name)["schedule"]
        return found


def test_a_tick_becomes_a_job_of_its_queue() -> None:
    room = Room()
    room.do("queue_settings", queue="q", defaults={"max_attempts": 9})
    room.define(job_data={"a": 1}, job_options={"priority": 4, "tags": ["t"]})
    room.now_ms += 5

    assert room.fire(START_MS) == 1

    (run,) = room.runs()
    job = room.job(run["job_id"])
    assert (job["data"], job["priority"], job["tags"], job["max_attempts"]) == ({"a": 1}, 4, ["t"], 9)
    expected = {"scheduled_at": at(0), "at": at(5), "outcome": "pushed", "error": None, "ticks": 1, "number": 1}
    assert run == {**expected, "job_id": job["id"]}
    shown = room.schedule()
    told = (shown["execution_count"], shown["last_run_at"], shown["last_job_id"], shown["decided_until"])
    assert told == (1, at(5), job["id"], at(0))
    assert room.told()[-1] == ("pushed", [job["id"]])


def test_a_firing_counts_once_whoever_proposes_it() -> None:
    room = Room()
    room.define()
    firing = Firing("s", room.turn(), [START_MS], START_MS)

    assert [room.propose(firing), room.propose(firing), room.propose(firing, firing)] == [1, 0, 0]
    room.propose(Firing("s", room.turn(), [START_MS + 1], START_MS + 1), Firing("s", room.turn(), [START_MS + 1], 0))
    assert room.outcomes() == ["pushed", "pushed"]


CHANGES: dict[str, Json] = {
    "replaced": {"cmd": "schedule_put", "name": "s", "queue": "other", "job_name": "work", "every_ms": MINUTE_MS},
    "paused": {"cmd": "schedule_pause", "name": "s"},
    "deleted": {"cmd": "schedule_delete", "name": "s"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_planned_before_a_change_does_not_count(change: str) -> None:
    room = Room()
    room.define()
    turn = room.turn()
    room.apply(CHANGES[change])
    assert room.fire(START_MS, turn=turn) == 0
    assert room.counts() == {}


def test_deleting_and_creating_again_is_a_change_too() -> None:
    room = Room()
    room.define()
    turn = room.turn()
    room.do("schedule_delete", name="s")
    room.define()
    assert room.fire(START_MS, turn=turn) == 0


def test_a_change_in_the_same_entry_goes_first() -> None:
    room = Room()
    room.define()
    firing = Firing("s", room.turn(), [START_MS], START_MS)
    replies = room.apply({"cmd": "schedule_pause", "name": "s"}, ScheduleFire(firings=[firing]))
    assert plain(replies[1]) == {"ok": True, "fired": 0}


def test_a_run_waits_for_nobody_unless_told() -> None:
    room = Room()
    room.define("free")
    room.define("alone", overlap="skip")
    for name in ("free", "alone"):
        room.fire(START_MS, START_MS + MINUTE_MS, name=name)
    assert room.outcomes("free") == ["pushed", "pushed"]
    assert room.outcomes("alone") == ["pushed", "overlapped"]
    first, second = room.runs("alone")[::-1]
    assert second["job_id"] == first["job_id"]

    # Active and failed for now is not done either; completed is.
    for action in ("pull", "fail", "pull", "ack"):
        tick = START_MS + (2 + len(room.runs("alone"))) * MINUTE_MS
        room.fire(tick, name="alone")
        if action == "pull":
            room.wait(2_000)
            while first["job_id"] not in room.pulled():
                pass
        else:
            room.do(action, id=first["job_id"])
    assert room.outcomes("alone")[1:] == ["overlapped"] * 5
    room.fire(room.now_ms, name="alone")
    assert room.outcomes("alone")[-1] == "pushed"


def test_a_job_that_is_gone_is_no_overlap() -> None:
    room = Room()
    room.define(overlap="skip")
    room.fire(START_MS)
    room.do("job_remove", id=room.runs()[0]["job_id"])
    room.fire(START_MS + MINUTE_MS)
    assert room.outcomes() == ["pushed", "pushed"]


def test_a_refused_push_is_a_line_of_history_and_the_timetable_goes_on() -> None:
    room = Room()
    room.define(job_options={"unique_key": "one"})
    room.fire(START_MS, START_MS + MINUTE_MS)
    _, refused = room.runs()[::-1]
    assert (refused["outcome"], refused["job_id"]) == ("refused", None)
    assert refused["error"] == "DUPLICATE_KEY: Duplicate unique key 'one'"
    shown = room.schedule()
    assert (shown["execution_count"], shown["decided_until"]) == (1, at(MINUTE_MS))


def test_a_run_passes_a_pause_and_obeys_the_size_of_the_queue() -> None:
    room = Room()
    room.define()
    room.do("queue_pause", queue="q", mode="reject")
    room.fire(START_MS)
    room.do("queue_settings", queue="q", limits={"max_waiting": 1}, mode="normal")
    room.fire(START_MS + MINUTE_MS)
    assert room.outcomes() == ["pushed", "refused"]


def test_what_the_leader_refuses_is_not_pushed() -> None:
    room = Room()
    room.define()
    room.fire(START_MS, refused="VALIDATION_ERROR: no")
    assert [(run["outcome"], run["error"]) for run in room.runs()] == [("refused", "VALIDATION_ERROR: no")]
    assert room.counts() == {}


def test_missed_ticks_are_one_line() -> None:
    room = Room()
    room.define()
    room.fire(START_MS + 9, missed=3, missed_at=START_MS + 8)
    room.fire(missed=7, missed_at=START_MS + 50)
    lines = [(run["outcome"], run["scheduled_at"], run["ticks"]) for run in room.runs()[::-1]]
    assert lines == [("missed", at(8), 3), ("pushed", at(9), 1), ("missed", at(50), 7)]
    fired = [event.ticks for event in room.events if isinstance(event, SchedulesFired)]
    assert fired[0] == {"pushed": 1, "refused": 0, "overlapped": 0, "missed": 3}


def test_the_last_execution_pauses_it_and_a_larger_bound_brings_it_back() -> None:
    room = Room()
    room.define(max_executions=2)
    room.fire(START_MS, START_MS + 1, START_MS + 2)
    assert room.outcomes() == ["pushed", "pushed"]
    assert room.schedule()["paused"] is True
    assert room.do("schedule_resume", name="s")["schedule"]["paused"] is True

    room.now_ms += 10 * MINUTE_MS
    shown = room.define(max_executions=3)
    assert (shown["paused"], shown["execution_count"], shown["decided_until"]) == (False, 2, at(10 * MINUTE_MS))
    room.do("schedule_run", name="s")
    assert room.schedule()["paused"] is True


def test_no_executions_at_all() -> None:
    room = Room()
    assert room.define(max_executions=0)["paused"] is True


def test_a_pause_is_kept_and_what_fell_into_it_is_not_made_up() -> None:
    room = Room()
    room.define()
    room.do("schedule_pause", name="s")
    assert reads.standing(room.kv, "s") is None
    assert room.define(job_name="other")["paused"] is True
    room.now_ms += 10 * MINUTE_MS
    shown = room.do("schedule_resume", name="s")["schedule"]
    assert (shown["paused"], shown["decided_until"], shown["counted_from"]) == (False, at(10 * MINUTE_MS), at(0))
    before = room.rows()
    room.do("schedule_resume", name="s")
    assert room.rows() == before


def test_a_schedule_may_be_born_paused_and_be_woken_by_a_declaration() -> None:
    room = Room()
    assert room.define(paused=True)["paused"] is True
    assert room.define(verb="schedule_put")["paused"] is True
    assert room.define(verb="schedule_put", paused=False)["paused"] is False


def test_replacing_keeps_counters_unless_reset() -> None:
    room = Room()
    room.define()
    room.fire(START_MS)
    kept = room.define(job_data=2)
    assert (kept["execution_count"], kept["decided_until"], kept["revision"]) == (1, at(0), 2)
    room.now_ms += 500
    fresh = room.define(job_data=2, reset=True)
    told = (fresh["execution_count"], fresh["last_run_at"], fresh["counted_from"], fresh["decided_until"])
    assert told == (0, None, at(500), at(499))
    assert len(room.runs()) == 1


def test_another_timing_begins_a_new_timetable() -> None:
    room = Room()
    room.define()
    room.now_ms += 500
    shown = room.define(every_ms=5_000)
    assert (shown["counted_from"], shown["decided_until"]) == (at(500), at(499))
    shown = room.define(every_ms=None, cron_expr="@daily")
    assert (shown["counted_from"], shown["decided_until"]) == (at(500), at(500))


def test_a_declaration_that_changes_nothing_changes_nothing() -> None:
    room = Room()
    room.define(labels={"b": "1", "a": "2"}, job_options={})
    before, turn = room.rows(), room.turn()
    room.now_ms += MINUTE_MS
    assert room.define(verb="schedule_put")["revision"] == 1
    assert (room.rows(), room.turn()) == (before, turn)


def test_start_and_end_are_kept_as_times() -> None:
    room = Room()
    shown = room.define(starts_at="2026-01-01T01:00:00+01:00", ends_at="2027-01-01T00:00:00Z")
    times = ("starts_at", "ends_at", "counted_from", "decided_until")
    assert [shown[name] for name in times] == [
        "2026-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2025-12-31T23:59:59.999Z",
    ]
    shown = room.define(every_ms=None, cron_expr="@daily", starts_at="2020-01-01T00:00:00Z")
    assert (shown["counted_from"], shown["decided_until"]) == ("2020-01-01T00:00:00Z", at(0))


def test_run_now_goes_beside_the_timetable() -> None:
    room = Room()
    room.define(overlap="skip")
    room.do("schedule_pause", name="s")
    run = room.do("schedule_run", name="s")["run"]
    assert (run["scheduled_at"], run["outcome"], run["number"]) == (None, "pushed", 1)
    shown = room.schedule()
    assert (shown["execution_count"], shown["last_job_id"], shown["paused"]) == (1, run["job_id"], True)
    room.do("schedule_resume", name="s")
    turn = room.turn()
    room.do("schedule_run", name="s")
    assert room.turn() == turn


def test_run_now_is_refused_for_what_refuses_its_job() -> None:
    room = Room()
    room.define(job_options={"unique_key": "one"})
    room.do("schedule_run", name="s")
    assert room.refused("schedule_run", name="s") == (409, "DUPLICATE_KEY", {"field": "unique_key"})


def test_the_history_is_bounded() -> None:
    room = Room()
    room.define(job_options={"unique_key": "one"})
    for start in range(0, 250, 50):
        room.fire(*range(START_MS + start, START_MS + start + 50))
    assert [run["number"] for run in room.runs()] == list(range(250, 150, -1))
    assert [run["number"] for run in room.runs(limit=2)] == [250, 249]
    assert sum(key.startswith(b"Tr") for key in room.rows()) == limits.SCHEDULE_RUNS_MAX


def test_deleting_leaves_nothing_but_the_jobs() -> None:
    room = Room()
    before = room.rows()
    room.define(job_options={"unique_key": "one"})
    room.fire(*range(START_MS, START_MS + 120))
    room.do("schedule_delete", name="s")
    left = {key for key in room.rows() if key.startswith(b"T")}
    assert (left, before) == (set(), {})
    assert room.counts() == {"waiting": 1}
    assert room.unanswered("schedule_get", name="s") == (404, "SCHEDULE_NOT_FOUND")


def test_names_that_are_prefixes_of_others_stay_apart() -> None:
    room = Room()
    names = ["a", "a b", "ab", "ü", "a/b"]
    for name in names:
        room.define(name)
        room.fire(START_MS, name=name)
    room.do("schedule_delete", name="a")
    found = room.ask("schedule_list")["schedules"]
    assert [schedule["name"] for schedule in found] == ["a b", "a/b", "ab", "ü"]
    assert [len(room.runs(name)) for name in names[1:]] == [1, 1, 1, 1]


def test_a_list_is_bounded_in_bytes() -> None:
    room = Room()
    room.audited = False
    for number in range(20):
        room.define(f"s{number:02}", job_data="x" * 1_000_000)
    first = room.ask("schedule_list")
    assert (len(first["schedules"]), first["next_cursor"]) == (16, b"s15".hex())
    rest = room.ask("schedule_list", cursor=first["next_cursor"])
    assert (len(rest["schedules"]), rest["next_cursor"]) == (4, None)


def test_an_undeclared_queue_is_refused_where_queues_must_be_declared() -> None:
    room = Room(defaults=NodeDefaults(auto_create=False))
    refusal = room.refused("schedule_create", name="s", queue="q", job_name="n", every_ms=1)
    assert refusal == (404, "QUEUE_NOT_FOUND", None)
    room.do("queue_settings", queue="q")
    room.define()


def test_a_repeat_with_its_key_answers_as_the_first_and_keeps_no_payload() -> None:
    room = Room()
    fields = {"name": "s", "queue": "q", "job_name": "n", "every_ms": 5, "job_data": "secret payload" * 100}
    first = room.do("schedule_create", **fields, idempotency_key="k")
    assert room.do("schedule_create", **fields, idempotency_key="k") == first
    assert sum(b"secret payload" in value for value in room.rows().values()) == 1
    room.do("schedule_delete", name="s")
    again = room.do("schedule_create", **fields, idempotency_key="k")
    assert (again["schedule"]["job_data"], room.ask("schedule_list")["schedules"]) == (None, [])


BAD: dict[str, tuple[Json, int, Json]] = {
    "neither cron nor interval": ({"every_ms": None}, 400, {"field": "cron_expr"}),
    "both": ({"cron_expr": "@daily"}, 400, {"field": "cron_expr"}),
    "no interval at all": ({"every_ms": 0}, 400, {"field": "every_ms", "limit": 1}),
    "ten years and more": (
        {"every_ms": limits.DURATION_MS_MAX + 1},
        400,
        {"field": "every_ms", "limit": limits.DURATION_MS_MAX},
    ),
    "a name with a zero": ({"name": "a\0b"}, 400, {"field": "name"}),
    "a long name": ({"name": "a" * 257}, 400, {"field": "name", "limit": 256}),
    "a long name in bytes": ({"name": "ü" * 129}, 400, {"field": "name", "limit": 256}),
    "a bad queue": ({"queue": "a b"}, 400, {"field": "queue"}),
    "a bad job name": ({"job_name": "a b"}, 400, {"field": "job_name"}),
    "an unknown option": ({"job_options": {"colour": 1}}, 400, {"field": "job_options.colour"}),
    "an option out of range": ({"job_options": {"delay_ms": -1}}, 400, {"field": "job_options.delay_ms", "limit": 0}),
    "an option that is no time": ({"job_options": {"run_at": "soon"}}, 400, {"field": "job_options.run_at"}),
    "an unknown policy": ({"missed": "never"}, 400, {"field": "missed", "allowed": ["all", "once", "skip"]}),
    "no time": ({"starts_at": "soon"}, 400, {"field": "starts_at"}),
    "an end before the start": (
        {"starts_at": "2027-01-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
        400,
        {"field": "ends_at"},
    ),
    "beyond the calendar": (
        {"ends_at": "2300-01-01T00:00:00Z"},
        400,
        {"field": "ends_at", "limit": "2200-01-01T00:00:00Z"},
    ),
    "a wrong type": ({"jitter_ms": "1"}, 422, {"field": "jitter_ms"}),
    "a large payload": ({"job_data": "x" * limits.DATA_BYTES_MAX}, 400, {"field": "job_data", "limit": 1_048_576}),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_names_its_field(case: str) -> None:
    fields, status, details = BAD[case]
    given = {"name": "s", "queue": "q", "job_name": "n", "every_ms": 1_000, **fields}
    room = Room()
    with pytest.raises(ApiError) as refusal:
        room.do("schedule_create", **{key: value for key, value in given.items() if value is not None})
    found = refusal.value
    assert (found.status, found.code, found.details) == (status, "VALIDATION_ERROR", details)


def test_changes_are_told_by_name() -> None:
    room = Room()
    room.define("a")
    room.define("b")
    room.propose(Firing("a", room.turn("a"), [START_MS], START_MS), Firing("b", room.turn("b"), [START_MS], START_MS))
    told = [event.names for event in room.events if isinstance(event, SchedulesChanged)]
    assert told == [["a"], ["b"], ["a", "b"]]


def test_a_restart_changes_nothing() -> None:
    room = Room()
    room.define()
    room.fire(START_MS)
    before = room.schedule()
    room.reopen()
    assert room.schedule() == before
    assert room.fire(START_MS + MINUTE_MS) == 1
    (reply,) = room.apply({"cmd": "schedule_run", "name": "gone"})
    assert isinstance(reply, Refused)
