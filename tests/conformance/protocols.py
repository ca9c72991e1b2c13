"""One question, asked in every way that a client can ask it.

`asking(way, node)` gives an object with `ask(verb, fields)`, which answers with the HTTP status (None where there is
none to see) and the whole body. The table of HTTP forms below is written from the published contract and not taken from
the node or the client, so that the three can be held against each other.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote, urlencode

import msgspec

from rustqueue.client import AsyncClient, Client, RustQueueError
from rustqueue.client.call import Call
from rustqueue.client.calls import backups, cluster, schedules, webhooks
from rustqueue.client.calls import insight as insight_calls
from rustqueue.client.calls import jobs as job_calls
from rustqueue.client.calls import queues as queue_calls
from rustqueue.client.calls import tokens as token_calls
from rustqueue.gateway.places import placed
from rustqueue.model.errors import ApiError
from rustqueue.model.replies import ErrorEnvelope, Refused, Reply, status_of
from rustqueue.model.wire import decode_request
from rustqueue.node import Node
from tests.fuzz.shell import Wire
from tests.unit.tcp_client import RawClient, a_node, connected

Json = dict[str, Any]

WAYS: Final = ("process", "http", "tcp", "client http", "client tcp", "async client http", "async client tcp")
RAW_WAYS: Final = WAYS[:3]


class Told(NamedTuple):
    status: int | None
    body: Any


class Asking(Protocol):
    async def ask(self, verb: str, fields: Mapping[str, Any]) -> Told: ...


@asynccontextmanager
async def asking(way: str, node: Node) -> AsyncIterator[Asking]:
    """A client of `node` that speaks in the given way."""
    if way == "process":
        yield InProcess(node)
    elif way == "http":
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        try:
            yield OverHttp(wire)
        finally:
            await wire.close()
    elif way == "tcp":
        async with connected(node) as raw:
            yield OverTcp(raw)
    else:
        shell, scheme = way.rsplit(" ", 1)
        url = f"{scheme}://127.0.0.1:{node.http.port if scheme == 'http' else node.tcp.port}"
        # A key of the client's own would make the request another one than the others send.
        if shell == "client":
            with Client(url, idempotency="off") as client:
                yield ByClient(lambda call: asyncio.to_thread(client._send, call), scheme)
        else:
            async with AsyncClient(url, idempotency="off") as other:
                yield ByClient(other._send, scheme)


class InProcess:
    """Through the gateway, as an embedding program or another shell does."""

    def __init__(self, node: Node) -> None:
        self._gateway = node.gateway

    async def ask(self, verb: str, fields: Mapping[str, Any]) -> Told:
        line = line_of(verb, fields)
        await asyncio.sleep(0)  # Queries are answered at once: one that is repeated must leave the node a turn.
        try:
            reply: Reply = await self._gateway.ask(decode_request(line), line)
        except ApiError as error:
            reply = Refused.of(placed(error))
        sent: msgspec.Struct = ErrorEnvelope(False, reply.error) if isinstance(reply, Refused) else reply
        return Told(status_of(reply), msgspec.json.decode(msgspec.json.encode(sent)))


class OverTcp:
    def __init__(self, raw: RawClient) -> None:
        self._raw = raw

    async def ask(self, verb: str, fields: Mapping[str, Any]) -> Told:
        self._raw.send_raw(line_of(verb, fields) + b"\n")
        return Told(None, await self._raw.answer())


def line_of(verb: str, fields: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"cmd": verb, **fields})


# Contract A4 and decisions C. A name in braces is a field that stands in the path; `?` sends the rest as a query, `=`
# as the members of a body, and a name behind `=` is the field that alone is the body.
HTTP_FORMS: Final = {
    "push": "POST /queues/{queue}/jobs =",
    "push_batch": "POST /queues/{queue}/jobs =jobs",
    "pull": "POST /queues/{queue}/pull =",
    "ack": "POST /jobs/{id}/ack =",
    "ack_batch": "POST /jobs/ack-batch =",
    "fail": "POST /jobs/{id}/fail =",
    "fail_batch": "POST /jobs/fail-batch =",
    "cancel": "POST /jobs/{id}/cancel =",
    "progress": "POST /jobs/{id}/progress =",
    "heartbeat": "POST /jobs/{id}/heartbeat =",
    "get": "GET /jobs/{id} ?",
    "job_list": "GET /jobs ?",
    "job_result": "GET /jobs/{id}/result ?",
    "job_why": "GET /jobs/{id}/why ?",
    "job_history": "GET /jobs/{id}/history ?",
    "queue_scale": "GET /queues/{queue}/scale ?",
    "dlq_groups": "GET /queues/{queue}/dlq/groups ?",
    "worker_list": "GET /workers ?",
    "tx": "POST /tx =",
    "worker_drain": "POST /workers/{worker_id}/drain =",
    "job_parents": "GET /jobs/{id}/parents ?",
    "job_retry": "POST /jobs/{id}/retry =",
    "job_promote": "POST /jobs/{id}/promote =",
    "job_priority": "PUT /jobs/{id}/priority =",
    "job_remove": "DELETE /jobs/{id} ?",
    "list_queues": "GET /queues ?",
    "queue_get": "GET /queues/{queue} ?",
    "queue_settings": "PUT /queues/{queue} =",
    "queue_delete": "DELETE /queues/{queue} ?",
    "stats": "GET /queues/{queue}/stats ?",
    "queue_pause": "POST /queues/{queue}/pause =",
    "queue_resume": "POST /queues/{queue}/resume =",
    "queue_drain": "POST /queues/{queue}/drain =",
    "queue_clean": "POST /queues/{queue}/clean =",
    "dlq": "GET /queues/{queue}/dlq ?",
    "dlq_purge": "DELETE /queues/{queue}/dlq ?",
    "dlq_retry": "POST /queues/{queue}/dlq/retry =",
    "flow": "GET /flows/{flow_id} ?",
    "sweep_get": "GET /sweeps/{id} ?",
    "sweep_cancel": "DELETE /sweeps/{id} ?",
    "token_create": "POST /tokens =",
    "webhook_create": "POST /webhooks =",
    "webhook_list": "GET /webhooks ?",
    "webhook_get": "GET /webhooks/{name} ?",
    "webhook_put": "PUT /webhooks/{name} =",
    "webhook_delete": "DELETE /webhooks/{name} ?",
    "webhook_pause": "POST /webhooks/{name}/pause =",
    "webhook_resume": "POST /webhooks/{name}/resume =",
    "webhook_test": "POST /webhooks/{name}/test =",
    "webhook_resend": "POST /webhooks/{name}/resend =",
    "webhook_deliveries": "GET /webhooks/{name}/deliveries ?",
    "token_list": "GET /tokens ?",
    "token_delete": "DELETE /tokens/{id} ?",
    "schedule_create": "POST /schedules =",
    "schedule_put": "PUT /schedules/{name} =",
    "schedule_delete": "DELETE /schedules/{name} ?",
    "schedule_pause": "POST /schedules/{name}/pause =",
    "schedule_resume": "POST /schedules/{name}/resume =",
    "schedule_run": "POST /schedules/{name}/run =",
    "schedule_get": "GET /schedules/{name} ?",
    "schedule_list": "GET /schedules ?",
    "schedule_runs": "GET /schedules/{name}/runs ?",
    "cluster_get": "GET /cluster ?",
    "cluster_transfer": "POST /cluster/transfer =",
    "member_add": "POST /cluster/members =",
    "member_remove": "DELETE /cluster/members/{id} ?",
    "member_replace": "POST /cluster/members/{id}/replace =",
    "backup_create": "POST /backup ?",
    "backup_read": "GET /backup/{id} ?",
    "backup_delete": "DELETE /backup/{id} ?",
    "health": "GET /health ?",
}
_HEADERS: Final = {"idempotency_key": "Idempotency-Key", "if_match": "If-Match", "if_owner": "If-Owner"}
_SEVERAL_QUEUES: Final = "POST /pull ="
_PLACE: Final = re.compile(r"\{(\w+)\}")


def tag_of(kind: type[msgspec.Struct]) -> str:
    """The name of a verb, as TCP takes it."""
    return str(kind.__struct_config__.tag)


class OverHttp:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def ask(self, verb: str, fields: Mapping[str, Any]) -> Told:
        method, target, body, headers = http_form(verb, fields)
        answer = await self._wire.ask(method, f"/api/v1{target}", body, headers)
        return Told(answer.status, answer.json)


def http_form(
    verb: str, fields: Mapping[str, Any], forms: Mapping[str, str] = HTTP_FORMS
) -> tuple[str, str, bytes | None, tuple[tuple[str, str], ...]]:
    """Method, target below `/api/v1`, body and headers of a question."""
    form = _SEVERAL_QUEUES if verb == "pull" and "queues" in fields else forms[verb]
    method, path, rest = form.split(" ")
    left = dict(fields)
    by_header = {name: left.pop(name) for name in _HEADERS if name in left}
    headers = tuple((_HEADERS[name], str(value)) for name, value in by_header.items())
    for name in _PLACE.findall(path):
        path = path.replace(f"{{{name}}}", quote(str(left.pop(name)), safe=":"))
    receipt = {"receipt": "1"} if left.pop("receipt", False) else {}
    if rest == "?":
        receipt = {name: _query_text(value) for name, value in _flat(left).items()}
        left = {}
    target = f"{path}?{urlencode(receipt)}" if receipt else path
    if rest.startswith("=") and len(rest) > 1:
        return method, target, msgspec.json.encode(left[rest[1:]]), headers
    return method, target, msgspec.json.encode(left) if left or method == "PUT" else None, headers


def _flat(fields: Json) -> Json:
    """The filter on metadata has a query key for each of its members."""
    flat: Json = {}
    for name, value in fields.items():
        flat |= {f"{name}.{key}": text for key, text in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _query_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# How a caller of the Python client spells the same.
_CALLS: Final[dict[str, Callable[..., Call[Any]]]] = {
    "push": job_calls.push,
    "push_batch": job_calls.push_batch,
    "pull": lambda queue=None, queues=None, **rest: job_calls.pull(queue or _weights(queues), **rest),
    "ack": lambda id, **rest: job_calls.ack(id, **rest),
    "ack_batch": lambda items: job_calls.ack_batch([(item["id"], item["result"]) for item in items]),
    "fail": lambda id, **rest: job_calls.fail(id, **rest),
    "fail_batch": lambda items: job_calls.fail_batch([(item["id"], item["error"]) for item in items]),
    "cancel": lambda id, **rest: job_calls.cancel(id, **rest),
    "progress": lambda id, **rest: job_calls.progress(id, **rest),
    "heartbeat": lambda id, **rest: job_calls.heartbeat(id, **rest),
    "get": lambda id: job_calls.get(id),
    "job_list": job_calls.list_jobs,
    "job_result": lambda id, **rest: insight_calls.result(id, **rest),
    "job_why": lambda id: insight_calls.why(id),
    "job_history": lambda id: insight_calls.history(id),
    "queue_scale": insight_calls.scale,
    "dlq_groups": insight_calls.dlq_groups,
    "worker_list": insight_calls.workers,
    "tx": job_calls.transaction,
    "worker_drain": insight_calls.drain_worker,
    "job_parents": lambda id, **rest: job_calls.parents(id, **rest),
    "job_retry": lambda id: job_calls.retry(id),
    "job_promote": lambda id: job_calls.promote(id),
    "job_priority": lambda id, priority: job_calls.set_priority(id, priority),
    "job_remove": lambda id: job_calls.remove(id),
    "list_queues": queue_calls.queues,
    "queue_get": queue_calls.get_queue,
    "queue_settings": queue_calls.put_queue,
    "queue_delete": queue_calls.delete_queue,
    "stats": queue_calls.stats,
    "queue_pause": queue_calls.pause,
    "queue_resume": queue_calls.resume,
    "queue_drain": queue_calls.drain,
    "queue_clean": queue_calls.clean,
    "dlq": queue_calls.dlq,
    "dlq_purge": queue_calls.purge_dlq,
    "dlq_retry": queue_calls.retry_dlq,
    "flow": queue_calls.flow,
    "sweep_get": lambda id: queue_calls.sweep(id),
    "sweep_cancel": lambda id: queue_calls.cancel_sweep(id),
    "token_create": token_calls.create_token,
    "webhook_create": webhooks.create_webhook,
    "webhook_put": webhooks.put_webhook,
    "webhook_list": webhooks.list_webhooks,
    "webhook_get": webhooks.get_webhook,
    "webhook_delete": webhooks.delete_webhook,
    "webhook_pause": webhooks.pause_webhook,
    "webhook_resume": webhooks.resume_webhook,
    "webhook_test": webhooks.test_webhook,
    "webhook_deliveries": webhooks.webhook_deliveries,
    "webhook_resend": webhooks.resend_webhook,
    "token_list": token_calls.tokens,
    "token_delete": lambda id, **rest: token_calls.delete_token(id),
    "schedule_create": schedules.create_schedule,
    "schedule_put": schedules.put_schedule,
    "schedule_delete": schedules.delete_schedule,
    "schedule_pause": schedules.pause_schedule,
    "schedule_resume": schedules.resume_schedule,
    "schedule_run": schedules.run_schedule,
    "schedule_get": schedules.get_schedule,
    "schedule_list": schedules.list_schedules,
    "schedule_runs": schedules.schedule_runs,
    "cluster_get": cluster.cluster,
    "cluster_transfer": cluster.transfer_leadership,
    "member_add": lambda id, address: cluster.add_member(id, address),
    "member_remove": lambda id: cluster.remove_member(id),
    "member_replace": lambda id, **rest: cluster.replace_member(id, **rest),
    "backup_create": backups.begin_backup,
    "backup_read": lambda id, file, **rest: backups.read_backup(id, file, **rest),
    "backup_delete": backups.end_backup,
    "health": queue_calls.health,
}


def _weights(queues: list[Json]) -> dict[str, int]:
    return {weighted["queue"]: weighted.get("weight", 1) for weighted in queues}


class ByClient:
    """The call that the client's method makes, sent by the client; only what it reads is the whole body."""

    def __init__(self, send: Callable[[Call[Any]], Any], scheme: str) -> None:
        self._send = send
        self._over_http = scheme == "http"

    async def ask(self, verb: str, fields: Mapping[str, Any]) -> Told:
        call = replace(_CALLS[verb](**fields), read=msgspec.json.decode, refused=_as_an_answer)
        try:
            body = await self._send(call)
        except RustQueueError as error:
            body = error
        if isinstance(body, RustQueueError):
            refused = {"code": body.code, "message": body.args[0].partition(": ")[2], "details": body.details}
            return Told(body.status if self._over_http else None, {"ok": False, "error": refused})
        body.pop("request_id", None)  # With it the client finds the call that an answer is for.
        return Told(None, body)


