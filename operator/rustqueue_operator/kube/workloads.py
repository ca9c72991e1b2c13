"""Calls about what runs in Kubernetes: pods, the StatefulSets that make them, the claims of their volumes."""

from typing import Any

from rustqueue_operator.kube.calls import MERGE, Calls


class Workloads:
    """Over the calls of this operator."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def pod(self, namespace: str, name: str) -> dict[str, Any] | None:
        return await self._calls.pod(namespace, name)

    async def pods(self, namespace: str | None, label: str) -> list[dict[str, Any]]:
        """Those with a label, of one namespace or of all."""
        scope = "" if namespace is None else f"/namespaces/{namespace}"
        answer = await self._calls.call("GET", f"/api/v1{scope}/pods?labelSelector={label}")
        items: list[dict[str, Any]] = answer["items"]
        return items

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str]) -> None:
        body = {"metadata": {"annotations": annotations}}
        await self._calls.call("PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}", body, MERGE)

    async def stateful_set(self, namespace: str, name: str) -> dict[str, Any] | None:
        return await self._calls.find("GET", f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}")

    async def claim(self, namespace: str, name: str) -> dict[str, Any] | None:
        return await self._calls.find("GET", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")

    async def grow_claim(self, namespace: str, name: str, storage: str) -> None:
        body = {"spec": {"resources": {"requests": {"storage": storage}}}}
        await self._calls.call("PATCH", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}", body, MERGE)
