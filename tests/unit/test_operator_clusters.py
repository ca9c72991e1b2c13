"""Which cluster an object means, and what is wrong when there is none."""

import base64
from typing import Any

import pytest

from rustqueue_operator.backend import Connection
from rustqueue_operator.clusters import Clusters
from rustqueue_operator.kinds.fields import ClusterRef
from rustqueue_operator.kube.calls import KubernetesError


class Kept:
    """ConfigMaps and Secrets; a Secret whose value is None may not be read."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, str]] = {}
        self.secrets: dict[str, dict[str, bytes] | None] = {}

    async def config_maps(self, namespace: str | None, label: str) -> list[dict[str, Any]]:
        found = []
        for key, data in self.maps.items():
            place, _, name = key.partition("/")
            if namespace in (None, place):
                found.append({"metadata": {"namespace": place, "name": name}, "data": data})
        return found

    async def secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        key = f"{namespace}/{name}"
        if key not in self.secrets:
            return None
        data = self.secrets[key]
        if data is None:
            raise KubernetesError(403, "forbidden")
        return {"data": {name: base64.b64encode(value).decode() for name, value in data.items()}}


class World:
    def __init__(self, default: str | None = None, namespaces: tuple[str, ...] = ()) -> None:
        self.kept = Kept()
        self.woken: list[str] = []
        self.clusters = Clusters(self.kept, namespaces, default, self.woken.append)

    async def with_maps(self, **maps: dict[str, str]) -> "World":
        self.kept.maps = {key.replace("__", "/"): {"address": "http://q", **data} for key, data in maps.items()}
        await self.clusters.refresh()
        return self


async def test_without_a_reference_the_cluster_beside_the_object_is_meant_and_else_the_default() -> None:
    world = await World("queues/main").with_maps(queues__main={"allowedNamespaces": "*"}, team__own={})

    assert world.clusters.resolve("team", None).name == "team/own"
    assert world.clusters.resolve("other", None).name == "queues/main"
    assert world.clusters.resolve("other", ClusterRef(name="main", namespace="queues")).name == "queues/main"


@pytest.mark.parametrize(
    ("namespace", "ref", "problem"),
    [
        ("team", ClusterRef(name="nowhere"), "ClusterNotFound"),
        ("other", None, "ClusterNotFound"),
        ("other", ClusterRef(name="closed", namespace="queues"), "NamespaceNotAllowed"),
        ("queues", None, "ClusterAmbiguous"),
        ("queues", ClusterRef(name="wrong"), "InvalidCluster"),
    ],
)
async def test_what_is_wrong_has_a_name(namespace: str, ref: ClusterRef | None, problem: str) -> None:
    world = await World().with_maps(
        queues__closed={"allowedNamespaces": "team, x"}, queues__wrong={"address": "tcp://q"}
    )

    resolved = world.clusters.resolve(namespace, ref)

    assert (resolved.name, resolved.problem) == (None, problem)


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ({}, "there is no Secret admin"),
        ({"q/admin": None}, "the operator may not read the Secret admin"),
        ({"q/admin": {"other": b"x"}}, "the Secret admin has no key token"),
        ({"q/admin": {"token": b"\xff"}}, "the key token of the Secret admin is no token"),
    ],
)
async def test_a_token_that_cannot_be_read_is_told(secret: dict[str, Any], problem: str) -> None:
    world = World()
    world.kept.secrets = secret
    await world.with_maps(q__main={"tokenSecret": "admin"})

    assert world.clusters.resolve("q", None).message == f"cluster q/main: {problem}"


async def test_changes_wake_the_objects_and_nothing_else_does() -> None:
    world = World()
    world.kept.secrets = {"q/admin": {"token": b"one\n"}}
    await world.with_maps(q__main={"tokenSecret": "admin"})
    assert world.clusters.known["q/main"].entry.connection == Connection("http://q", "one")
    await world.clusters.refresh()
    assert world.woken == ["q/main"]

    world.kept.secrets = {"q/admin": {"token": b"two"}}
    await world.clusters.refresh()
    await world.with_maps()

    assert world.woken == ["q/main", "q/main", "q/main"]
    assert world.clusters.known == {}


async def test_an_operator_of_some_namespaces_looks_only_there() -> None:
    world = await World(namespaces=("a",)).with_maps(a__one={}, b__two={})

    assert list(world.clusters.known) == ["a/one"]


async def test_a_cluster_that_does_not_answer_is_probed_in_growing_steps() -> None:
    world = await World().with_maps(q__main={"address": "http://127.0.0.1:1"})
    cluster = world.clusters.known["q/main"]

    assert await cluster.probe()
    assert cluster.silence is not None
    assert not await cluster.probe()
    await world.clusters.close()
