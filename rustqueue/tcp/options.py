"""What the TCP shell is told when it is made. It must not know where that was set."""

import ssl
from dataclasses import dataclass

from rustqueue.model import limits


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """`port` 0 takes a free one."""

    host: str = "0.0.0.0"
    port: int = 6789
    line_deadline_ms: int = 30_000
    connections_max: int = limits.CONNECTIONS_MAX
    tls: ssl.SSLContext | None = None
    token_deadline_ms: int = limits.AUTH_SHOWN_MS_MAX
