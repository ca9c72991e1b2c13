"""A control plane as plain processes: etcd, API server, controller manager. Boots in seconds, as any user, no nodes.

`with control_plane(folder) as plane:` gives `plane.kubectl`, `plane.kubeconfig` and `plane.helm`. As many as you like
may run on one machine: ports are ephemeral, everything else lies in the folder.
"""

import http.client
import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.harness.binaries import binaries
from e2e.harness.certificates import Authority
from e2e.harness.kubectl import Kubectl
from e2e.harness.programs import Program
from e2e.harness.waiting import until
from rustqueue.demo.ports import free_port

LOOPBACK = "127.0.0.1"
SERVICES = "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
BOOT_DEADLINE_S = 180


class ControlPlane:
    """`host` is where the API server listens; with nodes it is an address that they reach."""

    def __init__(self, folder: Path, host: str = LOOPBACK, grace_s: int = 12, toleration_s: int = 10) -> None:
        self.folder = folder
        self._host, self._port = host, free_port(host=host)
        self._grace_s, self._toleration_s = grace_s, toleration_s
        self.server = f"https://{host}:{self._port}"
        self.log = folder / "log"
        self.log.mkdir(parents=True, exist_ok=True)
        self.bin = binaries("control-plane")
        self.authority = Authority(folder / "pki")
        self.kubeconfig = self.authority.kubeconfig("admin", self.server, "admin", "system:masters")
        self.kubectl = Kubectl(self.bin / "kubectl", self.kubeconfig)
        self.helm = self.bin / "helm"
        self._make_certificates()
        self.etcd = self._etcd()
        self.api_server = Program("kube-apiserver", self._api_words(), self.log / "kube-apiserver.log")
        self.controllers = Program("kube-controller-manager", self._controller_words(), self.log / "controllers.log")

    def start(self) -> None:
        self.etcd.start()
        self.start_api()
        self.controllers.start()
        until("the default ServiceAccount", self._serves_accounts, BOOT_DEADLINE_S)

    def start_api(self) -> None:
        """Start the API server and wait until it is ready; also after `stop_api`."""
        self.api_server.start()
        until("kube-apiserver to be ready", self._ready, BOOT_DEADLINE_S)

    def stop_api(self) -> None:
        self.api_server.kill()

    def restart_controllers(self) -> None:
        """After a long absence of the API server they would come back by themselves, but up to a minute later."""
        self.controllers.stop()
        self.controllers.start()

    def stop(self) -> None:
        self.controllers.stop()
        # Nothing is kept, so that nobody waits for the API server to see its watchers off.
        self.api_server.kill()
        self.etcd.stop(signal.SIGKILL)

    def kubeconfig_of(self, namespace: str, account: str) -> Path:
        """What a pod with this ServiceAccount may do, for a program that runs outside a pod."""
        token = self.kubectl.within(namespace).run("create", "token", account, "--duration=24h").strip()
        return self.authority.kubeconfig_of_token(f"{namespace}-{account}", self.server, token)

    def environment(self) -> dict[str, str]:
        """For a program like helm that has to find this cluster and leave the user's own settings alone."""
        home = {f"HELM_{name}_HOME": str(self.folder / "helm") for name in ("CACHE", "CONFIG", "DATA")}
        return {**os.environ, **home, "KUBECONFIG": str(self.kubeconfig)}

    def _ready(self) -> bool:
        self.api_server.must_run()
        self.etcd.must_run()
        return self.answers()

    def answers(self) -> bool:
        """Whether the API server says that it is ready."""
        context = ssl.create_default_context(cafile=str(self.authority.root))
        folder = self.authority.folder
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        connection = http.client.HTTPSConnection(self._host, self._port, context=context, timeout=10)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _serves_accounts(self) -> bool:
        self.controllers.must_run()
        return self.kubectl.works("get", "serviceaccount", "default")

    def _make_certificates(self) -> None:
        service = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
        names = f"{service},DNS:localhost,IP:{self._host},IP:{LOOPBACK},IP:{API_ADDRESS}"
        self.authority.certificate("apiserver", "kube-apiserver", names=names)
        self.authority.certificate("front-proxy", "front-proxy-client")
        self.authority.certificate("service-account", "service-account")
        self.authority.certificate("apiserver-kubelet", "apiserver-kubelet", "system:masters")
        self.authority.kubeconfig("controllers", self.server, "system:kube-controller-manager")

    def _etcd(self) -> Program:
        self._etcd_url, peers = (f"http://{LOOPBACK}:{free_port()}" for _ in range(2))
        words: list[str | Path] = [
            self.bin / "etcd",
            "--data-dir",
            self.folder / "etcd",
            "--log-level=warn",
            "--unsafe-no-fsync",
        ]
        words += ["--listen-client-urls", self._etcd_url, "--advertise-client-urls", self._etcd_url]
        words += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        return Program("etcd", [*words, "--initial-cluster", f"default={peers}"], self.log / "etcd.log")

    def _api_words(self) -> list[str | Path]:
        pki = self.authority.folder
        alone = ["--endpoint-reconciler-type=none"] if self._host == LOOPBACK else []
        return [
            self.bin / "kube-apiserver",
            f"--etcd-servers={self._etcd_url}",
            f"--secure-port={self._port}",
            f"--bind-address={self._host}",
            f"--advertise-address={self._host}",
            *alone,
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            # Webhooks and aggregated APIs reach pods without kube-proxy on this host.
            "--enable-aggregator-routing=true",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={pki}/service-account.crt",
            f"--service-account-signing-key-file={pki}/service-account.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki}/front-proxy.crt",
            f"--proxy-client-key-file={pki}/front-proxy.key",
            f"--default-not-ready-toleration-seconds={self._toleration_s}",
            f"--default-unreachable-toleration-seconds={self._toleration_s}",
        ]

    def _controller_words(self) -> list[str | Path]:
        pki = self.authority.folder
        return [
            self.bin / "kube-controller-manager",
            f"--kubeconfig={pki}/controllers.kubeconfig",
            "--leader-elect=false",
            "--secure-port=0",
            # With the default of 20 its own start takes seconds, waiting for itself.
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=false",
            f"--service-account-private-key-file={pki}/service-account.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--node-monitor-period=1s",
            f"--node-monitor-grace-period={self._grace_s}s",
        ]


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """A control plane on loopback for the length of a block."""
    plane = ControlPlane(folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
