"""The lockout of an address that guesses tokens (contract A18).

It must not know what a token is. Invariants: an address is locked out by its own failures only; the table of failures
is bounded, the address that failed longest ago gives way.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from rustqueue.model import limits
from rustqueue.model.errors import Limited


class LockedOut(Limited):
    """Too many bad tokens came from this address; a good one is refused too until the lockout ends."""

    retry_after_s = limits.AUTH_LOCKOUT_MS // 1_000

    def __init__(self) -> None:
        super().__init__("RATE_LIMITED", "Too many failed authentications from this address, try again later")


class _Failures(Struct):
    count: int
    first_ms: int
    last_ms: int


class Lockout:
    """Failures by address, for all protocols of a node, so that one cannot guess on one and then on the other."""

    def __init__(self, monotonic_ms: Callable[[], int]) -> None:
        self._monotonic_ms = monotonic_ms
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self.failures_count = 0
        self.refusals_count = 0

    def __len__(self) -> int:
        return len(self._failures)

    def refuse(self, peer: str) -> None:
        """Raise `LockedOut` if this address has to wait."""
        if not self._failures:
            return
        source = source_of(peer)
        failures = self._failures.get(source)
        if failures is None or failures.count < limits.AUTH_FAILURES_MAX:
            return
        if self._monotonic_ms() - failures.last_ms < limits.AUTH_LOCKOUT_MS:
            self.refusals_count += 1
            raise LockedOut
        del self._failures[source]

    def failed(self, peer: str) -> None:
        now_ms = self._monotonic_ms()
        source = source_of(peer)
        failures = self._failures.pop(source, None)
        if failures is None or now_ms - failures.first_ms >= limits.AUTH_LOCKOUT_MS:
            failures = _Failures(0, now_ms, now_ms)
        self.failures_count += 1
        failures.count += 1
        failures.last_ms = now_ms
        self._failures[source] = failures
        if len(self._failures) > limits.AUTH_ADDRESSES_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, peer: str) -> None:
        if self._failures:
            self._failures.pop(source_of(peer), None)


def source_of(peer: str) -> str:
    """What counts as one address: of IPv6 the /64, since whoever has one address there has all of them."""
    if ":" not in peer:
        return peer
    try:
        address = ipaddress.IPv6Address(peer.partition("%")[0])
    except ValueError:
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
