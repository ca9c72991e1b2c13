"""Each verb as the line that TCP gets, decoded by the vocabulary, and as the HTTP target."""

import inspect
import re
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from msgspec import Raw, Struct

from rustqueue.api.routes import ROUTES as SERVED
from rustqueue.client import AsyncClient, Client, InvalidRequest, Job
from rustqueue.client.call import Call
from rustqueue.client.calls import backups, cluster, schedules, webhooks
from rustqueue.client.calls import insight as insight_calls
from rustqueue.client.calls import jobs as job_calls
from rustqueue.client.calls import queues as queue_calls
from rustqueue.client.calls import tokens as token_calls
from rustqueue.client.http11 import Http11
from rustqueue.client.lines import Lines
from rustqueue.client.routes import PULL_SEVERAL, ROUTES, Route, target_of
from rustqueue.model import commands, jobs, queries, wire
from rustqueue.model.cluster import requests as cluster_requests
from rustqueue.model.cluster.backups import BackupRequest
from rustqueue.model.commands import AckItem, DlqFilter, FailItem, NewJob, PushJobs, WeightedQueue
from rustqueue.model.jobs import JobItem, JobOptions, Owner, QueueLimits, Retention, RetentionSettings
from rustqueue.model.tokens import Scope
from rustqueue.model.webhooks import commands as hooks
from rustqueue.model.webhooks.values import RetryRules
from tests.unit.backup_calls import BACKUP_CALLS
from tests.unit.schedule_calls import SCHEDULE_CALLS

PULLED = Job(id="j1", name="n", queue="q", state="active", attempt_token="t1")
AT = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)

