"""What can happen to a cluster: each fault is a generator that begins it, waits as long as it lasts, and ends it.

A fault waits only by `yield seconds`, while the load goes on; what it does in between it does to processes, links,
disks and clocks. It must not know the load or the judge. Invariant: after its end all nodes run, all links and disks
are well; clocks may stay off.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tests.chaos.cluster.members import Cluster, Member
from tests.chaos.nodes import READY_PROBES

HOUR_MS: Final = 3_600_000
DISK_ERROR_DEADLINE_S: Final = 120
Steps = Iterator[float]


@dataclass(slots=True)
class Stage:
    """What a fault works with."""

    cluster: Cluster
    rng: random.Random
    tally: Counter[str]
    seconds: float
    """About how long a fault lasts."""
    shape: str = ""
    """Which of its kind the fault is, told before its first wait; figures of different ones do not belong together."""

    def leader(self) -> Member:
        """Who leads; anybody, when that cannot be told."""
        return self.cluster.leader() or self.rng.choice(self.cluster.members)

    def one(self) -> Member:
        """The leader more often than not: most of what can go wrong goes wrong there."""
        return self.leader() if self.rng.random() < 0.6 else self.rng.choice(self.cluster.members)

    def some(self) -> list[Member]:
        """One, two or all."""
        first = self.one()
        others = [member for member in self.cluster.members if member is not first]
        count = self.rng.choice([0, 0, 0, 1, len(others)])
        return [first, *self.rng.sample(others, count)]

    def a_while(self, most: float = 1.0) -> float:
        return self.rng.uniform(0.1, most) * self.seconds


def kill(stage: Stage) -> Steps:
    """SIGKILL, sometimes once more while it starts."""
    killed = stage.some()
    for member in killed:
        member.kill()
    stage.tally["kills"] += len(killed)
    stage.shape = f"of {len(killed)}"
    yield stage.rng.choice([0.0, stage.a_while(), stage.a_while(2.0)])
    for member in killed:
        member.launch()
        if stage.rng.random() < 0.15:
            yield stage.rng.uniform(0.0, 1.0)
            member.kill()
            stage.tally["kills"] += 1
            stage.tally["kills while starting"] += 1
            member.launch()


def power(stage: Stage) -> Steps:
    """SIGKILL, and what was not synced is gone."""
    hit = stage.some()
    for member in hit:
        member.kill()
    stage.shape = f"of {len(hit)}"
    yield stage.rng.choice([0.0, stage.a_while()])
    for member in hit:
        stage.tally.update({f"cut: {what}": count for what, count in member.cut_power(stage.rng).items()})
        member.launch()
    stage.tally["power cuts"] += 1
    stage.tally["power cuts of all"] += len(hit) == len(stage.cluster.members)


def partition(stage: Stage) -> Steps:
    """One of five shapes."""
    cluster, rng = stage.cluster, stage.rng
    numbers = [member.number for member in cluster.members]
    shape = rng.choice(["alone", "alone", "one way", "bridge", "flapping", "full"])
    one = stage.one().number
    stage.shape = shape
    if shape == "alone":
        cluster.isolate([one])
    elif shape == "one way":
        hears = rng.random() < 0.5
        cluster.network.cut([(one, other) if hears else (other, one) for other in numbers if other != one])
    elif shape == "bridge":
        a, b = rng.sample(numbers, 2)
        cluster.network.cut([(a, b), (b, a)])
    elif shape == "full":
        cluster.network.cut([(a, b) for a in numbers for b in numbers if a != b])
    else:
        for _ in range(rng.randint(2, 5)):
            cluster.isolate([rng.choice(numbers)])
            yield rng.uniform(0.05, 0.6)
            cluster.network.cut([])
            yield rng.uniform(0.05, 0.4)
    stage.tally["partitions"] += 1
    stage.tally[f"partition: {shape}"] += 1
    if shape != "flapping":
        yield stage.rng.uniform(0.3, 3.0) * stage.seconds
    cluster.network.cut([])


def pause(stage: Stage) -> Steps:
    """SIGSTOP, longer than an election, sometimes longer than a lease."""
    paused = stage.some()[:2]
    for member in paused:
        member.pause()
    stage.shape = f"of {len(paused)}"
    yield stage.rng.uniform(0.2, 3.0) * stage.seconds
    for member in paused:
        member.resume()
    stage.tally["pauses"] += 1


def stop(stage: Stage) -> Steps:
    """SIGTERM: a leader hands over first. Sometimes SIGKILL in the middle of it."""
    member = stage.one()
    stage.tally["stops"] += 1
    if stage.rng.random() < 0.3:
        member.node.kill_while_stopping(stage.rng.uniform(0.0, 0.4))
        member.runs = False
        stage.tally["kills"] += 1
        stage.tally["kills while stopping"] += 1
    else:
        member.stop()
    yield stage.a_while()
    member.launch()


def full_disk(stage: Stage) -> Steps:
    """No write finds room for a while. A node that gives up comes back when there is room."""
    member = stage.one()
    member.control.refuse_writes()
    stage.tally["full disks"] += 1
    yield stage.rng.uniform(0.3, 2.0) * stage.seconds
    member.control.good_disk()
    for _ in range(READY_PROBES):
        if member.node.is_ready():
            return
        yield 0.1
        if member.node.ended_within(0):
            stage.tally["full disks that ended a node"] += 1
            member.launch()
            return


def sync_errors(stage: Stage) -> Steps:
    """Every sync fails: the node has to end, and what it had not synced may be gone."""
    member = stage.one()
    member.control.fail_syncs()
    stage.tally["sync errors"] += 1
    waited_s = 0.0
    while not member.node.ended_within(0) and waited_s < DISK_ERROR_DEADLINE_S:
        # A follower that gets nothing to write, because there is no leader, has nothing to sync.
        yield 0.1
        waited_s += 0.1
    member.must_end(0.1)
    stage.tally.update({f"cut: {what}": count for what, count in member.cut_power(stage.rng).items()})
    member.control.good_disk()
    member.launch()


def slow_disk(stage: Stage) -> Steps:
    """Every sync takes its time."""
    member = stage.one()
    member.control.slow_syncs(stage.rng.choice([20, 100, 400]))
    yield stage.rng.uniform(0.5, 2.0) * stage.seconds
    member.control.good_disk()
    stage.tally["slow disks"] += 1


def clock(stage: Stage) -> Steps:
    """The wall clock of one node, or of all, jumps. It stays there: nothing may depend on it but what it shows."""
    offset_ms = stage.rng.choice([-HOUR_MS, -5_000, 0, 700, 5_000, HOUR_MS])
    hit = [stage.one()] if stage.rng.random() < 0.7 else stage.cluster.members
    for member in hit:
        member.control.step_clock(offset_ms)
    stage.tally["clock steps"] += 1
    yield stage.a_while()


Kind = Literal["kill", "power cut", "partition", "pause", "stop", "full disk", "sync errors", "slow disk", "clock step"]
FAULTS: Final[dict[Kind, Callable[[Stage], Steps]]] = {
    "kill": kill,
    "power cut": power,
    "partition": partition,
    "pause": pause,
    "stop": stop,
    "full disk": full_disk,
    "sync errors": sync_errors,
    "slow disk": slow_disk,
    "clock step": clock,
}
# All but the three that are counted each for itself, with the names under which they are counted.
OTHERS: Final[dict[Kind, str]] = {
    "pause": "pauses",
    "stop": "stops",
    "full disk": "full disks",
    "sync errors": "sync errors",
    "slow disk": "slow disks",
    "clock step": "clock steps",
}
