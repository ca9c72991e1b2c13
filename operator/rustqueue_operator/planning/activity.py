"""What a schedule ran and how a webhook's deliveries fare, as far as a status shall tell it.

A status is written to etcd and sent to everybody who watches, so it must not follow every job: a schedule's is new
when it has run, and never where runs are less than a minute apart; a webhook's when it begins or ends to fail, fails
ten times as often, or when a time in it is an hour old. Pure.
"""

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from rustqueue_operator.kinds.status import ScheduleStatus, Status, WebhookStatus

S = TypeVar("S", bound=Status)

RUNS_APART_LEAST_S: Final = 60
TIMES_APART_LEAST_S: Final = 3_600
LOOKS_APART_LEAST_S: Final = 30.0
RUN_TAKES_S: Final = 2.0
_CRON_FIELDS_OF_MINUTES: Final = 5


def with_activity(status: S, seen: dict[str, Any]) -> S:
    """`seen` is the API's record, as `Kind.activity_of` cuts it out. The same status if there is no news."""
    if isinstance(status, ScheduleStatus):
        return msgspec.structs.replace(status, **_runs(seen))
    if isinstance(status, WebhookStatus):
        return msgspec.structs.replace(status, **_deliveries(status, seen))
    return status


def next_run_s(status: Status, now: str) -> float | None:
    """In how many seconds there is a run to tell of; None: not foreseeable. Below zero when it is overdue."""
    if not isinstance(status, ScheduleStatus) or status.next_run_time is None:
        return None
    return (_time(status.next_run_time) - _time(now)).total_seconds()


def look_again_s(pause_s: float, due_s: float | None) -> float:
    """When to look at what is settled, in seconds: after `pause_s`, or soon after a run that is due before. An overdue
    one does not make us hurry: our clock may be ahead of the cluster's, and a cluster without a leader runs nothing.
    """
    return pause_s if due_s is None else min(pause_s, max(LOOKS_APART_LEAST_S, due_s + RUN_TAKES_S))


def _runs(seen: dict[str, Any]) -> dict[str, Any]:
    if _crowded(seen):
        return {"last_run_time": None, "next_run_time": None, "last_job_id": None, "runs": None}
    return {
        "last_run_time": _told(seen.get("last_run_at")),
        "next_run_time": _told(seen.get("next_run_at")),
        "last_job_id": seen.get("last_job_id"),
        "runs": seen.get("execution_count"),
    }


def _crowded(seen: dict[str, Any]) -> bool:
    """Told from what it is, not from two of its runs: jitter moves these."""
    if seen.get("every_ms") is not None:
        return bool(seen["every_ms"] < RUNS_APART_LEAST_S * 1_000)
    if len((seen.get("cron_expr") or "").split()) <= _CRON_FIELDS_OF_MINUTES:
        return False
    times = [_time(text) for text in seen.get("next_runs") or ()]
    return len(times) > 1 and (times[-1] - times[0]).total_seconds() < RUNS_APART_LEAST_S * (len(times) - 1)


def _deliveries(before: WebhookStatus, seen: dict[str, Any]) -> dict[str, Any]:
    success, failure = _told(seen.get("last_success_at")), _told(seen.get("last_failure_at"))
    failures = _rounded(int(seen.get("consecutive_failures") or 0))
    news = (
        failures != before.consecutive_failures
        or _much_later(before.last_success_time, success)
        or _much_later(before.last_failure_time, failure)
    )
    if not news:
        return {}
    return {"last_success_time": success, "last_failure_time": failure, "consecutive_failures": failures}


def _rounded(number: int) -> int:
    """The power of ten below, or 0."""
    return 10 ** (len(str(number)) - 1) if number > 0 else 0


def _much_later(before: str | None, now: str | None) -> bool:
    if before is None or now is None:
        return before != now
    return abs((_time(now) - _time(before)).total_seconds()) >= TIMES_APART_LEAST_S


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _told(text: str | None) -> str | None:
    """To the second, as Kubernetes writes times."""
    return None if text is None else _time(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
