"""Where a request comes from: web pages of other origins, names of this server, proxies in front of it.

Purpose: CORS, the list of allowed hosts (against DNS rebinding), and the address behind a proxy. It must not know
routes or tokens. Invariants: without settings nothing is let in from other origins and no header is believed; no answer
ever allows credentials, since this server knows no cookies.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Protocol

from rustqueue.api.refusals import HostNotAllowed

_ALLOWED_HEADERS: Final = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-Owner, Last-Event-ID, X-Request-Id, "
    "X-RustQueue-Consistency, X-RustQueue-Min-Index, traceparent, tracestate"
)
_SHOWN_HEADERS: Final = "Allow, Retry-After, X-Request-Id, X-RustQueue-Index, X-RustQueue-Stale"
_PREFLIGHT_S: Final = 600
_FORWARDED_MAX: Final = 32  # Addresses in one chain of proxies that are looked at.


class Headers(Protocol):
    def get(self, key: str, /) -> str | None: ...

    def getall(self, key: str, default: list[str], /) -> list[str]: ...


class Visitors:
    """The settings, ready to be asked with every request."""

    def __init__(self, origins: Iterable[str], hosts: Iterable[str], proxies: Iterable[str]) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)
        self._hosts = tuple(host.lower() for host in hosts)
        self._proxies = tuple(ipaddress.ip_network(proxy) for proxy in proxies)
        self._is_host = lru_cache(maxsize=1_024)(self._judged)

    def allows_origin(self, origin: str) -> bool:
        """Whether a web page of this origin may read our answers."""
        return "*" in self._origins or origin.lower() in self._origins

    def cors(self, headers: Headers) -> str:
        """What an answer tells the browser, as whole lines."""
        if not self._origins:
            return ""
        origin = headers.get("Origin")
        if origin is None or not self.allows_origin(origin):
            return "Vary: Origin\r\n"
        return (
            f"Vary: Origin\r\nAccess-Control-Allow-Origin: {origin}\r\n"
            f"Access-Control-Expose-Headers: {_SHOWN_HEADERS}\r\n"
        )

    def preflight(self, headers: Headers, methods: Iterable[str]) -> str:
        """What the answer to a browser's question before its request tells besides."""
        origin = headers.get("Origin") if self._origins else None
        if origin is None or headers.get("Access-Control-Request-Method") is None or not self.allows_origin(origin):
            return ""
        return (
            f"Access-Control-Allow-Methods: {', '.join(methods)}\r\n"
            f"Access-Control-Allow-Headers: {_ALLOWED_HEADERS}\r\n"
            f"Access-Control-Max-Age: {_PREFLIGHT_S}\r\n"
        )

    def check_host(self, headers: Headers) -> None:
        """Raises `HostNotAllowed` for a request under a foreign name."""
        if self._hosts and not self._is_host(headers.get("Host") or ""):
            raise HostNotAllowed(headers.get("Host") or "")

    def _judged(self, given: str) -> bool:
        host = given.lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        for known in self._hosts:
            if known in (host, name) or (known.startswith("*.") and name.endswith(known[1:])):
                return True
        return False

    def peer_of(self, peer: str, headers: Headers) -> str:
        """The address that asks: the last one of `X-Forwarded-For` that is none of our proxies, if one of them says
        so; else the one that is connected.
        """
        if not self._proxies or not self._is_proxy(peer):
            return peer
        chain = ",".join(headers.getall("X-Forwarded-For", [])).split(",")
        found = peer
        for text in reversed(chain[-_FORWARDED_MAX:]):
            address = text.strip()
            if not _is_address(address):
                return found
            found = address
            if not self._is_proxy(address):
                return found
        return found

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._proxies)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
