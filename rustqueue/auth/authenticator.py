"""Tokens to principals, for all protocols of a node.

It must not know any protocol, nor what a request does. Invariants: tokens are compared in constant time and never
appear in an error; whoever is locked out is refused before his token is looked at.
"""

import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from rustqueue.auth.bearer import id_in, is_digest_of
from rustqueue.auth.grants import Grants
from rustqueue.auth.lockout import Lockout
from rustqueue.auth.principals import ANYBODY, NOBODY, Principal
from rustqueue.auth.service_accounts import ServiceAccounts, Undecided, looks_like_one
from rustqueue.machine.rows import TokenRow
from rustqueue.model import limits
from rustqueue.model.errors import Unauthorized


class Clock(Protocol):
    def monotonic_us(self) -> int: ...

    def wall_ms(self) -> int: ...


CatchUp = Callable[[Callable[[bool], None]], None]
"""Calls back when this node has applied whatever anybody was told of before; true when it cannot know."""

Tokens = Callable[[str], TokenRow | None]
"""The stored token with an id, as this node has applied it."""


def no_tokens(token_id: str) -> None:
    """A node that stores none."""


class Authenticator:
    """`check` for a token by itself, `check_header` for the value of an `Authorization` header."""

    def __init__(
        self,
        enabled: bool,
        tokens: Sequence[str],
        clock: Clock,
        stored: Tokens = no_tokens,
        accounts: ServiceAccounts | None = None,
    ) -> None:
        self.catch_up: CatchUp | None = None
        """Set in a cluster, where this node may not have heard of a token yet."""
        self._caught_up: OrderedDict[str, int] = OrderedDict()
        self.enabled = enabled
        self._tokens = [token.encode() for token in tokens]
        self._clock = clock
        self._stored = stored
        self._accounts = accounts
        self._grants: dict[str, tuple[TokenRow, Grants]] = {}
        self._lockout = Lockout(lambda: clock.monotonic_us() // 1_000)

    @property
    def failures_count(self) -> int:
        """Bad tokens that were shown, over all protocols."""
        return self._lockout.failures_count

    @property
    def locked_out_count(self) -> int:
        """Requests that were refused because their address had failed too often."""
        return self._lockout.refusals_count

    @property
    def newcomer(self) -> Principal:
        """Who somebody is before showing a token."""
        return NOBODY if self.enabled else ANYBODY

    def check(self, token: str, peer: str) -> Principal:
        """The principal of a token shown by the address `peer`. Raises `Unauthorized` or `LockedOut`; `Undecided` for
        one that somebody else has to be asked about first, and `Unavailable` when he cannot be asked.
        """
        if not self.enabled:
            return ANYBODY
        self._lockout.refuse(peer)
        principal = self._configured(token) or self._made(token) or self._account(token)
        if principal is None:
            self._lockout.failed(peer)
            raise Unauthorized("Invalid bearer token")
        self._lockout.succeeded(peer)
        return principal

    def check_header(self, header: str | None, peer: str) -> Principal:
        """The same for the value of an `Authorization` header, None when there is none."""
        if not self.enabled:
            return ANYBODY
        self._lockout.refuse(peer)
        if header is None:
            raise Unauthorized("Missing Authorization header")
        scheme, space, token = header.partition(" ")
        if scheme != "Bearer" or not space:
            raise Unauthorized("Authorization header must use Bearer scheme")
        if not token.strip():
            raise Unauthorized("Missing bearer token")
        return self.check(token.strip(), peer)

    def _configured(self, token: str) -> Principal | None:
        shown = token.encode("utf-8", "surrogatepass")
        found = -1
        for position, known in enumerate(self._tokens):
            # No early end: the time must not tell which token was nearly right.
            if hmac.compare_digest(known, shown):
                found = position
        return None if found < 0 else Principal(f"token-{found + 1}")

    def _made(self, token: str) -> Principal | None:
        token_id = id_in(token)
        row = None if token_id is None else self._live(token_id)
        if row is None and token_id is not None and self.catch_up is not None and not self._has_caught_up(token_id):
            raise Undecided(partial(self._when_caught_up, self.catch_up, token_id))
        if row is None or not is_digest_of(row.digest, token):
            return None
        return Principal(row.name, row.id, lambda: self._grants_of(row.id))

    def _has_caught_up(self, token_id: str) -> bool:
        """Whether this node has just made sure of what it knows since this id was shown."""
        at_us = self._caught_up.get(token_id)
        return at_us is not None and self._clock.monotonic_us() - at_us < limits.TOKEN_UNKNOWN_MS * 1_000

    def _when_caught_up(self, catch_up: CatchUp, token_id: str, then: Callable[[], None]) -> None:
        def caught_up(stale: bool) -> None:
            self._caught_up[token_id] = self._clock.monotonic_us()
            self._caught_up.move_to_end(token_id)
            if len(self._caught_up) > limits.TOKENS_MAX:
                self._caught_up.popitem(last=False)
            then()

        catch_up(caught_up)

    def _account(self, token: str) -> Principal | None:
        if self._accounts is None or not looks_like_one(token):
            return None
        return self._accounts.check(token)

    def _live(self, token_id: str) -> TokenRow | None:
        row = self._stored(token_id)
        if row is None or (row.expires_at is not None and row.expires_at <= self._clock.wall_ms()):
            return None
        return row

    def _grants_of(self, token_id: str) -> Grants:
        row = self._live(token_id)
        if row is None:
            self._grants.pop(token_id, None)
            raise Unauthorized("This token has expired or was deleted")
        known = self._grants.get(token_id)
        if known is None or known[0] is not row:
            if len(self._grants) >= limits.TOKENS_MAX:
                self._grants.clear()  # Of tokens deleted long ago.
            known = self._grants[token_id] = (row, Grants(row.scopes))
        return known[1]
