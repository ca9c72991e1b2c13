"""The table of routes: method and path to a verb of the vocabulary.

Adding a verb is a row here and a heading in docs/api.md. The path's parameters are fields of the verb's struct; query
keys are fields too, typed here because a query string has no types. It must not know what a verb does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import unquote_to_bytes

from rustqueue.api.refusals import MethodNotAllowed, RouteNotFound
from rustqueue.model.errors import ParseError

API = "/api/v1"


class Kind(Enum):
    """How the text of a query value becomes JSON."""

    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()


class Body(Enum):
    """What a request may carry."""

    NONE = auto()
    OPTIONAL = auto()  # An object with further fields of the verb, or nothing at all.
    OBJECT = auto()
    PUSH = auto()  # One job as an object, or an array of jobs, which makes it a `push_batch`.
    ITEMS = auto()  # An object, or an array that is taken as its `items`.


class Source(Enum):
    """Who answers."""

    GATEWAY = auto()
    HEALTH = auto()
    LIVENESS = auto()
    READINESS = auto()
    METRICS = auto()
    EVENTS = auto()
    JOBS = auto()  # The gateway, as the second system asks it.
    JOBS_HEALTH = auto()


FOR_MACHINES = frozenset({Source.HEALTH, Source.LIVENESS, Source.READINESS, Source.METRICS, Source.JOBS_HEALTH})
"""What probes and scrapers ask, which call a node by its address. They tell nothing that a web page could use."""


@dataclass(frozen=True, slots=True)
class Route:
    """`query` maps the keys that are known to their kinds; `metadata.` stands for all keys that begin so. A `guarded`
    verb takes the headers If-Match and If-Owner. `missing` says what a body means that lacks a member, where that is
    not what the same verb means on TCP.
    """

    method: str
    path: str
    verb: str
    query: Mapping[str, Kind] = field(default_factory=dict)
    body: Body = Body.OPTIONAL
    required: tuple[str, ...] = ()
    source: Source = Source.GATEWAY
    guarded: bool = False
    missing: tuple[tuple[str, bytes], ...] = ()

    @property
    def is_read(self) -> bool:
        """Whether the applied state answers, as fresh as the request asks for."""
        return "consistency" in self.query

    @property
    def is_public(self) -> bool:
        return self.source not in (Source.GATEWAY, Source.EVENTS, Source.JOBS)

    @property
    def is_safe(self) -> bool:
        """A GET that changes nothing: HEAD may stand for it. The GET that pulls is the one that does."""
        return self.method == "GET" and self.verb != "pull"


PULL_QUERY = {
    "count": Kind.NUMBER,
    "wait_ms": Kind.NUMBER,
    "worker_id": Kind.TEXT,
    "lease_ms": Kind.NUMBER,
    "with_parent_results": Kind.FLAG,
}
METADATA = "metadata."
LIST_QUERY = {
    "queue": Kind.TEXT,
    "state": Kind.TEXT,
    "name": Kind.TEXT,
    "tag": Kind.TEXT,
    "flow_id": Kind.TEXT,
    METADATA: Kind.TEXT,
    "created_after": Kind.TEXT,
    "cursor": Kind.TEXT,
    "limit": Kind.NUMBER,
    "order": Kind.TEXT,
}
EVENTS_QUERY = {"events": Kind.TEXT, "queues": Kind.TEXT, "job_id": Kind.TEXT, "after": Kind.TEXT}
SCALE_QUERY = dict.fromkeys(("per_worker", "min", "max", "due_within_ms"), Kind.NUMBER)
PAGE_QUERY = {"limit": Kind.NUMBER, "cursor": Kind.TEXT}
QUEUE = f"{API}/queues/{{queue}}"
SCHEDULE = f"{API}/schedules/{{name}}"
SCHEDULE_LIST_QUERY = {"limit": Kind.NUMBER, "cursor": Kind.TEXT}
RESET_QUERY = {"reset": Kind.FLAG}
NO_DATA = (("job_data", b"null"),)
"""Contract A13: the job of a schedule without data has null over HTTP and `{}` over TCP."""
JOB = f"{API}/jobs/{{id}}"
WEBHOOK = f"{API}/webhooks/{{name}}"
BACKUP_QUERY = {"file": Kind.TEXT, "offset": Kind.NUMBER}
DELIVERIES_QUERY = {"show": Kind.TEXT, **PAGE_QUERY}

READING = {"consistency": Kind.TEXT, "min_index": Kind.NUMBER}
"""Keys of every read; the headers X-RustQueue-Consistency and X-RustQueue-Min-Index say the same."""


def _read(path: str, verb: str, query: Mapping[str, Kind] | None = None) -> Route:
    return Route("GET", path, verb, {**(query or {}), **READING}, Body.NONE)


ROUTES: tuple[Route, ...] = (
    Route("POST", f"{QUEUE}/jobs", "push", query={"receipt": Kind.FLAG}, body=Body.PUSH),
    Route("GET", f"{QUEUE}/jobs", "pull", query=PULL_QUERY, body=Body.NONE),
    Route("POST", f"{QUEUE}/pull", "pull"),
    Route("POST", f"{API}/pull", "pull", body=Body.OBJECT),
    _read(f"{API}/jobs", "job_list", LIST_QUERY),
    Route("POST", f"{API}/jobs/ack-batch", "ack_batch", body=Body.ITEMS),
    Route("POST", f"{API}/jobs/fail-batch", "fail_batch", body=Body.ITEMS),
    _read(JOB, "get"),
    Route("DELETE", JOB, "job_remove"),
    Route("POST", f"{JOB}/ack", "ack"),
    Route("POST", f"{JOB}/fail", "fail", body=Body.OBJECT, required=("error",)),
    Route("POST", f"{JOB}/cancel", "cancel"),
    Route("POST", f"{JOB}/progress", "progress", body=Body.OBJECT),
    Route("POST", f"{JOB}/heartbeat", "heartbeat"),
    Route("POST", f"{JOB}/retry", "job_retry"),
    Route("POST", f"{JOB}/promote", "job_promote"),
    Route("PUT", f"{JOB}/priority", "job_priority", body=Body.OBJECT),
    _read(f"{JOB}/result", "job_result", {"wait_ms": Kind.NUMBER}),
    _read(f"{JOB}/why", "job_why"),
    _read(f"{JOB}/history", "job_history"),
    _read(f"{JOB}/parents", "job_parents", PAGE_QUERY),
    _read(f"{API}/queues", "list_queues"),
    _read(QUEUE, "queue_get"),
    Route("PUT", QUEUE, "queue_settings", body=Body.OBJECT, guarded=True),
    Route("DELETE", QUEUE, "queue_delete", query={"force": Kind.FLAG}, guarded=True),
    _read(f"{QUEUE}/stats", "stats"),
    _read(f"{QUEUE}/scale", "queue_scale", SCALE_QUERY),
    Route("POST", f"{QUEUE}/pause", "queue_pause"),
    Route("POST", f"{QUEUE}/resume", "queue_resume"),
    Route("POST", f"{QUEUE}/drain", "queue_drain"),
    Route("POST", f"{QUEUE}/clean", "queue_clean", body=Body.OBJECT),
    _read(f"{QUEUE}/dlq", "dlq", PAGE_QUERY),
    _read(f"{QUEUE}/dlq/groups", "dlq_groups", {"cursor": Kind.TEXT}),
    Route("DELETE", f"{QUEUE}/dlq", "dlq_purge"),
    Route("POST", f"{QUEUE}/dlq/retry", "dlq_retry"),
    Route("POST", f"{API}/tx", "tx", body=Body.OBJECT),
    _read(f"{API}/workers", "worker_list", PAGE_QUERY),
    Route("POST", f"{API}/workers/{{worker_id}}/drain", "worker_drain"),
    _read(f"{API}/flows/{{flow_id}}", "flow", {"cursor": Kind.TEXT}),
    _read(f"{API}/sweeps/{{id}}", "sweep_get"),
    Route("DELETE", f"{API}/sweeps/{{id}}", "sweep_cancel"),
    Route("POST", f"{API}/schedules", "schedule_create", RESET_QUERY, Body.OBJECT, guarded=True, missing=NO_DATA),
    _read(f"{API}/schedules", "schedule_list", SCHEDULE_LIST_QUERY),
    Route("PUT", SCHEDULE, "schedule_put", RESET_QUERY, Body.OBJECT, guarded=True, missing=NO_DATA),
    _read(SCHEDULE, "schedule_get"),
    Route("DELETE", SCHEDULE, "schedule_delete", guarded=True),
    Route("POST", f"{SCHEDULE}/pause", "schedule_pause"),
    Route("POST", f"{SCHEDULE}/resume", "schedule_resume"),
    Route("POST", f"{SCHEDULE}/run", "schedule_run"),
    _read(f"{SCHEDULE}/runs", "schedule_runs", {"limit": Kind.NUMBER}),
    Route("GET", f"{API}/cluster", "cluster_get", body=Body.NONE),
    Route("POST", f"{API}/cluster/members", "member_add", body=Body.OBJECT),
    Route("DELETE", f"{API}/cluster/members/{{id}}", "member_remove"),
    Route("POST", f"{API}/cluster/members/{{id}}/replace", "member_replace"),
    Route("POST", f"{API}/cluster/transfer", "cluster_transfer"),
    Route("POST", f"{API}/backup", "backup_create"),
    Route("GET", f"{API}/backup/{{id}}", "backup_read", query=BACKUP_QUERY, body=Body.NONE),
    Route("DELETE", f"{API}/backup/{{id}}", "backup_delete"),
    _read(f"{API}/tokens", "token_list"),
    Route("POST", f"{API}/tokens", "token_create", body=Body.OBJECT),
    Route("DELETE", f"{API}/tokens/{{id}}", "token_delete"),
    Route("POST", f"{API}/webhooks", "webhook_create", body=Body.OBJECT, guarded=True),
    _read(f"{API}/webhooks", "webhook_list"),
    _read(WEBHOOK, "webhook_get"),
    Route("PUT", WEBHOOK, "webhook_put", body=Body.OBJECT, guarded=True),
    Route("DELETE", WEBHOOK, "webhook_delete", guarded=True),
    Route("POST", f"{WEBHOOK}/pause", "webhook_pause", guarded=True),
    Route("POST", f"{WEBHOOK}/resume", "webhook_resume", guarded=True),
    Route("POST", f"{WEBHOOK}/test", "webhook_test"),
    Route("POST", f"{WEBHOOK}/resend", "webhook_resend"),
    _read(f"{WEBHOOK}/deliveries", "webhook_deliveries", DELIVERIES_QUERY),
    Route("GET", f"{API}/events", "events", query=EVENTS_QUERY, body=Body.NONE, source=Source.EVENTS),
    Route("GET", f"{API}/health", "health", body=Body.NONE, source=Source.HEALTH),
    Route("GET", f"{API}/metrics/prometheus", "metrics", body=Body.NONE, source=Source.METRICS),
    Route("GET", "/livez", "livez", body=Body.NONE, source=Source.LIVENESS),
    Route("GET", "/readyz", "readyz", body=Body.NONE, source=Source.READINESS),
)


def routes_with_metrics(path: str | None, *, only_probes: bool = False) -> tuple[Route, ...]:
    """The table as this node serves it: metrics at another path, or not at all."""
    others = tuple(route for route in ROUTES if route.source is not Source.METRICS)
    if only_probes:
        return tuple(route for route in others if route.source in (Source.LIVENESS, Source.READINESS))
    if path is None:
        return others
    return (*others, Route("GET", path, "metrics", body=Body.NONE, source=Source.METRICS))


class _Place:
    """One segment of known paths: what may stand next, and the routes that end here."""

    __slots__ = ("literals", "parameter", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Place] = {}
        self.parameter: tuple[str, _Place] | None = None
        self.routes: dict[str, Route] = {}

    def next(self, segment: str) -> "_Place":
        """The place behind this segment of a template, made when it is not there."""
        if not segment.startswith("{"):
            return self.literals.setdefault(segment, _Place())
        name = segment.strip("{}")
        if self.parameter is None:
            self.parameter = (name, _Place())
        if self.parameter[0] != name:
            raise ValueError(f"two names for one place: {name} and {self.parameter[0]}")
        return self.parameter[1]


class Router:
    """Finds the row of a request. Literal segments win over parameters, as `ack-batch` over `{id}`."""

    def __init__(self, routes: tuple[Route, ...] = ROUTES) -> None:
        self._root = _Place()
        for route in routes:
            place = self._root
            for segment in route.path.split("/")[1:]:
                place = place.next(segment)
            if place.routes.setdefault(route.method, route) is not route:
                raise ValueError(f"two routes for {route.method} {route.path}")
        self._known_methods = {method for route in routes for method in (route.method, "HEAD", "OPTIONS")}

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The row and its parameters. Raises `RouteNotFound`, `MethodNotAllowed`, `ParseError` for a broken escape.

        OPTIONS has no rows: who asks for it is told the methods of the place, and by `*` all that there are.
        """
        if method == "OPTIONS" and path == "*":
            raise MethodNotAllowed(method, sorted(self._known_methods))
        place = self._root
        parameters: dict[str, str] = {}
        for segment in path.split("/")[1:]:
            following = place.literals.get(segment)
            if following is None:
                if place.parameter is None or not segment:
                    raise RouteNotFound(path)
                name, following = place.parameter
                parameters[name] = segment if segment.isascii() and "%" not in segment else decoded(segment)
            place = following
        route = place.routes.get(method)
        if route is None:
            route = self._head_of(place) if method == "HEAD" else None
            if not place.routes:
                raise RouteNotFound(path)
            if route is None:
                raise MethodNotAllowed(method, self._allowed(place))
        return route, parameters

    def label_of(self, method: str) -> str:
        """The method as a metric's label: a client cannot make up new ones."""
        return method if method in self._known_methods else "OTHER"

    @staticmethod
    def _head_of(place: _Place) -> Route | None:
        route = place.routes.get("GET")
        return route if route is not None and route.is_safe else None

    @classmethod
    def _allowed(cls, place: _Place) -> Iterator[str]:
        yield from place.routes
        yield "OPTIONS"
        if cls._head_of(place) is not None:
            yield "HEAD"


def decoded(text: str) -> str:
    """Percent escapes undone. Raises `ParseError` for what is no UTF-8 then."""
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeDecodeError:
        raise ParseError("The request target is not valid UTF-8") from None
