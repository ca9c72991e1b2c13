"""The server itself: webhooks that are kept (contract A15), tokens (A18), health, metrics and pages (A4)."""

from typing import Any, Final

from tests.conformance import test_verbs_webhooks as known
from tests.conformance.bodies import ask, ok, refused
from tests.conformance.protocols import NOBODY, Json
from tests.contract.cases.lines import told
from tests.contract.table import ANY, NUMBER, TEXT, Case, Some, Step, Was, http, line

URL: Final = "https://hooks.example/in"
OFF: Final = refused("WEBHOOKS_DISABLED", "Webhooks are not enabled")
NO_HOOK: Final = refused("WEBHOOK_NOT_FOUND", f"Webhook '{NOBODY}' not found")
TOKEN: Final = "Bearer first-token"


def hook(**fields: Any) -> Json:
    """A webhook that is called for the queue `$q`. It shows no secret, ever."""
    own = {"name": TEXT, "url": URL, "queues": ["$q"], "active": True, "suspended": False}
    return known.hook(**{**own, **fields})


CASES: Final[dict[str, Case]] = {
    "a webhook's life": Case(
        "A4 webhook create, A4 webhook list, A4 webhook get and delete, A15 register body, A15 object, "
        "A31 webhook_tests, D 5",
        [
            Step(
                ask("webhook_create", url=URL, events=["job_completed", "job_dlq"], queues=["$q"], secret="canary"),
                201,
                ok(created=True, webhook=hook(events=["job.completed", "job.dlq"], has_secret=True)),
                Was("5", 201),
            ),
            Step(
                ask("webhook_get", name="#1"),
                200,
                ok(webhook=hook(events=["job.completed", "job.dlq"], has_secret=True)),
                Was("5", 200),
            ),
            Step(
                ask("webhook_list"),
                200,
                ok(webhooks=[hook(events=["job.completed", "job.dlq"], has_secret=True)]),
                Was("5", 200),
            ),
            Step(ask("webhook_delete", name="#1"), 200, ok()),
            Step(ask("webhook_get", name="#1"), 404, refused("WEBHOOK_NOT_FOUND", "Webhook '#1' not found")),
            Step(ask("webhook_delete", name="#1"), 404, refused("WEBHOOK_NOT_FOUND", "Webhook '#1' not found")),
        ],
    ),
    "a webhook for everything": Case(
        "A15 register body, A15 object",
        [
            Step(ask("webhook_create", url=URL, queues=["$q"]), 201, ok(created=True, webhook=hook())),
            Step(ask("webhook_delete", name="#1"), 200, ok()),
        ],
    ),
    "webhooks that cannot be": Case(
        "A4 webhook create, A15 register body, A31 webhook_tests",
        [
            Step(ask("webhook_create", url=""), 400, refused("VALIDATION_ERROR", "url is required", field="url")),
            Step(ask("webhook_get", name=NOBODY), 404, NO_HOOK),
            Step(http("POST", "/webhooks", {}), 422, told("VALIDATION_ERROR", field="url"), Was("8", 422)),
        ],
    ),
    "webhooks that are off": Case(
        "A15 enabled, A4 webhook create",
        [
            Step(ask("webhook_create", url=URL), 503, OFF),
            Step(ask("webhook_list"), 503, OFF),
            Step(ask("webhook_get", name=NOBODY), 503, OFF),
            Step(ask("webhook_delete", name=NOBODY), 503, OFF),
        ],
        stage="no webhooks",
    ),
    "tokens over HTTP": Case(
        "A18 tokens, A31 auth_tests, Faults token",
        [
            Step(http("GET", "/queues/$q/stats"), 401, refused("UNAUTHORIZED", "Missing Authorization header")),
            Step(
                http("GET", "/queues/$q/stats", None, Authorization="Basic eDp5"),
                401,
                refused("UNAUTHORIZED", "Authorization header must use Bearer scheme"),
            ),
            Step(
                http("GET", "/queues/$q/stats", None, Authorization="Bearer "),
                401,
                refused("UNAUTHORIZED", "Authorization header must use Bearer scheme"),
            ),
            Step(
                http("GET", "/queues/$q/stats", None, Authorization="Bearer wrong"),
                401,
                refused("UNAUTHORIZED", "Invalid bearer token"),
            ),
            Step(http("GET", "/queues/$q/stats", None, Authorization=TOKEN), 200, ok(counts=ANY, mode="normal")),
            Step(http("GET", "/queues", None, Authorization="Bearer second-token"), 200, ANY),
            Step(http("GET", "/health"), 200, ANY),
            Step(http("GET", "/metrics/prometheus"), 200, TEXT),
            Step(http("GET", "/openapi.json"), 200, ANY),
            Step(http("GET", "//"), 200, TEXT),
        ],
        stage="tokens",
    ),
    "health": Case(
        "A4 health, D 20",
        [
            Step(
                http("GET", "/health"),
                200,
                ok(
                    status="healthy",
                    version=TEXT,
                    uptime_seconds=NUMBER,
                    role=TEXT,
                    leader=TEXT,
                    term=NUMBER,
                    applied=NUMBER,
                    lag=NUMBER,
                ),
            ),
            Step(line({"cmd": "health"}), 0, ANY),
            Step(http("GET", "//livez"), 200, ANY, Was("20", 404)),
            Step(http("GET", "//readyz"), 200, ANY, Was("20", 404)),
        ],
    ),
    "metrics, descriptions and pages": Case(
        "A4 metrics, A4 openapi and docs, A4 pages",
        [
            Step(http("GET", "/metrics/prometheus"), 200, TEXT),
            Step(http("GET", "/openapi.json"), 200, Some(dict)),
            Step(http("GET", "/docs"), 200, TEXT),
            Step(http("GET", "//"), 200, TEXT),
            Step(http("GET", "//dashboard"), 200, TEXT),
        ],
    ),
    "who is in the cluster": Case(
        "D area cluster, D name cluster",
        [
            Step(
                http("GET", "/cluster"),
                200,
                {
                    "ok": True,
                    "cluster_id": TEXT,
                    "leader": TEXT,
                    "term": NUMBER,
                    "members": Some(list),
                    "feature_level": NUMBER,
                },
            ),
        ],
        differs="area cluster",
    ),
}
