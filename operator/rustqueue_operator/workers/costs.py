"""What removing each worker's pod would cost, as Kubernetes counts it: pods of lower cost go first. Pure.

A ReplicaSet that shrinks picks its victims by `controller.kubernetes.io/pod-deletion-cost`; without it a busy worker is
as good as an idle one. Only what changed is written, and a worker counts as idle only when it was so twice in a row:
workers of short jobs would otherwise be written about all the time.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
BUSY_MAX: Final = 1_000


class Pod(Struct, frozen=True):
    """A worker's pod; its name is the worker's id. `cost` is what stands there now, None for nothing."""

    namespace: str
    name: str
    cost: str | None


class Costs:
    """Remembers who was idle at the last look."""

    def __init__(self) -> None:
        self._idle: set[tuple[str, str]] = set()

    def changes(self, pods: Iterable[Pod], leases: dict[str, int]) -> list[tuple[Pod, str]]:
        """Which pods need another cost. `leases` is by worker; who is not in it has none."""
        wanted = []
        idle = set()
        for pod in pods:
            held = leases.get(pod.name, 0)
            key = (pod.namespace, pod.name)
            if held == 0:
                idle.add(key)
                if pod.cost not in (None, "0") and key in self._idle:
                    wanted.append((pod, "0"))
            elif pod.cost != _cost(held):
                wanted.append((pod, _cost(held)))
        self._idle = idle
        return wanted


def _cost(leases: int) -> str:
    """Powers of two: how busy exactly is not worth a write."""
    return str(min(BUSY_MAX, 1 << (leases.bit_length() - 1)))
