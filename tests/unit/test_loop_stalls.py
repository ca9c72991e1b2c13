"""A loop that stands still is counted and told of, and where it stands is written while it does."""

import logging
import subprocess
import sys

import pytest

from rustqueue.effects.stalls import STALL_MS, TURN_MS, LoopStalls
from tests.simulation.timeline import HostClock, Process, Timeline
from tests.unit.tcp_client import a_node

HANGS = """
import sys
from rustqueue.effects.stalls import StackAlarm

def what_holds_it(alarm):
    alarm.set()
    sys.stdin.readline()
    alarm.off()

what_holds_it(StackAlarm(sys.stderr, after_s=0.1))
"""


class CountedAlarm:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def set(self) -> None:
        self.calls.append("set")

    def off(self) -> None:
        self.calls.append("off")


def test_a_turn_that_comes_late_is_counted_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    # Given a loop that is looked at
    timeline = Timeline()
    host = HostClock(timeline, 1_760_000_000_000)
    process = Process(timeline, host)
    stalls, alarm = LoopStalls(process.monotonic_us, process.call_later), CountedAlarm()
    stalls.alarm = alarm
    stop = stalls.start()
    with caplog.at_level(logging.WARNING):
        # When it turns in time
        timeline.run_until(timeline.now_us + 3_500_000)
        # Then nothing is said, and the alarm is set again by each turn
        assert (stalls.count, caplog.messages) == (0, [])
        assert alarm.calls == ["set"] * 4
        # When something takes as long as a stall, in a turn
        timeline.after(100_000, lambda: host.elapse((TURN_MS + STALL_MS) * 1_000))
        timeline.run_until(timeline.now_us + 4_000_000)
    # Then it is one stall, however long
    assert stalls.count == 1
    assert caplog.messages == ["the event loop stood still"]
    assert caplog.records[0].__dict__["stood_ms"] >= STALL_MS
    # And none after the stop
    set_count = alarm.calls.count("set")
    stop()
    timeline.run_until(timeline.now_us + 5_000_000)
    assert alarm.calls.count("set") == set_count
    assert alarm.calls[-1] == "off"


def test_what_holds_the_loop_is_named_while_it_does() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", HANGS],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stderr is not None
    lines: list[str] = []
    for line in program.stderr:
        lines.append(line)
        if "in what_holds_it" in line:
            break
    _, rest = program.communicate("go on\n", 60)
    assert program.returncode == 0, "".join(lines) + rest
    assert any(line.startswith("Timeout") for line in lines)


async def test_a_node_tells_how_often_its_loop_stood_still() -> None:
    async with a_node() as node:
        node.stalls.count = 2
        assert b"rustqueue_loop_stalls_total 2.0" in node.metrics.text()
