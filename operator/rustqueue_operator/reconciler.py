"""Brings one object and its thing in the cluster together: look, plan, act, until there is nothing left to do.

Decides nothing: what to do is the planner's. It gathers what the planner needs, carries out what it says and writes the
status. Any exception but those of the API server and the cluster is a defect and is told by the caller.
"""

import logging
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from rustqueue_operator import secrets
from rustqueue_operator.backend import NoAnswer
from rustqueue_operator.clusters import Cluster, Clusters, Resolved
from rustqueue_operator.kinds.status import Status
from rustqueue_operator.kinds.table import GROUP, KINDS, VERSION
from rustqueue_operator.kube.calls import Calls, Key, KubernetesError
from rustqueue_operator.metrics import Metrics
from rustqueue_operator.objects import FINALIZER, KIND_OF, InvalidObject, Objects, desired_of
from rustqueue_operator.planning.conditions import Conditions, with_conditions
from rustqueue_operator.planning.plan import plan
from rustqueue_operator.planning.values import (
    Action,
    AddFinalizer,
    Delete,
    Desired,
    Event,
    Facts,
    Observed,
    Plan,
    Put,
    Refusal,
    RemoveFinalizer,
    Unobserved,
    Unreachable,
)
from rustqueue_operator.secrets import Secrets

log: Final = logging.getLogger("rustqueue.operator")

# Finalizer, write, look again; and once more for a race that was lost. More is a plan that does not settle.
_ROUNDS_MAX: Final = 6
_RACES: Final = frozenset({"PRECONDITION_FAILED"})


