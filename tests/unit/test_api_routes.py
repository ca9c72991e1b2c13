"""The table of routes and the lines it makes: what an HTTP request says, TCP could have said in the same words."""

import re
import typing
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from rustqueue.api.compose import compose, decode
from rustqueue.api.refusals import MethodNotAllowed, RouteNotFound
from rustqueue.api.routes import ROUTES, Body, Router, Source, routes_with_metrics
from rustqueue.model import wire
from rustqueue.model.cluster.backups import BackupRequest
from rustqueue.model.cluster.replies import ClusterInfo
from rustqueue.model.cluster.requests import ClusterRequest
from rustqueue.model.commands import PushJobs, SecretCommand, WireCommand
from rustqueue.model.errors import ApiError, ParseError, ValidationFailed
from rustqueue.model.jobs import Job
from rustqueue.model.queries import Query
from rustqueue.model.replies import ErrorEnvelope, Refused, Reply

JOB = "0193e7a0-1111-7000-8000-000000000000"
ROUTER = Router()


def line_of(method: str, target: str, body: bytes = b"", key: str | None = None) -> bytes:
    """The composed line of a request, decoded once so that it is known to be understood."""
    path, _, query = target.partition("?")
    route, parameters = ROUTER.find(method, path)
    line = compose(route, parameters, query, key, body)
    decode(route, line, body)
    return line


