"""Ports of this machine for servers that are told where to listen before they are there.

A port that the system chooses may be given to somebody else as soon as it is let go: to the next one who asks, or to
an outgoing connection, while a server is on its way up or between two of its lives. Knows nothing about servers.
Invariants: no port comes from the range that the system gives away by itself, and no two processes of this machine are
given the same one while the first of them lives.
"""

import contextlib
import random
import socket
import sys
from typing import Final

_FIRST: Final = 20_000
_BEHIND: Final = 32_000
"""The range of the system begins at 32,768 on Linux, and higher up elsewhere."""
_signs: list[int] = []
"""Open files that nobody reads; the system closes them when this process ends."""


def free_port(*beside: int, host: str = "127.0.0.1") -> int:
    """A port that nobody listens on. `beside` are distances from it to others that are taken together with it."""
    while True:
        port = random.randrange(_FIRST, _BEHIND)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            signs = [stack.enter_context(_sign(port + distance, host)) for distance in (0, *beside)]
            _signs.extend(sign.detach() for sign in signs)
            return port


def _sign(port: int, host: str) -> socket.socket:
    """What says to other processes that this port is taken, held by no file and left behind by nobody. Linux alone has
    such a thing; where there is none, the look at the port has to do.
    """
    with socket.socket() as probe:
        probe.bind((host, port))
    sign = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        try:
            sign.bind(f"\0rustqueue-port-{port}")
        except OSError:
            sign.close()
            raise
    return sign
