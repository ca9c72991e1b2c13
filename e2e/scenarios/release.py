"""One release of the chart in the namespace of a test."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.driver import Cluster
from e2e.harness.kubectl import Kubectl, Object
from e2e.harness.waiting import until
from e2e.load.running import Target

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "charts" / "rustqueue"
IMAGE = "rustqueue:dev"
NAME = "jobs"
SERVICE = f"{NAME}-rustqueue"
HELM_DEADLINE_S = 300

# As fresh as the last acknowledged write: what a node says of the state that a backup of it would hold.
STATE = (
    "import os; from rustqueue.client import Client; "
    "client = Client('http://127.0.0.1:6790', token=os.environ['RUSTQUEUE_AUTH__TOKENS']); "
    "backup = client.begin_backup(); client.end_backup(backup.id); "
    "print(backup.manifest.index, backup.manifest.state_hash)"
)

# Small enough for three nodes that share two processors.
VALUES: Object = {
    "image": {"repository": "rustqueue", "tag": "dev", "pullPolicy": "Never"},
    "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
    "operator": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}},
    # The kinds belong to the whole Kubernetes; the first release installs them, and many releases share them here.
    "crds": {"install": False},
    "userRoles": {"enabled": False},
}


@dataclass
class Release:
    """`kubectl` looks into the namespace of the release."""

    cluster: Cluster
    kubectl: Kubectl

    def helm(self, *words: str, values: Object | None = None) -> str:
        """Run helm; a values file comes on standard input."""
        options = ["--kubeconfig", str(self.kubectl.kubeconfig), "--namespace", self.kubectl.namespace]
        given = [] if values is None else ["--values", "-"]
        done = subprocess.run(
            [str(self.cluster.helm), *options, *words, *given],
            input=None if values is None else json.dumps(values),
            capture_output=True,
            text=True,
            timeout=HELM_DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"helm {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self, **more: Any) -> float:
        """Install and wait until everything is ready; the seconds that took."""
        begin = time.monotonic()
        self.helm("install", NAME, str(CHART), "--wait", "--timeout=120s", values=merged(VALUES, more))
        return time.monotonic() - begin

    def upgrade(self, **more: Any) -> float:
        begin = time.monotonic()
        self.helm("upgrade", NAME, str(CHART), "--wait", "--timeout=180s", values=merged(VALUES, more))
        return time.monotonic() - begin

    def uninstall(self) -> None:
        self.helm("uninstall", NAME, "--wait", "--timeout=100s")

    def target(self) -> Target:
        return Target(IMAGE, SERVICE, token_secret=self.admin_secret())

    def admin_secret(self) -> str:
        names: list[str] = [each["metadata"]["name"] for each in self.kubectl.items("secrets")]
        return next(name for name in names if name.startswith(NAME) and name.endswith("admin"))

    def members(self) -> list[Object]:
        """The pods that store jobs, in order of their names."""
        pods = self.kubectl.items("pods", "app.kubernetes.io/component=node")
        return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))

    def node_of(self, pod: str) -> str:
        name: str = self.kubectl.get("pod", pod)["spec"]["nodeName"]
        return name

    def other_node(self, *taken: str) -> str:
        """A node that is none of these."""
        return next(node for node in self.cluster.nodes if node not in taken)

    def all_ready(self) -> bool:
        found = self.kubectl.get("statefulset", SERVICE)
        status, wanted = found["status"], found["spec"]["replicas"]
        return bool(status.get("readyReplicas", 0) == wanted and status.get("replicas") == wanted)

    def wait_ready(self, seconds: float = 120) -> float:
        begin = time.monotonic()
        until(f"all members of {SERVICE} to be ready", self.all_ready, seconds, every=0.3)
        return time.monotonic() - begin


def states(release: Release) -> set[str]:
    """Applied index and state hash of every node; one when they have applied the same entries to the same end."""
    words = ("-c", "rustqueue", "--", "python", "-c", STATE)
    return {release.kubectl.run("exec", pod["metadata"]["name"], *words).strip() for pod in release.members()}


def merged(values: Object, more: Object) -> Object:
    """`more` wins, down to the leaves."""
    result = dict(values)
    for key, value in more.items():
        deeper = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if deeper else value
    return result
