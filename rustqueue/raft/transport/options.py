"""What an operator or a test can choose about links, and the tuning of a peer's socket.

It must not know peers. The defaults are `rustqueue.model.limits`, with their reasons.
"""

import socket
from dataclasses import dataclass
from typing import Final

from rustqueue.model import limits
from rustqueue.raft.transport.credentials import TlsFiles

_KEEPALIVE_IDLE_S: Final = 3
_KEEPALIVE_INTERVAL_S: Final = 1
_KEEPALIVE_PROBES: Final = 3


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """`listen` is bound exactly; port 0 takes a free one. `tls` None: everybody who reaches the port is believed."""

    listen: str
    tls: TlsFiles | None
    greeting_ms: int = limits.PEER_GREETING_MS
    connect_ms: int = limits.PEER_CONNECT_MS
    busy_bytes: int = limits.PEER_BUSY_BYTES
    unsent_bytes_max: int = limits.PEER_UNSENT_BYTES_MAX
    strangers_max: int = limits.PEER_STRANGERS_MAX
    connections_max: int = limits.PEER_CONNECTIONS_MAX


def tune(sock: socket.socket) -> None:
    """Small frames leave at once, and a peer that vanished without a word is found out in seconds, also when idle."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.PEER_UNACKED_MS_MAX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
