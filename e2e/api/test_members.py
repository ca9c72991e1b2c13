"""Nodes of a cluster as objects: members whose pods are gone for good, and volumes that are to be larger.

Pods exist here without ever running; the nodes are processes beside them, and go by the names of the pods.
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.api.operated import RELEASE_NAMESPACE, TOKEN, Operated, cluster
from e2e.harness.control_plane import LOOPBACK
from e2e.harness.kubectl import Object
from e2e.harness.programs import Program
from e2e.harness.waiting import until
from rustqueue.demo.ports import free_port

NAME = "three"
CHANGE_S = 90
CERTIFICATE_S = 120


class Nodes:
    """Three nodes of one cluster, as processes."""

    def __init__(self, folder: Path) -> None:
        self.names = [f"{NAME}-{number}" for number in range(3)]
        self.http = {name: free_port() for name in self.names}
        peers = {name: free_port() for name in self.names}
        listed = ",".join(f"{name}={LOOPBACK}:{port}" for name, port in peers.items())
        self.programs = {}
        for name in self.names:
            words: list[str | Path] = [sys.executable, "-m", "rustqueue", "serve", "--data", folder / name]
            words += ["--server-host", LOOPBACK, "--http-port", str(self.http[name]), "--tcp-port", "0"]
            words += ["--auth-enabled", "true", "--auth-tokens", TOKEN]
            words += ["--cluster-enabled", "true", "--cluster-insecure", "true", "--cluster-node-id", name]
            words += ["--cluster-listen", f"{LOOPBACK}:{peers[name]}", "--cluster-peers", listed]
            self.programs[name] = Program(name, words, folder / f"{name}.log")

    def url(self, number: int) -> str:
        return f"http://{LOOPBACK}:{self.http[self.names[number]]}"

    def start(self) -> None:
        for program in self.programs.values():
            program.start()
        until("three members", lambda: len(self.members()) == 3, 60)

    def members(self) -> list[str]:
        """Names of the nodes that belong to the cluster, as the first one tells."""
        self.programs[self.names[0]].must_run()
        asked = urllib.request.Request(f"{self.url(0)}/api/v1/cluster", headers={"Authorization": f"Bearer {TOKEN}"})
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return sorted(each["id"].partition("#")[0] for each in json.load(answer)["members"])
        except (OSError, urllib.error.HTTPError):
            return []

    def told(self) -> list[str]:
        """The same, as soon as there is a leader who can say it."""
        return until("somebody to tell the members", self.members, CHANGE_S)

    def kill(self) -> None:
        for program in self.programs.values():
            program.kill()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def stateful_set(name: str, replicas: int, storage: str = "1Gi") -> Object:
    """Its pods need nothing but a name: nobody runs them here."""
    labels = {"app": name}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"name": "data"}, "spec": {**claim, "storageClassName": name}}
    spec = {
        "replicas": replicas,
        "serviceName": name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "node", "image": "none:1"}]}},
        "volumeClaimTemplates": [template],
    }
    metadata = {"name": name, "annotations": {"rustqueue.io/storage": storage}}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}


def known(name: str, address: str) -> Object:
    found = cluster(name, address)
    return {**found, "data": {**found["data"], "statefulSet": name}}


def reasons(release: Operated) -> list[str]:
    events = release.kubectl.items("events")
    return sorted(each["reason"] for each in events if each["source"].get("component") == "rustqueue-operator")


def test_a_member_whose_pod_is_gone_for_good_is_removed_though_the_operator_was_killed(
    release: Operated, nodes: Nodes
) -> None:
    kubectl = release.kubectl
    kubectl.apply(stateful_set(NAME, 3), known(NAME, nodes.url(0)))
    until("three pods", lambda: len(kubectl.items("pods", f"app={NAME}")) == 3, CHANGE_S)
    release.operator.program.kill()
    # A pod that is only away is no reason, nor is a node that does not answer.
    nodes.programs[f"{NAME}-2"].kill()
    kubectl.run("delete", "pod", f"{NAME}-2", "--wait=false")
    release.operator.start()
    until("the pod to be back", lambda: len(kubectl.items("pods", f"app={NAME}")) == 3, CHANGE_S)
    assert nodes.told() == nodes.names

    kubectl.run("scale", f"statefulset/{NAME}", "--replicas=2")
    until("two members", lambda: nodes.members() == nodes.names[:2], CHANGE_S)
    until("it to be told", lambda: "MemberRemoved" in reasons(release), CHANGE_S)

    kubectl.run("scale", f"statefulset/{NAME}", "--replicas=0")
    until("no pods", lambda: not kubectl.items("pods", f"app={NAME}"), CHANGE_S)
    assert nodes.told() == nodes.names[:2], "of size 0 it is stopped, not made smaller"
    kubectl.run("delete", "statefulset", NAME)
    kubectl.run("delete", "configmap", NAME)
    assert reasons(release).count("MemberRemoved") == 1


def test_the_nodes_certificate_is_made_anew_when_somebody_asks(release: Operated) -> None:
    kubectl = release.kubectl
    before = kubectl.get("secret", "rq-peers")["data"]

    kubectl.run("annotate", "secret", "rq-peers", "rustqueue.io/renew=now")
    until("a new one", lambda: kubectl.get("secret", "rq-peers")["data"] != before, CERTIFICATE_S)

    after = kubectl.get("secret", "rq-peers")["data"]
    until("it to be told", lambda: "PeerCertificateRenewed" in reasons(release), CHANGE_S)
    assert (after["ca.crt"], after["tls.key"] != before["tls.key"]) == (before["ca.crt"], True)


def storage_class(name: str, grows: bool) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "rustqueue.io/none",
        "allowVolumeExpansion": grows,
    }


def volume(name: str, claim: str, of_class: str) -> Object:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": of_class,
        "claimRef": {"namespace": RELEASE_NAMESPACE, "name": claim},
        "hostPath": {"path": "/nowhere"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(("grows", "storage", "told"), [(True, "2Gi", "VolumeGrown"), (False, "1Gi", "VolumeNotGrown")])
def test_volumes_grow_where_their_class_allows_it(release: Operated, grows: bool, storage: str, told: str) -> None:
    kubectl, name = release.kubectl, "grows" if grows else "stays"
    kubectl.apply(storage_class(name, grows), volume(f"volume-{name}", f"data-{name}-0", name))
    kubectl.apply(stateful_set(name, 1), known(name, release.node.url))

    def claim() -> Object:
        return kubectl.find("pvc", f"data-{name}-0") or {"status": {}}

    until("a bound claim", lambda: claim()["status"].get("phase") == "Bound", CHANGE_S)
    kubectl.apply(stateful_set(name, 1, storage="2Gi"))

    until(told, lambda: told in reasons(release), CHANGE_S)
    assert claim()["spec"]["resources"]["requests"]["storage"] == storage
    kubectl.run("delete", "statefulset", name)
    kubectl.run("delete", "configmap", name)
