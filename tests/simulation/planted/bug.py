"""A planted bug, the worlds in which it is looked for, and the search."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from tests.simulation.cluster_world import ClusterWorld
from tests.simulation.member_node import MemberVariant
from tests.simulation.world import World

SEEDS_MAX = 60


class Swarm(NamedTuple):
    """A world that is hard in one direction: these faults so often, on such links, with such clients."""

    kinds: tuple[str, ...]
    load_s: int = 15
    fault_mean_ms: int | None = None
    latency_ms: int | None = None
    think_ms: int | None = None
    late_ms: int | None = None
    """So long takes what a node sends to the next one, all the time."""


class SwarmWorld(ClusterWorld):
    """A cluster's world as its swarm says."""

    odd = False

    def __init__(self, seed: int, variant: MemberVariant, swarm: Swarm) -> None:
        self._swarm = swarm
        if swarm.fault_mean_ms is not None:
            self.fault_mean_us = swarm.fault_mean_ms * 1_000
        super().__init__(seed, variant, swarm.kinds, swarm.load_s * 1_000_000)
        if swarm.latency_ms is not None:
            self.network.latency_us = swarm.latency_ms * 1_000
        if swarm.late_ms is not None:
            names = [node.name for node in self.nodes]
            for source, target in zip(names, [*names[1:], names[0]], strict=True):
                self.network.slow[source, target] = swarm.late_ms * 1_000

    def _think_us(self, rng: Random) -> int:
        usual_us = super()._think_us(rng)
        return usual_us if self._swarm.think_ms is None else self._swarm.think_ms * 1_000


@dataclass(frozen=True, slots=True)
class Bug:
    """What is wrong, and the worlds that show it: from the seed `first` on, where it is found soon."""

    name: str
    world: Callable[[int], World]
    first: int = 0


class Found(NamedTuple):
    seed: int
    how: str
    seconds: float


def find(bug: Bug, seeds_max: int = SEEDS_MAX) -> Found | None:
    """The first world that breaks a promise."""
    began = time.monotonic()
    for seed in range(bug.first, bug.first + seeds_max):
        try:
            bug.world(seed).run()
        except Exception as error:
            return Found(seed, f"{type(error).__name__}: {error}", time.monotonic() - began)
    return None
