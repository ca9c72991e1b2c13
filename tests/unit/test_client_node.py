"""All verbs against a real node: the same scenarios for both clients over both protocols."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from rustqueue.client import (
    AsyncClient,
    Client,
    Conflict,
    InvalidRequest,
    NotFound,
    RustQueueError,
    Unauthorized,
    Unavailable,
)
from rustqueue.client.results import Acked, Bulk, QueueStats, QueueSummary
from rustqueue.model.jobs import Counts, FlowSummary, JobOptions, QueueLimits, QueueSettings
from tests.unit.node_in_thread import Ports, lasting_ports, node_in_thread, node_settings

NO_SUCH_JOB = "00000000-0000-7000-8000-000000000000"
CALL_DEADLINE_S = 60.0
queue_numbers = count()


class FromOutside:
    """An `AsyncClient` on a loop in a thread, used like a blocking one, so that a scenario is written once."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = AsyncClient(url)

    def __getattr__(self, verb: str) -> Any:
        method = getattr(self._client, verb)
        return self._collect(method) if verb.startswith("iter_") else self._wait(method)

    def _wait(self, method: Any) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await method(*args, **kwargs)

        return lambda *args, **kwargs: self._run(call(*args, **kwargs))

    def _collect(self, method: Any) -> Any:
        async def call(*args: Any, **kwargs: Any) -> list[Any]:
            return [item async for item in method(*args, **kwargs)]

        return lambda *args, **kwargs: self._run(call(*args, **kwargs))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_DEADLINE_S)

    def close(self) -> None:
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_DEADLINE_S)
        self._loop.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with node_in_thread(node_settings(tmp_path_factory.mktemp("node"))) as ports:
        yield ports


@pytest.fixture(params=["sync-http", "sync-tcp", "async-http", "async-tcp"])
def client(request: pytest.FixtureRequest, node: Ports) -> Iterator[Client]:
    shell, scheme = request.param.split("-")
    made = Client(node.url(scheme)) if shell == "sync" else FromOutside(node.url(scheme))
    yield cast("Client", made)
    made.close()


@pytest.fixture
def queue() -> str:
    return f"q{next(queue_numbers)}"


def test_a_job_goes_its_way(client: Client, queue: str) -> None:
    # Given a job
    job_id = client.push(queue, "sum", {"numbers": [1, 2]}, priority=5, metadata={"by": "test"}, tags=["a"])
    waiting = client.get(job_id)
    assert waiting is not None
    assert (waiting.state, waiting.data, waiting.metadata, waiting.priority, waiting.tags, waiting.result) == (
        "waiting",
        {"numbers": [1, 2]},
        {"by": "test"},
        5,
        ["a"],
        None,
    )
    # When it is pulled, reports and is acked
    [job] = client.pull(queue, worker_id="w1", lease_ms=60_000)
    assert (job.id, job.state, job.worker_id, job.fence, job.attempt) == (job_id, "active", "w1", 1, 0)
    assert job.attempt_token is not None
    assert client.progress(job, 50, "half way").cancel_requested is False
    assert client.heartbeat(job).drain is False
    assert client.ack(job, {"sum": 3}) == Acked()
    # Then it is completed, and a repeat of the ack is no error
    assert client.ack(job, {"sum": 3}) == Acked()
    done = client.get(job_id)
    assert done is not None
    assert (done.state, done.result, done.progress, [entry.message for entry in done.logs]) == (
        "completed",
        {"sum": 3},
        50,
        ["half way"],
    )
    assert client.stats(queue) == QueueStats(Counts(completed=1), "normal")
    assert client.pull(queue) == []


def test_results_of_parents_reach_the_child(client: Client, queue: str) -> None:
    parents = client.push_batch(queue, [{"name": "part", "data": number} for number in range(3)])
    total = client.push(queue, "total", depends_on=parents, flow_id=queue)
    jobs = client.pull(queue, 10)
    assert [(job.id, job.data) for job in jobs] == list(zip(parents, [0, 1, 2], strict=True))
    reply = client.ack_batch([*((job, job.data * 10) for job in jobs[:2]), jobs[2].id, NO_SUCH_JOB])
    assert (reply.acked, reply.failed, [result.ok for result in reply.results]) == (3, 1, [True, True, True, False])
    assert reply.results[3].error is not None
    assert reply.results[3].error.code == "JOB_NOT_FOUND"

    [child] = client.pull({queue: 1, "another": 5}, 2, with_parent_results=True)
    results = dict(zip(parents, [0, 10, None], strict=True))
    assert (child.id, child.parent_results, child.parent_results_truncated) == (total, results, False)
    assert {parent.id: parent.result for parent in client.iter_parents(total)} == results
    page = client.parents(total, limit=2)
    assert len(page.parents) == 2
    assert page.next_cursor is not None
    flow = client.flow(queue)
    assert ([job.id for job in flow.jobs], flow.summary) == ([total], FlowSummary(total=1, active=1))


