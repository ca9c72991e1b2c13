"""The HTTP server of a node: from a parsed request to its answer.

Purpose: find the route, admit the client, compose the line, submit it through the gateway, send the reply. It must not
know what a verb means, nor how bytes become requests (connection.py).

Invariants: every answer is an envelope of ours and carries a request id; what a client sends never makes a 5xx; an
exception in here is a defect of ours, and costs its request alone.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import count
from time import perf_counter
from typing import Final

from aiohttp import hdrs

from rustqueue.api import answers, events
from rustqueue.api.compose import compose, decode, guards, reading
from rustqueue.api.connection import Connection, Exchange, Unpaused
from rustqueue.api.context import HEADER, context_of, with_context
from rustqueue.api.events import EventClient
from rustqueue.api.ports import Door, HttpOptions, Services
from rustqueue.api.refusals import (
    Internal,
    MethodNotAllowed,
    NotReady,
    RouteNotFound,
    UnsupportedMediaType,
    UpgradeRequired,
    too_many_connections,
    too_many_followers,
)
from rustqueue.api.routes import FOR_MACHINES, Body, Route, Router, Source, routes_with_metrics
from rustqueue.api.second import answers as second
from rustqueue.api.second.asking import Sent, asked
from rustqueue.api.second.routes import beside, speaks
from rustqueue.api.visitors import Visitors
from rustqueue.auth import Undecided
from rustqueue.gateway.places import placed
from rustqueue.gateway.ports import Around
from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Unavailable
from rustqueue.model.replies import Done, Refused, Reply, Seen, status_of, waits_for_retry
from rustqueue.model.wire import Request

_log: Final = logging.getLogger("rustqueue.http")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}", re.ASCII)
_JSON_TYPE: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.ASCII | re.IGNORECASE)
_ASK_THE_GATEWAY: Final = (Source.GATEWAY, Source.JOBS)
_SWEEPS_PER_DEADLINE: Final = 4
_SWEEP_MS_MAX: Final = 1_000


class HttpShell:
    """The listening socket and its connections. `start` once, `stop` once."""

    def __init__(self, gateway: Door, services: Services, options: HttpOptions) -> None:
        self._gateway = gateway
        self._services = services
        self.options = options
        self._visitors = Visitors(options.cors_origins, options.allowed_hosts, options.trusted_proxies)
        own = routes_with_metrics(options.metrics_path, only_probes=options.only_jobs)
        self._router = Router((*own, *beside(own, with_metrics=options.metrics_path is not None)))
        self._loop = asyncio.get_running_loop()
        self.flow = Unpaused(self._loop)
        self.half_bodies_bytes = 0
        self._connections: dict[Connection | EventClient, None] = {}
        self._idle: dict[Connection, None] = {}  # In the order in which they became idle.
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self._stopping = False
        self._id_prefix = secrets.token_hex(6)
        self._id_numbers = count(1)
        self.port = options.port
        self.around: Around | None = None

    async def start(self) -> None:
        """Listen. `port` is the real one afterwards."""
        self._server = await self._loop.create_server(
            lambda: Connection(self, self._loop),
            self.options.host,
            self.options.port,
            backlog=1_024,
            ssl=self.options.tls,
            ssl_handshake_timeout=None if self.options.tls is None else limits.TLS_HANDSHAKE_S,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweep()

    async def stop(self, deadline_s: float) -> None:
        """Take no more, let requests under way be answered, cut what is left at the deadline."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.wind_down()
        try:
            await asyncio.wait_for(self.until_empty(), deadline_s)
        except TimeoutError:
            _log.warning("connections cut at shutdown", extra={"connections": len(self._connections)})
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def until_empty(self) -> None:
        """Return when there is no connection."""
        while self._connections:
            self._emptied.clear()
            await self._emptied.wait()

    @property
    def connections_count(self) -> int:
        return len(self._connections)

    # What connections ask.

    def now_s(self) -> float:
        return self._loop.time()

    def opened(self, connection: Connection) -> ApiError | None:
        if self._stopping:
            return Unavailable.stopping()
        if len(self._connections) >= self.options.connections_max:
            # Somebody who only holds connections open must not keep others out.
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return too_many_connections(self.options.connections_max)
            self.closed(oldest)
            oldest.abort()
        self._connections[connection] = None
        return None

    def closed(self, connection: Connection | EventClient) -> None:
        self._connections.pop(connection, None)
        if isinstance(connection, Connection):
            self._idle.pop(connection, None)
        if not self._connections:
            self._emptied.set()

    def rests(self, connection: Connection, *, idle: bool) -> None:
        if idle:
            self._idle[connection] = None
        else:
            self._idle.pop(connection, None)

    def handle(self, exchange: Exchange) -> None:
        exchange.started_s = perf_counter()
        exchange.request_id = self._request_id(exchange)
        if self._stopping:
            exchange.must_close = True
        try:
            self._answer(exchange)
        except Exception:
            self._fail(exchange)

    def refuse(self, connection: Connection, error: ApiError) -> bytes:
        request_id = f"{self._id_prefix}-{next(self._id_numbers):x}"
        self._services.observe("OTHER", error.status, 0.0)
        self._note("OTHER", "", error.status, request_id, connection.peer)
        refused = Refused.of(error)
        body = second.refusal(refused)[1] if speaks(connection.target) else answers.encoded(refused, request_id)
        retry = "" if error.retry_after_s is None else f"Retry-After: {error.retry_after_s}\r\n"
        return answers.head(error.status, len(body), request_id, f"{retry}Connection: close\r\n") + body

    # One request.

    def _answer(self, exchange: Exchange) -> None:
        try:
            self._dispatch(exchange)
        except Undecided as undecided:
            undecided.when_decided(partial(self._answer_late, exchange))
        except ApiError as error:
            self._reply(exchange, Refused.of(placed(error)), _headers_of(error))

    def _answer_late(self, exchange: Exchange) -> None:
        """Somebody had to be asked about its token first."""
        if not exchange.is_open:
            return
        try:
            self._answer(exchange)
        except Exception:
            self._fail(exchange)

    def _dispatch(self, exchange: Exchange) -> None:
        message = exchange.message
        path, query = _target_of(exchange)
        found = self._found(exchange, path)
        if found is None:
            return
        route, parameters = found
        if route.source not in FOR_MACHINES:
            self._visitors.check_host(message.headers)
        if route.source not in _ASK_THE_GATEWAY:
            if route.source is Source.EVENTS:
                self._follow(exchange, route, query)
            else:
                self._answer_itself(exchange, route)
            return
        headers = message.headers
        principal = self._services.admit(
            self._visitors.peer_of(exchange.connection.peer, headers), headers.get(hdrs.AUTHORIZATION)
        )
        body = exchange.body
        if body:
            _check_media(headers.get(hdrs.CONTENT_TYPE), headers.get(hdrs.CONTENT_ENCODING))
        if route.source is Source.JOBS:
            request, line = asked(route, parameters, query, Sent(headers, body, principal.tenant))
        else:
            request, line = _asked(route, parameters, query, headers, body)
        done: Callable[[Reply], None] = partial(self._done, exchange)
        if self.around is not None:
            done = self.around("http", request, headers.get(HEADER), done)
        ticket = self._gateway.submit(request, line, done, principal)
        if ticket is not None and exchange.is_open:
            exchange.ticket = ticket

    def _found(self, exchange: Exchange, path: str) -> tuple[Route, dict[str, str]] | None:
        """What is asked for; None if no more than the path was needed to answer."""
        method, headers = exchange.message.method, exchange.message.headers
        try:
            route, parameters = self._router.find(method, path)
        except RouteNotFound:
            exchange.job_id = "" if speaks(path) else None
            self._answer_page(exchange, path)
            return None
        except MethodNotAllowed as error:
            if method != "OPTIONS":
                exchange.job_id = "" if speaks(path) else None
                raise
            allowed = error.allowed
            self._send(exchange, 204, b"", _allow(allowed) + self._visitors.preflight(headers, allowed))
            return None
        if route.source is Source.JOBS:
            exchange.job_id = parameters.get("id", "")
        return route, parameters

    def _done(self, exchange: Exchange, reply: Reply) -> None:
        """The gateway's answer. Nothing may be raised into the gateway."""
        if not exchange.is_open:
            return
        try:
            self._reply(exchange, reply)
        except Exception:
            self._fail(exchange)

    def _follow(self, exchange: Exchange, route: Route, query: str) -> None:
        """Make the connection one that is told events."""
        message, services = exchange.message, self._services
        peer = self._visitors.peer_of(exchange.connection.peer, message.headers)
        principal = services.admit(peer, events.credentials_of(message.headers))
        events.check_reader(principal)
        agreed = events.accepted(message, self._visitors.allows_origin)
        asked = events.asked_of(route, query)
        if self._stopping:
            raise Unavailable.stopping()
        if services.followers_count() >= limits.EVENT_CLIENTS_MAX:
            raise too_many_followers()
        client = EventClient(self, self.options, partial(events.check_reader, principal))
        self.closed(exchange.connection)
        self._connections[client] = None
        services.observe("GET", 101, perf_counter() - exchange.started_s)
        place = services.follow(client, asked, principal)
        agreed += f"X-RustQueue-Index: {place.index}\r\n"
        exchange.hand_over(answers.switching(agreed, exchange.request_id), client)
        client.follow(place)

    def _answer_page(self, exchange: Exchange, path: str) -> None:
        """What is not a route may be a page for people."""
        page = self.options.pages.get(path)
        if page is None:
            raise RouteNotFound(path)
        self._visitors.check_host(exchange.message.headers)
        method, allowed = exchange.message.method, ("GET", "HEAD")
        if method in allowed:
            self._send(exchange, 200, page.body, page.headers, page.media_type)
        elif method == "OPTIONS":
            self._send(exchange, 204, b"", _allow(allowed))
        else:
            raise MethodNotAllowed(method, allowed)

    def _answer_itself(self, exchange: Exchange, route: Route) -> None:
        match route.source:
            case Source.HEALTH:
                self._reply(exchange, self._services.health())
            case Source.LIVENESS:
                self._reply(exchange, Done())
            case Source.JOBS_HEALTH:
                self._send(exchange, *second.health(self._services.ready()[0]))
            case Source.METRICS:
                self._send(exchange, 200, self._services.metrics_text(), media_type=answers.TEXT_TYPE)
            case _:
                ready, reason = self._services.ready()
                self._reply(exchange, Done() if ready else Refused.of(NotReady(reason)))

    def _reply(self, exchange: Exchange, reply: Reply, headers: str = "") -> None:
        retry_after_s = waits_for_retry(reply)
        if retry_after_s is not None:
            headers += f"Retry-After: {retry_after_s}\r\n"
        if isinstance(reply, Seen):
            headers += f"X-RustQueue-Index: {reply.index}\r\n" + ("X-RustQueue-Stale: true\r\n" if reply.stale else "")
        if exchange.job_id is None:
            self._send(exchange, status_of(reply), answers.encoded(reply, exchange.request_id), headers)
        else:
            status, body, more = second.answer(reply, exchange.job_id)
            self._send(exchange, status, body, headers + more)

    def _fail(self, exchange: Exchange) -> None:
        """A defect of ours: all of it goes to the log, and its request id to the client."""
        _log.exception(
            "request failed",
            extra={
                "request_id": exchange.request_id,
                "method": exchange.message.method,
                "path": exchange.message.path.partition("?")[0][:200],
                "peer": exchange.connection.peer,
            },
        )
        self._reply(exchange, Refused.of(Internal()))

    def _send(
        self, exchange: Exchange, status: int, body: bytes, headers: str = "", media_type: str = answers.JSON_TYPE
    ) -> None:
        message = exchange.message
        headers += self._visitors.cors(message.headers)
        if exchange.must_close:
            headers += "Connection: close\r\n"
        elif message.version.minor == 0:
            headers += "Connection: keep-alive\r\n"
        head = answers.head(status, len(body), exchange.request_id, headers, media_type)
        self._services.observe(self._router.label_of(message.method), status, perf_counter() - exchange.started_s)
        self._note(message.method, message.path, status, exchange.request_id, exchange.connection.peer)
        exchange.answer(head, b"" if message.method == "HEAD" else body)

    def _request_id(self, exchange: Exchange) -> str:
        given = exchange.message.headers.get("X-Request-Id")
        if given is not None and _REQUEST_ID.fullmatch(given) is not None:
            return given
        return f"{self._id_prefix}-{next(self._id_numbers):x}"

    def _note(self, method: str, target: str, status: int, request_id: str, peer: str) -> None:
        """One line a request, for those who ask for it: at the rates served here it would cost more than the work."""
        if _log.isEnabledFor(logging.DEBUG):
            path = target.partition("?")[0][:200]
            fields = {"method": method, "path": path, "status": status, "request_id": request_id, "peer": peer}
            _log.debug("request answered", extra=fields)

    def _sweep(self) -> None:
        """One timer for all deadlines: ten thousand idle connections cost one pass a second, not a timer each."""
        now_s = self._loop.time()
        for connection in list(self._connections):
            if now_s >= connection.deadline_s or now_s >= connection.write_deadline_s:
                connection.expire(now_s)
        options = self.options
        shortest_ms = min(
            options.head_timeout_ms, options.body_timeout_ms, options.write_timeout_ms, options.event_ping_ms
        )
        after_ms = min(_SWEEP_MS_MAX, shortest_ms / _SWEEPS_PER_DEADLINE, options.linger_timeout_ms)
        self._sweeper = self._loop.call_later(after_ms / 1000, self._sweep)