class Reconciler:
    """One for all objects; `origin` is the identity of this Kubernetes."""

    def __init__(
        self,
        calls: Calls,
        objects: Objects,
        clusters: Clusters,
        metrics: Metrics,
        origin: str,
        deletion_deadline_s: float,
    ) -> None:
        self._calls = calls
        self._objects = objects
        self._clusters = clusters
        self._metrics = metrics
        self._origin = origin
        self._deadline_s = deletion_deadline_s

    async def reconcile(self, key: Key) -> Plan | None:
        """The last plan; None when there is no such object any more. Raises `KubernetesError`."""
        refusal: Refusal | None = None
        last: Plan | None = None
        noted: Status | None = None
        for _ in range(_ROUNDS_MAX):
            raw = self._objects.get(key)
            if raw is None:
                return None
            try:
                desired = desired_of(key, raw)
            except InvalidObject as error:
                await self._not_understood(key, raw, str(error))
                return Plan(status=None, again="drift")
            if noted is not None:
                desired = msgspec.structs.replace(desired, status=noted)
            facts, cluster, read = await self._facts(key, raw, desired, refusal)
            observed, refused = await self._observe(desired, facts, cluster)
            if refused is not None:
                facts = msgspec.structs.replace(facts, refusal=refused)
            last = plan(desired, observed, facts)
            if not last.actions:
                await self._settle(key, raw, desired, last)
                return last
            refusal, done = await self._act(key, desired, cluster, last, read)
            noted = last.status if done and last.status is not None else noted
        return Plan(status=None, again="later") if last is None else msgspec.structs.replace(last, again="later")

    async def _facts(
        self, key: Key, raw: dict[str, Any], desired: Desired, refusal: Refusal | None
    ) -> tuple[Facts, Cluster | None, Secrets]:
        resolved = self._clusters.resolve(desired.namespace, desired.spec.cluster_ref)
        cluster = self._clusters.known.get(resolved.name) if resolved.name is not None else None
        needs_secrets = cluster is not None and not desired.deleting
        read = await secrets.read(self._calls, desired.namespace, desired.spec) if needs_secrets else secrets.NOTHING
        facts = Facts(
            now=_now(),
            origin=self._origin,
            cluster=resolved.name,
            cluster_id=None if cluster is None else cluster.identity,
            cluster_problem=resolved.problem,
            cluster_message=resolved.message,
            rival=self._rival(key, resolved),
            secret_digest=read.digest,
            secret_problem=read.problem,
            namespace_ending=desired.deleting and await self._ending(desired.namespace),
            deadline_passed=_age_s(raw["metadata"].get("deletionTimestamp")) > self._deadline_s,
            refusal=refusal,
        )
        return facts, cluster, read

    def _rival(self, key: Key, resolved: Resolved) -> str | None:
        """The oldest other object that claims the same name in the same cluster and writes to it."""
        for other in self._objects.claimants(key):
            if other == key:
                return None
            raw = self._objects.get(other)
            try:
                desired = desired_of(other, raw or {})
            except InvalidObject:
                continue
            its = self._clusters.resolve(other.namespace, desired.spec.cluster_ref)
            if its.name == resolved.name and desired.spec.management_policy != "Observe":
                return f"{other.namespace}/{other.name}"
        return None

    async def _ending(self, namespace: str) -> bool:
        try:
            found = await self._calls.namespace(namespace)
        except KubernetesError as error:
            if error.status == 403:
                return False
            raise
        return found is None or "deletionTimestamp" in found["metadata"]

    async def _observe(
        self, desired: Desired, facts: Facts, cluster: Cluster | None
    ) -> tuple[Observed, Refusal | None]:
        """What the cluster says, and its refusal to say it."""
        if cluster is None or (desired.paused and not desired.deleting):
            return Unobserved(), facts.refusal
        if cluster.silence is not None:
            return Unreachable(cluster.silence), facts.refusal
        try:
            seen = await cluster.backend.look(desired.kind, desired.backend_name)
        except NoAnswer as error:
            cluster.failed(str(error))
            return Unreachable(str(error)), facts.refusal
        if isinstance(seen, Refusal):
            return Unobserved(), seen
        return seen, facts.refusal

    async def _act(
        self, key: Key, desired: Desired, cluster: Cluster | None, planned: Plan, read: Secrets
    ) -> tuple[Refusal | None, bool]:
        """Carry out the actions in order up to the first that is refused, and whether all were."""
        for action in planned.actions:
            refusal = await self._one(key, desired, cluster, action, read)
            if refusal is not None:
                if refusal.code in _RACES and isinstance(action, Put):
                    # Somebody changed it between our look and our write: look again, which is no failure.
                    return None, False
                return refusal, False
        for event in planned.events:
            self._metrics.event(desired.kind, event.reason)
            await self._post(desired, event)
        return None, True

    async def _one(
        self, key: Key, desired: Desired, cluster: Cluster | None, action: Action, read: Secrets
    ) -> Refusal | None:
        if isinstance(action, AddFinalizer | RemoveFinalizer):
            await self._set_finalizer(key, wanted=isinstance(action, AddFinalizer))
            return None
        assert cluster is not None
        try:
            if isinstance(action, Delete):
                return await cluster.backend.delete(desired.kind, desired.backend_name, action.if_owner, action.force)
            body = {**action.body, **read.values} if action.with_secrets else action.body
            return await cluster.backend.put(desired.kind, desired.backend_name, body, action.if_match)
        except NoAnswer as error:
            cluster.failed(str(error))
            return Refusal("NO_ANSWER", str(error), True)

    async def _set_finalizer(self, key: Key, wanted: bool) -> None:
        raw = self._objects.get(key)
        if raw is None:
            return
        metadata = raw["metadata"]
        others = [name for name in metadata.get("finalizers") or [] if name != FINALIZER]
        names = [*others, FINALIZER] if wanted else others
        try:
            answer = await self._calls.set_finalizers(key, names, metadata["resourceVersion"])
        except KubernetesError as error:
            if error.status == 404:
                self._objects.remove(key)
                return
            if error.status != 409:
                raise
            fresh = await self._calls.object(key)
            if fresh is None:
                self._objects.remove(key)
            else:
                self._objects.put(key, fresh)
            return
        if "deletionTimestamp" in metadata and not names:
            self._objects.remove(key)
        else:
            self._objects.put(key, answer)

    async def _settle(self, key: Key, raw: dict[str, Any], desired: Desired, planned: Plan) -> None:
        for event in planned.events:
            self._metrics.event(desired.kind, event.reason)
            await self._post(desired, event)
        if planned.status is not None:
            await self._write_status(key, raw, planned.status)

    async def _write_status(self, key: Key, raw: dict[str, Any], status: Status) -> None:
        """Only if it says something new. A key that is gone is taken away by null."""
        before, after = raw.get("status") or {}, msgspec.to_builtins(status)
        if before == after:
            return
        patch = {**{name: None for name in before if name not in after}, **after}
        try:
            self._objects.put(key, await self._calls.patch_status(key, patch))
        except KubernetesError as error:
            if error.status != 404:
                raise

    async def _not_understood(self, key: Key, raw: dict[str, Any], message: str) -> None:
        """The CRD is of another version than this operator, and lets through what we cannot read."""
        log.error("object not understood", extra={"object": "/".join(key), "error": message})
        kind = KINDS[KIND_OF[key.plural]].status
        try:
            before = msgspec.convert(raw.get("status") or {}, kind)
        except msgspec.ValidationError:
            before = kind()
        generation = int(raw["metadata"].get("generation") or 0)
        conditions = Conditions(generation, _now())
        for type_, status in (("Ready", "False"), ("Synced", "False"), ("Stalled", "True")):
            conditions.say(type_, "True" if status == "True" else "False", "InvalidSpec", message)
        after = with_conditions(before, conditions, generation)
        if after != before:
            self._objects.put(key, await self._calls.patch_status(key, msgspec.to_builtins(after)))

    async def _post(self, desired: Desired, event: Event) -> None:
        """Events are news for people: one that cannot be posted stops nothing."""
        now = _now()
        body = {
            "metadata": {"name": f"{desired.name[:200]}.{uuid.uuid4().hex[:16]}", "namespace": desired.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": desired.kind,
                "namespace": desired.namespace,
                "name": desired.name,
                "uid": desired.uid,
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message[:1_000],
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": "rustqueue-operator"},
        }
        try:
            await self._calls.post_event(desired.namespace, body)
        except KubernetesError as error:
            log.warning("event not posted", extra={"reason": event.reason, "error": str(error)})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _age_s(timestamp: str | None) -> float:
    if timestamp is None:
        return 0.0
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
