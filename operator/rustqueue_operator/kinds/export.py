"""A queue of a running cluster as the object that would declare it: the inverse of `queue.request_body`. Pure.

Invariant, a property test: what comes out asks for exactly what is there. What the object cannot say (durations that
are no whole seconds, options that make sense for one job only) is refused by the name of the field, never left out.
"""

import re
from typing import Any, Final

from rustqueue_operator.kinds.table import GROUP, VERSION

_OPTIONS: Final = {
    "priority": "priority",
    "max_attempts": "maxAttempts",
    "tags": "tags",
    "group_id": "groupId",
    "lifo": "lastInFirstOut",
    "remove_on_complete": "removeOnComplete",
    "remove_on_fail": "removeOnFail",
}
_TIMES: Final = {
    "delay_ms": "delaySeconds",
    "timeout_ms": "timeoutSeconds",
    "ttl_ms": "ttlSeconds",
    "lease_ms": "leaseSeconds",
}
_BACKOFF_TIMES: Final = {"backoff_delay_ms": "delaySeconds", "max_backoff_ms": "maxDelaySeconds"}
_LIMITS: Final = {"concurrency": "concurrency", "group_concurrency": "groupConcurrency", "max_waiting": "maxWaiting"}


class NotSayable(Exception):
    """The object has no words for a setting; the text names it."""


def queue_object(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` as `queue.settings_of` gives them. Raises `NotSayable`."""
    spec: dict[str, Any] = {}
    plain = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")
    if plain != name:
        spec["name"] = name
    # Pausing stays with people: a queue that is held today is not declared to be held for ever.
    for key, value in settings.items():
        match key:
            case "mode":
                continue
            case "labels" | "payload_schema":
                spec[{"payload_schema": "payloadSchema"}.get(key, key)] = value
            case "lease_ms":
                spec["leaseSeconds"] = _seconds(key, value)
            case "defaults":
                spec["defaults"] = _defaults(value)
            case "limits":
                spec["limits"] = _limits(value)
            case "retention":
                spec["retention"] = {outcome: _kept(f"retention.{outcome}", kept) for outcome, kept in value.items()}
            case _:
                raise NotSayable(f"{name}: {key}")
    spec["adopt"] = "IfIdentical"
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Queue", "metadata": {"name": plain or "queue"}, "spec": spec}


def _defaults(options: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    backoff: dict[str, Any] = {}
    for key, value in options.items():
        if key in _OPTIONS:
            said[_OPTIONS[key]] = value
        elif key in _TIMES:
            said[_TIMES[key]] = _seconds(f"defaults.{key}", value)
        elif key in _BACKOFF_TIMES:
            backoff[_BACKOFF_TIMES[key]] = _seconds(f"defaults.{key}", value)
        elif key == "backoff":
            backoff["type"] = _camel(value)
        elif key == "on_parent_failure":
            said["onParentFailure"] = _camel(value)
        else:
            raise NotSayable(f"defaults.{key}")
    return {**said, "backoff": backoff} if backoff else said


def _limits(limits: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key, value in limits.items():
        if key in _LIMITS:
            said[_LIMITS[key]] = value
        elif key == "rate":
            said["rate"] = {"count": value["count"], "perSeconds": _seconds("limits.rate.per_ms", value["per_ms"])}
        else:
            raise NotSayable(f"limits.{key}")
    return said


def _kept(path: str, kept: dict[str, Any]) -> dict[str, Any]:
    said = dict(kept)
    if "age_ms" in said:
        said["ageSeconds"] = _seconds(f"{path}.age_ms", said.pop("age_ms"))
    return said


def _seconds(path: str, milliseconds: int) -> int:
    if milliseconds % 1_000:
        raise NotSayable(f"{path} is {milliseconds}, which is no whole number of seconds")
    return milliseconds // 1_000


def _camel(word: str) -> str:
    return "".join(part.capitalize() for part in word.split("_"))
