"""What the tests of the worker runtime share: a worker at work, and waiting for a job to get there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rustqueue.client import AsyncClient, Job, Worker, WorkerCounts
from tests.unit.node_in_thread import Ports

DEADLINE_S = 60.0
SHORT_LEASE_MS = 4_500  # Beats every 1.5 s: a machine may stall for two of them.


def a_worker(ports: Ports, queue: str, scheme: str = "tcp", **options: Any) -> Worker:
    return Worker(ports.url(scheme), [queue], **{"wait_ms": 200, **options})


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator["asyncio.Task[WorkerCounts]"]:
    """The worker at work; it is drained at the end."""
    task = asyncio.ensure_future(worker.run_async())
    try:
        yield task
    finally:
        worker.drain()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(task, return_exceptions=True)


async def ended(client: AsyncClient, job_id: str, *states: str) -> Job:
    """The job once it is in one of the states."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            job = await client.get(job_id)
            assert job is not None
            if job.state in states:
                return job


async def completed(worker: Worker, client: AsyncClient, ids: list[str]) -> WorkerCounts:
    """What the worker says when all these jobs are completed."""
    async with working(worker) as task:
        for job_id in ids:
            await ended(client, job_id, "completed")
    return task.result()
