"""A thin driver for kind, where Docker runs. Nobody has run it yet: our own machines have no Docker engine.

Nodes are containers, so a cut is a rule in a node's packet filter, and a power cut a kill of its container.
"""

import json
import shutil
import subprocess
from pathlib import Path

from e2e.harness.kubectl import Kubectl

NAME = "rustqueue-e2e"
IMAGE = "rustqueue"
BOOT_DEADLINE_S = 600
CHAINS = (("INPUT", "-i"), ("OUTPUT", "-o"), ("FORWARD", "-i"), ("FORWARD", "-o"))


def usable() -> bool:
    """Whether kind is installed and a Docker engine answers."""
    if shutil.which("kind") is None or shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0


def call(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=BOOT_DEADLINE_S, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def image(folder: Path, tag: str, root: Path) -> Path:
    """The Dockerfile of a checkout, built by the Docker engine."""
    archive = folder / f"rustqueue-{tag}.tar"
    call("docker", "build", "--tag", f"{IMAGE}:{tag}", str(root))
    call("docker", "save", "--output", str(archive), f"{IMAGE}:{tag}")
    return archive


class KindCluster:
    """One control plane and `count` workers."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self._kubeconfig = folder / "kubeconfig"
        self._count = count
        self._nodes: tuple[str, ...] = ()
        self.kubectl = Kubectl("kubectl", self._kubeconfig)
        self.helm = "helm"

    @property
    def nodes(self) -> tuple[str, ...]:
        return self._nodes

    def up(self) -> None:
        roles = [{"role": "control-plane"}, *({"role": "worker"} for _ in range(self._count))]
        config = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": roles}
        options = ["--name", NAME, "--kubeconfig", str(self._kubeconfig), "--wait", "300s"]
        call("kind", "create", "cluster", *options, "--config", "-", text=json.dumps(config))
        selector = "!node-role.kubernetes.io/control-plane"
        self._nodes = tuple(node["metadata"]["name"] for node in self.kubectl.items("nodes", selector))

    def down(self) -> None:
        # Its own file, so that the one of whoever runs this is left alone.
        call("kind", "delete", "cluster", "--name", NAME, "--kubeconfig", str(self._kubeconfig))

    def load(self, archive: Path) -> None:
        call("kind", "load", "image-archive", str(archive), "--name", NAME)

    def cut(self, node: str, peer: str | None = None) -> None:
        for chain, side in CHAINS:
            if peer is None:
                self._filter(node, "-I", chain, side, "eth0", "-j", "DROP")
        for one, other in ((node, peer), (peer, node)):
            if one is not None and other is not None:
                self._filter(one, "-I", "INPUT", "-s", self._address(other), "-j", "DROP")
                self._filter(one, "-I", "FORWARD", "-s", self._address(other), "-j", "DROP")

    def heal(self, node: str) -> None:
        """Every rule that drops and that `cut` could have made, here and against this node elsewhere."""
        for other in self._nodes:
            listed = call("docker", "exec", other, "iptables", "-S").splitlines()
            address = f"{self._address(node)}/32"
            for rule in listed:
                if rule.endswith("-j DROP") and (other == node or address in rule) and "KUBE" not in rule:
                    self._filter(other, *rule.replace("-A ", "-D ", 1).split())

    def kill(self, node: str) -> None:
        call("docker", "kill", node)

    def start(self, node: str) -> None:
        call("docker", "start", node)

    def stop_api(self) -> None:
        call("docker", "pause", f"{NAME}-control-plane")

    def start_api(self) -> None:
        call("docker", "unpause", f"{NAME}-control-plane")

    def _filter(self, node: str, *words: str) -> None:
        call("docker", "exec", node, "iptables", *words)

    def _address(self, node: str) -> str:
        found = self.kubectl.get("node", node)["status"]["addresses"]
        address: str = next(each["address"] for each in found if each["type"] == "InternalIP")
        return address
