"""Where each request goes over HTTP: method, path and which fields travel in path, query or body (decisions C).

A table over the vocabulary; a test holds it to the union of commands and queries.
"""

import re
from functools import cache
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, Struct

from rustqueue.model import commands, queries, schedules
from rustqueue.model.cluster import backups
from rustqueue.model.cluster import requests as cluster
from rustqueue.model.webhooks import commands as webhooks

Method = Literal["GET", "POST", "PUT", "DELETE"]


class Route(NamedTuple):
    """`rest` says where the fields go that the path does not name; the name of a field means: it alone is the body."""

    method: Method
    path: str
    rest: Literal["body", "query", "nothing", "jobs"]


ROUTES: Final[dict[type[Struct], Route]] = {
    commands.Push: Route("POST", "/queues/{queue}/jobs", "body"),
    commands.PushBatch: Route("POST", "/queues/{queue}/jobs", "jobs"),
    commands.Pull: Route("POST", "/queues/{queue}/pull", "body"),
    commands.Ack: Route("POST", "/jobs/{id}/ack", "body"),
    commands.AckBatch: Route("POST", "/jobs/ack-batch", "body"),
    commands.Fail: Route("POST", "/jobs/{id}/fail", "body"),
    commands.FailBatch: Route("POST", "/jobs/fail-batch", "body"),
    commands.Cancel: Route("POST", "/jobs/{id}/cancel", "body"),
    commands.Progress: Route("POST", "/jobs/{id}/progress", "body"),
    commands.Heartbeat: Route("POST", "/jobs/{id}/heartbeat", "body"),
    commands.JobRetry: Route("POST", "/jobs/{id}/retry", "nothing"),
    commands.JobPromote: Route("POST", "/jobs/{id}/promote", "nothing"),
    commands.JobPriority: Route("PUT", "/jobs/{id}/priority", "body"),
    commands.JobRemove: Route("DELETE", "/jobs/{id}", "nothing"),
    commands.QueuePause: Route("POST", "/queues/{queue}/pause", "body"),
    commands.QueueResume: Route("POST", "/queues/{queue}/resume", "nothing"),
    commands.QueueSet: Route("PUT", "/queues/{queue}", "body"),
    commands.QueueDelete: Route("DELETE", "/queues/{queue}", "query"),
    commands.QueueDrain: Route("POST", "/queues/{queue}/drain", "nothing"),
    commands.QueueClean: Route("POST", "/queues/{queue}/clean", "body"),
    commands.DlqRetry: Route("POST", "/queues/{queue}/dlq/retry", "body"),
    commands.DlqPurge: Route("DELETE", "/queues/{queue}/dlq", "nothing"),
    commands.SweepCancel: Route("DELETE", "/sweeps/{id}", "nothing"),
    commands.TokenCreate: Route("POST", "/tokens", "body"),
    commands.TokenDelete: Route("DELETE", "/tokens/{id}", "nothing"),
    queries.TokenList: Route("GET", "/tokens", "nothing"),
    queries.Get: Route("GET", "/jobs/{id}", "nothing"),
    queries.JobList: Route("GET", "/jobs", "query"),
    queries.JobResult: Route("GET", "/jobs/{id}/result", "query"),
    queries.JobWhy: Route("GET", "/jobs/{id}/why", "nothing"),
    queries.JobHistory: Route("GET", "/jobs/{id}/history", "nothing"),
    queries.QueueScale: Route("GET", "/queues/{queue}/scale", "query"),
    queries.DlqGroups: Route("GET", "/queues/{queue}/dlq/groups", "query"),
    queries.WorkerList: Route("GET", "/workers", "query"),
    commands.Transaction: Route("POST", "/tx", "body"),
    commands.WorkerDrain: Route("POST", "/workers/{worker_id}/drain", "body"),
    queries.JobParents: Route("GET", "/jobs/{id}/parents", "query"),
    queries.ListQueues: Route("GET", "/queues", "nothing"),
    queries.QueueGet: Route("GET", "/queues/{queue}", "nothing"),
    queries.Stats: Route("GET", "/queues/{queue}/stats", "nothing"),
    queries.Dlq: Route("GET", "/queues/{queue}/dlq", "query"),
    queries.Flow: Route("GET", "/flows/{flow_id}", "query"),
    queries.SweepGet: Route("GET", "/sweeps/{id}", "nothing"),
    schedules.ScheduleCreate: Route("POST", "/schedules", "body"),
    schedules.SchedulePut: Route("PUT", "/schedules/{name}", "body"),
    schedules.ScheduleDelete: Route("DELETE", "/schedules/{name}", "nothing"),
    schedules.SchedulePause: Route("POST", "/schedules/{name}/pause", "nothing"),
    schedules.ScheduleResume: Route("POST", "/schedules/{name}/resume", "nothing"),
    schedules.ScheduleRun: Route("POST", "/schedules/{name}/run", "nothing"),
    schedules.ScheduleGet: Route("GET", "/schedules/{name}", "nothing"),
    schedules.ScheduleList: Route("GET", "/schedules", "query"),
    schedules.ScheduleRuns: Route("GET", "/schedules/{name}/runs", "query"),
    webhooks.WebhookCreate: Route("POST", "/webhooks", "body"),
    webhooks.WebhookPut: Route("PUT", "/webhooks/{name}", "body"),
    webhooks.WebhookDelete: Route("DELETE", "/webhooks/{name}", "nothing"),
    webhooks.WebhookPause: Route("POST", "/webhooks/{name}/pause", "nothing"),
    webhooks.WebhookResume: Route("POST", "/webhooks/{name}/resume", "nothing"),
    webhooks.WebhookTest: Route("POST", "/webhooks/{name}/test", "nothing"),
    webhooks.WebhookResend: Route("POST", "/webhooks/{name}/resend", "body"),
    webhooks.WebhookList: Route("GET", "/webhooks", "nothing"),
    webhooks.WebhookGet: Route("GET", "/webhooks/{name}", "nothing"),
    webhooks.WebhookDeliveries: Route("GET", "/webhooks/{name}/deliveries", "query"),
    cluster.ClusterGet: Route("GET", "/cluster", "nothing"),
    cluster.MemberAdd: Route("POST", "/cluster/members", "body"),
    cluster.MemberRemove: Route("DELETE", "/cluster/members/{id}", "nothing"),
    cluster.MemberReplace: Route("POST", "/cluster/members/{id}/replace", "body"),
    cluster.ClusterTransfer: Route("POST", "/cluster/transfer", "body"),
    backups.BackupCreate: Route("POST", "/backup", "nothing"),
    backups.BackupRead: Route("GET", "/backup/{id}", "query"),
    backups.BackupDelete: Route("DELETE", "/backup/{id}", "nothing"),
    queries.Health: Route("GET", "/health", "nothing"),
}
PULL_SEVERAL: Final = Route("POST", "/pull", "body")

