"""What the HTTP shell needs from the rest of the node, and what it can be told.

It must not name a concrete class of the node: `node.py` brings gateway and services together with the shell.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from rustqueue.api.routes import API
from rustqueue.auth import Principal
from rustqueue.model import limits
from rustqueue.model.events import Cursor
from rustqueue.model.replies import HealthInfo, Reply
from rustqueue.model.wire import Request
from rustqueue.settings import Settings


class Ticket(Protocol):
    """A request that waits."""

    def cancel(self) -> None:
        """The client went away: stop waiting."""
        ...


class Door(Protocol):
    """The gateway as this shell uses it."""

    def submit(
        self, request: Request, raw: bytes, done: Callable[[Reply], None], principal: Principal
    ) -> Ticket | None:
        """Calls `done` exactly once, on the loop, perhaps before it returns. A ticket means that the request waits."""
        ...


class Follower(Protocol):
    """A client that is told events."""

    def send(self, data: bytes) -> None:
        """Wrapped texts, ready for the socket."""
        ...


class Place(Protocol):
    """Where a follower stands in the stream of events."""

    @property
    def index(self) -> int: ...

    def sleep(self) -> None:
        """It takes no more for now."""
        ...

    def wake(self) -> None: ...

    def leave(self) -> None: ...


class EventsAsked(Protocol):
    """What a follower wants. None is everything."""

    @property
    def events(self) -> frozenset[str] | None: ...

    @property
    def queues(self) -> tuple[str, ...] | None: ...

    @property
    def job_id(self) -> bytes | None: ...

    @property
    def after(self) -> Cursor | None: ...


class Page(Protocol):
    """Something to look at: a file with the headers that guard it, as whole lines."""

    @property
    def body(self) -> bytes: ...

    @property
    def media_type(self) -> str: ...

    @property
    def headers(self) -> str: ...


class Services(Protocol):
    """What the node itself answers, and where it is told what happened."""

    def health(self) -> HealthInfo: ...

    def ready(self) -> tuple[bool, str]:
        """Whether clients should be sent here, and if not, why."""
        ...

    def metrics_text(self) -> bytes:
        """The exposition text of Prometheus, format 0.0.4."""
        ...

    def observe(self, method: str, status: int, seconds: float) -> None:
        """An answer was sent."""
        ...

    def admit(self, peer: str, authorization: str | None) -> Principal:
        """Who sends this header from this address. Raises `ApiError` when it opens nothing."""
        ...

    def followers_count(self) -> int: ...

    def follow(self, follower: Follower, asked: EventsAsked, principal: Principal) -> Place:
        """Tell the follower what it asks for and may see, after this call returned."""
        ...


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """`port` 0 takes a free one. The deadlines are absolute: a byte now and then does not move them."""

    host: str = "0.0.0.0"
    port: int = 6790
    head_timeout_ms: int = 10_000  # From the first byte of a request to the end of its headers.
    body_timeout_ms: int = 30_000  # From there to the end of its body; a full body needs 4.5 Mbit/s.
    idle_timeout_ms: int = 3_600_000  # Idle connections cost 10 KB; when there are too many the oldest one goes first.
    write_timeout_ms: int = 30_000  # A client that does not read its answer.
    linger_timeout_ms: int = 2_000  # After a refused body: time to read the refusal before the connection is cut.
    event_ping_ms: int = limits.EVENT_PING_MS
    connections_max: int = limits.CONNECTIONS_MAX
    half_bodies_bytes_max: int = limits.PENDING_BYTES_MAX  # As much as may wait behind the door may stand before it.
    cors_origins: tuple[str, ...] = ()  # Pages of other origins that may ask and follow.
    pages: Mapping[str, Page] = field(default_factory=dict)
    metrics_path: str | None = f"{API}/metrics/prometheus"  # None: metrics are not served.
    only_jobs: bool = False  # Of our own routes only those for probes: the second system's stand alone on this port.
    tls: ssl.SSLContext | None = None
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()

    def for_jobs(self, host: str, port: int, pages: Mapping[str, Page]) -> "HttpOptions":
        """The same for a port where the second system's routes stand alone."""
        return replace(self, host=host, port=port, pages=pages, only_jobs=True)

    @classmethod
    def of(
        cls, settings: Settings, tls: ssl.SSLContext | None = None, pages: Mapping[str, Page] | None = None
    ) -> "HttpOptions":
        metrics = settings.metrics
        return cls(
            host=settings.server.host,
            port=settings.server.http_port,
            connections_max=settings.limits.http_connections_max,
            metrics_path=metrics.prometheus_path if metrics.prometheus_enabled else None,
            tls=tls,
            pages=pages or {},
            cors_origins=tuple(settings.server.cors_origins),
            allowed_hosts=tuple(settings.server.allowed_hosts),
            trusted_proxies=tuple(settings.server.trusted_proxies),
        )
