"""Who is asking: static bearer tokens, and the lockout of an address that guesses.

It must not know any protocol, nor what a request does. Invariants: tokens are compared in constant time and never
appear in an error; the table of failures is bounded, the address that failed longest ago gives way.
"""

import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Limited


class Unauthorized(ApiError):
    """No token or not a good one."""

    http_status = 401

    def __init__(self, message: str) -> None:
        super().__init__("UNAUTHORIZED", message)


class LockedOut(Limited):
    """Too many bad tokens came from this address; a good one is refused too until the lockout ends."""

    retry_after_s = limits.AUTH_LOCKOUT_MS // 1_000

    def __init__(self) -> None:
        super().__init__("RATE_LIMITED", "Too many failed authentications from this address, try again later")


class Principal(Struct, frozen=True):
    """Who asks. Scopes will be told by it."""

    name: str


ANYBODY: Final = Principal("anybody")
"""Everyone, on a server without authentication."""

NOBODY: Final = Principal("nobody")
"""Who has not yet shown a token to a server that wants one."""


class _Failures(Struct):
    count: int
    first_ms: int
    last_ms: int


class Authenticator:
    """Tokens to principals, for all protocols of a node, so that an address cannot guess on one and then the other."""

    def __init__(self, enabled: bool, tokens: Sequence[str], monotonic_ms: Callable[[], int]) -> None:
        self.enabled = enabled
        self._tokens = [token.encode() for token in tokens]
        self._monotonic_ms = monotonic_ms
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    @property
    def newcomer(self) -> Principal:
        """Who somebody is before showing a token."""
        return NOBODY if self.enabled else ANYBODY

    def check(self, token: str, peer: str) -> Principal:
        """The principal of a token shown by the address `peer`. Raises `Unauthorized` or `LockedOut`."""
        if not self.enabled:
            return ANYBODY
        self._refuse_locked_out(peer)
        shown = token.encode("utf-8", "surrogatepass")
        found = -1
        for position, known in enumerate(self._tokens):
            # No early end: the time must not tell which token was nearly right.
            if hmac.compare_digest(known, shown):
                found = position
        if found < 0:
            self._count_failure(peer)
            raise Unauthorized("Invalid bearer token")
        self._failures.pop(peer, None)
        return Principal(f"token-{found + 1}")

    def check_header(self, header: str | None, peer: str) -> Principal:
        """The same for the value of an `Authorization` header, None when there is none."""
        if not self.enabled:
            return ANYBODY
        self._refuse_locked_out(peer)
        if header is None:
            raise Unauthorized("Missing Authorization header")
        scheme, _, token = header.partition(" ")
        if scheme != "Bearer":
            raise Unauthorized("Authorization header must use Bearer scheme")
        if not token.strip():
            raise Unauthorized("Missing bearer token")
        return self.check(token.strip(), peer)

    def _refuse_locked_out(self, peer: str) -> None:
        failures = self._failures.get(peer)
        if failures is None or failures.count < limits.AUTH_FAILURES_MAX:
            return
        if self._monotonic_ms() - failures.last_ms < limits.AUTH_LOCKOUT_MS:
            raise LockedOut
        del self._failures[peer]

    def _count_failure(self, peer: str) -> None:
        now_ms = self._monotonic_ms()
        failures = self._failures.pop(peer, None)
        if failures is None or now_ms - failures.first_ms >= limits.AUTH_LOCKOUT_MS:
            failures = _Failures(0, now_ms, now_ms)
        failures.count += 1
        failures.last_ms = now_ms
        self._failures[peer] = failures
        if len(self._failures) > limits.AUTH_ADDRESSES_MAX:
            self._failures.popitem(last=False)
