"""Server addresses: the URL picks the transport."""

import ssl
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from rustqueue.client.call import Framing
from rustqueue.client.http11 import Http11
from rustqueue.client.lines import Lines
from rustqueue.client.token import Token

_PORTS: Final = {"http": 6790, "https": 6790, "tcp": 6789, "tcps": 6789}


class Address(NamedTuple):
    scheme: Literal["http", "tcp"]
    host: str
    port: int
    prefix: str
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> "Address":
        """`http://host[:port][/prefix]` or `tcp://host[:port]`, with TLS `https://` and `tcps://`. Raises `ValueError`
        naming what is wrong.
        """
        parts = urlsplit(url)
        if parts.hostname is None or parts.scheme not in _PORTS:
            raise ValueError(f"{url!r} is not a server address: use http[s]://HOST:PORT or tcp[s]://HOST:PORT")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"{url!r}: give the token as token=..., and no query")
        prefix = parts.path.rstrip("/")
        is_http = parts.scheme.startswith("http")
        if not is_http and prefix:
            raise ValueError(f"{url!r}: a tcp address has no path")
        port = parts.port or _PORTS[parts.scheme]
        return cls("http" if is_http else "tcp", parts.hostname, port, prefix, parts.scheme.endswith("s"))

    def tls_context(self, ca_file: str | None) -> ssl.SSLContext | None:
        """What an encrypted connection checks the node's certificate with, None for a plain one. `ca_file` replaces
        the authorities that the system trusts. Raises `ValueError`.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ValueError(
                f"cannot use the certificate authorities in {ca_file}: {error.strerror or error}"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def framing(self, token: Token | None) -> Framing:
        if self.scheme == "tcp":
            return Lines(token)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return Http11(f"{host}:{self.port}", self.prefix, token)
