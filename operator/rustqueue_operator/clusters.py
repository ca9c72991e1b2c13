"""The clusters that objects may name: ConfigMaps with a label, read again every few seconds with the token Secret that
each names. Also whether a cluster answers: one probe for all its objects, so that an outage is no storm.

Keys of such a ConfigMap: `address` (http or https), `tokenSecret` and `tokenKey` (a Secret beside it), `ca.crt`,
`allowedNamespaces` (comma separated; `*` for all; its own namespace always may), `statefulSet` (of the nodes),
`peerSecret` and `peerAuthoritySecret` (the certificate of the nodes and who signs it, to be renewed).
"""

import base64
import binascii
import random
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from msgspec import Struct

from rustqueue_operator.backend import Backend, Connection, NoAnswer
from rustqueue_operator.kinds.fields import ClusterRef
from rustqueue_operator.kube.calls import KubernetesError
from rustqueue_operator.planning.values import ClusterProblem

LABEL: Final = "rustqueue.io/cluster=true"
_PROBE_FIRST_S: Final = 0.5
_PROBE_MAX_S: Final = 15.0


class Source(Protocol):
    """Where ConfigMaps and Secrets are read."""

    async def config_maps(self, namespace: str | None, label: str) -> list[dict[str, Any]]: ...
    async def secret(self, namespace: str, name: str) -> dict[str, Any] | None: ...


class Entry(Struct, frozen=True):
    """What a ConfigMap says. `problem` is set when it is of no use."""

    connection: Connection
    allowed: tuple[str, ...]
    problem: str | None = None
    stateful_set: str | None = None
    """Whose pods are its nodes, in the namespace of the ConfigMap."""
    peer_secret: str | None = None
    authority_secret: str | None = None
    """With the certificate of its nodes, and with the authority that signs it; only if the chart made both."""

    def admits(self, namespace: str) -> bool:
        return "*" in self.allowed or namespace in self.allowed


class Resolved(NamedTuple):
    """Either a cluster or why there is none."""

    name: str | None
    problem: ClusterProblem | None = None
    message: str = ""


class Cluster:
    """One cluster: its connection and whether it answers."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.backend = Backend(entry.connection)
        self.identity: str | None = None
        self.silence: str | None = None
        """Why it is thought not to answer; None: it does."""
        self._failures = 0
        self._probe_at = 0.0

    def failed(self, message: str) -> None:
        """A call got no answer: nobody calls until a probe got one."""
        if self.silence is None:
            self._failures = 0
        self.silence = message
        pause = min(_PROBE_MAX_S, _PROBE_FIRST_S * 2**self._failures) * (0.75 + random.random() / 2)
        self._failures = min(self._failures + 1, 10)
        self._probe_at = time.monotonic() + pause

    async def probe(self) -> bool:
        """Ask it who it is, if it is time to. True: something changed for its objects."""
        if self.silence is not None and time.monotonic() < self._probe_at:
            return False
        before = (self.silence is None, self.identity)
        try:
            self.identity = await self.backend.identity() or self.identity
        except NoAnswer as error:
            self.failed(str(error))
        else:
            self.silence = None
        return before != (self.silence is None, self.identity)


class Clusters:
    """All clusters. `on_change` is called with the name of each whose objects have to be looked at."""

    def __init__(
        self, calls: Source, namespaces: tuple[str, ...], default: str | None, on_change: Callable[[str], None]
    ) -> None:
        self._calls = calls
        self._namespaces = namespaces
        self._default = default
        self._on_change = on_change
        self.known: dict[str, Cluster] = {}

    def resolve(self, namespace: str, ref: ClusterRef | None) -> Resolved:
        """The cluster that an object in a namespace means."""
        name = self._named(namespace, ref)
        if name is None:
            beside = ", ".join(sorted(key for key in self.known if key.startswith(f"{namespace}/")))
            if beside:
                return Resolved(None, "ClusterAmbiguous", f"several clusters are in this namespace: {beside}")
            return Resolved(None, "ClusterNotFound", "no clusterRef, no cluster in this namespace and no default")
        cluster = self.known.get(name)
        if cluster is None:
            return Resolved(None, "ClusterNotFound", f"there is no ConfigMap {name} with the label {LABEL}")
        if not cluster.entry.admits(namespace):
            text = f"cluster {name} does not list the namespace {namespace} in allowedNamespaces"
            return Resolved(None, "NamespaceNotAllowed", text)
        if cluster.entry.problem is not None:
            return Resolved(None, "InvalidCluster", f"cluster {name}: {cluster.entry.problem}")
        return Resolved(name)

    async def refresh(self) -> None:
        """Read all ConfigMaps and token Secrets again. Raises `KubernetesError`."""
        found: dict[str, Entry] = {}
        for scope in self._namespaces or (None,):
            for item in await self._calls.config_maps(scope, LABEL.replace("=", "%3D")):
                metadata = item["metadata"]
                name = f"{metadata['namespace']}/{metadata['name']}"
                found[name] = await self._entry(metadata["namespace"], item.get("data") or {})
        for name in [name for name in self.known if name not in found]:
            await self.known.pop(name).backend.close()
            self._on_change(name)
        for name, entry in found.items():
            await self._take(name, entry)

    async def probe(self) -> None:
        """See who answers; objects of a cluster that came back are looked at at once."""
        for name, cluster in list(self.known.items()):
            if cluster.entry.problem is None and await cluster.probe():
                self._on_change(name)

    async def close(self) -> None:
        for cluster in self.known.values():
            await cluster.backend.close()

    async def _take(self, name: str, entry: Entry) -> None:
        before = self.known.get(name)
        if before is not None and before.entry == entry:
            return
        if before is not None:
            await before.backend.close()
        self.known[name] = Cluster(entry)
        self._on_change(name)

    async def _entry(self, namespace: str, data: dict[str, Any]) -> Entry:
        allowed = tuple(part.strip() for part in data.get("allowedNamespaces", "").split(",") if part.strip())
        allowed = (namespace, *allowed)
        address = data.get("address", "")
        if not address.startswith(("http://", "https://")):
            return Entry(Connection(address), allowed, "address has to begin with http:// or https://")
        token, problem = None, None
        if data.get("tokenSecret"):
            token, problem = await self._token(namespace, data["tokenSecret"], data.get("tokenKey", "token"))
        told = (data.get(key) for key in ("statefulSet", "peerSecret", "peerAuthoritySecret"))
        return Entry(Connection(address, token, data.get("ca.crt")), allowed, problem, *told)

    async def _token(self, namespace: str, name: str, key: str) -> tuple[str | None, str | None]:
        """The token or what is wrong with it."""
        try:
            secret = await self._calls.secret(namespace, name)
        except KubernetesError as error:
            if error.status != 403:
                raise
            return None, f"the operator may not read the Secret {name}"
        if secret is None:
            return None, f"there is no Secret {name}"
        value = (secret.get("data") or {}).get(key)
        if value is None:
            return None, f"the Secret {name} has no key {key}"
        try:
            return base64.b64decode(value, validate=True).decode("ascii").strip(), None
        except (binascii.Error, UnicodeDecodeError):
            return None, f"the key {key} of the Secret {name} is no token"

    def _named(self, namespace: str, ref: ClusterRef | None) -> str | None:
        if ref is not None:
            return f"{ref.namespace or namespace}/{ref.name}"
        beside = [key for key in self.known if key.startswith(f"{namespace}/")]
        if len(beside) == 1:
            return beside[0]
        return None if beside else self._default
