"""The rounds in which the nodes of each cluster are looked at: gather, plan, carry out. Decides nothing.

What was done or could not be done is told as an event of the StatefulSet; what could not be done is told once.
"""

import logging
from typing import Any, Final

from rustqueue_operator.backend import NoAnswer
from rustqueue_operator.clusters import Cluster, Clusters
from rustqueue_operator.kube.calls import Calls, KubernetesError
from rustqueue_operator.kube.workloads import Workloads
from rustqueue_operator.members.planning import (
    STORAGE,
    Claim,
    GrowClaim,
    Member,
    RemoveMember,
    Seen,
    Step,
    beyond,
    plan,
)
from rustqueue_operator.metrics import Metrics
from rustqueue_operator.news import News
from rustqueue_operator.planning.values import Refusal

log: Final = logging.getLogger("rustqueue.operator")


class Rounds:
    """One for each operator."""

    def __init__(self, calls: Calls, clusters: Clusters, metrics: Metrics) -> None:
        self._workloads = Workloads(calls)
        self._clusters = clusters
        self._news = News(calls, metrics)
        self._told: dict[str, str] = {}
        """What could not be done at the last look, by cluster and by claim."""

    async def go(self) -> None:
        """One round over all clusters whose ConfigMap names a StatefulSet. One that does not answer is left alone."""
        for name, cluster in list(self._clusters.known.items()):
            if cluster.entry.stateful_set is None or cluster.entry.problem is not None:
                continue
            namespace = name.partition("/")[0]
            try:
                problem = await self._look(namespace, cluster, cluster.entry.stateful_set)
            except KubernetesError as error:
                problem = str(error)
            if problem and self._told.get(name) != problem:
                log.warning("nodes not looked after", extra={"cluster": name, "error": problem})
            self._told[name] = problem

    async def _look(self, namespace: str, cluster: Cluster, name: str) -> str:
        """What could not be done."""
        found = await self._workloads.stateful_set(namespace, name)
        if found is None:
            return ""
        seen = await self._seen(namespace, cluster, found)
        return "; ".join([text for step in plan(seen) if (text := await self._step(namespace, cluster, found, step))])

    async def _seen(self, namespace: str, cluster: Cluster, found: dict[str, Any]) -> Seen:
        metadata, spec = found["metadata"], found["spec"]
        name: str = metadata["name"]
        size = None if "deletionTimestamp" in metadata else int(spec.get("replicas") or 0)
        has_leader, members = await self._members(cluster)
        absent = set()
        for member in beyond(name, size, members):
            if await self._workloads.pod(namespace, member.node) is None:
                absent.add(member.node)
        storage = (metadata.get("annotations") or {}).get(STORAGE)
        claims = () if storage is None else await self._claims(namespace, name, spec, size or 0)
        return Seen(
            stateful_set=name,
            size=size,
            has_leader=has_leader,
            members=members,
            absent=frozenset(absent),
            storage=storage,
            claims=claims,
        )

    async def _members(self, cluster: Cluster) -> tuple[bool, tuple[Member, ...]]:
        """Whether somebody leads, and who belongs to the cluster; nobody as long as it does not answer."""
        if cluster.silence is not None:
            return False, ()
        try:
            answer = await cluster.backend.cluster()
        except NoAnswer as error:
            cluster.failed(str(error))
            return False, ()
        members = tuple(Member(str(each["id"])) for each in answer.get("members") or ())
        return answer.get("leader") is not None, members

    async def _claims(self, namespace: str, name: str, spec: dict[str, Any], size: int) -> tuple[Claim, ...]:
        claims = []
        for template in spec.get("volumeClaimTemplates") or ():
            for ordinal in range(size):
                claim = f"{template['metadata']['name']}-{name}-{ordinal}"
                found = await self._workloads.claim(namespace, claim)
                if found is not None and "deletionTimestamp" not in found["metadata"]:
                    claims.append(Claim(claim, str(found["spec"]["resources"]["requests"]["storage"])))
        return tuple(claims)

    async def _step(self, namespace: str, cluster: Cluster, about: dict[str, Any], step: Step) -> str:
        """Carry one out; why it could not be, or nothing."""
        if isinstance(step, GrowClaim):
            return await self._grow(namespace, about, step)
        return await self._remove(namespace, cluster, about, step)

    async def _remove(self, namespace: str, cluster: Cluster, about: dict[str, Any], step: RemoveMember) -> str:
        try:
            refusal = await cluster.backend.remove_member(step.member.id)
        except NoAnswer as error:
            # Whether it happened is seen by the next look.
            cluster.failed(str(error))
            return ""
        if isinstance(refusal, Refusal):
            return f"member {step.member.id} was not removed: {refusal.code}: {refusal.message}"
        await self._news.tell(about, "Normal", "MemberRemoved", f"{step.member.id}: its pod is gone for good")
        return ""

    async def _grow(self, namespace: str, about: dict[str, Any], step: GrowClaim) -> str:
        try:
            await self._workloads.grow_claim(namespace, step.name, step.storage)
        except KubernetesError as error:
            text = f"{step.name} stays at {step.before}: {error.message}"
            if self._told.get(f"{namespace}/{step.name}") != text:
                self._told[f"{namespace}/{step.name}"] = text
                await self._news.tell(about, "Warning", "VolumeNotGrown", text)
            return ""
        await self._news.tell(about, "Normal", "VolumeGrown", f"{step.name}: {step.before} to {step.storage}")
        return ""
