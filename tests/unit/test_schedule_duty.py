"""The duty that makes schedules run: in time, once, in bounded pieces, and only while it leads."""

from collections.abc import Iterator
from typing import Any

import pytest

from rustqueue.effects.schedules.duty import ScheduleDuty, ScheduleParts
from rustqueue.machine.schedules import reads
from rustqueue.model import limits
from rustqueue.model.errors import Unavailable
from rustqueue.model.replies import Fired, Refused, Reply
from rustqueue.model.schedules import ScheduleFire, Standing
from rustqueue.raft.ports import Proposal
from tests.unit.factories import START_MS, Json, Rig, at
from tests.unit.gateway_world import ManualClock

SECOND_MS = 1_000


class Office:
    """A machine, a clock, and duties that propose to the one and live by the other."""

    def __init__(self, duties_count: int = 1, step_ms: int = 10) -> None:
        self.rig = Rig()
        self.clock = ManualClock()
        self.step_ms = step_ms
        self.proposals: list[Proposal] = []
        self.fired: list[ScheduleFire] = []
        self.replies: list[Reply] = []
        self.refuse: Reply | None = None
        self.disk_full = False
        self.unwanted: str | None = None
        parts = ScheduleParts(
            self.clock,
            lambda: self.rig.now_ms,
            self.proposals.append,
            self,
            lambda standing: self.unwanted,
            lambda: self.disk_full,
        )
        self.duties = [ScheduleDuty(parts) for _ in range(duties_count)]
        for duty in self.duties:
            duty.begin()
        self.settle()

    def standing(self, name: str) -> Standing | None:
        return reads.standing(self.rig.kv, name)

    def standings(self, after: str | None, count: int) -> Iterator[tuple[str, Standing | None]]:
        return reads.standings(self.rig.kv, after, count)

    def ask(self, *commands: Json) -> None:
        for reply in self.rig.apply(*commands):
            assert reply.ok, reply
        self._tell()
        self.settle()

    def define(self, name: str = "s", **fields: Any) -> None:
        timing = {} if "cron_expr" in fields else {"every_ms": SECOND_MS}
        self.ask({"cmd": "schedule_create", "name": name, "queue": "q", "job_name": "n", **timing, **fields})

    def settle(self) -> None:
        """Until nothing happens any more at this moment."""
        self.clock.run_soon()
        while self.proposals:
            # All duties propose before anything is applied, as two leaders would.
            proposals, self.proposals[:] = list(self.proposals), []
            for proposal in proposals:
                proposal.done(self._apply(proposal))
            self.clock.run_soon()

    def _apply(self, proposal: Proposal) -> Reply:
        if self.refuse is not None:
            return self.refuse
        assert isinstance(proposal.command, ScheduleFire)
        self.fired.append(proposal.command)
        (reply,) = self.rig.apply(proposal.command)
        self.replies.append(reply)
        self._tell()
        return reply

    def _tell(self) -> None:
        events, self.rig.events = self.rig.events, []
        for duty in self.duties:
            duty.on_events(self.rig.machine.applied_index, self.rig.now_ms, events)

    def wait(self, duration_ms: int) -> None:
        for _ in range(duration_ms // self.step_ms):
            self.rig.now_ms += self.step_ms
            self.clock.pass_ms(self.step_ms)
            self.settle()

    def runs(self, name: str = "s") -> list[Json]:
        found: list[Json] = self.rig.ask("schedule_runs", name=name, limit=100)["runs"]
        return found[::-1]

    def ticks(self, name: str = "s") -> list[str]:
        return [run["scheduled_at"] for run in self.runs(name)]


def seconds(*numbers: int) -> list[str]:
    return [at(number * SECOND_MS) for number in numbers]


def test_runs_begin_in_time() -> None:
    office = Office()
    office.define()
    office.define("c", cron_expr="*/2 * * * * *")
    office.wait(3_500)
    assert office.ticks() == seconds(0, 1, 2, 3)
    assert office.ticks("c") == seconds(2)
    late = [run["at"] for run in office.runs()]
    assert late == office.ticks()


def test_nothing_is_armed_while_nothing_runs() -> None:
    office = Office()
    assert office.clock.timers_count == 0
    office.define(max_executions=1)
    office.settle()
    assert (office.ticks(), office.clock.timers_count) == (seconds(0), 0)


def test_a_change_takes_effect_at_once() -> None:
    office = Office()
    office.define()
    office.wait(1_500)
    office.ask({"cmd": "schedule_pause", "name": "s"})
    office.wait(3_000)
    office.ask({"cmd": "schedule_resume", "name": "s"})
    office.wait(1_500)
    office.define(every_ms=100)
    office.wait(300)
    office.ask({"cmd": "schedule_delete", "name": "s"})
    office.wait(3_000)
    office.define("t", every_ms=400)
    office.wait(500)
    assert office.ticks("t") == [at(9_300), at(9_700)]
    assert office.rig.counts()["waiting"] == 2 + 2 + 4 + 2


def test_who_does_not_lead_proposes_nothing_and_the_next_one_misses_nothing() -> None:
    office = Office()
    office.define()
    office.wait(1_000)
    office.duties[0].end()
    office.wait(5_000)
    assert (office.ticks(), office.clock.timers_count) == (seconds(0, 1), 0)
    office.duties[0].begin()
    office.settle()
    assert office.ticks() == seconds(*range(7))


def test_what_was_on_its_way_when_a_reign_ended_is_void() -> None:
    office = Office()
    office.define(every_ms=5_000)
    office.rig.now_ms += 5_000
    office.clock.pass_ms(5_000)
    office.clock.run_soon()
    (proposal,) = office.proposals
    office.proposals.clear()
    office.duties[0].end()
    proposal.done(Fired(fired=1))
    office.settle()
    assert office.clock.timers_count == 0


def test_a_reign_that_begins_twice_is_one() -> None:
    office = Office()
    office.define(every_ms=5_000)
    office.duties[0].begin()
    office.settle()
    assert office.clock.timers_count == 1
    office.wait(5_000)
    assert office.ticks() == seconds(0, 5)


def test_two_leaders_run_every_tick_once() -> None:
    office = Office(duties_count=2)
    office.define(every_ms=500)
    office.wait(3_000)
    assert office.ticks() == [at(500 * number) for number in range(7)]
    assert {reply.fired for reply in office.replies if isinstance(reply, Fired)} == {0, 1}


def test_a_thousand_schedules_of_one_second_are_run_in_pieces() -> None:
    office = Office(step_ms=500)
    office.rig.audited = False
    count = 1_000
    for number in range(count):
        office.rig.apply(
            {"cmd": "schedule_create", "name": f"s{number:04}", "queue": "q", "job_name": "n", "every_ms": 60_000}
        )
    office._tell()
    office.settle()
    assert office.rig.counts() == {"waiting": count}
    assert max(len(command.firings) for command in office.fired) <= limits.SCHEDULES_READ_MAX
    office.duties[0].end()
    office.rig.now_ms += 60_000
    office.fired.clear()
    office.duties[0].begin()
    office.settle()
    assert office.rig.counts() == {"waiting": 2 * count}
    assert sum(len(command.firings) for command in office.fired) == count


def test_an_entry_of_runs_is_bounded_in_jobs_and_bytes() -> None:
    office = Office()
    office.rig.audited = False
    office.duties[0].end()
    for number in range(9):
        office.define(f"s{number}", job_data="x" * 1_000_000, every_ms=3_600_000)
    office.define("often", every_ms=100)
    office.rig.now_ms += limits.SCHEDULE_GRACE_MS
    office.duties[0].begin()
    office.settle()
    jobs = [sum(len(firing.ticks) for firing in command.firings) for command in office.fired]
    assert max(jobs) <= limits.SCHEDULE_FIRES_MAX
    assert sum(jobs) == 9 + 301
    large = [sum(firing.name != "often" for firing in command.firings) for command in office.fired]
    assert max(large) <= 5


def test_a_refused_proposal_is_made_again() -> None:
    office = Office()
    office.define(every_ms=100_000)
    office.refuse = Refused.of(Unavailable.disk_full())
    office.define("t", every_ms=100_000)
    office.wait(500)
    assert office.runs("t") == []
    office.refuse = None
    office.wait(1_000)
    assert office.ticks("t") == [at(0)]


def test_nothing_runs_while_the_disk_is_full() -> None:
    office = Office()
    office.disk_full = True
    office.define()
    office.wait(2_500)
    assert (office.runs(), office.fired, office.duties[0].lag_ms) == ([], [], 2_500)
    office.disk_full = False
    office.wait(1_000)
    assert office.ticks() == seconds(0, 1, 2, 3)
    assert office.duties[0].lag_ms == 0


def test_what_may_not_be_pushed_is_a_line_of_history() -> None:
    office = Office()
    office.unwanted = "VALIDATION_ERROR: it does not fit"
    office.define()
    assert [(run["outcome"], run["error"]) for run in office.runs()] == [("refused", office.unwanted)]


def test_a_clock_that_was_set_forward_hurts_nobody() -> None:
    office = Office()
    office.define(every_ms=3_600_000, missed="once")
    office.rig.now_ms += 5 * 3_600_000 + 60_000
    office.duties[0].end()
    office.duties[0].begin()
    office.settle()
    assert [(run["outcome"], run["ticks"]) for run in office.runs()] == [("pushed", 1), ("missed", 4), ("pushed", 1)]


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 120])
def test_all_schedules_are_read_when_a_reign_begins(count: int) -> None:
    office = Office()
    office.duties[0].end()
    for number in range(count):
        office.define(f"s{number:03}", paused=number % 3 == 0)
    office.duties[0].begin()
    office.settle()
    assert office.rig.counts().get("waiting", 0) == sum(number % 3 > 0 for number in range(count))
    assert office.rig.now_ms == START_MS