LINES = [
    ("POST", "/api/v1/queues/q/jobs", b'{"name":"n","data":1}', b'{"cmd":"push","queue":"q","name":"n","data":1}'),
    (
        "POST",
        "/api/v1/queues/q/jobs?receipt=1",
        b' {"name":"n","data":1} ',
        b'{"cmd":"push","queue":"q","receipt":true,"name":"n","data":1}',
    ),
    (
        "POST",
        "/api/v1/queues/q/jobs",
        b'[{"name":"n","data":1}]\n',
        b'{"cmd":"push_batch","queue":"q","jobs":[{"name":"n","data":1}]\n}',
    ),
    (
        "POST",
        "/api/v1/queues/q/jobs?receipt=false",
        b'[{"name": "n", "data": 1}]',
        b'{"cmd": "push_batch", "queue": "q", "receipt": false, "jobs": [{"name": "n", "data": 1}]}',
    ),
    ("POST", "/api/v1/queues/q/jobs", b"[]", b'{"cmd":"push_batch","queue":"q","jobs":[]}'),
    ("GET", "/api/v1/queues/q/jobs", b"", b'{"cmd":"pull","queue":"q"}'),
    (
        "GET",
        "/api/v1/queues/q/jobs?count=3&wait_ms=0&worker_id=a+b%2F%C3%A9&lease_ms=100&with_parent_results=true",
        b"",
        b'{"cmd":"pull","queue":"q","count":3,"wait_ms":0,"worker_id":"a b/\xc3\xa9","lease_ms":100,'
        b'"with_parent_results":true}',
    ),
    ("GET", "/api/v1/queues/q/jobs?count=007", b"", b'{"cmd":"pull","queue":"q","count":7}'),
    ("POST", "/api/v1/queues/q/pull", b"", b'{"cmd":"pull","queue":"q"}'),
    ("POST", "/api/v1/queues/q/pull", b'{"count":2}', b'{"cmd":"pull","queue":"q","count":2}'),
    ("POST", "/api/v1/pull", b'{"queues":[{"queue":"a"}]}', b'{"cmd":"pull","queues":[{"queue":"a"}]}'),
    ("GET", "/api/v1/jobs", b"", b'{"cmd":"job_list"}'),
    (
        "GET",
        "/api/v1/jobs?queue=q&state=dlq&name=n&tag=t&flow_id=f&metadata.user=7&metadata.a%22b=c&limit=5&order=asc",
        b"",
        b'{"cmd":"job_list","queue":"q","state":"dlq","name":"n","tag":"t","flow_id":"f","limit":5,"order":"asc",'
        b'"metadata":{"user":"7","a\\"b":"c"}}',
    ),
    (
        "GET",
        "/api/v1/jobs?created_after=2026-01-01T00:00:00Z&cursor=abc",
        b"",
        b'{"cmd":"job_list","created_after":"2026-01-01T00:00:00Z","cursor":"abc"}',
    ),
    ("GET", f"/api/v1/jobs/{JOB}", b"", b'{"cmd":"get","id":"%b"}' % JOB.encode()),
    ("GET", "/api/v1/jobs/custom:q:a%2Fb", b"", b'{"cmd":"get","id":"custom:q:a/b"}'),
    ("DELETE", f"/api/v1/jobs/{JOB}", b"", b'{"cmd":"job_remove","id":"%b"}' % JOB.encode()),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b"", b'{"cmd":"ack","id":"%b"}' % JOB.encode()),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b"{ }", b'{"cmd":"ack","id":"%b"}' % JOB.encode()),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b'{"result":[1]}', b'{"cmd":"ack","id":"%b","result":[1]}' % JOB.encode()),
    ("POST", f"/api/v1/jobs/{JOB}/fail", b'{"error":"e"}', b'{"cmd":"fail","id":"%b","error":"e"}' % JOB.encode()),
    ("POST", f"/api/v1/jobs/{JOB}/cancel", b"", b'{"cmd":"cancel","id":"%b"}' % JOB.encode()),
    (
        "POST",
        f"/api/v1/jobs/{JOB}/cancel",
        b'{"running":true}',
        b'{"cmd":"cancel","id":"%b","running":true}' % JOB.encode(),
    ),
    (
        "POST",
        f"/api/v1/jobs/{JOB}/progress",
        b'{"progress":9}',
        b'{"cmd":"progress","id":"%b","progress":9}' % JOB.encode(),
    ),
    ("POST", f"/api/v1/jobs/{JOB}/heartbeat", b"", b'{"cmd":"heartbeat","id":"%b"}' % JOB.encode()),
    ("POST", f"/api/v1/jobs/{JOB}/retry", b"", b'{"cmd":"job_retry","id":"%b"}' % JOB.encode()),
    ("POST", f"/api/v1/jobs/{JOB}/promote", b"", b'{"cmd":"job_promote","id":"%b"}' % JOB.encode()),
    (
        "PUT",
        f"/api/v1/jobs/{JOB}/priority",
        b'{"priority":-1}',
        b'{"cmd":"job_priority","id":"%b","priority":-1}' % JOB.encode(),
    ),
    (
        "GET",
        f"/api/v1/jobs/{JOB}/parents?limit=2&cursor=c",
        b"",
        b'{"cmd":"job_parents","id":"%b","limit":2,"cursor":"c"}' % JOB.encode(),
    ),
    ("POST", "/api/v1/jobs/ack-batch", b'[{"id":"a"}]', b'{"cmd":"ack_batch","items":[{"id":"a"}]}'),
    ("POST", "/api/v1/jobs/ack-batch", b'{"ids":["a"]}', b'{"cmd":"ack_batch","ids":["a"]}'),
    ("POST", "/api/v1/jobs/ack-batch", b'{"items":[{"id":"a"}]}', b'{"cmd":"ack_batch","items":[{"id":"a"}]}'),
    ("POST", "/api/v1/jobs/fail-batch", b'[{"id":"a"}]', b'{"cmd":"fail_batch","items":[{"id":"a"}]}'),
    ("GET", "/api/v1/queues", b"", b'{"cmd":"list_queues"}'),
    ("GET", "/api/v1/queues/q", b"", b'{"cmd":"queue_get","queue":"q"}'),
    ("PUT", "/api/v1/queues/q", b'{"lease_ms":500}', b'{"cmd":"queue_settings","queue":"q","lease_ms":500}'),
    ("DELETE", "/api/v1/queues/q", b"", b'{"cmd":"queue_delete","queue":"q"}'),
    ("DELETE", "/api/v1/queues/q?force=true", b"", b'{"cmd":"queue_delete","queue":"q","force":true}'),
    ("GET", "/api/v1/queues/q/stats", b"", b'{"cmd":"stats","queue":"q"}'),
    ("POST", "/api/v1/queues/q/pause", b"", b'{"cmd":"queue_pause","queue":"q"}'),
    ("POST", "/api/v1/queues/q/pause", b'{"mode":"hold"}', b'{"cmd":"queue_pause","queue":"q","mode":"hold"}'),
    ("POST", "/api/v1/queues/q/resume", b"", b'{"cmd":"queue_resume","queue":"q"}'),
    ("POST", "/api/v1/queues/q/drain", b"", b'{"cmd":"queue_drain","queue":"q"}'),
    ("POST", "/api/v1/queues/q/clean", b'{"state":"dlq"}', b'{"cmd":"queue_clean","queue":"q","state":"dlq"}'),
    ("GET", "/api/v1/queues/q/dlq?limit=2", b"", b'{"cmd":"dlq","queue":"q","limit":2}'),
    ("DELETE", "/api/v1/queues/q/dlq", b"", b'{"cmd":"dlq_purge","queue":"q"}'),
    ("POST", "/api/v1/queues/q/dlq/retry", b"", b'{"cmd":"dlq_retry","queue":"q"}'),
    ("POST", "/api/v1/queues/q/dlq/retry", b'{"limit":1}', b'{"cmd":"dlq_retry","queue":"q","limit":1}'),
    ("GET", "/api/v1/flows/f%20g?cursor=c", b"", b'{"cmd":"flow","flow_id":"f g","cursor":"c"}'),
    (
        "GET",
        f"/api/v1/jobs/{JOB}/result?wait_ms=5",
        b"",
        b'{"cmd":"job_result","id":"%b","wait_ms":5}' % JOB.encode(),
    ),
    ("GET", f"/api/v1/jobs/{JOB}/why", b"", b'{"cmd":"job_why","id":"%b"}' % JOB.encode()),
    ("GET", f"/api/v1/jobs/{JOB}/history", b"", b'{"cmd":"job_history","id":"%b"}' % JOB.encode()),
    (
        "GET",
        "/api/v1/queues/q/scale?per_worker=2&min=0&max=9&due_within_ms=1",
        b"",
        b'{"cmd":"queue_scale","queue":"q","per_worker":2,"min":0,"max":9,"due_within_ms":1}',
    ),
    ("GET", "/api/v1/queues/q/dlq/groups?cursor=ab", b"", b'{"cmd":"dlq_groups","queue":"q","cursor":"ab"}'),
    (
        "POST",
        "/api/v1/tx",
        b'{"operations":[{"cmd":"ack","id":"x"}]}',
        b'{"cmd":"tx","operations":[{"cmd":"ack","id":"x"}]}',
    ),
    ("GET", "/api/v1/workers?limit=3", b"", b'{"cmd":"worker_list","limit":3}'),
    ("POST", "/api/v1/workers/pod%2F1/drain", b"", b'{"cmd":"worker_drain","worker_id":"pod/1"}'),
    ("GET", "/api/v1/sweeps/s1", b"", b'{"cmd":"sweep_get","id":"s1"}'),
    ("DELETE", "/api/v1/sweeps/s1", b"", b'{"cmd":"sweep_cancel","id":"s1"}'),
    ("GET", "/api/v1/webhooks", b"", b'{"cmd":"webhook_list"}'),
    ("POST", "/api/v1/webhooks", b'{"url":"u"}', b'{"cmd":"webhook_create","url":"u"}'),
    ("GET", "/api/v1/webhooks/h", b"", b'{"cmd":"webhook_get","name":"h"}'),
    ("PUT", "/api/v1/webhooks/h", b'{"url":"u"}', b'{"cmd":"webhook_put","name":"h","url":"u"}'),
    ("DELETE", "/api/v1/webhooks/h", b"", b'{"cmd":"webhook_delete","name":"h"}'),
    ("POST", "/api/v1/webhooks/h/pause", b"", b'{"cmd":"webhook_pause","name":"h"}'),
    ("POST", "/api/v1/webhooks/h/resume", b"", b'{"cmd":"webhook_resume","name":"h"}'),
    ("POST", "/api/v1/webhooks/h/test", b"", b'{"cmd":"webhook_test","name":"h"}'),
    ("POST", "/api/v1/webhooks/h/resend", b'{"delivery":"d"}', b'{"cmd":"webhook_resend","name":"h","delivery":"d"}'),
    (
        "GET",
        "/api/v1/webhooks/h/deliveries?show=waiting&limit=2",
        b"",
        b'{"cmd":"webhook_deliveries","name":"h","show":"waiting","limit":2}',
    ),
    ("GET", "/api/v1/cluster", b"", b'{"cmd":"cluster_get"}'),
    ("POST", "/api/v1/backup", b"", b'{"cmd":"backup_create"}'),
    (
        "GET",
        "/api/v1/backup/a?file=CURRENT&offset=5",
        b"",
        b'{"cmd":"backup_read","id":"a","file":"CURRENT","offset":5}',
    ),
    ("DELETE", "/api/v1/backup/a", b"", b'{"cmd":"backup_delete","id":"a"}'),
    ("POST", "/api/v1/cluster/transfer", b"", b'{"cmd":"cluster_transfer"}'),
    (
        "POST",
        "/api/v1/cluster/members",
        b'{"id":"n3","address":"h:1"}',
        b'{"cmd":"member_add","id":"n3","address":"h:1"}',
    ),
    ("DELETE", "/api/v1/cluster/members/n3%237", b"", b'{"cmd":"member_remove","id":"n3#7"}'),
    ("POST", "/api/v1/cluster/members/n1/replace", b"", b'{"cmd":"member_replace","id":"n1"}'),
    ("GET", "/api/v1/tokens", b"", b'{"cmd":"token_list"}'),
    (
        "POST",
        "/api/v1/tokens",
        b'{"name":"t","scopes":[{"verbs":["read"],"queues":["*"]}]}',
        b'{"cmd":"token_create","name":"t","scopes":[{"verbs":["read"],"queues":["*"]}]}',
    ),
    ("DELETE", "/api/v1/tokens/t1", b"", b'{"cmd":"token_delete","id":"t1"}'),
    (
        "POST",
        "/api/v1/schedules?reset=true",
        b'{"name":"s","queue":"q","job_name":"n","every_ms":1}',
        b'{"cmd":"schedule_create","reset":true,"job_data":null,"name":"s","queue":"q","job_name":"n","every_ms":1}',
    ),
    (
        "POST",
        "/api/v1/schedules",
        b'{"job_data":1,"name":"s","queue":"q","job_name":"n","every_ms":1}',
        b'{"cmd":"schedule_create","job_data":1,"name":"s","queue":"q","job_name":"n","every_ms":1}',
    ),
    ("GET", "/api/v1/schedules?limit=2&cursor=a", b"", b'{"cmd":"schedule_list","limit":2,"cursor":"a"}'),
    (
        "PUT",
        "/api/v1/schedules/a%20b",
        b'{"queue":"q","job_name":"n","every_ms":1}',
        b'{"cmd":"schedule_put","name":"a b","job_data":null,"queue":"q","job_name":"n","every_ms":1}',
    ),
    ("GET", "/api/v1/schedules/s", b"", b'{"cmd":"schedule_get","name":"s"}'),
    ("DELETE", "/api/v1/schedules/s", b"", b'{"cmd":"schedule_delete","name":"s"}'),
    ("POST", "/api/v1/schedules/s/pause", b"", b'{"cmd":"schedule_pause","name":"s"}'),
    ("POST", "/api/v1/schedules/s/resume", b"", b'{"cmd":"schedule_resume","name":"s"}'),
    ("POST", "/api/v1/schedules/s/run", b"", b'{"cmd":"schedule_run","name":"s"}'),
    ("GET", "/api/v1/schedules/s/runs?limit=2", b"", b'{"cmd":"schedule_runs","name":"s","limit":2}'),
]


