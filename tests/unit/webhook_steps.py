"""What tests of webhooks in the machine do again and again."""

from typing import Any

from rustqueue.model import limits
from rustqueue.model.ids import parse_id
from rustqueue.model.replies import WebhookSettled
from rustqueue.model.webhooks.commands import Outcome, WebhookOutcomes
from tests.unit.factories import Json, Rig

URL = "https://hooks.example/in"
NO_DELIVERIES: Json = {
    "waiting": 0,
    "delivered": 0,
    "failed_tries": 0,
    "given_up": 0,
    "given_up_kept": 0,
    "dropped": 0,
    "consecutive_failures": 0,
    "last_success_at": None,
    "last_failure_at": None,
    "last_error": None,
}


def hook(rig: Rig, name: str = "h", **fields: Any) -> Json:
    webhook: Json = rig.do("webhook_put", name=name, **{"url": URL, **fields})["webhook"]
    return webhook


def deliveries(rig: Rig, name: str = "h", show: str = "waiting", **fields: Any) -> list[Json]:
    found: list[Json] = rig.ask("webhook_deliveries", name=name, show=show, **fields)["deliveries"]
    return found


def waiting(rig: Rig, name: str = "h") -> list[tuple[str, str | None]]:
    """Event and job of what waits."""
    return [(delivery["event"], delivery["job_id"]) for delivery in deliveries(rig, name, limit=1_000)]


def counts(rig: Rig, name: str = "h") -> Json:
    """The counts that say something."""
    told: Json = rig.ask("webhook_get", name=name)["webhook"]["deliveries"]
    return {key: value for key, value in told.items() if value}


def outcome(rig: Rig, delivery: Json, name: str = "h", **fields: Any) -> Outcome:
    webhook = rig.machine.state.webhooks.by_name[name].row.id
    told: Json = {"attempts": delivery["attempts"], "status": 200, "error": None, "took_ms": 7, **fields}
    return Outcome(webhook, parse_id(delivery["id"]) or b"", **told)


def settle(rig: Rig, *outcomes: Outcome) -> list[int]:
    (reply,) = rig.apply(WebhookOutcomes(outcomes=list(outcomes)))
    assert isinstance(reply, WebhookSettled)
    return reply.results


def fail(rig: Rig, delivery: Json, **fields: Any) -> int:
    (result,) = settle(rig, outcome(rig, delivery, **{"status": 500, "error": "answered 500", **fields}))
    return result


def settle_all(rig: Rig, reverse: bool = False) -> None:
    """All that waits fails."""
    found = deliveries(rig, limit=1_000)
    while found:
        failed = [outcome(rig, delivery, status=500, error="no") for delivery in (found[::-1] if reverse else found)]
        for start in range(0, len(failed), limits.WEBHOOK_OUTCOMES_MAX):
            settle(rig, *failed[start : start + limits.WEBHOOK_OUTCOMES_MAX])
        found = deliveries(rig, limit=1_000)