_encode: Final = msgspec.json.Encoder().encode
_HEADERS: Final = {"if_match": "If-Match", "if_owner": "If-Owner"}
_FRESHNESS: Final = {"consistency": "linearizable", "min_index": 0}
"""What a read asks for when it does not say so."""
_ELSEWHERE: Final = frozenset({"request_id", "idempotency_key", "receipt", *_HEADERS, *_FRESHNESS})
"""An HTTP exchange needs no id, its key and its conditions are headers, and receipts are asked for in the query."""
_PLACE: Final = re.compile(r"\{(\w+)\}")


def target_of(request: Struct) -> tuple[Method, str, bytes | None]:
    """Method, path with query below `/api/v1`, and body."""
    route = ROUTES[type(request)]
    if isinstance(request, commands.Pull) and request.queues is not None:
        route = PULL_SEVERAL
    in_path = _PLACE.findall(route.path)
    path = _PLACE.sub(lambda found: quote(getattr(request, found[1]), safe=":"), route.path)
    asked = {name: value for name, usual in _FRESHNESS.items() if (value := getattr(request, name, usual)) != usual}
    if route.rest == "nothing":
        return route.method, _with_query(path, asked), None
    if route.rest == "jobs":
        return route.method, path, _encode(getattr(request, route.rest))
    nullable = _nullable(type(request))
    rest = {
        name: value
        for name in request.__struct_fields__
        if name not in in_path
        and name not in _ELSEWHERE
        and (value := getattr(request, name)) is not UNSET
        and (value is not None or name in nullable)
    }
    if route.rest == "query":
        return route.method, _with_query(path, rest | asked), None
    return route.method, path, _encode(rest)


def _with_query(path: str, fields: dict[str, Any]) -> str:
    query = urlencode(_query_items(fields))
    return f"{path}?{query}" if query else path


def conditions_of(request: Struct) -> dict[str, str]:
    """The headers that say under which conditions the request holds."""
    values = {header: getattr(request, name, None) for name, header in _HEADERS.items()}
    return {header: str(value) for header, value in values.items() if value is not None}


@cache
def _nullable(kind: type[Struct]) -> frozenset[str]:
    """Fields in which null means something else than nothing."""
    return frozenset(field.name for field in msgspec.structs.fields(kind) if field.default is UNSET)


def _query_items(fields: dict[str, Any]) -> list[tuple[str, str]]:
    """Query keys and texts; the filter on metadata has one key for each member (decisions C)."""
    items: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, dict):
            items += [(f"{name}.{key}", text) for key, text in value.items()]
        elif isinstance(value, bool):
            items += [(name, "true")] if value else []
        else:
            items.append((name, str(value)))
    return items
