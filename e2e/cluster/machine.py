"""The driver that makes all of it on this machine. Needs root, and the Debian packages that `missing` looks for."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from e2e.cluster import memory, network
from e2e.cluster.archives import COREDNS, image_of, pause_image
from e2e.cluster.nodes import DNS_ADDRESS, HERE, IMAGES, VAR, Node, import_everywhere
from e2e.harness.binaries import binaries, cache_root
from e2e.harness.control_plane import ControlPlane
from e2e.harness.kubectl import Kubectl
from e2e.harness.programs import Program
from e2e.harness.waiting import until

ROOT = HERE.parent.parent
PROGRAMS = (
    "openssl",
    "setpriv",
    "buildah",
    "cc",
    "containerd",
    "runc",
    "ctr",
    "ip",
    "nft",
    "conntrack",
    "unshare",
    "nsenter",
)
PACKAGES = (
    "containerd runc containernetworking-plugins nftables iptables conntrack iproute2 procps openssl gcc libc6-dev "
    "buildah docker-compose"
)
# The kubelet sets these for the whole machine.
SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
BOOT_DEADLINE_S = 120
LOCK = Path(tempfile.gettempdir()) / "rustqueue-e2e.lock"


class MachineFault(Exception):
    """This machine cannot run a cluster; the sentence says what it lacks."""


def missing() -> str:
    """What is missing for this driver, as a sentence; empty when it can run."""
    if os.geteuid() != 0:
        return "nodes need root: they are made of network, mount and process namespaces"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if not Path("/usr/lib/cni/ptp").exists():
        lacking.append("/usr/lib/cni/ptp")
    return f"missing {', '.join(lacking)}; apt-get install --no-install-recommends {PACKAGES}" if lacking else ""


class MachineCluster:
    """Nodes node1, node2, ...; one such cluster a machine, because its bridge has a fixed name."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        if fault := missing():
            raise MachineFault(fault)
        self.folder, self._count = folder, count
        self._binaries = binaries("control-plane", "nodes")
        self._before = {name: Path("/proc/sys", name).read_text() for name in SETTINGS}
        self._made = [Path("/var", name) for name in VAR if not Path("/var", name).exists()]
        self._nodes: dict[str, Node] = {}
        self._attendants: list[Program] = []
        self._plane: ControlPlane | None = None
        self._turn: IO[str] | None = None
        self.times: dict[str, float] = {}

    @property
    def plane(self) -> ControlPlane:
        assert self._plane is not None, "the cluster is not up"
        return self._plane

    @property
    def kubectl(self) -> Kubectl:
        return self.plane.kubectl

    @property
    def helm(self) -> Path:
        return self.plane.helm

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def up(self) -> None:
        # One at a time on this machine: whoever comes second waits for the first to be down.
        self._turn = LOCK.open("w")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        begin = time.monotonic()
        network.lay()
        memory.mount(self.folder / IMAGES)
        for name in VAR:
            Path("/var", name).mkdir(parents=True, exist_ok=True)
        self._plane = ControlPlane(self.folder, network.HOST)
        scheduler = self.plane.authority.kubeconfig("scheduler", self.plane.server, "system:kube-scheduler")
        self.plane.authority.kubeconfig("proxy", self.plane.server, "system:kube-proxy")
        self.plane.start()
        self._attend("kube-scheduler", *self._scheduler_words(scheduler))
        self.times["control plane"] = time.monotonic() - begin
        self._start_nodes()
        self.times["nodes Ready"] = time.monotonic() - begin
        self._serve_names()
        self.times["names served"] = time.monotonic() - begin

    def down(self) -> None:
        for node in self._nodes.values():
            node.kill()
        for attendant in reversed(self._attendants):
            attendant.stop()
        if self._plane is not None:
            self._plane.stop()
        network.remove()
        memory.unmount()
        for node in self._nodes.values():
            shutil.rmtree(node.folder, ignore_errors=True)
        for folder in self._made:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        for name, value in self._before.items():
            Path("/proc/sys", name).write_text(value)
        if self._turn is not None:
            self._turn.close()

    def load(self, archive: Path) -> None:
        import_everywhere(list(self._nodes.values()), archive)

    def cut(self, node: str, peer: str | None = None) -> None:
        network.cut(self._nodes[node].number, None if peer is None else self._nodes[peer].number)

    def heal(self, node: str) -> None:
        network.heal(self._nodes[node].number)

    def kill(self, node: str) -> None:
        self._nodes[node].kill()

    def start(self, node: str) -> None:
        self._nodes[node].start()

    def stop_api(self) -> None:
        self.plane.stop_api()

    def start_api(self) -> None:
        self.plane.start_api()
        self.plane.restart_controllers()

    def on_node(self, node: str, *words: str) -> str:
        """Run words as root on a node; for looks that Kubernetes does not offer."""
        command = self._nodes[node].inside(*words)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def _attend(self, name: str, *words: str | Path) -> None:
        program = Program(name, words, self.plane.log / f"{name}.log", {"PYTHONPATH": str(ROOT)})
        program.start()
        self._attendants.append(program)

    def _scheduler_words(self, kubeconfig: Path) -> list[str | Path]:
        known = [f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}"]
        program = self._binaries / "kube-scheduler"
        return [program, f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0", *known]

    def _start_nodes(self) -> None:
        for number in range(1, self._count + 1):
            node = Node(self.plane, self._binaries, number, self._count)
            self._nodes[node.name] = node
            node.start()
        for node in self._nodes.values():
            until(f"containerd of {node.name}", node.runs_containers, BOOT_DEADLINE_S)
        cache = cache_root() / "archives"
        self.load(pause_image(cache))
        with tempfile.TemporaryDirectory(dir=cache) as work:
            self.load(image_of(Path(work, "coredns.tar"), COREDNS, self._binaries / "coredns"))
        until("all nodes to be Ready", self.all_ready, BOOT_DEADLINE_S)

    def all_ready(self) -> bool:
        return all(self.ready(node) for node in self._nodes)

    def ready(self, node: str) -> bool:
        return self.kubectl.condition("node", node, "Ready").get("status") == "True"

    def _serve_names(self) -> None:
        pki = self.plane.authority.folder
        for name in ("volumes", "policies"):
            module = f"e2e.cluster.{name}"
            self._attend(name, sys.executable, "-m", module, self.plane.server, pki, self.folder)
        manifests = (HERE / "manifests.yaml").read_text().replace("@DNS@", DNS_ADDRESS)
        system = self.kubectl.within("kube-system")
        system.run("apply", "--server-side", "-f", "-", text=manifests)
        system.run("rollout", "status", "daemonset/coredns", f"--timeout={BOOT_DEADLINE_S}s")
