"""What requests have in common, so that families of verbs can stand in modules of their own below `commands`."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from rustqueue.model import limits
from rustqueue.model.jobs import Labels, Owner, OwnerUid

IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=limits.IDEMPOTENCY_KEY_BYTES_MAX)]
CursorText = Annotated[str, Meta(max_length=limits.CURSOR_BYTES_MAX)]
RequestId = Annotated[str, Meta(max_length=limits.REQUEST_ID_BYTES_MAX)] | int


class Request(
    Struct, frozen=True, kw_only=True, tag_field="cmd", forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """What every request may carry: `request_id` is echoed by TCP and only correlates."""

    request_id: RequestId | None = None


class Reading(Request, frozen=True, kw_only=True):
    """A request that changes nothing. `consistency` `linearizable` sees everything that was acknowledged to anybody
    before it was asked; `local` is answered at once from what the asked node has applied. `min_index` waits until that
    node has applied this entry of the log, as a receipt or an earlier answer named it.
    """

    consistency: Literal["linearizable", "local"] = "linearizable"
    min_index: Annotated[int, Meta(ge=0, le=limits.COUNT_MAX)] = 0


class Write(Request, frozen=True, kw_only=True):
    """A request that changes state: `idempotency_key` makes a repeat within ten minutes answer as the first did."""

    idempotency_key: IdempotencyKey | None = None


class Guarded(Write, frozen=True, kw_only=True):
    """A write that holds only while nobody else has changed the record (412 otherwise): `if_match` is the revision that
    it must have, 0 for one that must not exist yet; `if_owner` is the uid of its owner, or of nobody for a new record.
    """

    if_match: Annotated[int, Meta(ge=0, le=limits.COUNT_MAX)] | None = None
    if_owner: OwnerUid | None = None


class Declaring(Guarded, frozen=True, kw_only=True):
    """A write that declares a whole record. What is missing of `labels` and `owner` stays; null and `{}` clear it."""

    labels: Labels | UnsetType = UNSET
    owner: Owner | UnsetType | None = UNSET
