"""The worker runtime against a real node: drains, lost answers, lost leases, restarts."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rustqueue.client import AsyncClient, NetworkError, RunningJob, Worker, WorkerCounts
from rustqueue.client.work.handlers import Handlers, logger
from rustqueue.client.work.shift import Plan, Shift
from tests.unit.node_in_thread import Ports, lasting_ports, node_in_thread, node_settings
from tests.unit.worker_at_work import DEADLINE_S, SHORT_LEASE_MS, a_worker, ended, working

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
async def test_outcomes_outlive_a_restart_of_the_node(tmp_path: Path, scheme: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def handle(job: RunningJob) -> str:
        begun.set()
        assert go_on.wait(DEADLINE_S)
        return "done"

    with node_in_thread(node_settings(tmp_path, lasting_ports())) as ports:
        async with AsyncClient(ports.url("tcp")) as client:
            ids = await client.push_batch("q", [{"name": "n"}] * 3)
        worker = Worker(ports.url(scheme), "q", handle, wait_ms=200, timeout_s=5.0)
        task = asyncio.ensure_future(worker.run_async())
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
    # When the jobs end while the node is away
    go_on.set()
    with node_in_thread(node_settings(tmp_path, ports)):
        async with AsyncClient(ports.url("tcp")) as client:
            jobs = [await ended(client, job_id, "completed") for job_id in ids]
        worker.drain()
        counts = await task
    # Then the next node gets the results, and nothing ran twice
    assert [(job.result, job.fence) for job in jobs] == [("done", 1)] * 3
    assert counts == WorkerCounts(pulled=3, completed=3)


async def test_a_drain_finishes_what_is_here(node: Ports, client: AsyncClient, queue: str) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handle(job: RunningJob) -> None:
        begun.set()
        await go_on.wait()

    worker = Worker(node.url("tcp"), queue, handle, concurrency=2, batch=5, wait_ms=200)
    await client.push_batch(queue, [{"name": "n"}] * 8)
    task = asyncio.ensure_future(worker.run_async())
    await begun.wait()
    # When it is drained with two jobs running and three held
    worker.drain()
    go_on.set()
    # Then those five are done, and the others are left to others
    assert await task == WorkerCounts(pulled=5, completed=5)
    assert (await client.stats(queue)).counts.waiting == 3


async def test_a_drain_waits_for_progress_and_for_a_result_that_is_refused(
    node: Ports, client: AsyncClient, queue: str
) -> None:
    async def handle(job: RunningJob) -> Any:
        worker.drain()
        await asyncio.sleep(0)  # The drain has begun now.
        job.progress(10, "last words")
        deep: list[Any] = []
        for _ in range(200):
            deep = [deep]
        return deep

    worker = Worker(node.url("tcp"), queue, handle, wait_ms=200)
    job_id = await client.push(queue, "n", max_attempts=1)
    async with working(worker) as task:
        assert await task == WorkerCounts(pulled=1, failed=1)
    job = await ended(client, job_id, "dlq")
    assert ([entry.message for entry in job.logs], (job.last_error or "")[:22]) == (
        ["last words"],
        "The result was refused",
    )


class Ear(logging.Handler):
    """What is said of workers, and when something is."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []
        self.heard = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.levelname, record.getMessage()))
        self.heard.set()


async def test_a_worker_says_that_it_hears_of_no_node() -> None:
    ear = Ear()
    logger.addHandler(ear)
    # Given an address where nobody listens, which nobody else can take
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        worker = Worker(f"tcp://127.0.0.1:{nobody.getsockname()[1]}", "q", print, wait_ms=1)
        # When a worker is sent there
        async with working(worker), asyncio.timeout(DEADLINE_S):
            # Then it says so long before its client gives up
            await ear.heard.wait()
    logger.removeHandler(ear)
    assert ear.said == [("WARNING", "no answer from the node yet, trying on")]


