"""The defects of the original (contract A30 and the paragraph below it), each asked of a whole node through its ports.

What concerns later releases is not here: schedules and their time zone, webhooks, the WebSocket, TLS, dashboard. What
needs a process is elsewhere: SIGTERM and a kill in test_node.py, the token of the command line in test_cli_commands.py,
settings without effect in test_settings.py; redacted errors in test_api_shell.py.
"""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from rustqueue.model import limits
from rustqueue.node import Node, running_node
from rustqueue.settings import AuthSettings, JobsSettings
from tests.fuzz.shell import Answer, Wire
from tests.unit.node_in_thread import node_settings
from tests.unit.tcp_client import RawClient, a_node, connected, settings_for_tests

UNKNOWN = "0193e7a0-1111-7000-8000-000000000000"
TEN_YEARS_MS = limits.DURATION_MS_MAX


class Ask:
    """A client of both ports of one node."""

    def __init__(self, raw: RawClient, wire: Wire) -> None:
        self.raw = raw
        self._wire = wire

    async def tcp(self, cmd: str, **fields: Any) -> Any:
        return await self.raw.ask(cmd, **fields)

    async def http(self, method: str, target: str, body: Any = None, *headers: tuple[str, str]) -> Answer:
        data = None if body is None else msgspec.json.encode(body)
        return await self._wire.ask(method, f"/api/v1{target}", data, headers)

    async def push(self, queue: str = "q", **options: Any) -> str:
        answer = await self.tcp("push", queue=queue, name="n", **options)
        assert answer["ok"], answer
        job_id: str = answer["id"]
        return job_id

    async def pull(self, queue: str = "q", **fields: Any) -> Any:
        return (await self.tcp("pull", queue=queue, **fields))["job"]

    async def job(self, job_id: str) -> Any:
        return (await self.tcp("get", id=job_id))["job"]

    async def states(self, *ids: str) -> list[str]:
        return [(await self.job(job_id))["state"] for job_id in ids]


@asynccontextmanager
async def asking(node: Node) -> AsyncIterator[Ask]:
    async with connected(node) as raw:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        try:
            yield Ask(raw, wire)
        finally:
            await wire.close()


@asynccontextmanager
async def a_node_on(folder: Path) -> AsyncIterator[Ask]:
    """A durable node; leaving and entering again is a restart."""
    async with running_node(node_settings(folder)) as node, asking(node) as ask:
        yield ask


@pytest_asyncio.fixture
async def ask() -> AsyncIterator[Ask]:
    async with a_node() as node, asking(node) as made:
        yield made


def code_of(answer: Any) -> str:
    assert answer["ok"] is False, answer
    code: str = answer["error"]["code"]
    return code


def lease_ms(job: Any) -> float:
    started, ends = (datetime.fromisoformat(job[name]) for name in ("started_at", "lease_expires_at"))
    return (ends - started).total_seconds() * 1_000


# Data.


async def test_a_restart_forgets_no_job(tmp_path: Path) -> None:
    """Hybrid loaded no waiting, blocked, completed or cancelled job back."""
    async with a_node_on(tmp_path) as ask:
        active = await ask.push(priority=9, max_attempts=1)
        dead = await ask.push(priority=8, max_attempts=1)
        done = await ask.push(priority=7)
        tokens = [(await ask.pull())["attempt_token"] for _ in range(3)]
        await ask.tcp("fail", id=dead, error="boom")
        await ask.tcp("ack", id=done, result={"r": 1})
        waiting, delayed, blocked, gone = (
            await ask.push(unique_key="u"),
            await ask.push(delay_ms=3_600_000),
            await ask.push(depends_on=[active]),
            await ask.push(),
        )
        await ask.tcp("cancel", id=gone)
        ids = (waiting, delayed, blocked, active, done, dead, gone)
        before = [await ask.job(job_id) for job_id in ids]
    async with a_node_on(tmp_path) as ask:
        assert [await ask.job(job_id) for job_id in ids] == before
        assert await ask.states(*ids) == ["waiting", "delayed", "blocked", "active", "completed", "dlq", "cancelled"]
        assert code_of(await ask.tcp("push", queue="q", name="n", unique_key="u")) == "DUPLICATE_KEY"
        assert await ask.tcp("ack", id=active, attempt_token=tokens[0]) == {"ok": True}