# verb, call, what the server decodes, HTTP method and path below /api/v1, HTTP body
CALLS: list[tuple[str, Call[Any], object, str, Any]] = [
    (
        "push",
        job_calls.push("q", "n", {"a": 1}),
        PushJobs("q", [NewJob("n", b'{"a":1}', None)], True),
        "POST /queues/q/jobs",
        {"name": "n", "data": {"a": 1}},
    ),
    (
        "push with options",
        job_calls.push("q", "n", [1], priority=5, run_at=AT, metadata={"m": True}, tags=["x"], depends_on=["p"]),
        PushJobs(
            "q",
            [
                NewJob(
                    "n",
                    b"[1]",
                    commands.Push(
                        queue="q",
                        name="n",
                        data=Raw(b"[1]"),
                        priority=5,
                        run_at="2026-05-01T12:30:00+00:00",
                        metadata=Raw(b'{"m":true}'),
                        tags=["x"],
                        depends_on=["p"],
                    ),
                )
            ],
            True,
        ),
        "POST /queues/q/jobs",
        {
            "name": "n",
            "data": [1],
            "priority": 5,
            "run_at": "2026-05-01T12:30:00+00:00",
            "metadata": {"m": True},
            "tags": ["x"],
            "depends_on": ["p"],
        },
    ),
    (
        "push_batch",
        job_calls.push_batch("q", [{"name": "a", "data": 1}, {"name": "b", "priority": 2, "depends_on": [0]}]),
        PushJobs(
            "q",
            [
                NewJob("a", b"1", None),
                NewJob("b", b"null", JobItem(name="b", data=Raw(b"null"), priority=2, depends_on=[0])),
            ],
            False,
        ),
        "POST /queues/q/jobs",
        [{"name": "a", "data": 1}, {"priority": 2, "depends_on": [0], "name": "b", "data": None}],
    ),
    (
        "pull one queue",
        job_calls.pull("q", 5, wait_ms=1_000, worker_id="w", lease_ms=5_000, with_parent_results=True),
        commands.Pull(queue="q", count=5, wait_ms=1_000, worker_id="w", lease_ms=5_000, with_parent_results=True),
        "POST /queues/q/pull",
        {"count": 5, "wait_ms": 1_000, "worker_id": "w", "lease_ms": 5_000, "with_parent_results": True},
    ),
    (
        "pull several queues",
        job_calls.pull({"a": 3, "b": 1}),
        commands.Pull(queues=[WeightedQueue("a", 3), WeightedQueue("b", 1)]),
        "POST /pull",
        {
            "queues": [{"queue": "a", "weight": 3}, {"queue": "b", "weight": 1}],
            "count": 1,
            "wait_ms": 0,
            "with_parent_results": False,
        },
    ),
    (
        "ack of a pulled job",
        job_calls.ack(PULLED, {"sum": 3}),
        commands.Ack(id="j1", result=Raw(b'{"sum":3}'), attempt_token="t1"),
        "POST /jobs/j1/ack",
        {"result": {"sum": 3}, "attempt_token": "t1", "cancelled": False},
    ),
    ("ack by id", job_calls.ack("j1"), commands.Ack(id="j1"), "POST /jobs/j1/ack", {"cancelled": False}),
    (
        "ack_batch",
        job_calls.ack_batch(["j0", PULLED, (PULLED, None)]),
        commands.AckBatch(
            items=[
                AckItem(id="j0"),
                AckItem(id="j1", attempt_token="t1"),
                AckItem(id="j1", result=Raw(b"null"), attempt_token="t1"),
            ]
        ),
        "POST /jobs/ack-batch",
        {
            "items": [
                {"id": "j0", "attempt_token": None, "cancelled": False},
                {"id": "j1", "attempt_token": "t1", "cancelled": False},
                {"id": "j1", "result": None, "attempt_token": "t1", "cancelled": False},
            ]
        },
    ),
    (
        "fail",
        job_calls.fail(PULLED, "broken", cancelled=True),
        commands.Fail(id="j1", error="broken", attempt_token="t1", cancelled=True),
        "POST /jobs/j1/fail",
        {"error": "broken", "attempt_token": "t1", "cancelled": True},
    ),
    (
        "fail_batch",
        job_calls.fail_batch([(PULLED, "broken"), ("j2", "lost")]),
        commands.FailBatch(
            items=[FailItem(id="j1", error="broken", attempt_token="t1"), FailItem(id="j2", error="lost")]
        ),
        "POST /jobs/fail-batch",
        {
            "items": [
                {"id": "j1", "error": "broken", "attempt_token": "t1", "cancelled": False},
                {"id": "j2", "error": "lost", "attempt_token": None, "cancelled": False},
            ]
        },
    ),
    (
        "progress",
        job_calls.progress(PULLED, 40, "half"),
        commands.Progress(id="j1", progress=40, message="half", attempt_token="t1"),
        "POST /jobs/j1/progress",
        {"progress": 40, "message": "half", "attempt_token": "t1"},
    ),
    (
        "heartbeat",
        job_calls.heartbeat("j1", attempt_token="t2"),
        commands.Heartbeat(id="j1", attempt_token="t2"),
        "POST /jobs/j1/heartbeat",
        {"attempt_token": "t2"},
    ),
    (
        "cancel",
        job_calls.cancel("j1", running=True),
        commands.Cancel(id="j1", running=True),
        "POST /jobs/j1/cancel",
        {"running": True},
    ),
    ("get", job_calls.get("custom:q:a/b"), queries.Get(id="custom:q:a/b"), "GET /jobs/custom:q:a%2Fb", None),
    (
        "list_jobs",
        job_calls.list_jobs(queue="q", state="dlq", metadata={"k": "v w"}, created_after=AT, limit=10, order="asc"),
        queries.JobList(
            queue="q",
            state=jobs.JobState.DLQ,
            metadata={"k": "v w"},
            created_after="2026-05-01T12:30:00+00:00",
            limit=10,
            order="asc",
        ),
        "GET /jobs?queue=q&state=dlq&metadata.k=v+w&created_after=2026-05-01T12%3A30%3A00%2B00%3A00&limit=10&order=asc",
        None,
    ),
    (
        "parents",
        job_calls.parents("j1", limit=7, cursor="c"),
        queries.JobParents(id="j1", limit=7, cursor="c"),
        "GET /jobs/j1/parents?cursor=c&limit=7",
        None,
    ),
    ("retry", job_calls.retry("j1"), commands.JobRetry(id="j1"), "POST /jobs/j1/retry", None),
    ("promote", job_calls.promote("j1"), commands.JobPromote(id="j1"), "POST /jobs/j1/promote", None),
    (
        "set_priority",
        job_calls.set_priority("j1", 9),
        commands.JobPriority(id="j1", priority=9),
        "PUT /jobs/j1/priority",
        {"priority": 9},
    ),
    ("remove", job_calls.remove("j1"), commands.JobRemove(id="j1"), "DELETE /jobs/j1", None),
    ("queues", queue_calls.queues(), queries.ListQueues(), "GET /queues", None),
    ("stats", queue_calls.stats("q"), queries.Stats(queue="q"), "GET /queues/q/stats", None),
    ("get_queue", queue_calls.get_queue("q"), queries.QueueGet(queue="q"), "GET /queues/q", None),
    (
        "put_queue",
        queue_calls.put_queue(
            "q",
            defaults={"max_attempts": 5},
            limits={"max_waiting": 10},
            retention={"completed": {"count": 100}},
            lease_ms=1_000,
            mode="hold",
        ),
        commands.QueueSet(
            queue="q",
            defaults=JobOptions(max_attempts=5),
            limits=QueueLimits(max_waiting=10),
            retention=RetentionSettings(completed=Retention(count=100)),
            lease_ms=1_000,
            mode="hold",
        ),
        "PUT /queues/q",
        {
            "defaults": {"max_attempts": 5},
            "limits": {"max_waiting": 10},
            "retention": {"completed": {"count": 100}},
            "lease_ms": 1_000,
            "mode": "hold",
        },
    ),
    (
        "pause",
        queue_calls.pause("q", "both"),
        commands.QueuePause(queue="q", mode="both"),
        "POST /queues/q/pause",
        {"mode": "both"},
    ),
    ("resume", queue_calls.resume("q"), commands.QueueResume(queue="q"), "POST /queues/q/resume", None),
    ("drain", queue_calls.drain("q"), commands.QueueDrain(queue="q"), "POST /queues/q/drain", None),
    (
        "clean",
        queue_calls.clean("q", "completed", older_than_ms=60_000, limit=10),
        commands.QueueClean(queue="q", state="completed", older_than_ms=60_000, limit=10),
        "POST /queues/q/clean",
        {"state": "completed", "older_than_ms": 60_000, "limit": 10},
    ),
    (
        "delete_queue",
        queue_calls.delete_queue("q", force=True),
        commands.QueueDelete(queue="q", force=True),
        "DELETE /queues/q?force=true",
        None,
    ),
    (
        "delete_queue without force",
        queue_calls.delete_queue("q"),
        commands.QueueDelete(queue="q"),
        "DELETE /queues/q",
        None,
    ),
    ("dlq", queue_calls.dlq("q", limit=5), queries.Dlq(queue="q", limit=5), "GET /queues/q/dlq?limit=5", None),
    (
        "retry_dlq",
        queue_calls.retry_dlq("q", filter={"name": "n"}, limit=3, rate_per_s=10, dry_run=True),
        commands.DlqRetry(queue="q", filter=DlqFilter(name="n"), limit=3, rate_per_s=10, dry_run=True),
        "POST /queues/q/dlq/retry",
        {"filter": {"name": "n"}, "limit": 3, "rate_per_s": 10, "dry_run": True},
    ),
    ("purge_dlq", queue_calls.purge_dlq("q"), commands.DlqPurge(queue="q"), "DELETE /queues/q/dlq", None),
    ("flow", queue_calls.flow("f 1"), queries.Flow(flow_id="f 1"), "GET /flows/f%201", None),
    (
        "scale",
        insight_calls.scale("q", per_worker=5, max=9),
        queries.QueueScale(queue="q", per_worker=5, max=9),
        "GET /queues/q/scale?per_worker=5&min=0&max=9&due_within_ms=0",
        None,
    ),
    ("why", insight_calls.why("j1"), queries.JobWhy(id="j1"), "GET /jobs/j1/why", None),
    ("history", insight_calls.history("j1"), queries.JobHistory(id="j1"), "GET /jobs/j1/history", None),
    (
        "result",
        insight_calls.result("j1", wait_ms=9),
        queries.JobResult(id="j1", wait_ms=9),
        "GET /jobs/j1/result?wait_ms=9",
        None,
    ),
    ("dlq_groups", insight_calls.dlq_groups("q"), queries.DlqGroups(queue="q"), "GET /queues/q/dlq/groups", None),
    (
        "transaction",
        job_calls.transaction([{"cmd": "ack", "id": "j1"}, {"cmd": "cancel", "id": "j2", "running": True}]),
        commands.RunTransaction([commands.Ack(id="j1"), commands.Cancel(id="j2", running=True)]),
        "POST /tx",
        {"operations": [{"cmd": "ack", "id": "j1"}, {"cmd": "cancel", "id": "j2", "running": True}]},
    ),
    ("workers", insight_calls.workers(), queries.WorkerList(), "GET /workers?limit=50", None),
    (
        "drain_worker",
        insight_calls.drain_worker("w/1"),
        commands.WorkerDrain(worker_id="w/1"),
        "POST /workers/w%2F1/drain",
        {"drain": True},
    ),
    ("sweep", queue_calls.sweep("s1"), queries.SweepGet(id="s1"), "GET /sweeps/s1", None),
    ("cancel_sweep", queue_calls.cancel_sweep("s1"), commands.SweepCancel(id="s1"), "DELETE /sweeps/s1", None),
    (
        "create_token",
        token_calls.create_token("w", [{"verbs": ["push"], "queues": ["a.*"]}], expires_in_ms=5),
        commands.TokenCreate(name="w", scopes=[Scope(["push"], ["a.*"])], expires_in_ms=5),
        "POST /tokens",
        {"name": "w", "scopes": [{"verbs": ["push"], "queues": ["a.*"]}], "expires_in_ms": 5},
    ),
    ("cluster", cluster.cluster(), cluster_requests.ClusterGet(), "GET /cluster", None),
    (
        "transfer_leadership",
        cluster.transfer_leadership("n2"),
        cluster_requests.ClusterTransfer(to="n2"),
        "POST /cluster/transfer",
        {"to": "n2"},
    ),
    (
        "add_member",
        cluster.add_member("n3", "h:6800"),
        cluster_requests.MemberAdd(id="n3", address="h:6800"),
        "POST /cluster/members",
        {"id": "n3", "address": "h:6800"},
    ),
    (
        "remove_member",
        cluster.remove_member("n3#7"),
        cluster_requests.MemberRemove(id="n3#7"),
        "DELETE /cluster/members/n3%237",
        None,
    ),
    (
        "replace_member",
        cluster.replace_member("n1"),
        cluster_requests.MemberReplace(id="n1"),
        "POST /cluster/members/n1/replace",
        {},
    ),
    ("tokens", token_calls.tokens(), queries.TokenList(), "GET /tokens", None),
    ("delete_token", token_calls.delete_token("t1"), commands.TokenDelete(id="t1"), "DELETE /tokens/t1", None),
    (
        "create_webhook",
        webhooks.create_webhook("https://h.example/", name="h", events=["job.dlq"], secret="s", owner={"uid": "u"}),
        hooks.WebhookCreate(url="https://h.example/", name="h", events=["job.dlq"], secret="s", owner=Owner("u")),
        "POST /webhooks",
        {"url": "https://h.example/", "name": "h", "events": ["job.dlq"], "queues": [], "secret": "s"}
        | {"owner": {"uid": "u", "ref": ""}},
    ),
    (
        "put_webhook that clears",
        webhooks.put_webhook("h", "https://h.example/", secret=None, headers=None, retry={"max_retries": 1}),
        hooks.WebhookPut(
            name="h", url="https://h.example/", secret=None, headers=None, retry=RetryRules(max_retries=1)
        ),
        "PUT /webhooks/h",
        {"url": "https://h.example/", "events": [], "queues": [], "secret": None, "headers": None}
        | {"retry": {"max_retries": 1}},
    ),
    ("list_webhooks", webhooks.list_webhooks(), hooks.WebhookList(), "GET /webhooks", None),
    ("get_webhook", webhooks.get_webhook("h"), hooks.WebhookGet(name="h"), "GET /webhooks/h", None),
    ("delete_webhook", webhooks.delete_webhook("h"), hooks.WebhookDelete(name="h"), "DELETE /webhooks/h", None),
    ("pause_webhook", webhooks.pause_webhook("h"), hooks.WebhookPause(name="h"), "POST /webhooks/h/pause", None),
    ("resume_webhook", webhooks.resume_webhook("h"), hooks.WebhookResume(name="h"), "POST /webhooks/h/resume", None),
    ("test_webhook", webhooks.test_webhook("h"), hooks.WebhookTest(name="h"), "POST /webhooks/h/test", None),
    (
        "resend_webhook",
        webhooks.resend_webhook("h", delivery="d"),
        hooks.WebhookResend(name="h", delivery="d"),
        "POST /webhooks/h/resend",
        {"delivery": "d"},
    ),
    (
        "webhook_deliveries",
        webhooks.webhook_deliveries("h", show="waiting", limit=5),
        hooks.WebhookDeliveries(name="h", show="waiting", limit=5),
        "GET /webhooks/h/deliveries?show=waiting&limit=5",
        None,
    ),
    ("health", queue_calls.health(), queries.Health(), "GET /health", None),
    *SCHEDULE_CALLS,
    *BACKUP_CALLS,
]
NAMES = [row[0] for row in CALLS]