@pytest.mark.parametrize(("method", "target", "body", "line"), LINES)
def test_a_request_is_the_line_that_tcp_would_send(method: str, target: str, body: bytes, line: bytes) -> None:
    assert line_of(method, target, body) == line


def test_every_row_has_an_example_above() -> None:
    shown = [ROUTER.find(method, target.partition("?")[0])[0] for method, target, _, _ in LINES]
    assert [route.path for route in ROUTES if route.source is Source.GATEWAY and route not in shown] == []


def test_every_verb_of_a_client_has_a_route() -> None:
    """`push_batch` shares the row of `push`; `health` and `auth` are the node's and TCP's own."""
    verbs = {
        tag_of(struct)
        for union in (WireCommand | SecretCommand, Query | ClusterRequest | BackupRequest)
        for struct in typing.get_args(union)
    }
    served = {route.verb for route in ROUTES if route.source is Source.GATEWAY} | {"push_batch"}
    assert served == verbs


def tag_of(struct: type[msgspec.Struct]) -> str:
    tag = struct.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def test_the_idempotency_key_of_the_header_reaches_commands_and_not_queries() -> None:
    pushed = line_of("POST", "/api/v1/queues/q/jobs", b'{"name":"n","data":1}', 'k"1')
    read = line_of("GET", "/api/v1/queues", b"", "k")
    pulled = line_of("GET", "/api/v1/queues/q/jobs", b"", "k")

    assert pushed == b'{"cmd":"push","queue":"q","idempotency_key":"k\\"1","name":"n","data":1}'
    assert read == b'{"cmd":"list_queues"}'
    assert pulled == b'{"cmd":"pull","queue":"q","idempotency_key":"k"}'


