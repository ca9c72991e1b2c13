"""`host:port` as operators write it, IPv6 in brackets.

It must not resolve names: that is done anew at every dial.
"""

from typing import NamedTuple

from rustqueue.model import limits


class AddressError(ValueError):
    """The text is no address. It says what is expected."""


class Address(NamedTuple):
    host: str
    port: int


def parse_address(text: str) -> Address:
    """`n1.queue:6800`, `10.0.0.1:6800`, `[::1]:6800`."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    well_formed = colon and host and port.isascii() and port.isdigit() and int(port) <= 65_535
    if not well_formed or (":" in host) is not bracketed or len(text) > limits.ADDRESS_BYTES_MAX:
        raise AddressError(f"{text[:80]!r} is no address: expected host:port, IPv6 as [::1]:6800, port up to 65535")
    return Address(host, int(port))


def show_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
