"""`Webhook`: where events go. Secrets come by reference only and never stand in the object or its status."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rustqueue_operator.kinds.fields import (
    ITEMS_MAX,
    Declared,
    KubernetesName,
    Seconds,
    SecretKeyRef,
    milliseconds,
    tidy,
)

EventName = Literal[
    "job.pushed",
    "job.started",
    "job.progress",
    "job.completed",
    "job.failed",
    "job.dlq",
    "job.cancelled",
    "job.expired",
    "queue.paused",
    "queue.resumed",
]


Url = Annotated[str, Meta(max_length=2_048, pattern="^https?://[^/?#@\\s]+([/?#]\\S*)?$")]
Retries = Annotated[int, Meta(ge=0, le=100)]
Timeout = Annotated[int, Meta(ge=1, le=60)]
Path = Annotated[str, Meta(max_length=1_024, pattern="^/")]
Events = Annotated[list[EventName], Meta(max_length=ITEMS_MAX)]
QueuePattern = Annotated[str, Meta(min_length=1, max_length=256, pattern="^([A-Za-z0-9._-]+\\*?|\\*)$")]
Queues = Annotated[list[QueuePattern], Meta(max_length=ITEMS_MAX)]
Headers = Annotated[dict[str, Annotated[str, Meta(max_length=1_024)]], Meta(max_length=16)]


class ServiceRef(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A Service in the same Kubernetes; the queue's `webhooks.allowed_networks` has to let its address through."""

    name: Annotated[KubernetesName, Meta(description="Name of the Service.")]
    namespace: Annotated[
        KubernetesName | None, Meta(description="Its namespace; left out, the one of this object.")
    ] = None
    port: Annotated[int, Meta(ge=1, le=65_535, description="Its port, by number.")]
    path: Annotated[Path | None, Meta(description="Left out, /.")] = None
    scheme: Annotated[Literal["http", "https"] | None, Meta(description="Left out, http.")] = None


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """How often and how long a delivery is tried."""

    max_retries: Annotated[Retries | None, Meta(description="Tries after the first one.")] = None
    max_age_seconds: Annotated[
        Seconds | None,
        Meta(description="A delivery is given up when its next try would come later than this after its event."),
    ] = None
    max_delay_seconds: Annotated[
        Seconds | None, Meta(description="Longest pause between two tries; left out, an hour.")
    ] = None


class WebhookSpec(Declared, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Exactly one of url and serviceRef."""

    url: Annotated[
        Url | None, Meta(description="Where deliveries go, by HTTP or HTTPS; no name and password in it.")
    ] = None
    service_ref: ServiceRef | None = None
    events: Annotated[Events | None, Meta(description="Left out, all events.")] = None
    queues: Annotated[Queues | None, Meta(description="Names, or their beginnings with *; left out, all.")] = None
    headers: Annotated[Headers | None, Meta(description="Added to each delivery; no secrets here.")] = None
    secret_key_ref: Annotated[SecretKeyRef | None, Meta(description="Key that deliveries are signed with.")] = None
    previous_secret_key_ref: Annotated[
        SecretKeyRef | None, Meta(description="The key before: while it is named, deliveries carry both signatures.")
    ] = None
    timeout_seconds: Annotated[Timeout | None, Meta(description="How long the receiver may take to answer.")] = None
    retry: Retry | None = None
    suspend: Annotated[bool | None, Meta(description="Left out, suspending is not managed.")] = None


_SHOWN = ("url", "timeout_ms", "retry", "suspended", "labels", "has_secret", "has_previous_secret")
# What a PUT leaves as it is unless it is told to clear it.
CLEARED: dict[str, Any] = {"headers": None, "secret": None, "previous_secret": None}


def target_url(spec: WebhookSpec, namespace: str) -> str | None:
    if spec.service_ref is None:
        return spec.url
    ref = spec.service_ref
    host = f"{ref.name}.{ref.namespace or namespace}.svc"
    return f"{ref.scheme or 'http'}://{host}:{ref.port}{ref.path or '/'}"


def request_body(spec: WebhookSpec, namespace: str) -> dict[str, Any]:
    """What PUT /webhooks/{name} is sent, but for the secrets."""
    retry = spec.retry or Retry()
    body = {
        "url": target_url(spec, namespace),
        "events": None if spec.events is None else sorted(set(spec.events)),
        "queues": None if spec.queues is None else sorted(set(spec.queues)),
        "headers": spec.headers,
        "timeout_ms": milliseconds(spec.timeout_seconds),
        "retry": {
            "max_retries": retry.max_retries,
            "max_age_ms": milliseconds(retry.max_age_seconds),
            "max_delay_ms": milliseconds(retry.max_delay_seconds),
        },
        "suspended": spec.suspend,
        "labels": spec.labels,
    }
    kept: dict[str, Any] = tidy(body)
    return kept


def comparable(spec: WebhookSpec, namespace: str) -> dict[str, Any]:
    """As far as the cluster shows it: of headers their names, of secrets whether there are any. What it does not show
    is compared by the digest of what was applied.
    """
    body = request_body(spec, namespace)
    shown = {
        "headers": sorted(body.pop("headers", {})),
        "has_secret": spec.secret_key_ref is not None or None,
        "has_previous_secret": spec.previous_secret_key_ref is not None or None,
    }
    kept: dict[str, Any] = tidy({**body, **shown})
    return kept


def settings_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The same shape out of the answer to GET /webhooks/{name}."""
    webhook = answer.get("webhook") or {}
    body = {key: webhook.get(key) for key in _SHOWN}
    for key in ("events", "queues", "headers"):
        body[key] = sorted(webhook.get(key) or [])
    for key in ("has_secret", "has_previous_secret"):
        body[key] = body[key] or None
    kept: dict[str, Any] = tidy(body)
    return kept


def activity_of(answer: dict[str, Any]) -> dict[str, Any]:
    """How its deliveries fare, in the words of the API."""
    return (answer.get("webhook") or {}).get("deliveries") or {}
