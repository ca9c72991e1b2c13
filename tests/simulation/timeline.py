"""Simulated time: one heap of events, and the clock and threads of one process that live on it.

It must not know what the events do. Invariants: events run in order of time, those of one moment in the order in which
they were asked for; nothing of a process runs after it is dead; all chance comes from the generators that are given.
"""

import contextlib
import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from rustqueue.raft.ports import JobDone
from tests.simulation.disk import PowerLost, SimDisk

Call = Callable[[], None]


class Timeline:
    """The heap. Times are microseconds since the world began."""

    def __init__(self) -> None:
        self.now_us = 0
        self.events_count = 0
        self._heap: list[tuple[int, int, list[Call]]] = []
        self._sequence = 0

    def after(self, delay_us: int, call: Call) -> Call:
        """Call at that time; what is returned cancels it."""
        self._sequence += 1
        cell = [call]
        heapq.heappush(self._heap, (self.now_us + max(0, delay_us), self._sequence, cell))
        return cell.clear

    def step(self) -> bool:
        """Run the next event; False when there is none."""
        while self._heap:
            time_us, _, cell = heapq.heappop(self._heap)
            if cell:
                self.now_us = time_us
                self.events_count += 1
                cell[0]()
                return True
        return False

    def run_until(self, time_us: int) -> None:
        while self._heap and self._heap[0][0] <= time_us:
            self.step()
        self.now_us = max(self.now_us, time_us)

    def run_while(self, condition: Callable[[], bool]) -> None:
        while condition() and self.step():
            pass


class HostClock:
    """The clocks of one machine: a monotonic one that drifts and a wall clock that may also step."""

    def __init__(self, timeline: Timeline, wall_ms: int) -> None:
        self._timeline = timeline
        self._anchor_us = timeline.now_us
        self._anchor_monotonic_us = 1_000_000
        self._rate_ppm = 0
        self._wall_offset_us = wall_ms * 1_000 - self._anchor_monotonic_us

    def monotonic_us(self) -> int:
        elapsed_us = self._timeline.now_us - self._anchor_us
        return self._anchor_monotonic_us + elapsed_us + elapsed_us * self._rate_ppm // 1_000_000

    def wall_ms(self) -> int:
        return (self.monotonic_us() + self._wall_offset_us) // 1_000

    def elapse(self, duration_us: int) -> None:
        """The machine has worked for so long within one moment of the world."""
        self._anchor_monotonic_us = self.monotonic_us() + duration_us
        self._anchor_us = self._timeline.now_us

    def drift(self, rate_ppm: int) -> None:
        self._anchor_monotonic_us = self.monotonic_us()
        self._anchor_us = self._timeline.now_us
        self._rate_ppm = rate_ppm

    def step_wall(self, step_ms: int) -> None:
        self._wall_offset_us += step_ms * 1_000


class Process:
    """One life of the node: whatever was scheduled for it vanishes when it dies."""

    def __init__(self, timeline: Timeline, host: HostClock) -> None:
        self.timeline = timeline
        self.host = host
        self.alive = True
        self.paused_until_us = 0
        self.power_lost: Call | None = None
        """Called when the power goes in the middle of what the process does; None: then it must not."""

    def after(self, delay_us: int, call: Call) -> Call:
        cancelled = False

        def run() -> None:
            if not self.alive or cancelled:
                return
            pause_us = self.paused_until_us - self.timeline.now_us
            if pause_us > 0:
                self.timeline.after(pause_us, run)
            elif self.power_lost is None:
                call()
            else:
                try:
                    call()
                except PowerLost:
                    self.power_lost()

        cancel_event = self.timeline.after(delay_us, run)

        def cancel() -> None:
            nonlocal cancelled
            cancelled = True
            cancel_event()

        return cancel

    def pause(self, duration_us: int) -> None:
        """Stopped, as by SIGSTOP: nothing of it runs for so long, and then everything that came meanwhile."""
        self.paused_until_us = self.timeline.now_us + duration_us

    # The `Clock` port.

    def monotonic_us(self) -> int:
        return self.host.monotonic_us()

    def wall_ms(self) -> int:
        return self.host.wall_ms()

    def call_soon(self, call: Call) -> None:
        self.after(0, call)

    def call_later(self, delay_ms: int, call: Call) -> Call:
        return self.after(delay_ms * 1_000, call)


class SimExecutor:
    """A thread of a process: jobs in order, each takes some time and has its effect at the end of it."""

    def __init__(self, process: Process, delay_us: Callable[[], int]) -> None:
        self._process = process
        self._delay_us = delay_us
        self._jobs: deque[tuple[Callable[[], Any], JobDone]] = deque()
        self.began: Callable[[int], None] = lambda delay_us: None
        """Told how long it will take whenever a job begins."""

    def run(self, job: Callable[[], Any], done: JobDone) -> None:
        self._jobs.append((job, done))
        if len(self._jobs) == 1:
            self._begin()

    def close(self) -> None:
        pass

    def interrupted(self, disk: SimDisk, rng: Random) -> None:
        """The process dies now. The job that runs may have come any way along."""
        if self._jobs and rng.random() < 0.9:
            # Most jobs are a write and a sync, and between the two is where data is lost.
            disk.power_fails_in = 1 if rng.random() < 0.6 else rng.randrange(8)
            with contextlib.suppress(PowerLost, Exception):
                self._finish_job(self._jobs[0][0])
            disk.power_fails_in = None
        self._jobs.clear()

    def _begin(self) -> None:
        self._start_job(self._jobs[0][0])
        delay_us = self._delay_us()
        self._process.after(delay_us, self._end)
        self.began(delay_us)

    def _end(self) -> None:
        job, done = self._jobs[0]
        result, failure = None, None
        try:
            result = self._finish_job(job)
        except Exception as error:
            failure = error
        self._jobs.popleft()
        if self._jobs:
            self._begin()
        done(result, failure)

    def _start_job(self, job: Callable[[], Any]) -> None:
        """What of a job happens at its beginning: nothing, unless a subclass knows better."""

    def _finish_job(self, job: Callable[[], Any]) -> Any:
        return job()