async def test_no_acknowledged_write_waits_for_a_snapshot(tmp_path: Path) -> None:
    """Hybrid lost up to a second of writes. What lies on the disk at the moment of the answer is a whole node."""
    async with a_node_on(tmp_path / "live") as ask:
        ids = [await ask.push() for _ in range(20)]
        done = (await ask.pull())["id"]
        await ask.tcp("ack", id=done, result=1)
        shutil.copytree(tmp_path / "live", tmp_path / "image")
    async with a_node_on(tmp_path / "image") as ask:
        assert await ask.states(*ids) == ["completed", *["waiting"] * 19]


async def test_a_blocked_job_is_not_orphaned_by_a_restart(tmp_path: Path) -> None:
    async with a_node_on(tmp_path) as ask:
        parent = await ask.push()
        child = await ask.push("other", depends_on=[parent])
    async with a_node_on(tmp_path) as ask:
        await ask.pull()
        await ask.tcp("ack", id=parent)
        assert (await ask.pull("other"))["id"] == child


@pytest.mark.parametrize(
    ("policy", "state", "error"),
    [
        ("cascade", "dlq", "parent job '{}' was cancelled or removed"),
        ("ignore", "waiting", None),
        ("continue", "waiting", None),
    ],
)
@pytest.mark.parametrize("verb", ["cancel", "job_remove"])
async def test_a_blocked_job_is_not_orphaned_when_its_parent_goes(
    ask: Ask, verb: str, policy: str, state: str, error: str | None
) -> None:
    parent = await ask.push()
    child = await ask.push(depends_on=[parent], on_parent_failure=policy)
    assert await ask.tcp(verb, id=parent) == {"ok": True}
    settled = await ask.job(child)
    assert (settled["state"], settled["last_error"]) == (state, None if error is None else error.format(parent))


async def test_a_parent_that_is_removed_when_complete_completes_its_children(ask: Ask) -> None:
    parent = await ask.push(remove_on_complete=True)
    child = await ask.push("other", depends_on=[parent])
    await ask.pull()
    await ask.tcp("ack", id=parent, result={"sum": 3})
    pulled = await ask.pull("other", with_parent_results=True)
    assert (pulled["id"], pulled["parent_results"]) == (child, {parent: {"sum": 3}})
    assert code_of(await ask.tcp("get", id=parent)) == "NOT_FOUND"


async def test_a_batch_does_not_ignore_dependencies(ask: Ask) -> None:
    jobs = [{"name": "n", "data": 1, "depends_on": [1]}, {"name": "n", "data": 1}]
    over_tcp = (await ask.tcp("push_batch", queue="q", jobs=jobs))["ids"]
    over_http = (await ask.http("POST", "/queues/q/jobs", jobs)).json["ids"]
    assert await ask.states(*over_tcp, *over_http) == ["blocked", "waiting"] * 2
    jobs[1]["depends_on"] = [UNKNOWN]
    assert code_of(await ask.tcp("push_batch", queue="q", jobs=jobs)) == "VALIDATION_ERROR"


# Correctness.


async def test_an_old_heartbeat_does_not_stall_the_next_try(ask: Ask) -> None:
    job_id = await ask.push(backoff="fixed", backoff_delay_ms=0)
    first = await ask.pull(lease_ms=200)
    await ask.tcp("heartbeat", id=job_id, attempt_token=first["attempt_token"])
    second = await ask.pull(wait_ms=10_000, lease_ms=60_000)

    assert (second["id"], second["attempt"], second["last_error"]) == (job_id, 1, "job stalled (no heartbeat)")
    assert lease_ms(second) == 60_000