# method, target, body, error type, text of the error
MISTAKES: list[tuple[str, str, bytes, type[ApiError], str]] = [
    # What stands in the path cannot be said again.
    ("POST", "/api/v1/queues/q/jobs", b'{"name":"n","data":1,"queue":"x"}', ValidationFailed, "key 'queue' stands"),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b'{"id":"x"}', ValidationFailed, "key 'id' stands twice"),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b'{"cmd":"ack"}', ValidationFailed, "key 'cmd' stands twice"),
    ("POST", "/api/v1/queues/q/pause?x=1", b"", ValidationFailed, "unknown query key 'x'"),
    ("DELETE", "/api/v1/queues/q?force=1", b'{"force":false}', ValidationFailed, "key 'force' stands twice"),
    # Text behind a value cannot become a part of the line.
    ("POST", "/api/v1/queues/q/jobs", b'[],"receipt":true', ParseError, "trailing characters (byte 3)"),
    ("POST", "/api/v1/queues/q/jobs", b'[]}{"cmd":"pull"', ParseError, "trailing characters (byte 3)"),
    ("POST", "/api/v1/jobs/ack-batch", b'[],"ids":["a"]', ParseError, "trailing characters (byte 3)"),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b'{"result":1},"x":{}', ParseError, "trailing characters (byte 13)"),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b'{}{"cmd":"pull"}', ParseError, "trailing characters (byte 3)"),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b"{", ParseError, "Input data was truncated"),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b"{,}", ParseError, "(byte 1)"),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b'{"result":\xff}', ParseError, "not valid UTF-8 (byte 10)"),
    ("POST", "/api/v1/queues/q/jobs", b'[{"name":"n","data":"\xff"}]', ParseError, "not valid UTF-8 (byte 21)"),
    # Bodies of another shape.
    ("POST", "/api/v1/queues/q/jobs", b"", ParseError, "The request body is empty"),
    ("POST", "/api/v1/queues/q/jobs", b"7", ValidationFailed, "must be an object or an array"),
    ("POST", "/api/v1/queues/q/jobs", b"nul", ParseError, "not valid JSON"),
    ("POST", f"/api/v1/jobs/{JOB}/ack", b"[1]", ValidationFailed, "must be an object"),
    ("GET", "/api/v1/queues", b"{}", ValidationFailed, "takes no body"),
    ("POST", f"/api/v1/jobs/{JOB}/fail", b"{}", ValidationFailed, "missing field 'error'"),
    ("POST", f"/api/v1/jobs/{JOB}/fail", b'{"err\xffr":1}', ParseError, "not valid UTF-8 (byte 5)"),
    ("POST", f"/api/v1/jobs/{JOB}/fail", b'{"error"}', ParseError, "not valid JSON"),
    ("POST", "/api/v1/queues/q/jobs", b'{"name":"n"}', ValidationFailed, "missing field 'data'"),
    ("POST", "/api/v1/queues/q/jobs", b'[{"name":"n"}]', ValidationFailed, "missing field 'jobs[0].data'"),
    ("POST", "/api/v1/queues/q/jobs", b"[" * 5_000 + b"]" * 5_000, ValidationFailed, "nested deeper than 64"),
    # Queries.
    ("GET", "/api/v1/queues/q/jobs?count=", b"", ValidationFailed, "'count' is not a whole number"),
    ("GET", "/api/v1/queues/q/jobs?count=1.0", b"", ValidationFailed, "'count' is not a whole number"),
    ("GET", "/api/v1/queues/q/jobs?count=%EF%BC%91", b"", ValidationFailed, "'count' is not a whole number"),
    ("GET", "/api/v1/queues/q/jobs?count=" + "9" * 21, b"", ValidationFailed, "'count' is not a whole number"),
    (
        "GET",
        "/api/v1/queues/q/jobs?count=4294967295",
        b"",
        ValidationFailed,
        "'count' must be a whole number from 0 to 1000",
    ),
    ("GET", "/api/v1/queues/q/jobs?count=1&count=2", b"", ValidationFailed, "'count' is given twice"),
    ("GET", "/api/v1/queues/q/jobs?with_parent_results=yes", b"", ValidationFailed, "must be one of 1, true, 0, false"),
    ("GET", "/api/v1/queues/q/jobs?worker_id=%FF", b"", ParseError, "not valid UTF-8"),
    ("GET", "/api/v1/jobs?limt=1", b"", ValidationFailed, "unknown query key 'limt'; did you mean 'limit'?"),
    ("GET", "/api/v1/jobs?metadata.=1", b"", ValidationFailed, "unknown query key 'metadata.'"),
    ("GET", "/api/v1/jobs?state=gone", b"", ValidationFailed, "'state' must be one of waiting, delayed"),
    # Paths.
    ("GET", "/api/v1/jobs/not-an-id", b"", ValidationFailed, "'id' is neither a UUID nor 'custom:QUEUE:ID'"),
    ("GET", "/api/v1/queues/a%2Fb", b"", ValidationFailed, "'queue' may only hold"),
    (
        "GET",
        "/api/v1/queues/" + "a" * 257,
        b"",
        ValidationFailed,
        "'queue' must be a text of 1 to 256 characters, not 257",
    ),
    ("GET", "/api/v1/queues/%FF", b"", ParseError, "not valid UTF-8"),
    ("GET", "/api/v1/queues/\udcff", b"", ParseError, "not valid UTF-8"),
    ("GET", "/api/v1/queues/", b"", RouteNotFound, "There is no route"),
    ("GET", "/api/v1//queues", b"", RouteNotFound, "There is no route"),
    ("GET", "/api/v1/queues/q/", b"", RouteNotFound, "There is no route"),
    ("GET", "/api/v1", b"", RouteNotFound, "There is no route"),
    ("GET", "*", b"", RouteNotFound, "There is no route"),
    ("OPTIONS", "*", b"", MethodNotAllowed, "only DELETE, GET, HEAD, OPTIONS, POST, PUT"),
    ("POST", "/api/v1/queues", b"", MethodNotAllowed, "POST is not allowed here, only GET, HEAD, OPTIONS"),
    ("HEAD", "/api/v1/queues/q/jobs", b"", MethodNotAllowed, "only GET, OPTIONS, POST"),
    ("GET", "/api/v1/jobs/ack-batch", b"", MethodNotAllowed, "only OPTIONS, POST"),
]


