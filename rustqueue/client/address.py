"""Server addresses: the URL picks the transport."""

from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from rustqueue.client.call import Framing
from rustqueue.client.http11 import Http11
from rustqueue.client.lines import Lines

_PORTS: Final = {"http": 6790, "tcp": 6789}


class Address(NamedTuple):
    scheme: Literal["http", "tcp"]
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """`http://host[:port][/prefix]` or `tcp://host[:port]`. Raises `ValueError` naming what is wrong."""
        parts = urlsplit(url)
        if parts.hostname is None or parts.scheme not in _PORTS:
            raise ValueError(f"{url!r} is not a server address: use http://HOST:PORT or tcp://HOST:PORT")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"{url!r}: give the token as token=..., and no query")
        prefix = parts.path.rstrip("/")
        if parts.scheme == "tcp" and prefix:
            raise ValueError(f"{url!r}: a tcp address has no path")
        port = parts.port or _PORTS[parts.scheme]
        return cls("http" if parts.scheme == "http" else "tcp", parts.hostname, port, prefix)

    def framing(self, token: str | None) -> Framing:
        if self.scheme == "tcp":
            return Lines(token)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return Http11(f"{host}:{self.port}", self.prefix, token)