async def test_a_stall_limit_is_set_for_each_pull_and_queue(ask: Ask) -> None:
    """Every job that ran for 30 s without a heartbeat was failed, whatever its timeout."""
    for _ in range(3):
        await ask.push(timeout_ms=3_600_000)
    plain = await ask.pull()
    of_pull = await ask.pull(lease_ms=3_600_000)
    await ask.tcp("queue_settings", queue="q", lease_ms=1_800_000)
    of_queue = await ask.pull()
    assert [lease_ms(job) for job in (plain, of_pull, of_queue)] == [30_000, 3_600_000, 1_800_000]


async def test_fifty_parallel_pushes_of_one_unique_key_have_one_winner() -> None:
    async with a_node() as node, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(node)) for _ in range(50)]
        asked = [client.ask("push", queue="q", name="n", unique_key="u") for client in clients]
        answers = await asyncio.gather(*asked)
    codes = Counter("ok" if answer["ok"] else answer["error"]["code"] for answer in answers)
    assert codes == {"ok": 1, "DUPLICATE_KEY": 49}


async def test_one_of_many_that_end_a_job_ends_it() -> None:
    """Acks and fails read the job, changed it and wrote it back without looking again."""
    async with a_node() as node, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(node)) for _ in range(20)]
        job_id = (await clients[0].ask("push", queue="q", name="n", max_attempts=1))["id"]
        await clients[0].ask("pull", queue="q")
        verbs = ["ack", "fail"] * 10
        asked = [client.ask(verb, id=job_id) for client, verb in zip(clients, verbs, strict=True)]
        answers = await asyncio.gather(*asked)
        state = (await clients[0].ask("get", id=job_id))["job"]["state"]
    winners = [verb for verb, answer in zip(verbs, answers, strict=True) if answer["ok"]]
    assert winners == [{"completed": "ack", "dlq": "fail"}[state]]
    assert {answer["error"]["code"] for answer in answers if not answer["ok"]} == {"INVALID_STATE"}


@pytest.mark.parametrize("verb", ["ack", "fail", "heartbeat", "progress"])
async def test_a_late_worker_does_not_speak_for_another_s_try(ask: Ask, verb: str) -> None:
    job_id = await ask.push(backoff="fixed", backoff_delay_ms=0)
    first = await ask.pull(lease_ms=100)
    second = await ask.pull(wait_ms=10_000)
    fields = {"progress": 5} if verb == "progress" else {"error": "late"} if verb == "fail" else {}
    late = await ask.tcp(verb, id=job_id, attempt_token=first["attempt_token"], **fields)
    body = {**fields, "attempt_token": first["attempt_token"]}
    over_http = await ask.http("POST", f"/jobs/{job_id}/{verb}", body)

    assert (second["id"], second["fence"]) == (job_id, first["fence"] + 1)
    assert (code_of(late), over_http.status, over_http.code) == ("STALE_ATTEMPT", 409, "STALE_ATTEMPT")
    assert (await ask.tcp("ack", id=job_id, attempt_token=second["attempt_token"])) == {"ok": True}


@pytest.mark.parametrize(
    "options",
    [{"priority": "high"}, {"max_attempts": -1}, {"backoff": "cubic"}, {"tags": "a"}, {"colour": 1}, "none", [1]],
    ids=str,
)
async def test_bad_options_are_not_dropped_silently(ask: Ask, options: Any) -> None:
    alone = await ask.tcp("push", queue="q", name="n", options=options)
    batch = await ask.tcp("push_batch", queue="q", jobs=[{"name": "n", "options": options}])
    assert [code_of(alone), code_of(batch)] == ["VALIDATION_ERROR"] * 2
    assert (await ask.tcp("stats", queue="q"))["counts"]["waiting"] == 0


