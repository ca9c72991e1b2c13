"""Questions and answers that many cases have, about jobs in the queue `$q`."""

from typing import Any, Final

from tests.conformance.bodies import ask, ok
from tests.conformance.protocols import Json
from tests.contract.table import Ask, Step, held, job

ALIVE: Final = ok(cancel_requested=False, drain=False, lease_expires_at="T")
"""The answer of heartbeat and progress (decisions D)."""
DEAD: Final = ok(retry=False, will_retry=False, next_attempt_at=None)
AGAIN: Final = ok(retry=True, will_retry=True, next_attempt_at="T")
AT_ONCE: Final = ok(retry=True, will_retry=True, next_attempt_at=None)


def push(queue: str = "$q", data: Any = 1, **options: Any) -> Ask:
    return ask("push", queue=queue, name="n", data=data, **options)


def pull(queue: str = "$q", count: int = 1, **options: Any) -> Ask:
    return ask("pull", queue=queue, count=count, **options)


def get(job_id: str = "#1") -> Ask:
    return ask("get", id=job_id)


def pushed(job_id: str = "#1", **options: Any) -> Step:
    """A job comes."""
    return Step(push(**options), 201, ok(id=job_id))


def started(job_id: str = "#1", token: str = "~1", /, **fields: Any) -> Step:
    """The next job of the queue is this one, and it is pulled."""
    return Step(pull(), 200, ok(job=held(job_id, token, **fields)))


def shown(job_id: str = "#1", /, **fields: Any) -> Step:
    """The job as it is now."""
    return Step(get(job_id), 200, ok(job=job(job_id, **fields)))


def acked(job_id: str = "#1", **fields: Any) -> Step:
    return Step(ask("ack", id=job_id, **fields), 200, ok())


def died(job_id: str = "#1", error: str = "e") -> Step:
    return Step(ask("fail", id=job_id, error=error), 200, DEAD)


def nothing() -> Step:
    return Step(pull(), 200, ok(job=None))


def running(**fields: Any) -> Json:
    """What a job shows while it is active, after the pull."""
    return {"state": "active", "started_at": "T", "fence": 1, **fields}


def done(**fields: Any) -> Json:
    return {"state": "completed", "started_at": "T", "completed_at": "T", "fence": 1, **fields}


def dead(**fields: Any) -> Json:
    return {"state": "dlq", "started_at": "T", "attempt": 1, "max_attempts": 1, "last_error": "e", "fence": 1, **fields}
