"""What requests have in common, so that families of verbs can stand in modules of their own below `commands`."""

from typing import Annotated

from msgspec import Meta, Struct

from rustqueue.model import limits

IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=limits.IDEMPOTENCY_KEY_BYTES_MAX)]
RequestId = Annotated[str, Meta(max_length=limits.REQUEST_ID_BYTES_MAX)] | int


class Request(
    Struct, frozen=True, kw_only=True, tag_field="cmd", forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """What every request may carry: `request_id` is echoed by TCP and only correlates."""

    request_id: RequestId | None = None


class Write(Request, frozen=True, kw_only=True):
    """A request that changes state: `idempotency_key` makes a repeat within ten minutes answer as the first did."""

    idempotency_key: IdempotencyKey | None = None