@pytest.mark.parametrize("option", [{"remove_on_complete": True}, {"metadata": {"k": 1}}, {"lifo": True}], ids=str)
async def test_a_lone_flat_option_counts_on_tcp(ask: Ask, option: dict[str, Any]) -> None:
    alone = await ask.push(**option)
    [item] = (await ask.tcp("push_batch", queue="q", jobs=[{"name": "n", **option}]))["ids"]
    (name, value) = next(iter(option.items()))
    assert [(await ask.job(job_id))[name] for job_id in (alone, item)] == [value, value]


# Options that did nothing.


async def test_ttl_has_an_effect(ask: Ask) -> None:
    late, child = await ask.push(ttl_ms=1), await ask.push("after", depends_on=[], delay_ms=200)
    assert (await ask.pull("after", wait_ms=10_000))["id"] == child
    expired = await ask.job(late)
    assert (expired["state"], expired["last_error"], await ask.pull()) == ("dlq", "expired", None)


async def test_lifo_has_an_effect(ask: Ask) -> None:
    first, *last = [await ask.push(lifo=lifo) for lifo in (False, True, True)]
    assert [(await ask.pull())["id"] for _ in range(3)] == [*reversed(last), first]


async def test_tags_have_an_effect(ask: Ask) -> None:
    wanted, _ = await ask.push(tags=["a", "b"]), await ask.push(tags=["c"])
    assert [job["id"] for job in (await ask.tcp("job_list", tag="b"))["jobs"]] == [wanted]


async def test_remove_on_fail_has_an_effect(ask: Ask) -> None:
    job_id = await ask.push(remove_on_fail=True, max_attempts=1)
    await ask.pull()
    assert (await ask.tcp("fail", id=job_id))["will_retry"] is False
    assert code_of(await ask.tcp("get", id=job_id)) == "NOT_FOUND"


async def test_custom_id_has_an_effect(ask: Ask) -> None:
    job_id = await ask.push(custom_id="mine")
    assert code_of(await ask.tcp("push", queue="q", name="n", custom_id="mine")) == "DUPLICATE_KEY"
    assert (await ask.http("GET", "/jobs/custom:q:mine")).json["job"]["id"] == job_id


async def test_the_configured_defaults_of_jobs_have_an_effect() -> None:
    jobs = JobsSettings(
        default_max_attempts=7, default_backoff="fixed", default_backoff_delay_ms=5, default_timeout_ms=60_000
    )
    async with a_node(jobs=jobs) as node, asking(node) as ask:
        job = await ask.job(await ask.push())
    shown = [job[name] for name in ("max_attempts", "backoff", "backoff_delay_ms", "timeout_ms")]
    assert shown == [7, "fixed", 5, 60_000]


# Operations.


async def test_a_pause_is_kept_and_shown(tmp_path: Path) -> None:
    async with a_node_on(tmp_path) as ask:
        await ask.tcp("queue_pause", queue="q")
    async with a_node_on(tmp_path) as ask:
        assert code_of(await ask.tcp("push", queue="q", name="n")) == "QUEUE_PAUSED"
        assert (await ask.tcp("stats", queue="q"))["mode"] == "reject"
        assert [queue["mode"] for queue in (await ask.tcp("list_queues"))["queues"]] == ["reject"]


async def test_dead_jobs_can_be_brought_back_and_purged(ask: Ask) -> None:
    ids = [await ask.push(max_attempts=1) for _ in range(3)]
    for job_id in ids:
        await ask.pull()
        await ask.tcp("fail", id=job_id)
    assert (await ask.http("POST", f"/jobs/{ids[0]}/retry")).status == 200
    assert (await ask.http("POST", "/queues/q/dlq/retry", {"limit": 1})).json["moved"] == 1
    assert (await ask.http("DELETE", "/queues/q/dlq")).json["moved"] == 1
    assert (await ask.tcp("stats", queue="q"))["counts"] == {
        **dict.fromkeys(("active", "delayed", "completed", "failed", "dlq", "blocked"), 0),
        "waiting": 2,
    }


