"""The verbs about webhooks; methods of the same names on the clients."""

from typing import Any, Literal, TypedDict, Unpack

import msgspec
from msgspec import UNSET, Struct, field

from rustqueue.client.call import Call, nothing, reader, whole
from rustqueue.client.calls.queues import Declaration
from rustqueue.client.errors import NotFound, RustQueueError, misfit
from rustqueue.client.results import Declared
from rustqueue.model.jobs import Owner
from rustqueue.model.webhooks import commands
from rustqueue.model.webhooks.values import EventName, RetryRules, UnderscoredName


class RetryOptions(TypedDict, total=False):
    """When a failed delivery is tried again; what is missing is as the node is set."""

    max_retries: int
    max_age_ms: int
    max_delay_ms: int


class WebhookOptions(Declaration, total=False):
    """No events or queues means all of them; a queue may end in `*`. None clears a secret or the headers."""

    events: list[EventName | UnderscoredName]
    queues: list[str]
    secret: str | None
    previous_secret: str | None
    headers: dict[str, str] | None
    timeout_ms: int
    retry: RetryOptions
    suspended: bool


class Deliveries(Struct, frozen=True, kw_only=True):
    """What became of a webhook's deliveries. `dropped` are those that found the outbox full."""

    waiting: int = 0
    delivered: int = 0
    failed_tries: int = 0
    given_up: int = 0
    given_up_kept: int = 0
    dropped: int = 0
    consecutive_failures: int = 0
    last_success_at: str | None = None
    last_failure_at: str | None = None
    last_error: str | None = None


class Webhook(Declared, frozen=True, kw_only=True):
    """A webhook as the node tells it: of headers the names, of secrets whether there is one."""

    id: str
    name: str
    url: str
    events: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    active: bool = True
    suspended: bool = False
    created_at: str = ""
    updated_at: str = ""
    headers: list[str] = field(default_factory=list)
    has_secret: bool = False
    has_previous_secret: bool = False
    timeout_ms: int | None = None
    retry: RetryRules = RetryRules()
    deliveries: Deliveries = Deliveries()


class Delivery(Struct, frozen=True, kw_only=True):
    """A delivery, or among recent ones a try: `state` is `waiting`, `delivered`, `failed` or `given_up`."""

    id: str
    event: str
    state: str
    queue: str | None = None
    job_id: str | None = None
    created_at: str = ""
    attempts: int = 0
    next_attempt_at: str | None = None
    tried_at: str | None = None
    duration_ms: int | None = None
    status: int | None = None
    error: str | None = None


class DeliveryPage(Struct, frozen=True):
    deliveries: list[Delivery]
    next_cursor: str | None = None


class Resent(Struct, frozen=True):
    moved: int = 0
    left: int = 0


class _One(Struct, frozen=True):
    webhook: Webhook


class _All(Struct, frozen=True):
    webhooks: list[Webhook]


class _Tested(Struct, frozen=True):
    delivery: str


_read_one = reader(_One, lambda answer: answer.webhook)
_read_all = reader(_All, lambda answer: answer.webhooks)
_read_tested = reader(_Tested, lambda answer: answer.delivery)
_read_page = whole(DeliveryPage)
_read_resent = whole(Resent)


def create_webhook(url: str, *, name: str | None = None, **options: Unpack[WebhookOptions]) -> Call[Webhook]:
    """Make a webhook; without a name its id is its name."""
    return Call(_definition(commands.WebhookCreate, {"url": url, "name": name}, options), _read_one, repeat="keyed")


def put_webhook(name: str, url: str, **options: Unpack[WebhookOptions]) -> Call[Webhook]:
    """Make a webhook or replace it; secrets and headers that are not given stay."""
    request = _definition(commands.WebhookPut, {"url": url, "name": name}, options)
    return Call(request, _read_one, repeat="free" if options.get("if_match") is None else "keyed")


def list_webhooks() -> Call[list[Webhook]]:
    """All webhooks, by name."""
    return Call(commands.WebhookList(), _read_all)


def get_webhook(name: str) -> Call[Webhook]:
    """One webhook, by name or id."""
    return Call(commands.WebhookGet(name=name), _read_one)


def delete_webhook(name: str, *, if_match: int | None = None, if_owner: str | None = None) -> Call[None]:
    """Delete a webhook with all that waits to be delivered."""
    request = commands.WebhookDelete(name=name, if_match=if_match, if_owner=if_owner)
    return Call(request, nothing, refused=_already_deleted)


def pause_webhook(name: str) -> Call[Webhook]:
    """Deliver nothing; events are kept, as many as the outbox holds."""
    return Call(commands.WebhookPause(name=name), _read_one)


def resume_webhook(name: str) -> Call[Webhook]:
    """Deliver again."""
    return Call(commands.WebhookResume(name=name), _read_one)


def test_webhook(name: str) -> Call[str]:
    """Deliver an event `webhook.test` to this webhook alone; the id of the delivery."""
    return Call(commands.WebhookTest(name=name), _read_tested, repeat="keyed")


def webhook_deliveries(
    name: str,
    *,
    show: Literal["recent", "waiting", "given_up"] = "recent",
    limit: int = 50,
    cursor: str | None = None,
) -> Call[DeliveryPage]:
    """The last tries, or a page of what waits or was given up."""
    return Call(commands.WebhookDeliveries(name=name, show=show, limit=limit, cursor=cursor), _read_page)


def resend_webhook(name: str, *, delivery: str | None = None) -> Call[Resent]:
    """Try a delivery that was given up again, or all that are kept."""
    return Call(commands.WebhookResend(name=name, delivery=delivery), _read_resent, repeat="keyed")


def _definition(kind: type[Struct], fields: dict[str, Any], options: WebhookOptions) -> Struct:
    given: dict[str, Any] = {**fields, **options}
    try:
        return kind(
            **{
                **given,
                "retry": msgspec.convert(given.get("retry"), RetryRules | None),
                "owner": msgspec.convert(given["owner"], Owner | None) if "owner" in given else UNSET,
            }
        )
    except (msgspec.ValidationError, TypeError) as error:
        raise misfit(error) from error


def _already_deleted(error: RustQueueError, resent: bool) -> None:
    if not (resent and isinstance(error, NotFound)):
        raise error
