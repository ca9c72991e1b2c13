"""The operator, killed before and after each write that it makes: what it leaves, the next one finishes.

Writes go to a small API server in memory and to a real node. A run without a kill tells how many there are and how the
story ends; then the story is told again with a kill at each of them, and has to end the same.
"""

import asyncio
import base64
import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from rustqueue_operator.backend import Backend, Connection
from rustqueue_operator.clusters import Clusters
from rustqueue_operator.kube.access import Access
from rustqueue_operator.kube.calls import Calls, Key, KubernetesError
from rustqueue_operator.metrics import Metrics
from rustqueue_operator.objects import KIND_OF, Objects
from rustqueue_operator.planning.values import Refusal
from rustqueue_operator.reconciler import Reconciler
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings

TOKEN = "token"
TEAM = "team"
LOOKS_MAX = 8
LIVES_MAX = 6
Object = dict[str, Any]
names = itertools.count(1)


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder: Path = tmp_path_factory.mktemp("node")
    with node_in_thread(node_settings(folder, token=TOKEN)) as serving:
        yield serving


class Killed(BaseException):
    """Nobody catches it: the process is gone."""


@dataclass
class Toll:
    """Counts writes; at the one with this number the operator dies, before it or as soon as it is done."""

    at: int = 0
    when: Literal["before", "after"] = "before"
    count: int = 0
    written: list[str] = field(default_factory=list)

    def begin(self, what: str) -> None:
        self.count += 1
        if (self.count, self.when) == (self.at, "before"):
            raise Killed(what)
        self.written.append(what)

    def end(self, what: str) -> None:
        if (self.count, self.when) == (self.at, "after"):
            raise Killed(what)


class Kubernetes(Calls):
    """The part of an API server that the operator sees, in memory."""

    def __init__(self, address: str, toll: Toll) -> None:
        super().__init__(Access(server="http://none", namespace=TEAM))
        self._toll = toll
        self._version = itertools.count(1)
        self.kept: dict[str, Object] = {
            f"/api/v1/namespaces/{TEAM}/secrets/admin": secret(token=TOKEN),
            f"/api/v1/namespaces/{TEAM}/secrets/hook": secret(key="whsec_" + base64.b64encode(b"k" * 24).decode()),
            f"/api/v1/namespaces/{TEAM}": {"metadata": {"name": TEAM, "uid": "team"}},
        }
        data = {"address": address, "tokenSecret": "admin"}
        self.map = {"metadata": {"namespace": TEAM, "name": "main"}, "data": data}
        self.events: list[str] = []

    async def call(
        self, method: str, path: str, body: Object | None = None, content_type: str = "application/json"
    ) -> Object:
        await asyncio.sleep(0)
        if method == "GET":
            if "configmaps" in path:
                return {"items": [self.map]}
            return copy.deepcopy(self._found(path))
        assert body is not None
        what = f"{method} {path.rpartition('/')[2] if path.endswith('/status') else 'object'}"
        if method == "POST":
            what = "POST event"
        self._toll.begin(what)
        answer = self._post(body) if method == "POST" else self._patch(path.removesuffix("/status"), body)
        self._toll.end(what)
        return copy.deepcopy(answer)

    def apply(self, key: Key, spec: Object) -> None:
        """As a person does."""
        before = self.kept.get(key.path)
        if before is None:
            metadata = {"name": key.name, "namespace": key.namespace, "uid": key.name, "generation": 1}
            self._keep(key.path, {"metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec})
        else:
            generation = before["metadata"]["generation"] + 1
            self._keep(key.path, {**before, "metadata": {**before["metadata"], "generation": generation}, "spec": spec})

    def delete(self, key: Key) -> None:
        found = self.kept[key.path]
        found["metadata"]["deletionTimestamp"] = "2099-01-01T00:00:00Z"
        self._keep(key.path, found)

    def _found(self, path: str) -> Object:
        if path not in self.kept:
            raise KubernetesError(404, "not found")
        return self.kept[path]

    def _post(self, event: Object) -> Object:
        self.events.append(event["reason"])
        return event

    def _patch(self, path: str, body: Object) -> Object:
        found = self._found(path)
        version = body.get("metadata", {}).pop("resourceVersion", None)
        if version not in (None, found["metadata"]["resourceVersion"]):
            raise KubernetesError(409, "changed")
        return self._keep(path, merged(found, body))

    def _keep(self, path: str, raw: Object) -> Object:
        kept = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(next(self._version))}}
        self.kept[path] = kept
        if "deletionTimestamp" in kept["metadata"] and not kept["metadata"].get("finalizers"):
            del self.kept[path]
        return kept


class Queue(Backend):
    """The real thing, with a toll."""

    def __init__(self, connection: Connection, toll: Toll) -> None:
        super().__init__(connection)
        self._toll = toll

    async def put(self, kind: Any, name: str, body: Object, if_match: int) -> Refusal | None:
        self._toll.begin("PUT")
        answer = await super().put(kind, name, body, if_match)
        self._toll.end("PUT")
        return answer

    async def delete(self, kind: Any, name: str, if_owner: str, force: bool) -> Refusal | None:
        self._toll.begin("DELETE")
        answer = await super().delete(kind, name, if_owner, force)
        self._toll.end("DELETE")
        return answer


