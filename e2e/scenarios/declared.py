"""Queue, Schedule and Webhook objects that scenarios declare, and whether they are in force."""

from typing import Any

from e2e.harness.kubectl import Kubectl, Object
from e2e.harness.waiting import until
from rustqueue_operator.objects import KIND_OF

OURS = ",".join(f"{plural}.rustqueue.io" for plural in KIND_OF)
# One of each kind, through the whole of a scenario.
KEPT = "kept"
IN_FORCE_S = 60


def declared(kind: str, name: str, version: int, **more: str) -> Object:
    """Versions differ in one field. Nothing of it ever runs: there is no job, the day is rare."""
    spec: dict[str, Any] = {
        "Queue": {"leaseSeconds": 60 + version},
        "Schedule": {"queue": "digests", "cron": f"{version} 6 29 2 *", "jobTemplate": {"name": "digest"}},
        "Webhook": {"url": "https://hooks.example.org/in", "events": ["job.dlq"], "queues": [f"none-{version}"]},
    }
    api = "rustqueue.io/v1alpha1"
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": {**spec[kind], **more}}


def keep(kubectl: Kubectl, version: int, seconds: float = IN_FORCE_S, **more: str) -> None:
    """Declare one of each kind, or change them, and wait until everything that is declared is Ready."""
    kubectl.apply(*(declared(kind, KEPT, version, **more) for kind in KIND_OF.values()))
    until("all objects to be in force", lambda: all_in_force(kubectl), seconds, every=0.5)


def all_in_force(kubectl: Kubectl, kinds: str = OURS) -> bool:
    """Ready, and for what stands in the object now."""
    for item in kubectl.items(kinds):
        found = [each for each in item.get("status", {}).get("conditions", []) if each["type"] == "Ready"]
        if (
            not found
            or found[0]["status"] != "True"
            or found[0]["observedGeneration"] != item["metadata"]["generation"]
        ):
            return False
    return True
