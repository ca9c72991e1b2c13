"""The worker runtime against a real node: jobs, results, errors, leases."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rustqueue.client import AsyncClient, JobCancelled, RunningJob, Unauthorized, Worker, WorkerCounts
from rustqueue.client.work.handlers import error_text
from rustqueue.model import limits
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings
from tests.unit.worker_at_work import DEADLINE_S, SHORT_LEASE_MS, a_worker, completed, ended, working

queue_numbers = count()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with node_in_thread(node_settings(tmp_path_factory.mktemp("node"))) as ports:
        yield ports


@pytest.fixture
def queue() -> str:
    return f"w{next(queue_numbers)}"


@pytest.fixture
async def client(node: Ports) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(node.url("tcp")) as made:
        yield made


@pytest.mark.parametrize("scheme", ["http", "tcp"])
@pytest.mark.parametrize(("concurrency", "batch"), [(1, 1), (4, 4), (2, 50)])
async def test_jobs_run_in_threads_or_on_the_loop(
    node: Ports, client: AsyncClient, queue: str, scheme: str, concurrency: int, batch: int
) -> None:
    # Given a worker with a plain and an async handler
    worker = a_worker(node, queue, scheme, concurrency=concurrency, batch=batch)
    loop_thread = threading.get_ident()
    strangers: list[str] = []

    @worker.handler("plain")
    def double(job: RunningJob) -> int:
        if threading.get_ident() == loop_thread:
            strangers.append("a plain handler blocks the loop")
        return int(job.data) * 2

    @worker.handler("async")
    async def triple(job: RunningJob) -> int:
        await asyncio.sleep(0)
        return int(job.data) * 3

    # When there are jobs of both kinds
    names = ["plain", "async"]
    ids = await client.push_batch(queue, [{"name": names[number % 2], "data": number} for number in range(60)])
    counts = await completed(worker, client, ids)
    # Then each ran once and has its result
    jobs = [await client.get(job_id) for job_id in ids]
    assert [job.result for job in jobs if job is not None] == [
        number * (3 if number % 2 else 2) for number in range(60)
    ]
    assert (counts, strangers) == (WorkerCounts(pulled=60, completed=60), [])


async def test_no_more_run_at_once_than_allowed(node: Ports, client: AsyncClient, queue: str) -> None:
    running, most = 0, 0

    async def handle(job: RunningJob) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1

    ids = await client.push_batch(queue, [{"name": "n"}] * 40)
    worker = Worker(node.url("tcp"), queue, handle, concurrency=3, batch=20, wait_ms=200)
    assert await completed(worker, client, ids) == WorkerCounts(pulled=40, completed=40)
    assert most == 3


async def test_what_a_handler_raises_is_the_error(node: Ports, client: AsyncClient, queue: str) -> None:
    def handle(job: RunningJob) -> Any:
        match job.data:
            case "raise":
                raise KeyError("missing")
            case "long":
                raise ValueError("é" * 20_000)
            case "unsendable":
                return object()
            case "too large":
                return "x" * (limits.RESULT_BYTES_MAX + 1)
            case _:
                deep: list[Any] = []
                for _ in range(limits.JSON_DEPTH_MAX + 10):
                    deep = [deep]
                return deep

    kinds = ["raise", "long", "unsendable", "too large", "too deep"]
    items: Any = [{"name": "n", "data": kind, "max_attempts": 1} for kind in kinds]
    worker = a_worker(node, queue, concurrency=5)
    worker.handler("n")(handle)
    async with working(worker) as task:
        ids = await client.push_batch(queue, items)
        dead = [await ended(client, job_id, "dlq") for job_id in ids]
    errors = [job.last_error or "" for job in dead]
    assert errors[0] == "KeyError: 'missing'"
    assert errors[1] == error_text("ValueError: " + "é" * 20_000)
    assert len(errors[1].encode()) in (limits.ERROR_BYTES_MAX - 1, limits.ERROR_BYTES_MAX)
    assert errors[2] == "The result cannot be sent as JSON: Encoding objects of type object is unsupported"
    assert errors[3] == f"The result has {limits.RESULT_BYTES_MAX + 3} bytes, the limit is {limits.RESULT_BYTES_MAX}"
    assert errors[4].startswith("The result was refused: Validation error: ")
    assert task.result() == WorkerCounts(pulled=5, failed=5)


async def test_a_bad_result_does_not_spoil_its_batch(node: Ports, client: AsyncClient, queue: str) -> None:
    def handle(job: RunningJob) -> Any:
        deep: list[Any] = []
        for _ in range(job.data):
            deep = [deep]
        return deep

    worker = Worker(node.url("tcp"), queue, handle, concurrency=10, wait_ms=200)
    items: Any = [{"name": "n", "data": 0 if number else 200, "max_attempts": 1} for number in range(10)]
    ids = await client.push_batch(queue, items)
    async with working(worker) as task:
        jobs = [await ended(client, job_id, "completed", "dlq") for job_id in ids]
    assert [job.state for job in jobs] == ["dlq"] + ["completed"] * 9
    assert task.result() == WorkerCounts(pulled=10, completed=9, failed=1)


async def test_a_job_without_a_handler_fails(node: Ports, client: AsyncClient, queue: str) -> None:
    worker = a_worker(node, queue)
    worker.handler("known")(lambda job: None)
    async with working(worker):
        job_id = await client.push(queue, "unknown", max_attempts=1)
        job = await ended(client, job_id, "dlq")
    assert job.last_error == "This worker has no handler for 'unknown'"


async def test_a_failed_try_is_tried_again(node: Ports, client: AsyncClient, queue: str) -> None:
    attempts = []

    async def handle(job: RunningJob) -> int:
        attempts.append((job.attempt, job.fence, job.max_attempts))
        if job.attempt == 0:
            raise RuntimeError("first try")
        return job.attempt

    worker = Worker(node.url("tcp"), queue, handle, wait_ms=200)
    async with working(worker) as task:
        job_id = await client.push(queue, "n", backoff_delay_ms=0)
        job = await ended(client, job_id, "completed")
    assert (job.result, job.last_error, attempts) == (1, "RuntimeError: first try", [(0, 1, 3), (1, 2, 3)])
    assert task.result() == WorkerCounts(pulled=2, completed=1, failed=1)


async def test_the_results_of_parents_are_at_hand(node: Ports, client: AsyncClient, queue: str) -> None:
    worker = a_worker(node, queue)
    worker.handler("part")(lambda job: job.data)
    worker.handler("total")(lambda job: [sum(job.parent_results.values()), job.metadata])
    async with working(worker):
        jobs: Any = [{"name": "part", "data": number} for number in (1, 2, 3)]
        ids = await client.push_batch(
            queue, [*jobs, {"name": "total", "depends_on": [0, 1, 2], "metadata": {"for": "test"}}]
        )
        total = await ended(client, ids[3], "completed")
    assert total.result == [6, {"for": "test"}]


@pytest.mark.parametrize("scheme", ["http", "tcp"])
async def test_progress_is_stored_in_order_and_before_the_outcome(
    node: Ports, client: AsyncClient, queue: str, scheme: str
) -> None:
    def from_thread(job: RunningJob) -> None:
        for percent in range(10):
            job.progress(percent)
        job.progress(40, "one")
        job.progress(50)
        job.progress(60, "two")

    async def from_loop(job: RunningJob) -> None:
        from_thread(job)

    worker = a_worker(node, queue, scheme)
    worker.handler("thread")(from_thread)
    worker.handler("loop")(from_loop)
    async with working(worker) as task:
        ids = await client.push_batch(queue, [{"name": "thread"}, {"name": "loop"}])
        jobs = [await ended(client, job_id, "completed") for job_id in ids]
    assert [(job.progress, [entry.message for entry in job.logs]) for job in jobs] == [(60, ["one", "two"])] * 2
    assert task.result().stale == 0


async def test_heartbeats_keep_the_lease_of_a_long_job(node: Ports, client: AsyncClient, queue: str) -> None:
    beats: set[str | None] = set()

    async def handle(job: RunningJob) -> int:
        # Three beats are as long as the lease, so that without them another run would have begun.
        while len(beats) < 6:
            record = await client.get(job.id)
            assert record is not None
            beats.add(record.last_heartbeat)
        return job.fence

    worker = Worker(node.url("tcp"), queue, handle, lease_ms=SHORT_LEASE_MS, wait_ms=200)
    async with working(worker) as task:
        job_id = await client.push(queue, "n", max_attempts=1)
        job = await ended(client, job_id, "completed", "dlq")
    assert (job.state, job.result) == ("completed", 1)
    assert task.result() == WorkerCounts(pulled=1, completed=1)


async def test_a_running_job_hears_that_it_shall_stop(node: Ports, client: AsyncClient, queue: str) -> None:
    begun = threading.Event()

    def handle(job: RunningJob) -> None:
        begun.set()
        step_of_work = threading.Event()
        while True:
            job.raise_if_cancelled()
            step_of_work.wait(0.01)

    worker = Worker(node.url("tcp"), queue, handle, lease_ms=SHORT_LEASE_MS, wait_ms=200)
    async with working(worker) as task:
        job_id = await client.push(queue, "n")
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
        assert await client.cancel(job_id, running=True) == "cancelling"
        await ended(client, job_id, "cancelled")
    assert task.result() == WorkerCounts(pulled=1, cancelled=1)


async def test_a_worker_that_may_not_pull_says_so(tmp_path: Path) -> None:
    with node_in_thread(node_settings(tmp_path, token="s3cret")) as ports:
        worker = Worker(ports.url("tcp"), "q", lambda job: None, token="wrong", wait_ms=200)
        with pytest.raises(Unauthorized):
            await worker.run_async()


async def test_several_queues_are_served(node: Ports, client: AsyncClient, queue: str) -> None:
    other = f"{queue}-other"
    worker = Worker(node.url("tcp"), {queue: 3, other: 1}, lambda job: job.queue, wait_ms=200)
    async with working(worker):
        ids = [await client.push(name, "n") for name in (queue, other)]
        jobs = [await ended(client, job_id, "completed") for job_id in ids]
    assert [job.result for job in jobs] == [queue, other]


def test_a_worker_is_told_what_to_do(node: Ports) -> None:
    worker = a_worker(node, "q")
    with pytest.raises(ValueError, match="needs a handler"):
        worker.run()
    worker.handler("n")(lambda job: None)
    with pytest.raises(ValueError, match="already a handler for 'n'"):
        worker.handler("n")(lambda job: None)
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        a_worker(node, "q", concurrency=0)


def test_error_texts_fit() -> None:
    assert error_text("\ud800 half a pair") == "? half a pair"
    assert error_text("é" * 10_000) == "é" * (limits.ERROR_BYTES_MAX // 2)
    assert str(JobCancelled()) == ""
