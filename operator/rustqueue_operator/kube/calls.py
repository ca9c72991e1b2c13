"""Calls to the API server over aiohttp. Knows paths and JSON, nothing of what the objects mean.

kopf watches our kinds; everything that we read beside them or write goes through here, so that what the operator may do
(its role) can be compared with what it does (`VERBS`).
"""

import time
from typing import Any, Final, NamedTuple, Self

import aiohttp

from rustqueue_operator import failpoints
from rustqueue_operator.kinds.table import GROUP, VERSION
from rustqueue_operator.kube.access import Access

OURS: Final = f"/apis/{GROUP}/{VERSION}"
MERGE: Final = "application/merge-patch+json"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10)

# (group, resource) to the verbs used, by kopf or by us. A test holds the chart's roles to this.
VERBS: Final[dict[tuple[str, str], frozenset[str]]] = {
    (GROUP, "queues"): frozenset({"get", "list", "watch", "patch"}),
    (GROUP, "schedules"): frozenset({"get", "list", "watch", "patch"}),
    (GROUP, "webhooks"): frozenset({"get", "list", "watch", "patch"}),
    (GROUP, "queues/status"): frozenset({"patch"}),
    (GROUP, "schedules/status"): frozenset({"patch"}),
    (GROUP, "webhooks/status"): frozenset({"patch"}),
    ("", "configmaps"): frozenset({"list"}),
    ("", "secrets"): frozenset({"get"}),
    ("", "namespaces"): frozenset({"get"}),
    ("", "events"): frozenset({"create"}),
    ("", "pods"): frozenset({"get"}),
    ("", "persistentvolumeclaims"): frozenset({"get", "patch"}),
    ("apps", "statefulsets"): frozenset({"get"}),
    ("coordination.k8s.io", "leases"): frozenset({"get", "create", "update"}),
}
# The same for the one Secret that is written, of the nodes' own certificate.
VERBS_FOR_CERTIFICATES: Final[dict[tuple[str, str], frozenset[str]]] = {("", "secrets"): frozenset({"get", "patch"})}
# The same for what is only done when it is asked for (`--protect-busy-workers`).
VERBS_FOR_WORKERS: Final[dict[tuple[str, str], frozenset[str]]] = {("", "pods"): frozenset({"get", "list", "patch"})}


class KubernetesError(Exception):
    """The API server refused or did not answer; then `status` is 0."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Key(NamedTuple):
    """One object of ours."""

    plural: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        return f"{OURS}/namespaces/{self.namespace}/{self.plural}/{self.name}"


class Calls:
    """Async context: one pool of connections. `counts` has the answers by method and status, for the metrics."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None
        self.counts: dict[tuple[str, int], int] = {}
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.context(), limit=16)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def object(self, key: Key) -> dict[str, Any] | None:
        return await self.find("GET", key.path)

    async def patch_status(self, key: Key, status: dict[str, Any]) -> dict[str, Any]:
        return await self.call("PATCH", f"{key.path}/status", {"status": status}, MERGE)

    async def set_finalizers(self, key: Key, finalizers: list[str], version: str) -> dict[str, Any]:
        """Refused with 409 when the object is not the one that was looked at."""
        metadata = {"finalizers": finalizers, "resourceVersion": version}
        return await self.call("PATCH", key.path, {"metadata": metadata}, MERGE)

    async def config_maps(self, namespace: str | None, label: str) -> list[dict[str, Any]]:
        """Those with a label, of one namespace or of all."""
        scope = "" if namespace is None else f"/namespaces/{namespace}"
        answer = await self.call("GET", f"/api/v1{scope}/configmaps?labelSelector={label}")
        items: list[dict[str, Any]] = answer["items"]
        return items

    async def secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        return await self.find("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    async def namespace(self, name: str) -> dict[str, Any] | None:
        return await self.find("GET", f"/api/v1/namespaces/{name}")

    async def pod(self, namespace: str, name: str) -> dict[str, Any] | None:
        return await self.find("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")

    async def post_event(self, namespace: str, event: dict[str, Any]) -> None:
        await self.call("POST", f"/api/v1/namespaces/{namespace}/events", event)

    async def lease(self, namespace: str, name: str) -> dict[str, Any] | None:
        return await self.find("GET", f"{_leases(namespace)}/{name}")

    async def create_lease(self, namespace: str, lease: dict[str, Any]) -> dict[str, Any]:
        return await self.call("POST", _leases(namespace), lease)

    async def update_lease(self, namespace: str, name: str, lease: dict[str, Any]) -> dict[str, Any]:
        return await self.call("PUT", f"{_leases(namespace)}/{name}", lease)

    async def serves(self, plural: str) -> bool:
        """Whether the CRD is there already."""
        answer = await self.find("GET", OURS)
        return answer is not None and any(item["name"] == plural for item in answer["resources"])

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """One exchange. Raises `KubernetesError`."""
        assert self._session is not None
        headers = {"Accept": "application/json"}
        token = self._access.token
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = content_type
            failpoints.reached("before", failpoints.kubernetes_point(method, path))
        begun, status = time.monotonic(), 0
        try:
            async with self._session.request(
                method, f"{self._access.server}{path}", json=body, headers=headers
            ) as response:
                status = response.status
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise KubernetesError(0, f"{type(error).__name__}: {error}") from error
        finally:
            self.counts[method, status] = self.counts.get((method, status), 0) + 1
            self.seconds += time.monotonic() - begun
        if body is not None:
            failpoints.reached("after", failpoints.kubernetes_point(method, path))
        if status >= 400 or not isinstance(answer, dict):
            message = answer.get("message", "") if isinstance(answer, dict) else str(answer)
            raise KubernetesError(status, message)
        return answer

    async def find(self, method: str, path: str) -> dict[str, Any] | None:
        """None: there is no such thing. Raises `KubernetesError`."""
        try:
            return await self.call(method, path)
        except KubernetesError as error:
            if error.status == 404:
                return None
            raise


def _leases(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
