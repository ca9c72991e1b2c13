"""Following events over sockets: a blocking loop and one for asyncio. Both come back to where they were after a break.

They must not know what an event means. Invariants: events are told in order, each once as long as the server still
knows the place, else a `stream.gap` comes first; silence of a minute counts as a broken connection, since the server
pings every twenty seconds.
"""

import asyncio
import random
import socket
import ssl
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Final

from rustqueue.client.address import Address
from rustqueue.client.errors import NetworkError, RustQueueError, no_connection
from rustqueue.client.retries import pause_s
from rustqueue.client.stream.session import EventSession, Following, StreamEvent
from rustqueue.model import limits

_RECEIVE_BYTES: Final = 65_536
_SILENCE_S: Final = 3 * limits.EVENT_PING_MS / 1_000
_LOOK_S: Final = 0.5  # How soon a blocking reader notices that its client was closed.
_CONNECT_S: Final = 10.0

Opening = Callable[[str | None], EventSession]
"""Makes the next session, behind a cursor."""


Connect = Callable[[float], socket.socket]
"""Connects before a time of the monotonic clock, with TLS where the address says so. Raises `OSError`."""


def opening(address: Address, token: str | None, following: Following) -> Opening:
    """Raises `ValueError` for an address that tells no events."""
    EventSession(address, token, following, None)
    return lambda after: EventSession(address, token, following, after)


class Returns:
    """Decides whether a broken connection is tried again, and after which pause."""

    def __init__(self, after: str | None) -> None:
        self.after = after
        self._failures = 0

    def heard(self, session: EventSession) -> None:
        self.after = session.after
        self._failures = 0

    def pause_after(self, error: RustQueueError) -> float:
        """Raises the error when trying again cannot help."""
        if not error.passing:
            raise error
        self._failures += 1
        return max(pause_s(self._failures, random.random()), error.retry_after_s or 0.0)


def follow(
    address: Address, connect: Connect, open_session: Opening, after: str | None, closed: threading.Event
) -> Generator[StreamEvent, None, None]:
    """Events until the client is closed or the server refuses."""
    returns = Returns(after)
    while not closed.is_set():
        session = open_session(returns.after)
        try:
            for event in _over_socket(address, connect, session, closed):
                returns.heard(session)
                yield event
        except RustQueueError as error:
            returns.after = session.after
            closed.wait(returns.pause_after(error))


def _over_socket(
    address: Address, connect: Connect, session: EventSession, closed: threading.Event
) -> Iterator[StreamEvent]:
    try:
        connection = connect(time.monotonic() + _CONNECT_S)
    except OSError as error:
        raise no_connection(address.host, address.port, error) from error
    with connection:
        try:
            connection.sendall(session.take_unsent())
            connection.settimeout(_LOOK_S)
            heard_s = time.monotonic()
            while not closed.is_set():
                try:
                    data = connection.recv(_RECEIVE_BYTES)
                except TimeoutError:
                    if time.monotonic() - heard_s > _SILENCE_S:
                        raise NetworkError("The server has fallen silent", sent=True) from None
                    continue
                if not data:
                    raise NetworkError("The server closed the connection", sent=True)
                heard_s = time.monotonic()
                yield from session.feed(data)
                connection.sendall(session.take_unsent())
            connection.sendall(session.farewell())
        except OSError as error:
            raise NetworkError(f"The connection broke: {error.strerror or error}", sent=True) from error


async def follow_async(
    address: Address, tls: ssl.SSLContext | None, open_session: Opening, after: str | None
) -> AsyncGenerator[StreamEvent, None]:
    """Events until the iteration is closed or the server refuses."""
    returns = Returns(after)
    while True:
        session = open_session(returns.after)
        try:
            async for event in _over_streams(address, tls, session):
                returns.heard(session)
                yield event
        except RustQueueError as error:
            returns.after = session.after
            await asyncio.sleep(returns.pause_after(error))


async def _over_streams(
    address: Address, tls: ssl.SSLContext | None, session: EventSession
) -> AsyncIterator[StreamEvent]:
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
    except OSError as error:
        raise no_connection(address.host, address.port, error) from error
    try:
        while True:
            writer.write(session.take_unsent())
            async with asyncio.timeout(_SILENCE_S):
                data = await reader.read(_RECEIVE_BYTES)
            if not data:
                raise NetworkError("The server closed the connection", sent=True)
            for event in session.feed(data):
                yield event
    except TimeoutError as error:
        raise NetworkError("The server has fallen silent", sent=True) from error
    except OSError as error:
        raise NetworkError(f"The connection broke: {error.strerror or error}", sent=True) from error
    finally:
        writer.write(session.farewell())
        writer.close()