def _as_an_answer(error: RustQueueError, resent: bool) -> Any:
    """Not raised: what passes would be asked again until the call's time is up, and then perhaps said otherwise."""
    return error


# What time and chance make, by order of appearance.

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
_OPAQUE: Final = r"[0-9a-f]{12,}\.[0-9]+|rq_[0-9a-f]{16}_[A-Za-z0-9_-]{43}|\b[0-9a-f]{16}\b"
_TIME: Final = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
_MADE: Final = re.compile(f"({_UUID})|({_OPAQUE})|({_TIME})")
_NAMED: Final = re.compile(r"#\d+|~\d+")

NOBODY: Final = "00000000-0000-7000-8000-000000000000"
"""The id of no job."""


class Names:
    """Ids become `#1`, `#2`, attempt tokens and cursors `~1`, `~2`, times `T`; and back again in questions."""

    def __init__(self) -> None:
        self._names = {NOBODY: NOBODY}
        self._made: dict[str, str] = {}

    def told(self, value: Any) -> Any:
        return _mapped(value, lambda text: _MADE.sub(self._name, text))

    def meant(self, value: Any) -> Any:
        return _mapped(value, lambda text: _NAMED.sub(lambda found: self._made.get(found[0], found[0]), text))

    def _name(self, found: re.Match[str]) -> str:
        text = found[0]
        if found[3] is not None:
            return "T"
        if text not in self._names:
            sign = "#" if found[1] is not None else "~"
            name = f"{sign}{1 + sum(known.startswith(sign) for known in self._made)}"
            self._names[text], self._made[name] = name, text
        return self._names[text]


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _mapped(member, change) for key, member in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return value


async def play(steps: Sequence[tuple[tuple[str, Json], int, Json]], way: str) -> list[tuple[int, Any]]:
    """Ask a node of its own all questions in one way. A status that this way does not show counts as expected."""
    names = Names()
    heard: list[tuple[int, Any]] = []
    async with a_node() as node, asking(way, node) as client:
        for (verb, fields), expected, _ in steps:
            told = await client.ask(verb, names.meant(fields))
            body = names.told(told.body)
            if way.endswith("tcp") and verb == "get":
                body = _as_job_not_found(body)
            heard.append((expected if told.status is None else told.status, body))
    return heard


def _as_job_not_found(body: Json) -> Json:
    """The one code that differs (decisions A29): TCP `get` of no job. Anything else than NOT_FOUND stays wrong."""
    if body["ok"]:
        return body
    code = {"NOT_FOUND": "JOB_NOT_FOUND", "JOB_NOT_FOUND": "wrong on TCP"}.get(body["error"]["code"])
    return {**body, "error": {**body["error"], "code": code}}