async def test_lists_have_pages(ask: Ask) -> None:
    jobs = [{"name": "n", "max_attempts": 1} for _ in range(5)]
    parents = (await ask.tcp("push_batch", queue="q", jobs=jobs))["ids"]
    child = await ask.push("after", depends_on=parents, on_parent_failure="continue")
    await ask.tcp("pull", queue="q", count=5)
    await ask.tcp("fail_batch", items=[{"id": job_id} for job_id in parents])

    assert sorted(await paged(ask, "job_list", "jobs", queue="q")) == sorted(parents)
    assert sorted(await paged(ask, "dlq", "jobs", queue="q")) == sorted(parents)
    assert sorted(await paged(ask, "job_parents", "parents", id=child)) == sorted(parents)


async def paged(ask: Ask, verb: str, member: str, **fields: Any) -> list[str]:
    ids: list[str] = []
    page: dict[str, Any] = {}
    while not page or page["next_cursor"] is not None:
        more = {"cursor": page["next_cursor"]} if page else {}
        page = await ask.tcp(verb, limit=2, **fields, **more)
        assert len(page[member]) <= 2
        ids += [item["id"] for item in page[member]]
    return ids


# Security.


async def test_a_lockout_counts_the_peer_and_not_a_header() -> None:
    auth = AuthSettings(enabled=True, tokens=["good-token-of-this-node"])
    async with running_node(settings_for_tests(auth=auth)) as node, asking(node) as ask:
        asked = [
            await ask.http(
                "GET", "/queues", None, ("Authorization", "Bearer bad"), ("X-Forwarded-For", f"10.0.0.{last}")
            )
            for last in range(5)
        ]
        good = [("Authorization", "Bearer good-token-of-this-node"), ("X-Forwarded-For", "10.9.9.9")]
        locked = await ask.http("GET", "/queues", None, *good)
        over_tcp = await ask.tcp("auth", token="good-token-of-this-node")

    assert [(answer.status, answer.code) for answer in asked] == [(401, "UNAUTHORIZED")] * 5
    assert (locked.status, locked.code, code_of(over_tcp)) == (429, "RATE_LIMITED", "RATE_LIMITED")


async def test_other_origins_are_not_let_in(ask: Ask) -> None:
    origin = ("Origin", "https://elsewhere.example")
    answers = [
        await ask.http("GET", "/queues", None, origin),
        await ask.http("OPTIONS", "/queues", None, origin, ("Access-Control-Request-Method", "GET")),
    ]
    assert [name for answer in answers for name in answer.headers if name.startswith("access-control")] == []


# Scale.


async def test_the_log_lines_of_a_job_are_bounded(ask: Ask) -> None:
    job_id = await ask.push()
    await ask.pull()
    for number in range(limits.LOG_LINES_MAX + 5):
        await ask.tcp("progress", id=job_id, progress=1, message=str(number))
    kept = [line["message"] for line in (await ask.job(job_id))["logs"]]
    assert kept == [str(number) for number in range(5, limits.LOG_LINES_MAX + 5)]


async def test_a_line_without_an_end_is_cut_off(ask: Ask) -> None:
    ask.raw.send_raw(b'{"cmd":"push","queue":"' + b"q" * limits.LINE_BYTES_MAX)
    assert code_of(json.loads(await ask.raw.rest())) == "TOO_LARGE"


# Protocol.


async def test_both_protocols_use_both_names_of_a_retry(ask: Ask) -> None:
    for _ in range(2):
        await ask.push(max_attempts=1)
    over_tcp = await ask.tcp("fail", id=(await ask.pull())["id"])
    over_http = await ask.http("POST", f"/jobs/{(await ask.pull())['id']}/fail", {"error": "e"})
    assert over_tcp == over_http.json == {"ok": True, "retry": False, "will_retry": False, "next_attempt_at": None}


async def test_a_missing_job_has_the_code_that_the_published_clients_need(ask: Ask) -> None:
    over_http = await ask.http("GET", f"/jobs/{UNKNOWN}")
    assert (over_http.status, over_http.code) == (404, "JOB_NOT_FOUND")
    assert code_of(await ask.tcp("get", id=UNKNOWN)) == "NOT_FOUND"
    assert code_of(await ask.tcp("cancel", id=UNKNOWN)) == "JOB_NOT_FOUND"


