"""Verbs that look into things, each asked in every way that a client can ask it."""

from typing import Any

import pytest

from tests.conformance.bodies import Step, ask, bulk, leased, no_job, ok, pull, push, refused
from tests.conformance.protocols import NOBODY, WAYS, Json, play


def why(state: str, *reasons: tuple[str, str, Json | None], position: int | None = None, at: Any = None) -> Json:
    told = [{"code": code, "message": text, **({"details": more} if more else {})} for code, text, more in reasons]
    return ok(state=state, reasons=told, position=position, expected_start=at)


def attempt(number: int, outcome: str | None, worker_id: str | None = "w", error: str | None = None) -> Json:
    return {
        "attempt": number,
        "worker_id": worker_id,
        "started_at": "T",
        "ended_at": None if outcome is None else "T",
        "outcome": outcome,
        "error": error,
    }


def events(*told: tuple[str, str]) -> list[Json]:
    return [{"at": "T", "event": event, "actor": actor} for event, actor in told]


def worker(worker_id: str, leases: int, draining: bool = False, **more: Any) -> Json:
    held = {"queues": ["q"] if leases else [], "leases": leases, "oldest_lease_age_ms": 0}
    return {"worker_id": worker_id, **held, "last_seen": "T", "draining": draining, **more}


def leasing(draining: bool) -> Json:
    return ok(cancel_requested=False, drain=draining, lease_expires_at="T")


