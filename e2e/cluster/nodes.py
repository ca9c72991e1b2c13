"""One node: its configuration, its process, its power switch."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster import network
from e2e.harness.certificates import Authority
from e2e.harness.control_plane import ControlPlane
from e2e.harness.programs import Program
from e2e.harness.waiting import until

HERE = Path(__file__).resolve().parent
IMAGES = "images"
DNS_ADDRESS = "10.96.0.10"
CONTROL_GROUPS = Path("/sys/fs/cgroup")
# A node's own folders under /var; node.sh puts them in place.
VAR = ("lib/kubelet", "lib/cni", "log/pods", "log/containers")
BOOT_DEADLINE_S = 60
IMPORT_DEADLINE_S = 180


class Node:
    """`number` counts from 1 and gives the node its name and its addresses."""

    def __init__(self, plane: ControlPlane, binaries: Path, number: int, count: int) -> None:
        self.number, self.name = number, f"node{number}"
        self.folder = plane.folder / self.name
        self._plane, self._binaries = plane, binaries
        others = (other for other in range(1, count + 1) if other != number)
        routes = " ".join(f"{network.pod_range(other)},{network.node_address(other)}" for other in others)
        words = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        environment = {
            "NODE": self.name,
            "NODE_DIR": str(self.folder),
            "NODE_IP": network.node_address(number),
            "HOST_IP": network.HOST,
            "ROUTES": routes,
            "VAR": " ".join(VAR),
            "BIN": str(binaries),
            "PKI": str(plane.authority.folder),
            "LOG": str(plane.log),
        }
        self._program = Program(
            self.name, [*words, "bash", HERE / "node.sh"], plane.log / f"{self.name}.log", environment
        )
        self._init: int | None = None
        self._configure(plane.authority, plane.server)

    def start(self) -> None:
        self._make_control_groups()
        self._program.start()
        init = until(f"process 1 of {self.name}", self._first_process, BOOT_DEADLINE_S)
        assert init is not None
        network.plug(self.number, init)
        (self.folder / "init").write_text(str(init))
        self._init = init

    def kill(self) -> None:
        """Power off."""
        if self._init is not None and self._program.runs():
            os.kill(self._init, signal.SIGKILL)  # It takes the whole process namespace with it.
        self._program.kill()
        self._init = None
        (self.folder / "init").unlink(missing_ok=True)
        until(f"the control groups of {self.name} to be empty", self._remove_control_groups, BOOT_DEADLINE_S)

    def inside(self, *words: str) -> list[str]:
        """The command line that runs these words on the node, as root."""
        assert self._init is not None, f"{self.name} is not up"
        return ["nsenter", "-t", str(self._init), "-n", "-m", "-u", "-p", "--", *words]

    def runs_containers(self) -> bool:
        self._program.must_run()
        return network.attempt(*self.inside("ctr", "version"))

    def begin_import(self, archive: Path) -> subprocess.Popen[str]:
        words = self.inside("ctr", "--namespace", "k8s.io", "images", "import", str(archive))
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def _first_process(self) -> int | None:
        """The child of `unshare`, once it has left our network; its cable must not be plugged in here."""
        self._program.must_run()
        try:
            outer = self._program.pid
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
            if not children or os.readlink(f"/proc/{children[0]}/ns/net") == os.readlink("/proc/self/ns/net"):
                return None
            return int(children[0])
        except OSError:
            return None

    def _hierarchies(self) -> list[Path]:
        return [path for path in CONTROL_GROUPS.iterdir() if (path / "cgroup.procs").exists()]

    def _group(self, hierarchy: Path) -> Path:
        return hierarchy / f"rq-e2e-{self.name}"

    def _make_control_groups(self) -> None:
        for hierarchy in self._hierarchies():
            group = self._group(hierarchy)
            group.mkdir(exist_ok=True)
            for knob in ("cpuset.cpus", "cpuset.mems"):
                if (hierarchy / knob).exists():
                    (group / knob).write_text((hierarchy / knob).read_text())

    def _remove_control_groups(self) -> bool:
        """A power cut leaves none; the next kubelet would wait for every container that it finds."""
        for hierarchy in self._hierarchies():
            for folder, _, _ in os.walk(self._group(hierarchy), topdown=False):
                try:
                    Path(folder).rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    return False
        return True

    def _configure(self, authority: Authority, server: str) -> None:
        (self.folder / "cni").mkdir(parents=True)
        address = network.node_address(self.number)
        authority.kubeconfig(self.name, server, f"system:node:{self.name}", "system:nodes")
        authority.certificate(f"{self.name}-server", self.name, names=f"DNS:{self.name},IP:{address}")
        (self.folder / "resolv.conf").touch()
        self._write("cni/pods.conflist", self._pod_network())
        self._write("kubelet.yaml", self._kubelet(authority.folder))
        self._write("proxy.yaml", self._proxy(authority.folder))
        template = (HERE / "containerd.toml").read_text()
        images = self._plane.folder / IMAGES / self.name
        toml = template.replace("@DIR@", str(self.folder)).replace("@IMAGES@", str(images))
        (self.folder / "containerd.toml").write_text(toml)

    def _write(self, name: str, content: object) -> None:
        (self.folder / name).write_text(json.dumps(content, indent=1))  # JSON is YAML.

    def _pod_network(self) -> dict[str, object]:
        """Every packet of a pod is routed, so that the node's packet filter sees it."""
        route = {"dst": "0.0.0.0/0"}
        subnet = network.pod_range(self.number)
        addresses = {"type": "host-local", "dataDir": "/run/cni", "subnet": subnet, "routes": [route]}
        pair = {"type": "ptp", "ipMasq": False, "ipam": addresses}
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [pair, ports]}

    def _kubelet(self, pki: Path) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki / f"{self.name}-server.crt"),
            "tlsPrivateKeyFile": str(pki / f"{self.name}-server.key"),
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/rq-e2e-{self.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            # Here nothing may lower a process's score, not even root.
            "oomScoreAdj": 0,
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.folder / "resolv.conf"),
            "imageGCHighThresholdPercent": 100,
            "nodeLeaseDurationSeconds": 9,
            "nodeStatusUpdateFrequency": "4s",
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        }

    def _proxy(self, pki: Path) -> dict[str, object]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": self.name,
            "clientConnection": {"kubeconfig": str(pki / "proxy.kubeconfig")},
            "clusterCIDR": network.PODS,
            "oomScoreAdj": 0,
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }


def import_everywhere(nodes: Sequence[Node], archive: Path) -> None:
    """Give all nodes an image at the same time."""
    imports = [(node, node.begin_import(archive)) for node in nodes]
    for node, running in imports:
        said, _ = running.communicate(timeout=IMPORT_DEADLINE_S)
        assert running.returncode == 0, f"{node.name} did not take {archive.name}: {said}"