# Numbers.


async def test_a_delay_of_nothing_waits_at_once(ask: Ask) -> None:
    assert await ask.states(await ask.push(delay_ms=0)) == ["waiting"]


@pytest.mark.parametrize("field", ["delay_ms", "timeout_ms", "ttl_ms", "backoff_delay_ms", "max_backoff_ms"])
@pytest.mark.parametrize("value", [9 * 10**15, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -1])
async def test_huge_durations_are_refused_and_the_connection_goes_on(ask: Ask, field: str, value: int) -> None:
    over_tcp = await ask.tcp("push", **{"queue": "q", "name": "n", field: value})
    over_http = await ask.http("POST", "/queues/q/jobs", {"name": "n", "data": 1, field: value})
    limit = 0 if value < 0 else TEN_YEARS_MS
    assert over_tcp["error"]["details"] == {"field": field, "limit": limit}
    assert (code_of(over_tcp), over_http.status, over_http.json) == ("VALIDATION_ERROR", 400, over_tcp)
    assert await ask.push()


async def test_the_longest_durations_do_not_wrap(ask: Ask) -> None:
    """A timeout of 2^64-1 ms was over at once; a huge back-off ended the scheduler at the first stall."""
    huge: dict[str, Any] = {"timeout_ms": TEN_YEARS_MS, "ttl_ms": TEN_YEARS_MS, "backoff_delay_ms": TEN_YEARS_MS}
    job_id = await ask.push(max_attempts=limits.ATTEMPTS_MAX, backoff="exponential", **huge)
    await ask.pull(lease_ms=100)
    # The scheduler of a node that is well wakes this one, after the lease of the first has ended.
    later = await ask.push("other", delay_ms=400)
    assert (await ask.pull("other", wait_ms=10_000))["id"] == later
    stalled = await ask.job(job_id)
    assert (stalled["state"], stalled["attempt"]) == ("delayed", 1)
    left = datetime.fromisoformat(stalled["delay_until"]) - datetime.fromisoformat(stalled["updated_at"])
    assert left.total_seconds() * 1_000 == TEN_YEARS_MS


@pytest.mark.parametrize("count", [limits.PULL_COUNT_MAX + 1, 2**32 - 1, 2**32 + 1, -1, "5", 1.5, None, [1]], ids=str)
async def test_a_pull_does_not_take_a_strange_count_as_one(ask: Ask, count: Any) -> None:
    await ask.push()
    assert code_of(await ask.tcp("pull", queue="q", count=count)) == "VALIDATION_ERROR"
    over_http = await ask.http("POST", "/queues/q/pull", {"count": count})
    assert (over_http.status, over_http.code) == (400 if type(count) is int else 422, "VALIDATION_ERROR")


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (100, 100), (101, 100), (255, 100), (256, None), (300, None)])
async def test_progress_is_not_cut_to_eight_bits(ask: Ask, given: int, kept: int | None) -> None:
    job_id = await ask.push()
    await ask.pull()
    told = await ask.tcp("progress", id=job_id, progress=given)
    over_http = await ask.http("POST", f"/jobs/{job_id}/progress", {"progress": given})
    assert (told["ok"], over_http.status) == ((True, 200) if kept is not None else (False, 400))
    assert (await ask.job(job_id))["progress"] == kept


async def test_a_partly_failed_batch_says_which_and_why(ask: Ask) -> None:
    """`ok` is false, as clients of the original expect, and every item has an answer of its own."""
    job_id = await ask.push()
    await ask.pull()
    told = await ask.tcp("ack_batch", ids=[job_id, UNKNOWN])
    assert [(item["id"], item["ok"]) for item in told["results"]] == [(job_id, True), (UNKNOWN, False)]
    assert (told["ok"], told["acked"], told["failed"]) == (False, 1, 1)
    assert told["results"][1]["error"]["code"] == "JOB_NOT_FOUND"