@pytest.mark.parametrize(("call", "decoded"), [(row[1], row[2]) for row in CALLS], ids=NAMES)
def test_a_line_decodes_into_the_vocabulary(call: Call[Any], decoded: object) -> None:
    assert wire.decode_request(Lines().encode(call.request, None, None)) == decoded


@pytest.mark.parametrize(("call", "target", "body"), [(row[1], row[3], row[4]) for row in CALLS], ids=NAMES)
def test_an_http_request_has_its_route(call: Call[Any], target: str, body: object) -> None:
    method, path, text = target_of(call.request)
    assert (f"{method} {path}", None if text is None else msgspec.json.decode(text)) == (target, body)


def test_the_routes_cover_the_vocabulary_and_are_served() -> None:
    # `auth` exists on TCP only: over HTTP the token is a header.
    verbs = {*get_args(commands.WireCommand | commands.SecretCommand), *get_args(queries.Query), queries.Health}
    verbs |= {*get_args(cluster_requests.ClusterRequest), *get_args(BackupRequest)}
    assert set(ROUTES) == verbs
    assert {type(call.request) for _, call, _, _, _ in CALLS} == verbs
    served = {(row.method, re.sub(r"\{\w+\}", "*", row.path), row.verb) for row in SERVED}
    routes: list[tuple[type[Struct], Route]] = [*ROUTES.items(), (commands.Pull, PULL_SEVERAL)]
    ours = {(row.method, "/api/v1" + re.sub(r"\{\w+\}", "*", row.path), tag_of(kind)) for kind, row in routes}
    # The array that a batch push sends goes to the route of the single push.
    ours -= {("POST", "/api/v1/queues/*/jobs", "push_batch")}
    assert ours - served == set()


