"""Short words for whole bodies: what a case expects stands in one line, and is compared in full all the same."""

from typing import Any, NamedTuple

from tests.conformance.protocols import Json


class Ask(NamedTuple):
    verb: str
    fields: Json


Step = tuple[Ask, int, Json]
"""A question, the HTTP status and the whole body of its answer."""


def ask(verb: str, **fields: Any) -> Ask:
    return Ask(verb, fields)


def push(queue: str = "q", data: Any = 1, **options: Any) -> Ask:
    return Ask("push", {"queue": queue, "name": "n", "data": data, **options})


def pull(**fields: Any) -> Ask:
    return Ask("pull", {"queue": "q", **fields})


def ok(**members: Any) -> Json:
    return {"ok": True, **members}


def bulk(matched: int, moved: int) -> Json:
    return ok(matched=matched, moved=moved, sweep=None)


def refused(code: str, message: str, **details: Any) -> Json:
    return {"ok": False, "error": {"code": code, "message": message, "details": details or None}}


def invalid(reason: str, **details: Any) -> Json:
    return refused("VALIDATION_ERROR", f"Validation error: {reason}", **details)


def no_job(job_id: str) -> Json:
    return refused("JOB_NOT_FOUND", f"Job '{job_id}' not found")


def no_queue(name: str) -> Json:
    return refused("QUEUE_NOT_FOUND", f"Queue '{name}' not found")


def stale(job_id: str) -> Json:
    text = f"Job '{job_id}' is no longer leased under this attempt token"
    return refused("STALE_ATTEMPT", text, field="attempt_token")


def wrong_state(state: str, expected: str = "Active") -> Json:
    text = f"Job is in invalid state '{state.capitalize()}' for operation (expected: {expected})"
    return refused("INVALID_STATE", text, state=state)


def counts(**counted: int) -> Json:
    """Contract A4: seven states, cancelled jobs in none of them."""
    states = ("waiting", "active", "delayed", "completed", "failed", "dlq", "blocked")
    return {**dict.fromkeys(states, 0), **counted}


def declared(revision: int = 0, owner: Json | None = None, **labels: str) -> Json:
    """What every record that can be declared shows."""
    return {"labels": labels, "owner": owner, "revision": revision}


def job(job_id: str, **fields: Any) -> Json:
    """The whole job object of contract A9 with the keys that decisions D add; a plain waiting job unless told."""
    return {
        "id": job_id,
        "custom_id": None,
        "name": "n",
        "queue": "q",
        "data": 1,
        "result": None,
        "state": "waiting",
        "progress": None,
        "logs": [],
        "priority": 0,
        "delay_until": None,
        "created_at": "T",
        "updated_at": "T",
        "started_at": None,
        "completed_at": None,
        "max_attempts": 3,
        "attempt": 0,
        "backoff": "exponential",
        "backoff_delay_ms": 1_000,
        "last_error": None,
        "ttl_ms": None,
        "timeout_ms": 300_000,
        "unique_key": None,
        "tags": [],
        "group_id": None,
        "depends_on": [],
        "flow_id": None,
        "lifo": False,
        "remove_on_complete": False,
        "remove_on_fail": False,
        "worker_id": None,
        "last_heartbeat": None,
        "fence": 0,
        "max_backoff_ms": None,
        "on_parent_failure": "cascade",
        "traceparent": None,
        **fields,
    }


def leased(job_id: str, token: str, **fields: Any) -> Json:
    """A job as the pull that leased it answers."""
    active = {"state": "active", "started_at": "T", "fence": 1, "attempt_token": token, "lease_expires_at": "T"}
    return job(job_id, **{**active, **fields})
