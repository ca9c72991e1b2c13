"""Kubernetes ServiceAccounts as principals: the API server says whose token it is, the configuration what he may do.

It must not know how the API server is asked (`Review` does), nor a protocol. Invariants:
- only a token that the API server has found good, for our audience, makes a principal;
- a verdict is asked for once however many wait for it, and kept; both are bounded;
- while the API server cannot be reached, whoever it has found good before goes on until his token expires, and nobody
  else gets in.
"""

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from rustqueue.auth.grants import Grants, matches
from rustqueue.auth.principals import Principal
from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Unauthorized, Unavailable
from rustqueue.model.tokens import Scope

_USER: Final = "system:serviceaccount:"


class Reviewed(Struct, frozen=True):
    """What the API server says of a token. `user` is None for one that is not good, or not for us."""

    user: str | None


Told = Callable[[Reviewed | None], None]
"""Called on the loop with a verdict, None when the API server could not be asked."""

Review = Callable[[str, Told], None]
"""Ask the API server about a token."""


class AccountScopes(Struct, frozen=True):
    """What accounts that `account` names (`NAMESPACE/NAME`, `*` stands for any characters) may do."""

    account: str
    scopes: list[Scope]


class Clock(Protocol):
    def monotonic_us(self) -> int: ...

    def wall_ms(self) -> int: ...


class Undecided(ApiError):
    """Nobody can say yet whether a token is good. `when_decided` takes what is to be done then: to ask again."""

    http_status = 401

    def __init__(self, when_decided: Callable[[Callable[[], None]], None]) -> None:
        super().__init__("UNAUTHORIZED", "The token is being reviewed")
        self.when_decided = when_decided


class _Verdict(Struct):
    """The latest word on one token. `name` is None for a bad one; `until_ms` is by the wall clock, and its end."""

    name: str | None
    grants: Grants | None
    checked_us: int
    until_ms: int | None


class ServiceAccounts:
    """`check` is asked by the authenticator, for texts that look like tokens of a cluster."""

    def __init__(self, rules: Sequence[AccountScopes], review: Review, clock: Clock, fresh_ms: int) -> None:
        self._rules = rules
        self._review = review
        self._clock = clock
        self._fresh_us = fresh_ms * 1_000
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._asked: dict[bytes, list[Callable[[], None]]] = {}
        self._unreachable_us: int | None = None

    def check(self, token: str) -> Principal | None:
        """The principal of a token, None for a bad one. Raises `Undecided` before the first verdict, `Unavailable`
        when none can be had.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        verdict = self._verdicts.get(digest)
        if verdict is None:
            if self._is_unreachable():
                raise _no_review()
            if digest not in self._asked and len(self._asked) >= limits.REVIEWS_MAX:
                raise _no_review()
            raise Undecided(lambda then: self._ask(token, digest, then))
        self._verdicts.move_to_end(digest)
        if verdict.name is None:
            if self._is_fresh(verdict):
                return None
            del self._verdicts[digest]
            return self.check(token)
        return Principal(verdict.name, verdict.name, lambda: self._grants(token, digest))

    def _grants(self, token: str, digest: bytes) -> Grants:
        """What the holder may do now. A verdict that has grown old serves while a new one is asked for."""
        verdict = self._verdicts.get(digest)
        if verdict is None or verdict.grants is None:
            raise Unauthorized("This ServiceAccount token is good no longer")
        if verdict.until_ms is not None and verdict.until_ms <= self._clock.wall_ms():
            raise Unauthorized("This ServiceAccount token has expired")
        if not self._is_fresh(verdict) and digest not in self._asked and not self._is_unreachable():
            self._ask(token, digest, _nothing)
        return verdict.grants

    def _is_fresh(self, verdict: _Verdict) -> bool:
        return self._clock.monotonic_us() - verdict.checked_us < self._fresh_us

    def _is_unreachable(self) -> bool:
        """Whether the API server could not be asked a moment ago: then it is given a moment."""
        since = self._unreachable_us
        return since is not None and self._clock.monotonic_us() - since < limits.REVIEW_PAUSE_MS * 1_000

    def _ask(self, token: str, digest: bytes, then: Callable[[], None]) -> None:
        waiting = self._asked.get(digest)
        if waiting is not None:
            waiting.append(then)
            return
        self._asked[digest] = [then]
        self._review(token, lambda reviewed: self._told(token, digest, reviewed))

    def _told(self, token: str, digest: bytes, reviewed: Reviewed | None) -> None:
        now_us = self._clock.monotonic_us()
        if reviewed is None:
            self._unreachable_us = now_us
        else:
            self._unreachable_us = None
            self._keep(digest, self._verdict(token, reviewed, now_us))
        for then in self._asked.pop(digest):
            then()

    def _verdict(self, token: str, reviewed: Reviewed, now_us: int) -> _Verdict:
        user = reviewed.user
        if user is None or not user.startswith(_USER):
            return _Verdict(None, None, now_us, None)
        account = user.removeprefix(_USER).replace(":", "/", 1)
        scopes = [scope for rule in self._rules if matches(rule.account, account) for scope in rule.scopes]
        return _Verdict(f"serviceaccount:{account}", Grants(scopes), now_us, expiry_ms(token))

    def _keep(self, digest: bytes, verdict: _Verdict) -> None:
        self._verdicts[digest] = verdict
        self._verdicts.move_to_end(digest)
        if len(self._verdicts) > limits.REVIEWED_MAX:
            self._verdicts.popitem(last=False)


def looks_like_one(token: str) -> bool:
    """Whether a text is a JSON web token by its form, as those of ServiceAccounts are."""
    return token.startswith("ey") and token.count(".") == 2 and len(token) <= limits.REVIEWED_TOKEN_BYTES_MAX


class _Claims(Struct):
    exp: int | None = None


_claims: Final = msgspec.json.Decoder(_Claims)


def expiry_ms(token: str) -> int | None:
    """When a token that was found good ends, by its own word; None if it does not say."""
    payload = token.split(".")[1]
    try:
        expires_at = _claims.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).exp
    except (ValueError, msgspec.MsgspecError):
        return None
    return None if expires_at is None else expires_at * 1_000


def _no_review() -> Unavailable:
    return Unavailable("AUTH_UNAVAILABLE", "The Kubernetes API server cannot be asked about this token right now")


def _nothing() -> None:
    return
