"""Leadership by a Lease: of two replicas one works. Who cannot renew in time stops before another may begin.

Invariant: `hold` returns, at the latest, `renew_deadline_s` after the last renewal that succeeded, which is sooner than
`duration_s`, after which another takes over. Clocks of different machines are not compared: a candidate waits until it
has itself seen the lease unchanged for its duration. A lease lasts long, so that an idle operator hardly ever writes; a
holder whose pod is gone is followed at once all the same, since a candidate looks and looking is no write.
"""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from msgspec import Struct

from rustqueue_operator.kube.calls import KubernetesError

_SIGN: Final = "_"  # Names of pods have none.


class Leases(Protocol):
    """Where leases are kept, and the pods of their holders; `KubernetesError` means refused or no answer."""

    async def lease(self, namespace: str, name: str) -> dict[str, Any] | None: ...
    async def create_lease(self, namespace: str, lease: dict[str, Any]) -> dict[str, Any]: ...
    async def update_lease(self, namespace: str, name: str, lease: dict[str, Any]) -> dict[str, Any]: ...
    async def pod(self, namespace: str, name: str) -> dict[str, Any] | None: ...


class LeaseTimes(Struct, frozen=True):
    """In seconds. `renew` is how often a leader writes, `retry` how soon it tries again and how often others look."""

    duration: float = 100.0
    renew_deadline: float = 85.0
    renew: float = 65.0
    retry: float = 4.0


def identity_of(pod: str, uid: str | None, process: int) -> str:
    """Who holds a lease: a pod where there is one, so that its next process goes on and others see that it is gone."""
    return f"{pod}-{process}" if uid is None else f"{pod}{_SIGN}{uid}"


class Lease:
    """One candidate."""

    def __init__(self, calls: Leases, namespace: str, name: str, identity: str, times: LeaseTimes) -> None:
        self._calls = calls
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._times = times
        self._seen: tuple[str, float] | None = None
        self.transitions = 0

    async def acquire(self) -> None:
        """Return once this process is the leader."""
        while not await self._try():  # noqa: ASYNC110
            # Nobody can wake us: what is waited for happens in another process.
            await asyncio.sleep(self._times.retry * (0.75 + random.random() / 2))

    async def hold(self) -> None:
        """Renew; return when leadership is lost or in doubt."""
        monotonic = asyncio.get_running_loop().time
        renewed = monotonic()
        pause = self._times.renew
        while True:
            await asyncio.sleep(pause)
            left = self._times.renew_deadline - (monotonic() - renewed)
            begun = monotonic()
            try:
                async with asyncio.timeout(max(0.1, left)):
                    held = await self._try()
            except TimeoutError:
                return
            pause = self._times.renew if held else self._times.retry
            if held:
                renewed = begun
            elif self._lost or monotonic() - renewed >= self._times.renew_deadline:
                return

    async def release(self) -> None:
        """Let the other begin at once. Best effort: the process is about to end."""
        try:
            lease = await self._calls.lease(self._namespace, self._name)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                await self._calls.update_lease(self._namespace, self._name, lease)
        except KubernetesError:
            return

    async def _try(self) -> bool:
        """Take or renew the lease if it is ours or free."""
        self._lost = False
        try:
            lease = await self._calls.lease(self._namespace, self._name)
            if lease is None:
                await self._calls.create_lease(self._namespace, self._new())
                return True
            if not self._may_take(lease) and not await self._is_gone(lease["spec"]["holderIdentity"]):
                self._lost = True
                return False
            await self._calls.update_lease(self._namespace, self._name, self._taken(lease))
        except KubernetesError:
            # Refused (somebody was quicker) or no answer: either way we have not renewed.
            return False
        return True

    def _may_take(self, lease: dict[str, Any]) -> bool:
        spec = lease["spec"]
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        version, now = lease["metadata"]["resourceVersion"], asyncio.get_running_loop().time()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] >= float(spec.get("leaseDurationSeconds") or self._times.duration)

    async def _is_gone(self, holder: str) -> bool:
        """Whether the pod of a holder does not exist any more or has ended for good. Only who leads no lease asks."""
        name, sign, uid = holder.rpartition(_SIGN)
        if not sign:
            return False
        try:
            pod = await self._calls.pod(self._namespace, name)
        except KubernetesError as error:
            if error.status != 403:
                raise
            return False
        if pod is None or pod["metadata"]["uid"] != uid:
            return True
        return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    def _new(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(0, _now()),
        }

    def _taken(self, lease: dict[str, Any]) -> dict[str, Any]:
        """The whole lease with its resourceVersion, so that of two candidates one is refused."""
        spec = lease["spec"]
        mine = spec.get("holderIdentity") == self._identity
        transitions = int(spec.get("leaseTransitions") or 0) + (0 if mine else 1)
        acquired = spec["acquireTime"] if mine and "acquireTime" in spec else _now()
        self.transitions = transitions
        return {**lease, "spec": self._spec(transitions, acquired)}

    def _spec(self, transitions: int, acquired: str) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._times.duration)),
            "acquireTime": acquired,
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