@pytest.mark.parametrize(("method", "target", "body", "kind", "text"), MISTAKES)
def test_a_mistake_is_refused_by_name(method: str, target: str, body: bytes, kind: type[ApiError], text: str) -> None:
    with pytest.raises(kind, match=re.escape(text)):
        line_of(method, target, body)


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(ParseError, match="'Idempotency-Key' is not valid UTF-8"):
        line_of("POST", f"/api/v1/jobs/{JOB}/ack", b"", "\udcff")


def test_a_head_stands_for_a_get_that_changes_nothing() -> None:
    route, parameters = ROUTER.find("HEAD", "/api/v1/queues/q/stats")

    assert (route.method, route.verb, parameters) == ("GET", "stats", {"queue": "q"})


def test_metrics_move_to_the_configured_path_or_away() -> None:
    moved, absent = Router(routes_with_metrics("/metrics")), Router(routes_with_metrics(None))

    assert moved.find("GET", "/metrics")[0].source is Source.METRICS
    for router in (moved, absent):
        with pytest.raises(RouteNotFound):
            router.find("GET", "/api/v1/metrics/prometheus")


def test_metrics_cannot_take_the_path_of_another_route() -> None:
    with pytest.raises(ValueError, match="two routes for GET /api/v1/queues"):
        Router(routes_with_metrics("/api/v1/queues"))


