"""The rounds in which costs are looked at: list the pods with the label, ask their clusters who holds what, write."""

import logging
from collections.abc import Iterable
from typing import Any, Final

from rustqueue_operator.backend import NoAnswer
from rustqueue_operator.clusters import Clusters
from rustqueue_operator.kinds.fields import ClusterRef
from rustqueue_operator.kube.calls import Calls, KubernetesError
from rustqueue_operator.kube.workloads import Workloads
from rustqueue_operator.workers.costs import ANNOTATION, Costs, Pod

log: Final = logging.getLogger("rustqueue.operator")

LABEL: Final = "rustqueue.io/worker"
"""Its value is the name of a cluster in the pod's namespace, or `true` for the one that is meant without reference."""


class Rounds:
    """One for each operator."""

    def __init__(self, calls: Calls, clusters: Clusters, namespaces: tuple[str, ...]) -> None:
        self._workloads = Workloads(calls)
        self._clusters = clusters
        self._namespaces = namespaces
        self._costs = Costs()

    async def go(self) -> None:
        """One round. A cluster that does not answer keeps the costs of its workers as they are."""
        pods: list[Pod] = []
        leases: dict[str, int] = {}
        for cluster, its_pods in (await self._pods()).items():
            held = await self._leases(cluster)
            if held is not None:
                pods += its_pods
                leases.update(held)
        await self._write(self._costs.changes(pods, leases))

    async def _pods(self) -> dict[str, list[Pod]]:
        """Worker pods by the cluster that they pull from."""
        found: dict[str, list[Pod]] = {}
        for scope in self._namespaces or (None,):
            for item in await self._workloads.pods(scope, LABEL):
                metadata: dict[str, Any] = item["metadata"]
                name = metadata["labels"][LABEL]
                ref = None if name == "true" else ClusterRef(name=name)
                cluster = self._clusters.resolve(metadata["namespace"], ref).name
                if cluster is not None and "deletionTimestamp" not in metadata:
                    cost = (metadata.get("annotations") or {}).get(ANNOTATION)
                    found.setdefault(cluster, []).append(Pod(metadata["namespace"], metadata["name"], cost))
        return found

    async def _leases(self, name: str) -> dict[str, int] | None:
        cluster = self._clusters.known[name]
        if cluster.silence is not None:
            return None
        try:
            return await cluster.backend.leases()
        except NoAnswer as error:
            cluster.failed(str(error))
            return None

    async def _write(self, changes: Iterable[tuple[Pod, str]]) -> None:
        for pod, cost in changes:
            try:
                await self._workloads.annotate_pod(pod.namespace, pod.name, {ANNOTATION: cost})
            except KubernetesError as error:
                # Mostly a pod that has just gone.
                log.info("cost not written", extra={"pod": f"{pod.namespace}/{pod.name}", "error": str(error)})
