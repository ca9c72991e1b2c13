"""Names of receivers to addresses: looked up off the loop, each name once at a time, remembered for a short while.

It must not judge an address. Invariants: a name server that does not answer holds up its own names only; what is
remembered is bounded; whoever stops waiting for a name leaves nothing behind but one thread until the lookup ends.
"""

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

Lookup = Callable[[str, int], list[str]]
"""All addresses of a name. Blocks; raises OSError."""

_FOUND_S: Final = 30.0
_FAILED_S: Final = 5.0
_NAMES_MAX: Final = 4_096
_THREADS_MAX: Final = 64


def system_lookup(host: str, port: int) -> list[str]:
    """What the operating system says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Names:
    """`now_s` is a monotonic clock."""

    def __init__(self, now_s: Callable[[], float], lookup: Lookup = system_lookup, found_s: float = _FOUND_S) -> None:
        self._now_s = now_s
        self._lookup = lookup
        self._found_s = found_s
        self._known: OrderedDict[tuple[str, int], tuple[float, list[str]]] = OrderedDict()
        self._asked: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self._places = asyncio.Semaphore(_THREADS_MAX)

    async def addresses(self, host: str, port: int) -> list[str]:
        """All addresses; empty if there is none, or the lookup failed."""
        key = (host, port)
        known = self._known.get(key)
        if known is not None and known[0] > self._now_s():
            return known[1]
        asked = self._asked.get(key)
        if asked is None:
            await self._places.acquire()
            asked = self._asked.get(key)
            if asked is None:
                asked = self._asked[key] = self._ask(key)
            else:
                self._places.release()
        # Several wait for one lookup: one that gives up must not end it for the others.
        return await asyncio.shield(asked)

    def _ask(self, key: tuple[str, int]) -> "asyncio.Future[list[str]]":
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[list[str]] = loop.create_future()

        def look() -> None:
            try:
                found = self._lookup(*key)
            except (OSError, UnicodeError):
                found = []
            # A loop that was closed has nobody left to tell.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._found, key, found, answered)

        threading.Thread(target=look, name="rustqueue-names", daemon=True).start()
        return answered

    def _found(self, key: tuple[str, int], found: list[str], answered: "asyncio.Future[list[str]]") -> None:
        self._places.release()
        del self._asked[key]
        self._known[key] = (self._now_s() + (self._found_s if found else min(_FAILED_S, self._found_s)), found)
        self._known.move_to_end(key)
        while len(self._known) > _NAMES_MAX:
            self._known.popitem(last=False)
        if not answered.done():
            answered.set_result(found)
