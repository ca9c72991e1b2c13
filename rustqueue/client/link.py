"""One asyncio connection: writes requests, hands each answer to the call that waits for it."""

import asyncio
import socket
import ssl

from rustqueue.client.address import Address
from rustqueue.client.call import Answer, Call, Framing, nothing, read_answer
from rustqueue.client.errors import NetworkError, RustQueueError, no_answer, no_connection
from rustqueue.model.queries import Health


async def open_link(address: Address, tls: ssl.SSLContext | None, framing: Framing, deadline_s: float) -> "Link":
    """A connected link that has presented its token. Raises `RustQueueError`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(deadline_s):
            _, link = await loop.create_connection(lambda: Link(framing), address.host, address.port, ssl=tls)
    except TimeoutError as error:
        raise NetworkError("No connection in time", sent=False, code="TIMEOUT") from error
    except OSError as error:
        raise no_connection(address.host, address.port, error) from error
    link.greeting = greeting = framing.greeting()
    if greeting:
        try:
            read_answer(Call(Health(), nothing), await link.exchange(greeting, None, deadline_s), False)
        except RustQueueError as error:
            link.close()
            if isinstance(error, NetworkError):
                error.sent = False  # Only the token was sent, not yet the request.
            raise
    return link


class Link(asyncio.Protocol):
    """Answers are matched by request id, or, where the framing has none, one exchange runs at a time (id None)."""

    def __init__(self, framing: Framing) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = framing.parser()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int | None, asyncio.Future[Answer]] = {}
        self._unsent: list[bytes] = []
        self._retired = False
        self._heard = False
        self._secure = False
        self.greeting = b""
        """What it was opened with: another token needs another connection."""
        self.closed: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, data: bytes, request_id: int | None, deadline_s: float) -> Answer:
        """Send a request and wait for its answer. Raises `NetworkError`."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[request_id] = future
        if not self._unsent:
            # Requests of one loop turn leave in one write.
            self._loop.call_soon(self._flush)
        self._unsent.append(data)
        try:
            async with asyncio.timeout_at(deadline_s):
                return await future
        except TimeoutError as error:
            raise NetworkError("No answer in time", sent=True, code="TIMEOUT") from error
        finally:
            if self._waiting.get(request_id) is future:
                del self._waiting[request_id]
            self._close_if_retired()

    def retire(self) -> None:
        """Close as soon as nobody waits here any more."""
        self._retired = True
        self._close_if_retired()

    def _close_if_retired(self) -> None:
        if self._retired and not self._waiting:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._secure = transport.get_extra_info("sslcontext") is not None
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            answers = self._parser.feed(data)
        except NetworkError as error:
            self._break(error)
            return
        for answer in answers:
            self._deliver(answer)

    def eof_received(self) -> bool:
        for answer in self._parser.end():
            self._deliver(answer)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        reason = "The server closed the connection" if error is None else f"The connection broke: {error}"
        self._transport = None
        self._break(no_answer(reason, heard=self._heard, secure=self._secure))
        if not self.closed.done():
            self.closed.set_result(None)

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        if self._transport is None:
            self._break(NetworkError("The connection is closed", sent=False))
        else:
            self._transport.write(data)

    def _deliver(self, answer: Answer) -> None:
        future = self._waiting.pop(answer.request_id, None)
        if future is not None and not future.done():
            future.set_result(answer)
        elif future is None and answer.request_id is None:
            # Said to the connection, not to a call, and the server closes after that.
            text = answer.body[:200].decode("utf-8", "replace")
            self._break(NetworkError(f"The server refused the connection: {text}", sent=True))

    def _break(self, error: NetworkError) -> None:
        """End all calls that wait here and the connection with them."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                # Each gets an error of its own: a raised exception carries the traceback of its call.
                future.set_exception(NetworkError(error.message, sent=error.sent, code=error.code))
        self.close()
