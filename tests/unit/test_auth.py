"""Tokens and lockouts."""

import pytest

from rustqueue.auth import ANYBODY, NOBODY, Authenticator, LockedOut, Principal
from rustqueue.model import limits
from rustqueue.model.errors import Unauthorized


class Watch:
    def __init__(self) -> None:
        self.now_ms = 0

    def monotonic_us(self) -> int:
        return self.now_ms * 1_000

    def wall_ms(self) -> int:
        return self.now_ms


def test_an_open_server_takes_everybody() -> None:
    auth = Authenticator(False, [], Watch())
    assert auth.newcomer is ANYBODY
    assert auth.check("any", "::1") is ANYBODY
    assert auth.check_header(None, "::1") is ANYBODY


def test_a_good_token_tells_who_it_is() -> None:
    auth = Authenticator(True, ["a", "ü"], Watch())
    assert auth.newcomer is NOBODY
    assert (auth.check("a", "::1"), auth.check_header("Bearer ü", "::1")) == (
        Principal("token-1"),
        Principal("token-2"),
    )


def test_without_tokens_nobody_gets_in() -> None:
    with pytest.raises(Unauthorized, match="Invalid bearer token"):
        Authenticator(True, [], Watch()).check("", "::1")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "Missing Authorization header"),
        ("Basic eDp5", "Authorization header must use Bearer scheme"),
        ("bearer a", "Authorization header must use Bearer scheme"),
        ("Bearer", "Authorization header must use Bearer scheme"),
        ("Bearer  ", "Missing bearer token"),
        ("Bearer \ud800", "Invalid bearer token"),
    ],
)
def test_a_wrong_header_says_what_is_wrong(header: str | None, message: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        Authenticator(True, ["a"], Watch()).check_header(header, "::1")
    assert (refused.value.message, refused.value.code, refused.value.status) == (message, "UNAUTHORIZED", 401)


def fail(auth: Authenticator, times: int, peer: str = "10.0.0.1") -> None:
    for _ in range(times):
        with pytest.raises(Unauthorized):
            auth.check("bad", peer)


def test_five_failures_lock_an_address_out_even_with_a_good_token() -> None:
    # Given an address that failed five times
    watch = Watch()
    auth = Authenticator(True, ["good"], watch)
    fail(auth, 5)
    # Then it is refused until five minutes after the last failure, and others are not
    with pytest.raises(LockedOut) as refused:
        auth.check("good", "10.0.0.1")
    assert (refused.value.code, refused.value.status, refused.value.retry_after_s) == ("RATE_LIMITED", 429, 300)
    with pytest.raises(LockedOut):
        auth.check_header(None, "10.0.0.1")
    auth.check("good", "10.0.0.2")
    watch.now_ms = limits.AUTH_LOCKOUT_MS
    assert auth.check("good", "10.0.0.1") == Principal("token-1")


def test_failures_count_from_the_first_and_are_cleared_by_a_success() -> None:
    watch = Watch()
    auth = Authenticator(True, ["good"], watch)
    fail(auth, 4)
    watch.now_ms = limits.AUTH_LOCKOUT_MS
    fail(auth, 4)
    auth.check("good", "10.0.0.1")
    fail(auth, 4)
    auth.check("good", "10.0.0.1")


def test_the_table_of_failures_is_bounded() -> None:
    auth = Authenticator(True, ["good"], Watch())
    fail(auth, 5, "oldest")
    for number in range(limits.AUTH_ADDRESSES_MAX):
        fail(auth, 1, str(number))
    assert auth.check("good", "oldest") == Principal("token-1")