def test_a_batch_is_known_to_be_free_of_double_keys_in_both_spellings() -> None:
    """The decoder's proof by length must hold for HTTP too: it is what makes big batches cheap."""
    jobs = [{"name": "n", "data": {"k": position}} for position in range(3)]
    compact = msgspec.json.encode(jobs)
    spaced = compact.replace(b'":', b'": ').replace(b",", b", ")
    route, parameters = ROUTER.find("POST", "/api/v1/queues/q/jobs")

    for body in (compact, spaced):
        line = compose(route, parameters, "", None, body)
        request = wire.decode_request(line)
        assert isinstance(request, PushJobs)
        texts = sum(len(job.name) + len(job.data) for job in request.jobs)
        spaces = (5 + 4 * 3 - 1) if body is spaced else 0
        assert len(line) == 41 + len("q") + texts + 3 * 20 - 1 + spaces


def test_bodies_are_expected_where_something_must_be_said() -> None:
    """A row without a body kind of its own takes an optional object; GET rows take none."""
    assert {route.path for route in ROUTES if route.method == "GET" and route.body is not Body.NONE} == set()
    assert {route.path for route in ROUTES if route.method != "GET" and route.body is Body.NONE} == set()


# The documentation.

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_documentation_has_a_heading_for_each_row_and_no_other() -> None:
    headings = re.findall(r"^### `([A-Z]+ [^`]+)`$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)

    assert headings == [f"{route.method} {route.path}" for route in ROUTES]


def documented(kind: str) -> list[str]:
    """The blocks of one kind in the documentation."""
    return re.findall(rf"```{kind}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_every_documented_request_is_understood() -> None:
    shown = []
    for block in documented("http"):
        first, _, body = block.strip().partition("\n")
        method, _, target = first.partition(" ")
        route, _ = ROUTER.find(method, target.partition("?")[0])
        if route.source is Source.GATEWAY:
            line_of(method, target, body.encode())
        shown.append(route)
    assert [route.path for route in ROUTES if route not in shown] == []


def required_and_known(struct: type[msgspec.Struct]) -> tuple[set[str], set[str]]:
    fields = msgspec.structs.fields(struct)
    return {field.encode_name for field in fields if field.default is not UNSET}, {
        field.encode_name for field in fields
    }


def test_every_documented_answer_has_the_keys_of_a_reply() -> None:
    """A key that a reply gained or lost must show here."""
    structs: list[type[msgspec.Struct]] = list(Reply.__subclasses__())
    for struct in structs:
        structs += struct.__subclasses__()
    structs += [ErrorEnvelope, ClusterInfo]
    shapes = [required_and_known(struct) for struct in structs if struct is not Refused]
    for block in documented("json"):
        answer = msgspec.json.decode(block)
        assert any(required <= answer.keys() <= known for required, known in shapes), block
        if "job" in answer and answer["job"] is not None:
            required, known = required_and_known(Job)
            assert required <= answer["job"].keys() <= known