def tag_of(kind: type[Struct]) -> str:
    return str(kind.__struct_config__.tag)


def test_both_clients_offer_every_verb_with_the_same_arguments() -> None:
    builders = {
        name: value
        for module in (job_calls, queue_calls, token_calls, schedules, cluster, backups)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    del builders["options_for_wire"]
    expected = {name: list(inspect.signature(build).parameters) for name, build in builders.items()}
    assert {name: list(inspect.signature(getattr(Client, name)).parameters)[1:] for name in builders} == expected
    assert {name: list(inspect.signature(getattr(AsyncClient, name)).parameters)[1:] for name in builders} == expected


def test_a_client_job_knows_every_field_of_the_answer() -> None:
    ours = {field.encode_name for field in msgspec.structs.fields(Job)}
    assert ours == {field.encode_name for field in msgspec.structs.fields(jobs.Job)}


def test_a_line_carries_key_and_id() -> None:
    line = Lines().encode(commands.Heartbeat(id="j1"), "k", 7)
    assert line == b'{"cmd":"heartbeat","id":"j1","idempotency_key":"k","request_id":7}\n'
    assert wire.decode_request(line) == commands.Heartbeat(id="j1", idempotency_key="k", request_id=7)


def test_a_token_is_presented_first() -> None:
    assert Lines("s3cret").greeting() == b'{"cmd":"auth","token":"s3cret"}\n'
    assert Lines().greeting() == b""


def test_an_http_request_is_spelled_out() -> None:
    framing = Http11("node:6790", "/prefix", "s3cret")
    assert framing.encode(commands.Heartbeat(id="j1"), "k", None) == (
        b"POST /prefix/api/v1/jobs/j1/heartbeat HTTP/1.1\r\n"
        b"Host: node:6790\r\n"
        b"Authorization: Bearer s3cret\r\n"
        b"Idempotency-Key: k\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 2\r\n"
        b"\r\n"
        b"{}"
    )
    assert framing.encode(queries.Health(), None, None) == (
        b"GET /prefix/api/v1/health HTTP/1.1\r\nHost: node:6790\r\nAuthorization: Bearer s3cret\r\n\r\n"
    )


def test_a_line_break_in_a_header_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'idempotency_key' may only hold printable ASCII"):
        Http11("node").encode(queries.Health(), "a\r\nX: y", None)
    with pytest.raises(InvalidRequest, match="'token' may only hold printable ASCII"):
        Http11("node", token="a\nb")


def test_what_cannot_be_sent_is_said_before_sending() -> None:
    with pytest.raises(ValueError, match="a time without a time zone is ambiguous"):
        job_calls.push("q", "n", run_at=datetime(2026, 5, 1))  # noqa: DTZ001
    with pytest.raises(TypeError, match="nope"):
        job_calls.push_batch("q", [{"name": "a", "nope": 1}])  # type: ignore[typeddict-unknown-key]
    with pytest.raises(InvalidRequest, match="VALIDATION_ERROR"):
        queue_calls.put_queue("q", limits={"nope": 1})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(InvalidRequest, match="'lease' is no setting of a queue"):
        queue_calls.put_queue("q", lease=5)  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest, match="TOO_LARGE"):
        Lines().encode(job_calls.push_batch("q", [{"name": "a", "data": "x" * 17_000_000}]).request, None, None)