def test_failures_end_among_the_dead_and_come_back(client: Client, queue: str) -> None:
    ids = client.push_batch(queue, [{"name": "n", "data": number, "max_attempts": 1} for number in range(3)])
    first, second, third = client.pull(queue, 3)
    assert client.fail(first, "broken").will_retry is False
    batch = client.fail_batch([(second, "broken too"), (third, "lost")])
    assert (batch.retried, batch.dead, batch.failed) == (0, 2, 0)
    dead = client.dlq(queue)
    assert {job.id: job.last_error for job in dead.jobs} == dict(
        zip(ids, ["broken", "broken too", "lost"], strict=True)
    )
    assert client.retry_dlq(queue, filter={"error_contains": "broken"}, dry_run=True) == Bulk(2, 0)
    assert client.retry_dlq(queue, filter={"error_contains": "broken"}, limit=1) == Bulk(1, 1)
    client.retry(ids[1])
    assert client.purge_dlq(queue) == Bulk(1, 1)
    assert client.stats(queue).counts.waiting + client.stats(queue).counts.delayed == 2


def test_a_try_that_fails_is_tried_again(client: Client, queue: str) -> None:
    job_id = client.push(queue, "n", backoff="fixed", backoff_delay_ms=60_000)
    [job] = client.pull(queue)
    failed = client.fail(job, "not yet")
    assert failed.will_retry is True
    assert failed.next_attempt_at is not None
    client.promote(job_id)
    [again] = client.pull(queue)
    assert (again.id, again.attempt, again.fence, again.last_error) == (job_id, 1, 2, "not yet")
    with pytest.raises(Conflict, match="STALE_ATTEMPT"):
        client.ack(job)
    with pytest.raises(Conflict, match="STALE_ATTEMPT"):
        client.heartbeat(job)
    assert client.ack(again) == Acked()


def test_jobs_are_cancelled_removed_and_moved_ahead(client: Client, queue: str) -> None:
    low, high, gone = client.push_batch(queue, [{"name": "n"}] * 3)
    client.set_priority(high, 10)
    assert client.cancel(gone) == "cancelled"
    client.remove(gone)
    assert client.get(gone) is None
    first, second = client.pull(queue, 2)
    assert [first.id, second.id] == [high, low]
    with pytest.raises(Conflict, match="INVALID_STATE"):
        client.cancel(low)
    assert client.cancel(low, running=True) == "cancelling"
    assert client.heartbeat(second).cancel_requested is True
    client.fail(second, "stopped", cancelled=True)
    ended = client.get(low)
    assert ended is not None
    assert ended.state == "cancelled"


def test_lists_have_pages_and_filters(client: Client, queue: str) -> None:
    before = datetime.now(UTC)
    ids = client.push_batch(queue, [{"name": f"n{number}", "metadata": {"k": f"v {number}"}} for number in range(5)])
    assert [job.id for job in client.iter_jobs(queue=queue, limit=2)] == ids[::-1]
    assert [job.id for job in client.iter_jobs(queue=queue, limit=2, order="asc")] == ids
    page = client.list_jobs(queue=queue, limit=2, state="waiting", created_after=before.replace(year=2020))
    assert ([job.id for job in page.jobs], page.next_cursor is None) == (ids[:2:-1], False)
    assert [job.id for job in client.list_jobs(queue=queue, metadata={"k": "v 3"}).jobs] == [ids[3]]
    assert [job.id for job in client.list_jobs(queue=queue, name="n1").jobs] == [ids[1]]


def test_a_queue_is_set_held_cleaned_and_deleted(client: Client, queue: str) -> None:
    info = client.put_queue(queue, defaults={"max_attempts": 7}, limits={"max_waiting": 100}, lease_ms=5_000)
    settings = QueueSettings(defaults=JobOptions(max_attempts=7), limits=QueueLimits(max_waiting=100), lease_ms=5_000)
    assert (info.name, info.settings, info.mode) == (queue, settings, "normal")
    assert client.get_queue(queue).settings == settings
    job_id = client.push(queue, "n")
    job = client.get(job_id)
    assert job is not None
    assert job.max_attempts == 7

    client.pause(queue)
    with pytest.raises(Unavailable, match="QUEUE_PAUSED"):
        client.push(queue, "n")
    client.pause(queue, "hold")
    assert client.pull(queue) == []
    client.resume(queue)
    client.ack_batch(client.pull(queue))
    client.push_batch(queue, [{"name": "n"}, {"name": "n", "delay_ms": 60_000}])
    assert client.drain(queue) == Bulk(2, 2)
    assert client.clean(queue, "completed", limit=10) == Bulk(1, 1)
    assert QueueSummary(queue, Counts(), "normal", revision=4) in client.queues()
    client.push(queue, "n")
    with pytest.raises(Conflict, match="QUEUE_NOT_EMPTY"):
        client.delete_queue(queue)
    client.delete_queue(queue, force=True)
    assert queue not in [found.name for found in client.queues()]


