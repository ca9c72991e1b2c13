"""Who asks. A principal is made when a token is shown, and asked for its grants with every request.

It must not know protocols or tokens. Invariant: grants are looked up when they are needed and not kept with the
connection, so that a token that was deleted or has expired is refused on connections that showed it long ago.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from rustqueue.auth.grants import FULL, Grants


def _full() -> Grants:
    return FULL


class Principal(Struct, frozen=True):
    """`grants` says what it may do now, and raises `Unauthorized` when the token it showed is good no longer.

    `tenant` keeps the idempotency keys of one apart from those of others; it is empty for everybody who may do
    everything by configuration.
    """

    name: str
    tenant: str = ""
    grants: Callable[[], Grants] = _full


ANYBODY: Final = Principal("anybody")
"""Everyone, on a server without authentication."""

NOBODY: Final = Principal("nobody")
"""Who has not yet shown a token to a server that wants one."""