def secret(**values: str) -> Object:
    data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    metadata = {"uid": "secret", "resourceVersion": "1", "labels": {"rustqueue.io/use": "true"}}
    return {"metadata": metadata, "data": data}


def merged(before: Object, patch: Object) -> Object:
    """A merge patch."""
    after = dict(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict) and isinstance(after.get(name), dict):
            after[name] = merged(after[name], value)
        else:
            after[name] = value
    return after


class World:
    """One object, its cluster, and one operator after the other."""

    def __init__(self, ports: Ports, kind: str, toll: Toll) -> None:
        self.toll = toll
        self.connection = Connection(ports.url("http"), TOKEN)
        self.kubernetes = Kubernetes(self.connection.address, toll)
        plural = next(plural for plural, name in KIND_OF.items() if name == kind)
        self.key = Key(plural, TEAM, f"thing-{next(names)}")
        self.lives = 0

    async def settle(self) -> None:
        """Operators come and die until one of them finds nothing left to do."""
        for _ in range(LIVES_MAX):
            self.lives += 1
            try:
                await self._live()
            except Killed:
                continue
            return
        raise AssertionError(f"no operator came to rest: {self.toll.written}")

    async def _live(self) -> None:
        objects = Objects()
        clusters = Clusters(self.kubernetes, (TEAM,), None, lambda _: None)
        try:
            await clusters.refresh()
            for cluster in clusters.known.values():
                await cluster.backend.close()
                cluster.backend = Queue(self.connection, self.toll)
            await clusters.probe()
            reconciler = Reconciler(self.kubernetes, objects, clusters, Metrics(), "origin", 600)
            for _ in range(LOOKS_MAX):
                before = self.toll.count
                self._watch(objects)
                await reconciler.reconcile(self.key)
                if self.toll.count == before:
                    return
            raise AssertionError(f"it does not come to rest: {self.toll.written}")
        finally:
            await clusters.close()

    def _watch(self, objects: Objects) -> None:
        raw = self.kubernetes.kept.get(self.key.path)
        if raw is None:
            objects.remove(self.key)
        else:
            objects.put(self.key, copy.deepcopy(raw))

    async def seen(self) -> Object:
        """The object as a person sees it, and the thing in the cluster; without times and numbers of versions."""
        backend = Backend(self.connection)
        try:
            record = await backend.look(KIND_OF[self.key.plural], self.key.name)
        finally:
            await backend.close()
        raw = self.kubernetes.kept.get(self.key.path)
        status = (raw or {}).get("status") or {}
        conditions = {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions", [])}
        finalizers = None if raw is None else raw["metadata"].get("finalizers")
        told = repr(record).replace(self.key.name, "NAME")
        return {"conditions": conditions, "finalizers": finalizers, "cluster": told}


QUEUES: list[Object | None] = [{"leaseSeconds": 60}, {"leaseSeconds": 90, "labels": {"team": "a"}}, None]
SCHEDULE: Object = {"queue": "digests", "cron": "0 6 * * *", "jobTemplate": {"name": "digest"}}
HOOK: Object = {
    "url": "https://hooks.example.org/in",
    "events": ["job.dlq"],
    "secretKeyRef": {"name": "hook", "key": "key"},
}
STORIES: dict[str, tuple[str, list[Object | None]]] = {
    "queue": ("Queue", QUEUES),
    "queue that is retained": ("Queue", [{"leaseSeconds": 60, "deletionPolicy": "Retain"}, None]),
    "queue that goes with its jobs": ("Queue", [{"deletionPolicy": "Delete"}, None]),
    "queue that is refused": ("Queue", [{"leaseSeconds": 10_000_000}, {"leaseSeconds": 5}, None]),
    "schedule": ("Schedule", [SCHEDULE, {**SCHEDULE, "cron": "0 7 * * *"}, None]),
    "webhook": ("Webhook", [HOOK, {**HOOK, "events": ["job.completed"]}, None]),
}


async def told(ports: Ports, story: str, toll: Toll) -> tuple[list[Object], World]:
    """What is seen after each step of a story: a spec is applied, None deletes the object."""
    kind, steps = STORIES[story]
    world, seen = World(ports, kind, toll), []
    for spec in steps:
        if spec is None:
            world.kubernetes.delete(world.key)
        else:
            world.kubernetes.apply(world.key, spec)
        await world.settle()
        seen.append(await world.seen())
    return seen, world


@pytest.mark.parametrize("story", list(STORIES))
async def test_killed_at_any_of_its_writes_it_ends_as_it_would_have(ports: Ports, story: str) -> None:
    wanted, undisturbed = await told(ports, story, Toll())
    assert undisturbed.lives == len(STORIES[story][1])
    assert undisturbed.toll.count >= 3

    for number in range(1, undisturbed.toll.count + 1):
        for when in ("before", "after"):
            found, world = await told(ports, story, Toll(number, when))

            place = f"killed {when} write {number}, {undisturbed.toll.written[number - 1]}"
            assert found == wanted, place
            assert world.lives == undisturbed.lives + 1, place
            # News may be told twice, and what was done just before the end of a life is not told at all.
            assert len(world.kubernetes.events) <= len(undisturbed.kubernetes.events) + 1, place