def test_a_key_makes_a_repeat_harmless(client: Client, queue: str) -> None:
    first = client.push(queue, "n", 1, idempotency_key=f"push {queue}")
    assert client.push(queue, "n", 1, idempotency_key=f"push {queue}") == first
    with pytest.raises(InvalidRequest, match="IDEMPOTENCY_MISMATCH"):
        client.push(queue, "n", 2, idempotency_key=f"push {queue}")
    pulled = client.pull(queue, 5, idempotency_key=f"pull {queue}")
    again = client.pull(queue, 5, idempotency_key=f"pull {queue}")
    assert [job.attempt_token for job in again] == [job.attempt_token for job in pulled]
    assert [job.id for job in pulled] == [first]


def test_refusals_have_their_kinds(client: Client, queue: str) -> None:
    assert client.get(NO_SUCH_JOB) is None
    verbs: list[Callable[[str], object]] = [
        client.retry,
        client.promote,
        client.remove,
        client.cancel,
        client.heartbeat,
    ]
    for verb in verbs:
        with pytest.raises(NotFound, match="JOB_NOT_FOUND"):
            verb(NO_SUCH_JOB)
    verbs = [client.sweep, client.cancel_sweep]
    for verb in verbs:
        with pytest.raises(NotFound, match="SWEEP_NOT_FOUND"):
            verb(NO_SUCH_JOB)
    with pytest.raises(InvalidRequest, match="VALIDATION_ERROR") as refused:
        client.push("not a name", "n")
    assert (refused.value.status, refused.value.details) == (400, {"field": "queue"})
    with pytest.raises(InvalidRequest, match="VALIDATION_ERROR"):
        client.pull(queue, 100_000)


def test_health_is_told(client: Client) -> None:
    health = client.health()
    assert (health.status, health.role) == ("healthy", "leader")


def test_a_waiting_pull_gets_the_job_that_comes(client: Client, node: Ports, queue: str) -> None:
    with ThreadPoolExecutor(1) as threads, Client(node.url("tcp")) as pusher:
        waiting = threads.submit(client.pull, queue, wait_ms=60_000)
        job_id = pusher.push(queue, "n")
        assert [job.id for job in waiting.result(CALL_DEADLINE_S)] == [job_id]


async def test_a_waiting_pull_holds_nothing_up(node: Ports, queue: str) -> None:
    async with AsyncClient(node.url("tcp")) as client:
        # Given a pull that waits on the one connection
        waiting = asyncio.ensure_future(client.pull(queue, wait_ms=60_000))
        # When many calls are made at once
        ids = await asyncio.gather(*(client.push(f"{queue}-other", "n", number) for number in range(500)))
        # Then all are answered, each with its own answer, and the pull still waits
        jobs = await asyncio.gather(*(client.get(job_id) for job_id in ids))
        assert [job.data for job in jobs if job is not None] == list(range(500))
        assert not waiting.done()
        wanted = await client.push(queue, "n")
        assert [job.id for job in await waiting] == [wanted]


async def test_more_calls_at_once_than_connections(node: Ports, queue: str) -> None:
    async with AsyncClient(node.url("http")) as client:
        ids = await asyncio.gather(*(client.push(queue, "n", number) for number in range(200)))
        assert len(set(ids)) == 200


async def test_waiting_pulls_take_no_turns_from_others(node: Ports, queue: str) -> None:
    async with AsyncClient(node.url("http")) as client:
        waiting = [asyncio.ensure_future(client.pull(queue, wait_ms=60_000)) for _ in range(70)]
        assert (await client.stats(queue)).counts.waiting == 0
        await client.push_batch(queue, [{"name": "n"}] * 70)
        assert sum(len(jobs) for jobs in await asyncio.gather(*waiting)) == 70


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_one_client_serves_many_threads(node: Ports, queue: str, scheme: str) -> None:
    with Client(node.url(scheme)) as client, ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda number: client.push(queue, "n", number), range(100)))
        jobs = threads.map(client.get, ids)
        assert [job.data for job in jobs if job is not None] == list(range(100))


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_tokens(tmp_path: Path, scheme: str) -> None:
    with node_in_thread(node_settings(tmp_path, token="s3cret")) as ports:
        with Client(ports.url(scheme), token="s3cret") as client:
            assert len(client.push("q", "n")) == 36
        for token in ("wrong", None):
            with Client(ports.url(scheme), token=token) as client, pytest.raises(Unauthorized, match="UNAUTHORIZED"):
                client.push("q", "n")


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_a_client_outlives_a_restart_of_its_node(tmp_path: Path, scheme: str) -> None:
    with node_in_thread(node_settings(tmp_path, lasting_ports())) as ports:
        client = Client(ports.url(scheme))
        before = client.push("q", "n")
    # When a call is made while nobody listens
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.push, "q", "n")
        with node_in_thread(node_settings(tmp_path, ports)):
            # Then it is carried out by the next node on the same folder
            after = call.result(CALL_DEADLINE_S)
            assert [job.id for job in client.iter_jobs(queue="q")] == [after, before]
            client.close()


def test_errors_are_one_family() -> None:
    kinds = (Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable)
    assert [kind for kind in kinds if not issubclass(kind, RustQueueError)] == []
