"""The small pieces of the node: what the log says about the disk, and that due work is measured."""

import logging
from dataclasses import dataclass

import pytest

from rustqueue.effects.logs import fields_of
from rustqueue.node.adapters import DiskLog
from rustqueue.raft.ports import Space
from tests.unit.gateway_world import ManualClock
from tests.unit.tcp_client import a_node, connected


@dataclass
class Disk:
    """A disk whose use is set by hand."""

    warned: bool = False
    full: bool = False
    last: Space | None = None

    def used(self, percent: int, full: bool) -> None:
        self.last = Space(100, 100 - percent)
        self.warned, self.full = percent >= 80, full


def test_every_change_of_the_disk_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rustqueue.node")
    clock, disk = ManualClock(), Disk()
    disk_log = DiskLog(disk, clock)
    disk_log.start()
    for percent, full in ((50, False), (81, False), (82, False), (91, True), (86, True), (84, False), (60, False)):
        disk.used(percent, full)
        clock.pass_ms(1_000)
    said = [(record.levelname, record.getMessage(), fields_of(record)["used_percent"]) for record in caplog.records]
    assert said == [
        ("WARNING", "disk filling up", 81),
        ("ERROR", "disk full, pushes are refused", 91),
        ("WARNING", "disk filling up", 84),
        ("INFO", "disk has room again", 60),
    ]
    disk_log.stop()
    assert clock.timers_count == 0


async def test_a_delayed_job_reaches_a_waiting_worker_and_the_tick_is_measured() -> None:
    async with a_node() as node, connected(node) as client:
        client.send("pull", queue="mail", wait_ms=60_000, request_id="w")
        pushed = await client.ask("push", queue="mail", name="n", delay_ms=30)
        delivered = await client.answer()
        assert (delivered["request_id"], delivered["job"]["id"]) == ("w", pushed["id"])
        text = node.metrics.text().decode()
        [line] = [line for line in text.splitlines() if line.startswith("rustqueue_scheduler_tick_duration_seconds ")]
        assert float(line.split()[1]) > 0
