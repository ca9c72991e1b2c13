"""Schedules over failover: thousands of ticks while leader after leader is killed; none is missed, none runs twice."""

from collections.abc import Callable
from random import Random

import pytest

from rustqueue.machine.schedules import rows
from tests.simulation.clients import Ask, Script, Yard
from tests.simulation.cluster_world import ClusterWorld
from tests.simulation.world import World

SCHEDULES_COUNT = 20


def definer(runs_each: int) -> Callable[[Yard, Random, int], Script]:
    """Makes twenty schedules of one second, half of them by a cron expression in a zone, each with so many runs."""

    def script(yard: Yard, rng: Random, think_us: int) -> Script:
        for number in range(SCHEDULES_COUNT):
            timing = {"every_ms": 1_000} if number % 2 else {"cron_expr": "*/1 * * * * *", "timezone": "Europe/Paris"}
            name = f"s{number}"
            fields = {"name": name, "queue": "clock", "job_name": "tick", "job_data": {"of": name}, **timing}
            yield Ask({"cmd": "schedule_create", **fields, "max_executions": runs_each, "missed": "skip"}, True)

    return script


class FailoverWorld(ClusterWorld):
    """A cluster whose leader is killed again and again, and nothing in it but schedules."""

    drain_us_max = 60_000_000

    def __init__(self, seed: int, runs_each: int) -> None:
        super().__init__(seed, kinds=("kill leader",), load_us=(runs_each + 10) * 1_000_000)
        self._runs_each = runs_each

    def _scripts(self, rng: Random) -> list[Callable[[World, Random, int], Script]]:
        return [definer(self._runs_each)]

    def _at_rest(self) -> bool:
        up = all(node.up for node in self.nodes)
        return up and len({node.machine.applied_index for node in self.nodes}) == 1 and not self._is_scheduled()

    def _judge(self) -> None:
        machine = self._machine()
        self.trace.timetables.judge(machine)
        assert {node.machine.state_hash for node in self.nodes} == {machine.state_hash}
        for number in range(SCHEDULES_COUNT):
            table = rows.existing(machine.view(), f"s{number}").table
            # A line for each run and no other: nothing was missed, which is what `skip` would have done with it.
            assert (table.execution_count, table.runs) == (self._runs_each, self._runs_each)


def test_a_thousand_ticks_over_some_failovers() -> None:
    report = FailoverWorld(seed=2, runs_each=50).run()
    assert report.ticks_count == 1_000
    assert report.faults["kill leader"] >= 3


@pytest.mark.slow
def test_ten_thousand_ticks_over_thirty_failovers() -> None:
    report = FailoverWorld(seed=2, runs_each=500).run()
    assert report.ticks_count == 10_000
    assert report.faults["kill leader"] >= 30
