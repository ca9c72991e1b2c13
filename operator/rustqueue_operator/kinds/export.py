"""What is in a running cluster as the objects that would declare it: the inverse of each kind's `request_body`. Pure.

Invariant, a property test: what comes out asks for exactly what is there. What the object cannot say (durations that
are no whole seconds, options that make sense for one job only, values that the cluster keeps to itself) is refused by
the name of the field, never left out.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from rustqueue_operator.kinds.table import GROUP, VERSION, KindName

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
_RETRY_TIMES: Final = {"max_age_ms": "maxAgeSeconds", "max_delay_ms": "maxDelaySeconds"}
_SCHEDULE: Final = {
    "queue": "queue",
    "cron_expr": "cron",
    "timezone": "timeZone",
    "starts_at": "startTime",
    "ends_at": "endTime",
    "max_executions": "maxRuns",
    "labels": "labels",
}
_SCHEDULE_TIMES: Final = {"every_ms": "everySeconds", "jitter_ms": "jitterSeconds"}
_OVERLAPS: Final = {"allow": "Allow", "skip": "Forbid"}
_WEBHOOK: Final = {"url": "url", "events": "events", "queues": "queues", "labels": "labels"}
_LIMITS: Final = {"concurrency": "concurrency", "group_concurrency": "groupConcurrency", "max_waiting": "maxWaiting"}


class NotSayable(Exception):
    """The object has no words for a setting; the text names it."""


def queue_object(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` as `queue.settings_of` gives them. Raises `NotSayable`."""
    spec: dict[str, Any] = {}
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
    return _object("Queue", name, spec)


def schedule_object(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` as `schedule.settings_of` gives them. Raises `NotSayable`."""
    spec: dict[str, Any] = {}
    template: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "paused":
            continue  # Stays with people, as for queues.
        if key in _SCHEDULE:
            spec[_SCHEDULE[key]] = value
        elif key in _SCHEDULE_TIMES:
            spec[_SCHEDULE_TIMES[key]] = _seconds(key, value)
        elif key in ("job_name", "job_data"):
            template[key.removeprefix("job_")] = value
        elif key == "job_options":
            template["options"] = _defaults(value, key)
        elif key == "overlap" and value in _OVERLAPS:
            spec["overlapPolicy"] = _OVERLAPS[value]
        elif key == "missed":
            spec["missedRunPolicy"] = _camel(value)
        else:
            raise NotSayable(f"{name}: {key}")
    return _object("Schedule", name, {**spec, "jobTemplate": template})


def webhook_object(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` as `webhook.settings_of` gives them. A webhook with a secret names a Secret that somebody has to make.
    Raises `NotSayable`.
    """
    spec: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "suspended":
            continue
        if key in _WEBHOOK:
            spec[_WEBHOOK[key]] = value
        elif key == "timeout_ms":
            spec["timeoutSeconds"] = _seconds(key, value)
        elif key == "retry":
            spec["retry"] = _retry(value)
        elif key in ("has_secret", "has_previous_secret"):
            field = "secretKeyRef" if key == "has_secret" else "previousSecretKeyRef"
            spec[field] = {"name": _plain("Webhook", name), "key": key.removeprefix("has_")}
        elif key == "headers":
            raise NotSayable(f"{name}: headers {', '.join(value)}, whose values the cluster does not tell")
        else:
            raise NotSayable(f"{name}: {key}")
    return _object("Webhook", name, spec)


OBJECTS: Final[dict[KindName, Callable[[str, dict[str, Any]], dict[str, Any]]]] = {
    "Queue": queue_object,
    "Schedule": schedule_object,
    "Webhook": webhook_object,
}


def _object(kind: KindName, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    plain = _plain(kind, name)
    named = spec if plain == name else {"name": name, **spec}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "metadata": {"name": plain},
        "spec": {**named, "adopt": "IfIdentical"},
    }


def _plain(kind: KindName, name: str) -> str:
    """A name that Kubernetes takes."""
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.") or kind.lower()


def _retry(retry: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key, value in retry.items():
        if key in _RETRY_TIMES:
            said[_RETRY_TIMES[key]] = _seconds(f"retry.{key}", value)
        elif key == "max_retries":
            said["maxRetries"] = value
        else:
            raise NotSayable(f"retry.{key}")
    return said


def _defaults(options: dict[str, Any], path: str = "defaults") -> dict[str, Any]:
    said: dict[str, Any] = {}
    backoff: dict[str, Any] = {}
    for key, value in options.items():
        if key in _OPTIONS:
            said[_OPTIONS[key]] = value
        elif key in _TIMES:
            said[_TIMES[key]] = _seconds(f"{path}.{key}", value)
        elif key in _BACKOFF_TIMES:
            backoff[_BACKOFF_TIMES[key]] = _seconds(f"{path}.{key}", value)
        elif key == "backoff":
            backoff["type"] = _camel(value)
        elif key == "on_parent_failure":
            said["onParentFailure"] = _camel(value)
        else:
            raise NotSayable(f"{path}.{key}")
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
