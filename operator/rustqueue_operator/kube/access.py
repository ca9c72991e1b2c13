"""Where the API server is and how we show who we are: from inside a pod, or from a kubeconfig outside of one.

Tokens of pods are rotated, so the token is read when it is needed, never kept.
"""

import base64
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec import Struct

_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class AccessError(Exception):
    """There is no usable way to the API server; the text says what was looked for."""


class Access(Struct, frozen=True, kw_only=True):
    """Files rather than contents, because both aiohttp and kopf take files. `namespace` is where this process lives."""

    server: str
    namespace: str
    ca_path: str | None = None
    token_path: str | None = None
    token_text: str | None = None
    certificate_path: str | None = None
    key_path: str | None = None

    @property
    def token(self) -> str | None:
        if self.token_path is not None:
            return Path(self.token_path).read_text(encoding="ascii").strip()
        return self.token_text

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_path)
        if self.certificate_path is not None:
            context.load_cert_chain(self.certificate_path, self.key_path)
        return context


def find_access(environment: dict[str, str]) -> Access:
    """A kubeconfig that is named wins, so that a test inside a pod does not touch the pod's own cluster."""
    named = environment.get("KUBECONFIG")
    if named:
        return from_kubeconfig(Path(named), environment.get("POD_NAMESPACE"))
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if host is None:
        raise AccessError("neither KUBECONFIG is set nor is this a pod with a service account")
    host = f"[{host}]" if ":" in host else host
    namespace = environment.get("POD_NAMESPACE") or (_POD / "namespace").read_text(encoding="ascii").strip()
    return Access(
        server=f"https://{host}:{port}",
        namespace=namespace,
        ca_path=str(_POD / "ca.crt"),
        token_path=str(_POD / "token"),
    )


def from_kubeconfig(path: Path, namespace: str | None = None) -> Access:
    """The current context of one kubeconfig with a token or a client certificate."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        server = cluster["server"]
    except (OSError, KeyError, TypeError, StopIteration, yaml.YAMLError) as error:
        raise AccessError(f"{path} is no kubeconfig with a current context: {error}") from error
    return Access(
        server=server,
        namespace=namespace or context.get("namespace") or "default",
        ca_path=_file(cluster, "certificate-authority", path),
        token_path=_file(user, "tokenFile", path),
        token_text=user.get("token"),
        certificate_path=_file(user, "client-certificate", path),
        key_path=_file(user, "client-key", path),
    )


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(item for item in items if item["name"] == name)


def _file(section: dict[str, Any], key: str, beside: Path) -> str | None:
    """The path of a part that is given as a file or in place."""
    if key in section:
        return str(beside.parent / section[key])
    data = section.get(f"{key}-data")
    if data is None:
        return None
    handle, name = tempfile.mkstemp(prefix="rustqueue-operator-")
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64decode(data))
    return name
