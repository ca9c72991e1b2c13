"""Events about what is not ours: a StatefulSet of nodes. News for people; one that cannot be posted stops nothing."""

import logging
import uuid
from datetime import UTC, datetime
from typing import Any, Final, Literal

from rustqueue_operator.kube.calls import Calls, KubernetesError
from rustqueue_operator.metrics import Metrics

log: Final = logging.getLogger("rustqueue.operator")

_LETTERS_MAX: Final = 1_000


class News:
    """Told to everybody who looks at the StatefulSet, to the log and to the metrics."""

    def __init__(self, calls: Calls, metrics: Metrics) -> None:
        self._calls = calls
        self._metrics = metrics

    async def tell(self, about: dict[str, Any], type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """`about` is a StatefulSet as the API server gave it."""
        log.info("node", extra={"reason": reason, "about": message})
        self._metrics.event("StatefulSet", reason)
        metadata, now = about["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        name, namespace = metadata["name"], metadata["namespace"]
        body = {
            "metadata": {"name": f"{name}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "namespace": namespace,
                "name": name,
                "uid": metadata["uid"],
            },
            "type": type_,
            "reason": reason,
            "message": message[:_LETTERS_MAX],
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": "rustqueue-operator"},
        }
        try:
            await self._calls.post_event(namespace, body)
        except KubernetesError as error:
            log.warning("event not posted", extra={"reason": reason, "error": str(error)})
