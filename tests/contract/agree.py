"""Holds an answer of the original against the one that a case expects of us.

Both must be the same but for what the decisions add or change, and for the wording of validation errors. Each such
difference stands here once with its row, or at a step of a case (`Was`); anything else is a disagreement, and then the
case tests our reading and not the contract.
"""

from collections.abc import Mapping
from typing import Any, Final

from tests.contract.play import Heard
from tests.contract.table import Step, Way

MISSING: Final = object()

ONLY_HTTP: Final = frozenset(
    {"get", "list_queues", "dlq", "flow", "health", "webhook_create", "webhook_list", "webhook_get", "webhook_delete"}
)
"""Verbs that the original has over HTTP alone (decisions A3)."""

ADDED: Final[Mapping[str, str]] = {
    "details": "8",  # Over TCP the original has no such key, over HTTP it is always null.
    "retry": "7",
    "will_retry": "7",
    "next_attempt_at": "7",  # Over HTTP the original leaves it out instead of null.
    "fence": "name attempt token",
    "attempt_token": "name attempt token",
    "lease_expires_at": "name heartbeat reply",
    "cancel_requested": "name heartbeat reply",
    "drain": "name heartbeat reply",
    "lease_ms": "14",
    "max_backoff_ms": "name push options",
    "on_parent_failure": "13",
    "traceparent": "name push options",
    "mode": "11",
    "next_cursor": "name lists",
    "follow_ups_refused": "31",
    "role": "20",
    "leader": "20",
    "term": "20",
    "applied": "20",
    "lag": "20",
    "schedule": "area schedules webhooks",  # The answer of verbs that say nothing but ok in the original.
    "jitter_ms": "19",
    "missed": "19",
    "overlap": "19",
    "starts_at": "19",
    "ends_at": "19",
    "next_runs": "19",
    "labels": "area declarative owners",
    "owner": "area declarative owners",
    "revision": "area declarative owners",
    "cursor": "6",
    "created": "area schedules webhooks",
    "webhook.name": "area schedules webhooks",
    "webhook.updated_at": "area schedules webhooks",
    "webhook.headers": "area schedules webhooks",
    "webhook.suspended": "area schedules webhooks",
    "webhook.deliveries": "area schedules webhooks",
    "webhook.timeout_ms": "area schedules webhooks",
    "webhook.has_secret": "34",
    "webhook.has_previous_secret": "34",
}
"""Keys that only our answers have, alone or behind the key that they stand under, with their rows."""

CHANGED: Final[Mapping[str, tuple[Any, Any, str]]] = {
    "timeout_ms": (300_000, None, "15"),  # `jobs.default_timeout_ms` is the default in ours, and inert there.
    "version": ("0.2.0", "0.1.0", "20"),
}
"""Values that differ: ours, theirs, the row."""


def original(step: Step, heard: Heard, way: Way) -> str:
    """A judge of `play`: says how the original's answer disagrees with the case."""
    status, body = (step.was.status, step.was.body) if step.was is not None else (step.status, step.body)
    if heard.status is not None and heard.status != status:
        return f"the original answers {heard.status} {heard.body}, the case says {status} {body}"
    wrong = differences(body, _same_times(heard.body))
    return "" if not wrong else f"the original differs: {'; '.join(wrong)}"


def _same_times(body: Any) -> Any:
    """It writes some times with an offset, which no row of names knows."""
    if isinstance(body, dict) and str(body.get("next_attempt_at")).endswith("+00:00"):
        return {**body, "next_attempt_at": "T"}
    return body


def differences(expected: Any, theirs: Any, path: str = "") -> list[str]:
    """Where the original's body is not the expected one, but for the rows above."""
    if isinstance(expected, dict) and isinstance(theirs, dict):
        found: list[str] = []
        for key in [*expected, *(key for key in theirs if key not in expected)]:
            mine, other = expected.get(key, MISSING), theirs.get(key, MISSING)
            is_added = key in ADDED or f"{path.rpartition('.')[2]}.{key}" in ADDED
            excused = (other is MISSING and is_added) or (key == "details" and other is None)
            excused |= key == "message" and expected.get("code") == "VALIDATION_ERROR"
            if not excused and CHANGED.get(key, ())[:2] != (mine, other):
                found += differences(mine, other, f"{path}.{key}")
        return found
    if isinstance(expected, list) and isinstance(theirs, list) and len(expected) == len(theirs):
        pairs = zip(expected, theirs, strict=True)
        return [wrong for index, pair in enumerate(pairs) for wrong in differences(*pair, f"{path}[{index}]")]
    if expected == theirs:
        return []
    shown = ["nothing" if value is MISSING else repr(value) for value in (expected, theirs)]
    return [f"{path or 'body'} is {shown[1]} and not {shown[0]}"]