async def test_the_grace_ends(node: Ports, client: AsyncClient, queue: str) -> None:
    begun, never = asyncio.Event(), asyncio.Event()
    thread_begun, release = threading.Event(), threading.Event()

    async def on_loop(job: RunningJob) -> None:
        begun.set()
        await never.wait()

    def in_thread(job: RunningJob) -> None:
        thread_begun.set()
        release.wait(DEADLINE_S)

    # Given a worker that runs one job on the loop and one in a thread, and holds one more of each
    worker = a_worker(node, queue, grace_s=0.3, concurrency=1, batch=4)
    worker.handler("loop")(on_loop)
    worker.handler("thread")(in_thread)
    ids = await client.push_batch(queue, [{"name": name, "max_attempts": 1} for name in ("loop", "thread") * 2])
    async with working(worker) as task:
        await begun.wait()
        assert await asyncio.to_thread(thread_begun.wait, DEADLINE_S)
        # When its grace is over
        worker.drain()
        counts = await task
    release.set()
    # Then the handler on the loop is cut off, the one in the thread is left to the end of its lease, and what was not
    # begun is given back. Each is the failure of a try.
    jobs = [await ended(client, job_id, "dlq", "active") for job_id in ids]
    assert [(job.state, job.last_error) for job in jobs] == [
        ("dlq", "The worker stopped before the job ended"),
        ("active", None),
        ("dlq", "The worker stopped before it began the job"),
        ("dlq", "The worker stopped before it began the job"),
    ]
    assert counts == WorkerCounts(pulled=4, failed=3)


class LosesAnswers(AsyncClient):
    """A client on a bad line: the first acks are carried out, but nobody hears of it."""

    lost_count = 0

    async def ack_batch(self, items: Any) -> Any:
        reply = await super().ack_batch(items)
        if self.lost_count < 6:
            self.lost_count += 1
            raise NetworkError("lost", sent=True)
        return reply


async def test_a_full_outbox_holds_pulls_up_only_until_it_empties(node: Ports, client: AsyncClient, queue: str) -> None:
    ids = await client.push_batch(queue, [{"name": "n"}] * 10)
    handlers = Handlers(lambda job: job.fence)
    counts = WorkerCounts()
    plan = Plan(
        queues=queue,
        concurrency=1,
        batch=1,
        wait_ms=200,
        lease_ms=SHORT_LEASE_MS,
        worker_id="w",
        with_parent_results=False,
        grace_s=30.0,
    )
    # Given a worker that takes one job at a time and hears nothing of its first acks
    async with LosesAnswers(node.url("tcp")) as bad_line:
        shift = Shift(bad_line, plan, handlers, counts)
        task = asyncio.ensure_future(shift.work())
        jobs = [await ended(client, job_id, "completed") for job_id in ids]
        shift.drain()
        await task
        assert bad_line.lost_count == 6
    # Then it says them again, goes on with the others, and what was stored is not taken for lost
    assert [job.result for job in jobs] == [1] * 10
    assert counts == WorkerCounts(pulled=10, completed=10)


async def test_an_outcome_that_comes_too_late_is_dropped_and_counted(
    node: Ports, client: AsyncClient, queue: str
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    lost = []

    async def handle(job: RunningJob) -> str:
        if job.attempt:
            return "second"
        begun.set()
        await go_on.wait()
        lost.append(job.lease_lost())
        return "first"

    worker = Worker(node.url("tcp"), queue, handle, wait_ms=200)
    async with working(worker) as task:
        # Given a running job that somebody else declares failed
        job_id = await client.push(queue, "n", backoff_delay_ms=0)
        await begun.wait()
        await client.fail(job_id, "taken away")
        job = await ended(client, job_id, "completed")
        # When its first run ends after all
        go_on.set()
    # Then the result of the second stands
    assert (job.result, lost) == ("second", [False])
    assert task.result() == WorkerCounts(pulled=2, completed=1, stale=1)


async def test_a_lost_lease_is_noticed_while_the_job_runs(node: Ports, client: AsyncClient, queue: str) -> None:
    begun = threading.Event()

    def handle(job: RunningJob) -> None:
        begun.set()
        step_of_work = threading.Event()
        while not job.lease_lost():
            step_of_work.wait(0.01)
        job.raise_if_cancelled()

    worker = Worker(node.url("tcp"), queue, handle, lease_ms=SHORT_LEASE_MS, wait_ms=200)
    async with working(worker) as task:
        job_id = await client.push(queue, "n", max_attempts=1)
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
        await client.fail(job_id, "taken away")
        await ended(client, job_id, "dlq")
    assert task.result() == WorkerCounts(pulled=1, stale=1)
