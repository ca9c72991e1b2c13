"""Calls receivers over HTTP, and lets none of them take more than its time.

It must not know what is delivered. Invariants: every address is judged by the guard, the one that is connected to once
more at the socket itself; the name stays for TLS and the Host header; redirects are not followed, proxies of the
environment not used, answers not decompressed; a call ends within its time, whatever the receiver does, and of an
answer no more than a little is read; an error never repeats URL, header or body.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from rustqueue.effects.webhooks.guard import Blocked, Rules, check_address, check_target, parse_target
from rustqueue.effects.webhooks.names import Names
from rustqueue.effects.webhooks.ports import Answer, Posting
from rustqueue.model import limits
from rustqueue.model.errors import ValidationFailed

_DRAIN_S: Final = 1.0  # For the rest of an answer whose status is known: then its connection is not worth keeping.
_RETRY_AFTER_DIGITS_MAX: Final = 9


class HttpSender:
    """A `Sender`. Make it on the loop, `close` it at the end."""

    def __init__(self, names: Names, rules: Callable[[], Rules], ca_file: str = "") -> None:
        self._names = names
        self._rules = rules
        self._context = ssl.create_default_context(cafile=ca_file or None)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _opened(self) -> aiohttp.ClientSession:
        """Connections are kept from the first call on."""
        if self._session is not None:
            return self._session
        connector = aiohttp.TCPConnector(
            limit=0,
            use_dns_cache=False,
            resolver=_GuardedNames(self._names, self._rules),
            ssl=self._context,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            skip_auto_headers=("Accept-Encoding", "Accept", "User-Agent", "Content-Type"),
        )
        return self._session

    def post(self, posting: Posting, done: Callable[[Answer], None]) -> Callable[[], None]:
        task = asyncio.get_running_loop().create_task(self._tell(posting, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def forget() -> None:
            task.cancel()

        return forget

    async def close(self) -> None:
        """End all calls."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _tell(self, posting: Posting, done: Callable[[Answer], None]) -> None:
        done(await self.call(posting))

    async def call(self, posting: Posting) -> Answer:
        """Make one call. Raises nothing."""
        try:
            target = parse_target(posting.url)
            check_target(target, self._rules())
            async with asyncio.timeout(posting.timeout_ms / 1_000):
                return await self._call(posting)
        except TimeoutError:
            return Answer(None, f"no answer within {posting.timeout_ms} ms")
        except Exception as error:
            # Whatever a receiver does to the library that reads it is a failed try, and the next one's business.
            return Answer(None, _reason(error))

    async def _call(self, posting: Posting) -> Answer:
        request = self._opened().post(
            URL(posting.url, encoded=True), data=posting.body, headers=posting.headers, allow_redirects=False
        )
        async with request as response:
            status = response.status
            asked = response.headers.get("Retry-After", "")
            with suppress(aiohttp.ClientError, OSError, ValueError):
                async with asyncio.timeout(_DRAIN_S):
                    await _drain(response)
        if 200 <= status < 300:
            return Answer(status, None)
        wait_s = int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= _RETRY_AFTER_DIGITS_MAX else 0
        followed = "; redirects are not followed" if 300 <= status < 400 else ""
        return Answer(status, f"answered {status}{followed}", min(wait_s * 1_000, limits.WEBHOOK_DELAY_MS_MAX))

    def _socket(self, info: Any) -> socket.socket:
        """The last look at an address, where it can no longer become another one."""
        family, kind, protocol, _, address = info
        check_address(ipaddress.ip_address(address[0]), address[1], self._rules())
        return socket.socket(family, kind, protocol)


class _GuardedNames(AbstractResolver):
    """The library asks it for every new connection. One bad address refuses all of a name."""

    def __init__(self, names: Names, rules: Callable[[], Rules]) -> None:
        self._names = names
        self._rules = rules

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = [ipaddress.ip_address(text) for text in await self._names.addresses(host, port)]
        if not addresses:
            raise Blocked("the name has no address")
        for address in addresses:
            check_address(address, port, self._rules())
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read what is left of an answer, so that its connection can be kept; not more than is reasonable."""
    left_bytes = limits.WEBHOOK_ANSWER_BYTES_MAX
    while left_bytes > 0:
        chunk = await response.content.read(left_bytes)
        if not chunk:
            return
        left_bytes -= len(chunk)
    response.close()


def _reason(error: BaseException) -> str:
    """Why a call failed, in our own words: those of the library may hold the URL."""
    for known in _causes(error):
        if isinstance(known, Blocked | ValidationFailed):
            return str(known)
        if isinstance(known, ssl.SSLCertVerificationError) and not isinstance(known, aiohttp.ClientError):
            return f"the receiver's certificate is not good: {known.verify_message}"
        if isinstance(known, ssl.SSLError) and not isinstance(known, aiohttp.ClientError):
            return f"TLS failed: {known.reason}"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "the receiver closed the connection without an answer"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or 'refused'}"
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return "the answer is not HTTP"
    return f"failed: {type(error).__name__}"


def _causes(error: BaseException | None) -> list[BaseException]:
    """An error and what it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
