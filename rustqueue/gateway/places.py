"""Which of several things a refusal is about: one item of a batch, one operation of a transaction.

It must not know what the items are. Invariant: a refusal that names a place in its field says the number besides, so
that a program need not take texts apart (decisions A8 and D).
"""

import re
from typing import Final, TypeVar

import msgspec

from rustqueue.model.errors import ApiError
from rustqueue.model.replies import Refused, Reply

Told = TypeVar("Told", bound=ApiError)

_PLACES: Final = re.compile(r"(?:operations\[(?P<operation>\d+)\]\.?)?(?:(?:jobs|items|ids)\[(?P<index>\d+)\])?")


def placed(error: Told) -> Told:
    """The same error, whose details have `index` and `operation` if its field says them."""
    details = error.details
    field = None if details is None else details.get("field")
    if details is not None and isinstance(field, str):
        found = _PLACES.match(field)
        assert found is not None, "all of the pattern is optional"
        numbers = {name: int(place) for name, place in found.groupdict().items() if place is not None}
        error.details = {**numbers, **details} if numbers else details
    return error


def as_one(reply: Reply) -> Reply:
    """The answer to a transaction. What one of its operations names may be missing; the transaction is there, and in
    conflict with that: 409, not 404 (decisions D).
    """
    if isinstance(reply, Refused) and reply.status == 404:
        return msgspec.structs.replace(reply, status=409)
    return reply
