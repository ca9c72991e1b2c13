"""What clients hear without asking: calls of webhooks (contract A15), events over a WebSocket (A16)."""

from typing import Any, Final

from tests.conformance.bodies import ask, ok
from tests.conformance.protocols import Json
from tests.contract.cases.words import AT_ONCE, acked, died, pushed, started
from tests.contract.ears import SECRET
from tests.contract.table import ANY, TEXT, Case, Seen, Step, Told, Was


def call(event: str, job_id: str, signature: str | None, webhook_id: str = "#1", **more: Any) -> Json:
    """One delivery, whole: what the original sends, and `delivery_id` and the like beside it."""
    return {
        "headers": {
            "content-type": "application/json",
            "x-rustqueue-event": event,
            "x-rustqueue-webhook-id": webhook_id,
            "x-rustqueue-signature": signature,
        },
        "body": {
            "event": event,
            "webhook_id": webhook_id,
            "timestamp": "T",
            "data": {"job_id": job_id, "queue": "$q"},
            **more,
        },
    }


def hook(*events: str, **fields: Any) -> Step:
    wanted = {"url": "$RECEIVER", "events": list(events), "queues": ["$q"], **fields}
    return Step(ask("webhook_create", **wanted), 201, ok(created=True, webhook=ANY))


def told(*calls: Json) -> Step:
    return Step(Told(), 0, list(calls), until=True)


def event(name: str, job_id: str) -> Json:
    return {"event": name, "job_id": job_id, "queue": "$q", "timestamp": "T"}


def seen(*events: Json, was: Was | None = None) -> Step:
    """All events so far. Each of ours has a cursor besides."""
    ours = [{**one, "cursor": TEXT} for one in events]
    return Step(Seen(), 0, ours, was=was, until=True)


CASES: Final[dict[str, Case]] = {
    "a signed call": Case(
        "A15 delivery, A15 headers, A15 success, A15 register body, D 34, D 37",
        [
            hook("job_completed", secret=SECRET),
            pushed("#2"),
            started("#2"),
            acked("#2"),
            told(call("job.completed", "#2", "right")),
        ],
    ),
    "a call without a secret": Case(
        "A15 headers, A15 delivery",
        [hook("job_pushed"), pushed("#2"), told(call("job.pushed", "#2", None)), pushed("#3", queue="$other")],
    ),
    "events of a life": Case(
        "A4 events, A16 events, A31 websocket_events",
        [
            Step(Seen(), 0, []),
            pushed(),
            seen(event("job.pushed", "#1")),
            Step(ask("cancel", id="#1"), 200, ok()),
            seen(event("job.pushed", "#1"), event("job.cancelled", "#1")),
        ],
        whole="a connection does not outlive a restart",
    ),
    "events of a death": Case(
        "A16 events, D 6, A31 websocket_events",
        [
            Step(Seen(), 0, []),
            pushed(max_attempts=2, backoff_delay_ms=0),
            started(max_attempts=2, backoff_delay_ms=0),
            Step(ask("fail", id="#1", error="e"), 200, AT_ONCE),
            started("#1", "~2", max_attempts=2, backoff_delay_ms=0, attempt=1, last_error="e", fence=2),
            died(),
            seen(
                event("job.pushed", "#1"),
                event("job.started", "#1"),
                {**event("job.failed", "#1"), "will_retry": True},
                event("job.started", "#1"),
                {**event("job.failed", "#1"), "will_retry": False},
                event("job.dlq", "#1"),
                was=Was("6", 0, [event("job.pushed", "#1"), event("job.failed", "#1")]),
            ),
        ],
        whole="a connection does not outlive a restart",
    ),
}
