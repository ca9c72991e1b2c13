"""The walk of the operator through its failpoints: one death after the other, in its pods.

A container that ends for the first time is started again at once, later Kubernetes waits. So a pod dies once in place,
goes on under its own name, and is deleted at its second death, when the other replica takes over.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from e2e.harness.kubectl import Kubectl, Object
from e2e.harness.waiting import until
from rustqueue_operator.failpoints import EXIT_CODE, FILE
from rustqueue_operator.kinds.table import KINDS
from rustqueue_operator.kube.calls import VERBS, VERBS_FOR_CERTIFICATES, VERBS_FOR_WORKERS

PODS = "app.kubernetes.io/component=operator"
# In the folder of the pod, which outlives the container.
ARMED = "/tmp/failpoint"
SETTING = {"name": FILE, "value": ARMED}
METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH"}
STEP_S = 90


def every_point() -> set[str]:
    """All that an operator ever writes: what its roles let it, and the calls that change a cluster."""
    rights = [*VERBS.items(), *VERBS_FOR_CERTIFICATES.items(), *VERBS_FOR_WORKERS.items()]
    to_kubernetes = {f"{METHODS[verb]} {each[1]}" for each, verbs in rights for verb in verbs if verb in METHODS}
    to_clusters = {f"{method} /{kind.plural}" for kind in KINDS.values() for method in ("PUT", "DELETE")}
    return to_kubernetes | to_clusters | {"DELETE /cluster/members"}


@dataclass
class Walk:
    """`deaths`: where, in which pod, and how it came back."""

    kubectl: Kubectl
    note: Callable[..., None]
    deaths: list[tuple[str, str, str]] = field(default_factory=list)

    def die(self, point: str, trigger: Callable[[], object]) -> None:
        """Whoever leads dies at the point, which the trigger makes it reach."""
        pod = until("a leader", self.leader, STEP_S)
        before = self._arm(pod, point)
        trigger()
        until(f"{pod} to die {point}", lambda: self._died(pod, before), STEP_S)
        self._come_back(pod, point)

    def die_taking_over(self, point: str, free: Callable[[], object]) -> None:
        """The one that waits dies at the point. Who leads may renew the lease, so it is freed again and again."""
        leader = until("a leader", self.leader, STEP_S)
        pod = until("one that waits", lambda: self._fresh(leader), STEP_S, every=0.5)
        before = self._arm(pod, point)

        def died() -> bool:
            if self._died(pod, before):
                return True
            free()
            return False

        until(f"{pod} to die {point}", died, STEP_S, every=2)
        self._come_back(pod, point)
        until(f"{pod} to lead", lambda: self.leader() == pod, STEP_S)
        self._delete(leader)

    def leader(self) -> str:
        """The pod that holds the lease, if there is such a pod."""
        holder = self.lease()["spec"].get("holderIdentity") or ""
        name, _, uid = holder.rpartition("_")
        pods = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self._pods()}
        return name if pods.get(name) == uid else ""

    def lease(self) -> Object:
        found = self.kubectl.items("leases")
        return found[0] if found else {"metadata": {}, "spec": {}}

    def _pods(self) -> list[Object]:
        return [pod for pod in self.kubectl.items("pods", PODS) if "deletionTimestamp" not in pod["metadata"]]

    def _fresh(self, leader: str) -> str:
        """One that works, does not lead, and has not died yet."""
        dead = {pod for _, pod, _ in self.deaths}
        names = [pod["metadata"]["name"] for pod in self._pods() if is_ready(pod)]
        return next((name for name in names if name != leader and name not in dead), "")

    def _arm(self, pod: str, point: str) -> set[str]:
        """How its container has died up to now."""
        write = ["exec", pod, "--", "python", "-c", f"open({ARMED!r}, 'w').write({point!r})"]
        until(f"{pod} to be told {point}", lambda: self.kubectl.works(*write), STEP_S, every=0.3)
        return set(self._ends(pod))

    def _died(self, pod: str, before: set[str]) -> bool:
        return bool(set(self._ends(pod)) - before)

    def _ends(self, pod: str) -> Iterator[str]:
        """The containers of a pod that died at a failpoint and of which Kubernetes still knows."""
        found = self.kubectl.find("pod", pod) or {}
        for status in found.get("status", {}).get("containerStatuses", []):
            for state in (status["state"], status["lastState"]):
                if state.get("terminated", {}).get("exitCode") == EXIT_CODE:
                    yield str(state["terminated"]["containerID"])

    def _come_back(self, pod: str, point: str) -> None:
        again = pod in {each for _, each, _ in self.deaths}
        if again:
            self._delete(pod)
        how = "the other went on" if again else "started again"
        self.deaths.append((point, pod, how))
        self.note("operator died", point=point, pod=pod, then=how)

    def _delete(self, pod: str) -> None:
        self.kubectl.run("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")

    def report(self) -> str:
        return "".join(json.dumps({"at": point, "pod": pod, "then": how}) + "\n" for point, pod, how in self.deaths)


def is_ready(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return bool(statuses) and all(status["ready"] for status in statuses)
