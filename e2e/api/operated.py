"""A release of the chart whose processes run here: a node, and the operator with the rights of its account."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import run
from typing import Any

from e2e.harness.control_plane import LOOPBACK, ControlPlane
from e2e.harness.kubectl import Kubectl
from e2e.harness.programs import Program
from e2e.harness.waiting import until
from rustqueue.demo.ports import free_port

CHART = Path(__file__).resolve().parent.parent.parent / "charts" / "rustqueue"
RELEASE_NAMESPACE = "queues"
TOKEN = "e2e-admin-token"
DRIFT_S = 3
DEADLINE_S = 4

Object = dict[str, Any]


class Node:
    """One node of RustQueue with tokens."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        words: list[str | Path] = [
            sys.executable,
            "-m",
            "rustqueue",
            "serve",
            "--data",
            folder / "data",
            "--server-host",
            LOOPBACK,
        ]
        words += ["--http-port", str(self.port), "--tcp-port", "0"]
        words += ["--webhooks-enabled", "true", "--webhooks-allowed-networks", "127.0.0.0/8"]
        words += ["--auth-enabled", "true", "--auth-tokens", TOKEN]
        self.program = Program("node", words, folder / "node.log")

    def start(self) -> None:
        self.program.start()
        until("the node to be ready", self._ready)

    def ask(self, method: str, path: str, body: object = None) -> Object:
        """The answer, of whatever status; `status` is added."""
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=method)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=60) as answer:
                return {"status": answer.status, **json.load(answer)}
        except urllib.error.HTTPError as error:
            return {"status": error.code, **json.load(error)}

    def queue(self, name: str) -> Object | None:
        answer = self.ask("GET", f"/queues/{name}")
        return None if answer["status"] == 404 else answer

    def push(self, queue: str) -> None:
        assert self.ask("POST", f"/queues/{queue}/jobs", {"name": "job", "data": {}})["ok"]

    def _ready(self) -> bool:
        self.program.must_run()
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Operator:
    """One replica as a process, in the name of a pod that nobody runs."""

    def __init__(self, kubeconfig: Path, folder: Path, name: str, uid: str) -> None:
        self.port = free_port()
        words: list[str | Path] = [sys.executable, "-m", "rustqueue_operator", "run"]
        words += ["--default-cluster", f"{RELEASE_NAMESPACE}/local", "--http-host", LOOPBACK]
        words += ["--http-port", str(self.port), "--drift-seconds", str(DRIFT_S)]
        words += ["--cluster-seconds", "2", "--protect-busy-workers"]
        words += ["--deletion-deadline-seconds", str(DEADLINE_S), "--lease-name", "rq-operator"]
        env = {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": RELEASE_NAMESPACE, "POD_NAME": name, "POD_UID": uid}
        self.program = Program(name, words, folder / f"{name}.log", env)

    def start(self) -> None:
        self.program.start()
        until(f"{self.program.name} to be ready", self._ready)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        total = 0.0
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/metrics", timeout=60) as answer:
            for line in answer.read().decode().splitlines():
                series, _, value = line.rpartition(" ")
                wanted = all(f'{label}="{text}"' in series for label, text in labels.items())
                if series.partition("{")[0] == name and wanted:
                    total += float(value)
        return total

    def leads(self) -> bool:
        return self.metric("rustqueue_operator_leader") == 1

    def _ready(self) -> bool:
        self.program.must_run()
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Operated:
    """The release: what the chart made, and the processes in place of its pods."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        plane.kubectl.run("create", "namespace", RELEASE_NAMESPACE)
        self.kubectl = plane.kubectl.within(RELEASE_NAMESPACE)
        self.kubectl.wait_account()
        # The CRDs are everybody's: other tests of this run may have made them before.
        self.kubectl.run("apply", "--server-side", "-f", CHART.parent.parent / "crds")
        values = "crds.install=false,fullnameOverride=rq,operator.namespaces={*},operator.secretNamespaces={queues}"
        # Three nodes, which nobody runs, so that the operator gets all the rights that it may have.
        values += ",operator.protectBusyWorkers=true,replicas=3"
        self.helm("install", "rq", CHART, f"--set={values}")
        self.node = Node(folder)
        self.kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "rq-admin"},
                "stringData": {"token": TOKEN},
            },
            cluster("local", self.node.url, "*"),
        )
        self.account = plane.kubeconfig_of(RELEASE_NAMESPACE, "rq-operator")
        self.operator = self.replica("operator-0")

    def replica(self, name: str) -> Operator:
        spec = {"containers": [{"name": "operator", "image": "none:1"}]}
        self.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        return Operator(self.account, self.folder, name, self.kubectl.get("pod", name)["metadata"]["uid"])

    def helm(self, *words: str | Path) -> str:
        """The output of helm in the release's namespace."""
        line = [self.plane.helm, f"--namespace={RELEASE_NAMESPACE}", *words]
        done = run(line, env=self.plane.environment(), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def operated(plane: ControlPlane, folder: Path) -> Iterator[Operated]:
    """A release for the length of a block."""
    release = Operated(plane, folder)
    try:
        release.node.start()
        release.operator.start()
        until("the operator to lead", release.operator.leads)
        yield release
    finally:
        release.operator.program.kill()
        release.node.program.kill()


def cluster(name: str, address: str, allowed: str = "") -> Object:
    """What a clusterRef names."""
    data = {"address": address, "tokenSecret": "rq-admin", "allowedNamespaces": allowed}
    labels = {"rustqueue.io/cluster": "true"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data}


def queue(name: str, /, **spec: Any) -> Object:
    return {"apiVersion": "rustqueue.io/v1alpha1", "kind": "Queue", "metadata": {"name": name}, "spec": spec}


def webhook(name: str, **spec: object) -> Object:
    return {"apiVersion": "rustqueue.io/v1alpha1", "kind": "Webhook", "metadata": {"name": name}, "spec": spec}


def ready(kubectl: Kubectl, name: str, status: str = "True", reason: str = "", seconds: float = 60) -> Object:
    """Wait until Ready is so, for the object's present generation."""

    def probe() -> Object | None:
        found = kubectl.find("queue", name)
        if found is None:
            return None
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == "Ready":
                current = condition.get("observedGeneration") == found["metadata"]["generation"]
                same = condition["status"] == status and reason in ("", condition["reason"])
                return condition if current and same else None
        return None

    found = until(f"queue {name} Ready={status} {reason}", probe, seconds)
    assert found is not None
    return found
