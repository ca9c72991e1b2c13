"""What every case is given: how much to do, how to start servers, which peers there are, and how to take a sample.

Knows the options of the command line. Cases take their sizes from here and nowhere else look at options.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.load import Prepare, Sample, measure
from benchmarks.peers import PeerMissing
from benchmarks.processes import ForeignCpu, pause, settle
from benchmarks.results import CaseResult
from benchmarks.servers import Server, Starter

QUIET_CORES = 0.25

Joined = TypeVar("Joined")


@dataclass(frozen=True, slots=True)
class Context:
    """The run's options and its starter."""

    starter: Starter
    peers: bool
    quick: bool
    huge: bool
    repeats: int
    quiet_wait_s: float

    def jobs(self, full: int) -> int:
        """Scales a number of jobs down for a quick run; the result stays a multiple of a batch for 8 connections."""
        return max(400, full // 10 // 400 * 400) if self.quick else full

    def join(
        self,
        result: CaseResult,
        stack: contextlib.ExitStack,
        taking_part: list[Joined],
        peer: contextlib.AbstractContextManager[Joined],
    ) -> None:
        """Starts a peer and lets it take part, or notes why it does not."""
        try:
            taking_part.append(stack.enter_context(peer))
        except PeerMissing as missing:
            result.skipped.append(str(missing))

    def wait_for_quiet(self) -> None:
        """Gives strangers on the machine a bounded chance to finish."""
        deadline = time.monotonic() + self.quiet_wait_s
        while time.monotonic() < deadline:
            foreign = ForeignCpu()
            pause(0.5)
            if foreign.cores() < QUIET_CORES:
                return

    def rest(self, servers: Sequence[Server]) -> None:
        """Lets servers finish their background work, and strangers theirs, before a figure is taken."""
        settle([pid for server in servers for pid in server.pids])
        self.wait_for_quiet()

    def sample(self, result: CaseResult, prepares: Sequence[Prepare], server: Server) -> Sample:
        """One phase on one server."""
        sample = measure(prepares, server.pids)
        result.foreign_cores.append(sample.foreign_cores)
        return sample

    def rate(self, result: CaseResult, what: str, prepares: Sequence[Prepare], server: Server) -> None:
        """One phase, added to the result as jobs/s and as server CPU for a job."""
        sample = self.sample(result, prepares, server)
        result.add(server.name, what, "jobs/s", sample.jobs_per_s)
        result.add(server.name, f"{what}: server CPU", "µs/job", sample.server_us_per_job)
        say(f"  {server.name:<16} {what:<28} {sample.jobs_per_s:>10,.0f} jobs/s")


def say(text: str) -> None:
    """Progress for the person who waits; the table and the JSON come at the end."""
    print(text, file=sys.stderr, flush=True)
