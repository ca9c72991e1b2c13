"""Leadership: at most one at a time, and the next one soon."""

import asyncio
from typing import Any

import pytest

from rustqueue_operator.kube.calls import KubernetesError
from rustqueue_operator.kube.lease import Lease, LeaseTimes, identity_of
from tests.unit.virtual_time import in_virtual_time

TIMES = LeaseTimes(duration=0.4, renew_deadline=0.2, renew=0.05, retry=0.05)
LONG_S = 60.0  # Longer than any machine stalls, for tests in which no lease may end.


class Shelf:
    """Leases with versions, as the API server keeps them; `down` refuses everything."""

    def __init__(self, duration: float = TIMES.duration) -> None:
        self._duration = duration
        self.kept: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.writes = 0
        self.pods: dict[str, dict[str, Any]] = {}

    async def pod(self, namespace: str, name: str) -> dict[str, Any] | None:
        self._answer()
        return self.pods.get(name)

    async def lease(self, namespace: str, name: str) -> dict[str, Any] | None:
        self._answer()
        return None if self.kept is None else {**self.kept, "spec": dict(self.kept["spec"])}

    async def create_lease(self, namespace: str, lease: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.kept is not None:
            raise KubernetesError(409, "exists")
        return self._keep(lease)

    async def update_lease(self, namespace: str, name: str, lease: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.kept is None or lease["metadata"]["resourceVersion"] != str(self.version):
            raise KubernetesError(409, "changed")
        return self._keep(lease)

    def _keep(self, lease: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.writes += 1
        metadata = {**lease["metadata"], "resourceVersion": str(self.version)}
        # A second is the least that Kubernetes keeps; these tests have no time for that.
        self.kept = {**lease, "metadata": metadata, "spec": {**lease["spec"], "leaseDurationSeconds": self._duration}}
        return self.kept

    def _answer(self) -> None:
        if self.down:
            raise KubernetesError(0, "no answer")


def candidate(shelf: Shelf, name: str) -> Lease:
    return Lease(shelf, "queues", "operator", name, TIMES)


@in_virtual_time
async def test_the_first_leads_and_the_second_waits_until_it_is_gone() -> None:
    shelf = Shelf()
    first, second = candidate(shelf, "first"), candidate(shelf, "second")
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60):
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.wait({waiting}, timeout=TIMES.duration * 2)
        assert not waiting.done()

        holding.cancel()
        gone = loop.time()
        await waiting

    assert loop.time() - gone >= TIMES.duration - TIMES.retry * 2
    assert shelf.kept is not None
    assert (shelf.kept["spec"]["holderIdentity"], shelf.kept["spec"]["leaseTransitions"]) == ("second", 1)


@in_virtual_time
async def test_who_gives_it_back_is_followed_at_once() -> None:
    shelf = Shelf()
    first, second = candidate(shelf, "first"), candidate(shelf, "second")
    async with asyncio.timeout(60):
        await first.acquire()
        await first.release()
        begun = asyncio.get_running_loop().time()
        await second.acquire()

    assert asyncio.get_running_loop().time() - begun < TIMES.duration


@in_virtual_time
async def test_who_cannot_renew_stops_before_another_may_begin() -> None:
    shelf = Shelf()
    first = candidate(shelf, "first")
    async with asyncio.timeout(60):
        await first.acquire()
        shelf.down = True
        begun = asyncio.get_running_loop().time()
        await first.hold()

    assert asyncio.get_running_loop().time() - begun < TIMES.duration


@in_virtual_time
async def test_who_was_replaced_stops() -> None:
    shelf = Shelf()
    first = candidate(shelf, "first")
    async with asyncio.timeout(60):
        await first.acquire()
        assert shelf.kept is not None
        shelf.kept["spec"]["holderIdentity"] = "second"
        await first.hold()


@in_virtual_time
async def test_of_two_that_try_together_one_leads() -> None:
    shelf = Shelf()
    candidates = [candidate(shelf, name) for name in ("a", "b", "c")]
    tasks = [asyncio.create_task(each.acquire()) for each in candidates]
    done, waiting = await asyncio.wait(tasks, timeout=TIMES.duration / 2)

    assert (len(done), len(waiting)) == (1, 2)
    for task in waiting:
        task.cancel()


def pod(uid: str, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"uid": uid}, "status": {"phase": phase}}


@pytest.mark.parametrize("after", [None, pod("another"), pod("uid-1", "Failed")])
@in_virtual_time
async def test_a_holder_whose_pod_is_gone_is_followed_at_once(after: dict[str, Any] | None) -> None:
    shelf = Shelf(LONG_S)
    shelf.pods = {"op-1": pod("uid-1"), "op-2": pod("uid-2")}
    first, second = (candidate(shelf, identity_of(f"op-{number}", f"uid-{number}", 1)) for number in (1, 2))
    async with asyncio.timeout(LONG_S / 2):
        await first.acquire()
        waiting = asyncio.create_task(second.acquire())
        await asyncio.wait({waiting}, timeout=TIMES.duration / 2)
        assert not waiting.done()

        del shelf.pods["op-1"]
        if after is not None:
            shelf.pods["op-1"] = after
        await waiting

    assert shelf.kept is not None
    assert shelf.kept["spec"]["holderIdentity"] == "op-2_uid-2"


@in_virtual_time
async def test_the_next_process_of_a_pod_goes_on_with_its_lease() -> None:
    shelf = Shelf(LONG_S)
    names = [identity_of("op-1", "uid-1", process) for process in (1, 2)]
    await candidate(shelf, names[0]).acquire()
    async with asyncio.timeout(LONG_S / 2):
        await candidate(shelf, names[1]).acquire()


@in_virtual_time
async def test_who_is_waiting_writes_nothing() -> None:
    shelf = Shelf(LONG_S)
    await candidate(shelf, "first").acquire()
    waiting = asyncio.create_task(candidate(shelf, "second").acquire())
    await asyncio.wait({waiting}, timeout=TIMES.duration / 2)
    waiting.cancel()

    assert shelf.writes == 1


def test_an_idle_leader_writes_less_than_once_a_minute_and_stops_before_another_may_begin() -> None:
    times = LeaseTimes()

    assert 60 < times.renew < times.renew_deadline < times.duration
    assert times.renew + 3 * times.retry < times.renew_deadline, "there is time to try again"
