"""What is stored of webhooks: array-encoded structs as in `machine.rows`; they may grow at their end only."""

from typing import Final, get_args

import msgspec
from msgspec import Struct

from rustqueue.machine.rows import Ownership
from rustqueue.model.webhooks.values import TEST_EVENT, EventName

EVENTS: Final[tuple[str, ...]] = get_args(EventName)
"""A code is a place here, so the order is part of the row format."""

TEST: Final = 255
NAMES: Final = {**dict(enumerate(EVENTS)), TEST: TEST_EVENT}
CODES: Final[dict[str, int]] = {name: code for code, name in NAMES.items()}


class WebhookRow(Struct, array_like=True, gc=False, frozen=True):
    """A definition. `events` are codes; secrets and headers are sealed, each for a purpose of its own."""

    id: bytes
    name: str
    url: str
    events: list[int]
    queues: list[str]
    secret: bytes | None
    previous_secret: bytes | None
    headers: bytes | None
    header_names: list[str]
    timeout_ms: int | None
    max_retries: int | None
    max_age_ms: int | None
    max_delay_ms: int | None
    suspended: bool
    created_at: int
    updated_at: int
    ownership: Ownership = Ownership()


class WebhookCounters(Struct, array_like=True, gc=False):
    """`kept` counts the given-up rows, `tries` all tries ever, which also says the next slot of their log."""

    waiting: int = 0
    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    kept: int = 0
    dropped: int = 0
    tries: int = 0
    streak: int = 0
    last_success_at: int = 0
    last_failure_at: int = 0
    last_error: str | None = None


class DeliveryRow(Struct, array_like=True, gc=False, frozen=True):
    """One event for one webhook: waiting, or given up. `since` is when its present tries began, for `max_age_ms`.

    `job_id` is empty for events of a queue and for tests.
    """

    event: int
    queue: str
    job_id: bytes
    at: int
    since: int
    attempts: int = 0
    next_at: int = 0
    will_retry: bool | None = None
    progress: int | None = None
    tried_at: int = 0
    took_ms: int = 0
    status: int | None = None
    error: str | None = None


class TryRow(Struct, array_like=True, gc=False, frozen=True):
    """One try in the log, which is a ring of slots. `delivery` is as it was after the try."""

    number: int
    id: bytes
    state: str
    delivery: DeliveryRow


_encoder: Final = msgspec.msgpack.Encoder()
encode = _encoder.encode
changed = msgspec.structs.replace
decode_webhook = msgspec.msgpack.Decoder(WebhookRow).decode
decode_counters = msgspec.msgpack.Decoder(WebhookCounters).decode
decode_delivery = msgspec.msgpack.Decoder(DeliveryRow).decode
decode_try = msgspec.msgpack.Decoder(TryRow).decode