PUSHED, STARTED = ("pushed", "client"), ("started", "worker")
FIXED: Json = {"backoff": "fixed", "backoff_delay_ms": 0}
DEAD = ok(retry=False, will_retry=False, next_attempt_at=None)
FINGERPRINT = "~2"
READY = ("READY", "It is ready and waits for a worker to pull it", None)
CASES: dict[str, list[Step]] = {
    "why a job waits": [
        (push(), 201, ok(id="#1")),
        (push(delay_ms=60_000), 201, ok(id="#2")),
        (push(depends_on=["#1"]), 201, ok(id="#3")),
        (push(), 201, ok(id="#4")),
        (ask("job_why", id="#4"), 200, why("waiting", READY, position=2)),
        (ask("job_why", id="#2"), 200, why("delayed", ("DELAYED", "It is delayed until T", None), at="T")),
        (
            ask("job_why", id="#3"),
            200,
            why(
                "blocked",
                (
                    "WAITS_FOR_PARENTS",
                    "It waits for 1 of the jobs that it depends on",
                    {"pending": 1, "parents": ["#1"]},
                ),
            ),
        ),
        (ask("queue_pause", queue="q", mode="hold"), 200, ok()),
        (
            ask("job_why", id="#1"),
            200,
            why("waiting", ("QUEUE_HELD", "Pulls from queue 'q' are held", {"mode": "hold"}), position=1),
        ),
        (ask("cancel", id="#4"), 200, ok()),
        (ask("job_why", id="#4"), 200, why("cancelled", ("CANCELLED", "It was cancelled at T", None))),
        (ask("job_why", id=NOBODY), 404, no_job(NOBODY)),
    ],
    "the history of a job": [
        (push(max_attempts=2, backoff="fixed", backoff_delay_ms=0), 201, ok(id="#1")),
        (ask("job_history", id="#1"), 200, ok(attempts=[], events=events(("pushed", "client")))),
        (pull(worker_id="w"), 200, ok(job=leased("#1", "~1", max_attempts=2, **FIXED, worker_id="w"))),
        (ask("job_history", id="#1"), 200, ok(attempts=[attempt(1, None)], events=events(PUSHED, STARTED))),
        (ask("fail", id="#1", error="boom"), 200, ok(retry=True, will_retry=True, next_attempt_at=None)),
        (
            pull(),
            200,
            ok(job=leased("#1", "~2", max_attempts=2, **FIXED, attempt=1, fence=2, last_error="boom")),
        ),
        (ask("ack", id="#1"), 200, ok()),
        (
            ask("job_history", id="#1"),
            200,
            ok(
                attempts=[attempt(1, "failed", error="boom"), attempt(2, "completed", worker_id=None)],
                events=events(PUSHED, STARTED, ("failed", "worker"), STARTED, ("completed", "worker")),
            ),
        ),
        (ask("job_history", id=NOBODY), 404, no_job(NOBODY)),
    ],
    "the result of a job": [
        (push(), 201, ok(id="#1")),
        (ask("job_result", id="#1"), 200, ok(id="#1", state="waiting", result=None, last_error=None)),
        (ask("job_result", id="#1", wait_ms=5), 200, ok(id="#1", state="waiting", result=None, last_error=None)),
        (ask("cancel", id="#1"), 200, ok()),
        (ask("job_result", id="#1", wait_ms=60_000), 200, ok(id="#1", state="cancelled", result=None, last_error=None)),
        (ask("job_result", id=NOBODY, wait_ms=60_000), 404, no_job(NOBODY)),
    ],
    "how many workers a queue needs": [
        (ask("queue_scale", queue="none"), 200, ok(ready=0, running=0, due=0, desired=0, oldest_age_ms=0)),
        (push(delay_ms=60_000), 201, ok(id="#1")),
        (
            ask("queue_scale", queue="q", per_worker=2, min=3, max=9, due_within_ms=70_000),
            200,
            ok(ready=0, running=0, due=1, desired=3, oldest_age_ms=0),
        ),
    ],
    "dead letters by cause": [
        (push(max_attempts=1), 201, ok(id="#1")),
        (push(max_attempts=1), 201, ok(id="#2")),
        (pull(count=2), 200, ok(jobs=[leased("#1", "~1", max_attempts=1), leased("#2", "~1", max_attempts=1)])),
        (ask("fail", id="#1", error="timeout after 17 ms"), 200, DEAD),
        (ask("fail", id="#2", error="timeout after 4 ms"), 200, DEAD),
        (
            ask("dlq_groups", queue="q"),
            200,
            ok(
                groups=[
                    {
                        "fingerprint": FINGERPRINT,
                        "count": 2,
                        "error": "timeout after 4 ms",
                        "first_at": "T",
                        "last_at": "T",
                    }
                ],
                looked_at=2,
                next_cursor=None,
            ),
        ),
        (ask("dlq_retry", queue="q", filter={"fingerprint": FINGERPRINT}, dry_run=True), 200, bulk(2, 0)),
        (ask("dlq_retry", queue="q", filter={"fingerprint": FINGERPRINT}), 200, bulk(2, 2)),
        (ask("dlq_groups", queue="q"), 200, ok(groups=[], looked_at=0, next_cursor=None)),
    ],
    "workers": [
        (ask("worker_list"), 200, ok(workers=[], next_cursor=None)),
        (
            ask("worker_drain", worker_id="w"),
            404,
            refused("WORKER_NOT_FOUND", "Worker 'w' was not seen within the last hour"),
        ),
        (push(), 201, ok(id="#1")),
        (push(), 201, ok(id="#2")),
        (pull(worker_id="w"), 200, ok(job=leased("#1", "~1", worker_id="w"))),
        (ask("worker_list"), 200, ok(workers=[worker("w", 1)], next_cursor=None)),
        (ask("heartbeat", id="#1"), 200, leasing(False)),
        (ask("worker_drain", worker_id="w"), 200, ok()),
        (ask("heartbeat", id="#1"), 200, leasing(True)),
        (ask("progress", id="#1", progress=5), 200, leasing(True)),
        (pull(worker_id="w"), 200, ok(job=None)),
        (pull(worker_id="w", count=2, wait_ms=5), 200, ok(jobs=[])),
        (ask("ack", id="#1"), 200, ok()),
        (ask("worker_list", limit=1), 200, ok(workers=[worker("w", 0, draining=True)], next_cursor=None)),
        (ask("worker_drain", worker_id="w", drain=False), 200, ok()),
        (pull(worker_id="w"), 200, ok(job=leased("#2", "~2", worker_id="w"))),
    ],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
async def test_the_answer_is_the_same_however_it_is_asked(name: str, way: str) -> None:
    assert await play(CASES[name], way) == [(status, body) for _, status, body in CASES[name]]
