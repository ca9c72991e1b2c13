"""Which receivers may be called: a webhook must not become a way into the networks of those who run the node.

It must not resolve names or open connections: it judges texts and addresses. Invariants:
- a URL has one reading: the grammar here is so narrow that every parser reads host and port alike;
- an address is refused unless it is known to be of the public internet, or stands in a network that the operator lets
  through. What embeds another address (mapped, NAT64, 6to4, Teredo) is never let through as public;
- the node's own ports are refused everywhere.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rustqueue.model import limits
from rustqueue.model.errors import ValidationFailed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][!$%&'()*+,./0-9:;=?@A-Z_a-z~-]*)?",
    re.ASCII,
)
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_HOST_CHARACTERS_MAX: Final = 253
_PORTS: Final = {"http": 80, "https": 443}

# The special-purpose registries of IANA, what is not for calling from outside, and addresses that clouds give to their
# metadata within public space. Python's own `is_global` changed between patch releases, so the list is ours.
_REFUSED_V4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_EMBEDDING_V6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
)
"""Never let through, not even by the operator's list: it would have to be read as the address inside."""


class Blocked(Exception):
    """A receiver that may not be called. The text names no secret."""


class _Missing(ValidationFailed):
    """The bare text of the original (contract A3)."""

    def __init__(self) -> None:
        super().__init__("url is required", "url")
        self.message = "url is required"


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that is well formed. `address` is there if the host is one."""

    url: str
    scheme: str
    host: str
    port: int
    address: Address | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator says. `own_ports` are those on which this node and its peers listen."""

    allowed_networks: tuple[Network, ...] = ()
    allowed_ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    own_ports: frozenset[int] = frozenset()

    @classmethod
    def of(cls, networks: Iterable[str], ports: Iterable[int], own_ports: Iterable[int]) -> "Rules":
        """Raises ValueError for a text that is no network."""
        allowed = tuple(ipaddress.ip_network(text) for text in networks)
        return cls(allowed, frozenset(ports), frozenset(own_ports))


def parse_target(url: str) -> Target:
    """Read a URL. Raises `ValidationFailed` naming what is wrong with it."""
    if not url:
        raise _Missing
    if len(url) > limits.WEBHOOK_URL_BYTES_MAX:
        limit = limits.WEBHOOK_URL_BYTES_MAX
        raise ValidationFailed(f"'url' is longer than {limit} bytes", "url", limit=limit)
    found = _URL.fullmatch(url)
    if found is None:
        raise ValidationFailed(
            "'url' must be http://HOST[:PORT][/PATH] or https://..., in ASCII, without user, password or fragment",
            "url",
        )
    scheme, host = found["scheme"], found["host"].lower()
    port = int(found["port"]) if found["port"] is not None else _PORTS[scheme]
    if not 0 < port < 65_536:
        raise ValidationFailed("'url' has a port that is none", "url")
    return Target(url, scheme, host.strip("[]"), port, _address_of(host))


def _address_of(host: str) -> Address | None:
    """The address that a host is, None for a name. Raises for what some parsers take for an address and others not."""
    if host.startswith("["):
        try:
            return ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValidationFailed("'url' has a host in brackets that is no IPv6 address", "url") from None
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]) is not None:
        # Decimal, octal, hexadecimal and short forms mean an address to some resolvers: only the plain form passes.
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            raise ValidationFailed("'url' has a numeric host that is no plain IPv4 address", "url") from None
        return address
    if len(host) > _HOST_CHARACTERS_MAX or any(_LABEL.fullmatch(label) is None for label in labels):
        raise ValidationFailed("'url' has a host that is no name", "url")
    return None


def check_target(target: Target, rules: Rules) -> None:
    """What can be said before the name is resolved. Raises `Blocked`."""
    if target.address is not None:
        check_address(target.address, target.port, rules)
    elif target.port in rules.own_ports:
        raise Blocked(f"port {target.port} is one of this node's own")
    elif target.port not in rules.allowed_ports and not rules.allowed_networks:
        raise Blocked(f"port {target.port} is not among those that webhooks may call")


def check_address(address: Address, port: int, rules: Rules) -> None:
    """Whether a connection to this address and port may be opened. Raises `Blocked`."""
    if port in rules.own_ports:
        raise Blocked(f"port {port} is one of this node's own")
    if isinstance(address, ipaddress.IPv6Address) and (
        address.scope_id is not None or any(address in network for network in _EMBEDDING_V6)
    ):
        raise Blocked(f"address {address} stands for another one")
    if any(address in network for network in rules.allowed_networks):
        return
    if not is_public(address):
        raise Blocked(f"address {address} is not a public one")
    if port not in rules.allowed_ports:
        raise Blocked(f"port {port} is not among those that webhooks may call")


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)
