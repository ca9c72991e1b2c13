"""Bearer tokens: what one may do, as scopes of verbs on queues that patterns name (decisions F), and their verbs.

It must not know who shows a token, nor what a verb needs. Invariant: a pattern holds only what queue names hold, and
`*`, which stands for any characters; whoever matches it needs time in proportion to the name.
"""

import re
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from rustqueue.model import limits
from rustqueue.model.requests import Request, Write

ScopeVerb = Literal["push", "pull", "read", "admin"]
"""`pull` covers all that a worker says about its jobs; `admin` covers everything."""

QueuePattern = Annotated[str, Meta(min_length=1, max_length=limits.QUEUE_NAME_BYTES_MAX)]
TokenName = Annotated[str, Meta(min_length=1, max_length=limits.TOKEN_NAME_BYTES_MAX)]
TokenId = Annotated[str, Meta(min_length=1, max_length=limits.TOKEN_ID_BYTES_MAX)]


class Scope(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """`verbs` on all queues that one of `queues` names: `mail`, `mail.*`, `*`."""

    verbs: Annotated[list[ScopeVerb], Meta(min_length=1, max_length=limits.SCOPE_VERBS_MAX)]
    queues: Annotated[list[QueuePattern], Meta(min_length=1, max_length=limits.SCOPE_QUEUES_MAX)]


PATTERN: Final = re.compile(rf"[A-Za-z0-9._*-]{{1,{limits.QUEUE_NAME_BYTES_MAX}}}", re.ASCII)
Scopes = Annotated[list[Scope], Meta(min_length=1, max_length=limits.SCOPES_MAX)]


_VERBS: Final[tuple[ScopeVerb, ...]] = get_args(ScopeVerb)


def scope_of_text(text: str) -> Scope:
    """A scope as people write it: `push,pull:mail.*,sms`. Raises `ValueError`."""
    verbs, _, patterns = text.partition(":")
    given = [verb for verb in _VERBS if verb in verbs.split(",")]
    names = patterns.split(",")
    if len(given) != len(verbs.split(",")) or not all(PATTERN.fullmatch(name) for name in names):
        raise ValueError(f"{text!r} is no scope: VERBS:QUEUES, with verbs of {', '.join(_VERBS)}")
    return Scope(given, names)


class TokenInfo(Struct, frozen=True):
    """A token as it is listed: never its secret, nor what could be compared with it."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: str
    expires_at: str | None


class TokenCreate(Request, frozen=True, kw_only=True, tag="token_create"):
    """Make a bearer token that may do what `scopes` say, for `expires_in_ms` or until it is deleted. The answer is the
    only place that ever shows it. There is no `idempotency_key`, since a repeat could not show it again: a name is
    taken once, so that a repeat is refused and the token of an answer that was lost can be found and deleted.
    """

    name: TokenName
    scopes: Scopes
    expires_in_ms: Annotated[int, Meta(ge=1, le=limits.DURATION_MS_MAX)] | None = None


class TokenDelete(Write, frozen=True, kw_only=True, tag="token_delete"):
    """Revoke a token: the next request with it is refused, also on connections that have shown it already."""

    id: TokenId


class TokenPut(Request, frozen=True, kw_only=True, tag="!token_put"):
    """Internal: a token as the log may have it. `digest` is the SHA-256 of its text in hex."""

    id: TokenId
    name: TokenName
    scopes: Scopes
    digest: str
    expires_in_ms: int | None = None
