"""Whether the certificate of a cluster's nodes is due to be renewed. Pure: dates in, a reason out.

Invariant: what is renewed lasts longer than what it replaces, so that a renewal is never due again at once.
"""

from typing import Final

from msgspec import Struct

RENEW: Final = "rustqueue.io/renew"
"""Annotation of the Secret: any value that is not the one of the last renewal asks for a new certificate now."""
RENEWED: Final = "rustqueue.io/renewed"
"""Annotation of the Secret: which request the present certificate was made for."""

LIFE_S: Final = 365 * 86_400
_LEFT_SHARE: Final = 3  # Renewed when less than a third of its life is left.


class Certificate(Struct, frozen=True):
    """Seconds since 1970; `trusted`: the authority vouches for it."""

    begins_s: int
    ends_s: int
    names: tuple[str, ...]
    trusted: bool


class Authority(Struct, frozen=True):
    """Who signs."""

    ends_s: int


def reason_to_renew(
    found: Certificate | None,
    authority: Authority,
    now_s: int,
    wish: str | None,
    granted: str | None,
    trusts_all: bool = True,
) -> str | None:
    """Why, or None. `found` None: there is no certificate that can be read. `trusts_all`: the nodes trust exactly the
    authorities that stand beside the one that signs, of which there are two while one is exchanged for another.
    """
    if end_s(authority, now_s) <= now_s:
        return None  # Whatever it signs is void. The problem is told by `problem`.
    if found is None:
        return "it cannot be read"
    if not found.trusted:
        return "another authority signed it"
    if wish is not None and wish != granted:
        return "somebody asked for it"
    if not trusts_all:
        return "other authorities are to be trusted"
    left_s, life_s = found.ends_s - now_s, found.ends_s - found.begins_s
    if left_s * _LEFT_SHARE < life_s and end_s(authority, now_s) > found.ends_s:
        return f"{max(0, left_s) // 86_400} days are left"
    return None


def problem(authority: Authority, now_s: int) -> str | None:
    """What only a person can mend."""
    left_s = authority.ends_s - now_s
    return f"the authority of the nodes' certificates ends in {left_s // 86_400} days" if left_s < LIFE_S else None


def end_s(authority: Authority, now_s: int) -> int:
    """When a certificate ends that is made now: never after its authority."""
    return min(now_s + LIFE_S, authority.ends_s)