def _asked(
    route: Route, parameters: Mapping[str, str], query: str, headers: Mapping[str, str], body: bytes
) -> tuple[Request, bytes]:
    """The request of one of our own routes, and the line that TCP would send for it."""
    guarded = guards(headers) if route.guarded else reading(headers) if route.is_read else ()
    context = context_of(headers) if route.body is Body.PUSH else None
    told = body if context is None else with_context(body, context)
    line = compose(route, parameters, query, headers.get("Idempotency-Key"), told, guarded)
    return decode(route, line, body), line


def _target_of(exchange: Exchange) -> tuple[str, str]:
    """Path and query. Proxies may send an absolute target; a fragment is no part of what is asked for."""
    target = exchange.message.path
    if target.startswith("/") and "#" not in target:
        path, _, query = target.partition("?")
        return path, query
    url = exchange.message.url
    return url.raw_path, url.raw_query_string


def _check_media(media_type: str | None, encoding: str | None) -> None:
    """A body must be plain JSON (contract A3)."""
    if media_type != "application/json":
        plain = (media_type or "").partition(";")[0].strip()
        if _JSON_TYPE.fullmatch(plain) is None:
            raise UnsupportedMediaType("Content-Type", plain, "application/json")
    if encoding is not None and encoding.lower() != "identity":
        raise UnsupportedMediaType("Content-Encoding", encoding, "none")


def _headers_of(error: ApiError) -> str:
    if isinstance(error, MethodNotAllowed):
        return _allow(error.allowed)
    if isinstance(error, UpgradeRequired):
        return "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    return "WWW-Authenticate: Bearer\r\n" if error.status == 401 else ""


def _allow(methods: Iterable[str]) -> str:
    return f"Allow: {', '.join(methods)}\r\n"
