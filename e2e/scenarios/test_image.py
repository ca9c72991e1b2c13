"""The image alone, without a chart: it runs as nobody in particular, and a killed container loses nothing."""

from e2e.cluster.machine import MachineCluster
from e2e.harness.kubectl import Object
from e2e.harness.waiting import until
from e2e.load.running import RESTRICTED, RESTRICTED_POD, Target
from e2e.scenarios.conftest import Space
from e2e.scenarios.release import IMAGE, ROOT

POD = "node-0"


def service() -> Object:
    ports = [{"name": "http", "port": 6790}, {"name": "tcp", "port": 6789}]
    spec = {"selector": {"app": "node"}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "node"}, "spec": spec}


def stateful_set() -> Object:
    container = {
        "name": "node",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "ports": [{"name": "http", "containerPort": 6790}, {"name": "tcp", "containerPort": 6789}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "node"},
        "spec": {
            "serviceName": "node",
            "selector": {"matchLabels": {"app": "node"}},
            "template": {
                "metadata": {"labels": {"app": "node"}},
                "spec": {"securityContext": RESTRICTED_POD, "containers": [container]},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def test_a_killed_container_comes_back_with_every_acknowledged_job(space: Space) -> None:
    kubectl = space.kubectl
    kubectl.apply(service(), stateful_set())
    kubectl.run("rollout", "status", "statefulset/node", "--timeout=100s")
    load = space.load(Target(IMAGE, "node"))
    restarts = restarts_of(space)

    load.note("kill", pod=POD)
    kill_container(space)

    until("the container to be started again", lambda: restarts_of(space) > restarts)
    kubectl.wait_condition("pod", POD, "Ready")
    space.judge(load)


def test_the_image_says_what_is_in_it(space: Space) -> None:
    kubectl = space.kubectl
    kubectl.apply(service(), stateful_set())
    kubectl.run("rollout", "status", "statefulset/node", "--timeout=100s")

    bill = kubectl.run("exec", POD, "--", "cat", "/opt/rustqueue/share/sbom.cdx.json")

    locked = [
        line.split()[0].replace("==", "@")
        for file in ("server.txt", "operator.txt")
        for line in (ROOT / "requirements" / file).read_text().splitlines()
        if "==" in line and " ; " not in line
    ]
    assert [pin for pin in locked if f'"pkg:pypi/{pin}"' not in bill] == []
    assert "pkg:deb/debian/libssl3@" in bill


def restarts_of(space: Space) -> int:
    count: int = space.kubectl.get("pod", POD)["status"]["containerStatuses"][0]["restartCount"]
    return count


def kill_container(space: Space) -> None:
    """SIGKILL from the node: whoever has no rights in the container cannot kill its first process."""
    node = space.kubectl.get("pod", POD)["spec"]["nodeName"]
    assert isinstance(space.cluster, MachineCluster)
    space.cluster.on_node(node, "pkill", "-9", "-f", "rustqueue serve")
