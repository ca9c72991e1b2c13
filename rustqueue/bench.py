"""`rustqueue bench`: a short load on a running node, through the public client, with what it costs the caller.

For the figures of a release there is `benchmarks/`; this answers how fast one installation is right now. It must not
know how the node works. Invariant: it uses one queue, and the jobs that it pushed are acknowledged when it ends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from rustqueue.client import AsyncClient
from rustqueue.client.calls.jobs import NewJob
from rustqueue.client.token import Token

WAIT_MS = 2_000


class Load(Struct, frozen=True):
    """What to do: `jobs` in calls of `batch`, over `connections` at once."""

    jobs: int
    batch: int
    connections: int
    payload_bytes: int
    queue: str
    ca_file: str | None = None


class Phase(Struct, frozen=True):
    """One part of the load. `p50_ms` and `p99_ms` are of one call of a whole batch."""

    name: str
    jobs: int
    seconds: float
    jobs_per_s: float
    calls: int
    p50_ms: float
    p99_ms: float


class Result(Struct, frozen=True):
    url: str
    load: Load
    phases: list[Phase]


def measure(url: str, token: Token | None, load: Load) -> Result:
    """Push everything, then pull and acknowledge everything. Raises `RustQueueError`."""
    try:
        return asyncio.run(_measure(url, token, load))
    except BaseExceptionGroup as group:
        # Connections fail together, of the same cause; the first tells it.
        raise group.exceptions[0] from None


def table_of(result: Result) -> str:
    """For people."""
    load = result.load
    lines = [
        f"{load.jobs:,} jobs of {load.payload_bytes} bytes in calls of {load.batch} "
        f"over {load.connections} connections to {result.url}",
        "",
        f"{'phase':<12} {'jobs/s':>10} {'seconds':>9} {'calls':>8} {'p50 ms':>8} {'p99 ms':>8}",
    ]
    lines += [
        f"{phase.name:<12} {phase.jobs_per_s:>10,.0f} {phase.seconds:>9.2f} {phase.calls:>8,}"
        f" {phase.p50_ms:>8.2f} {phase.p99_ms:>8.2f}"
        for phase in result.phases
    ]
    return "\n".join(lines)


async def _measure(url: str, token: Token | None, load: Load) -> Result:
    # Keys would let the node remember every call; a load that nobody repeats does not need them.
    clients = [AsyncClient(url, token, idempotency="off", ca_file=load.ca_file) for _ in range(load.connections)]
    try:
        phases = [
            await _phase("push", clients, load, _push),
            await _phase("pull + ack", clients, load, _pull_and_ack),
        ]
    finally:
        for client in clients:
            await client.close()
    return Result(url, load, phases)


class _Progress:
    """What is left of one phase, shared by its connections, and how long each call took."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.remaining = load.jobs
        self.done = 0
        self.calls_ms: list[float] = []

    def take(self) -> int:
        """Jobs for the next call; 0 when all are given out."""
        size = min(self.load.batch, self.remaining)
        self.remaining -= size
        return size

    async def timed(self, call: Awaitable[object]) -> None:
        begin = time.perf_counter()
        await call
        self.calls_ms.append((time.perf_counter() - begin) * 1e3)


_Step = Callable[[AsyncClient, _Progress], Awaitable[None]]


async def _phase(name: str, clients: list[AsyncClient], load: Load, step: _Step) -> Phase:
    progress = _Progress(load)
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(_repeat(client, progress, step))
    seconds = time.perf_counter() - begin
    ordered = sorted(progress.calls_ms)
    return Phase(
        name=name,
        jobs=progress.done,
        seconds=seconds,
        jobs_per_s=progress.done / seconds,
        calls=len(ordered),
        p50_ms=_rank(ordered, 50),
        p99_ms=_rank(ordered, 99),
    )


async def _repeat(client: AsyncClient, progress: _Progress, step: _Step) -> None:
    while progress.done < progress.load.jobs and progress.remaining > 0:
        await step(client, progress)


async def _push(client: AsyncClient, progress: _Progress) -> None:
    size = progress.take()
    job: NewJob = {"name": "bench", "data": "x" * (progress.load.payload_bytes - 2)}
    await progress.timed(client.push_batch(progress.load.queue, [job] * size))
    progress.done += size


async def _pull_and_ack(client: AsyncClient, progress: _Progress) -> None:
    size = progress.take()
    while size > 0:
        begin = time.perf_counter()
        jobs = await client.pull(progress.load.queue, size, wait_ms=WAIT_MS)
        if not jobs:
            # Somebody else works on this queue as well: what is gone cannot be measured.
            progress.remaining = 0
            return
        await client.ack_batch(jobs)
        progress.calls_ms.append((time.perf_counter() - begin) * 1e3)
        progress.done += len(jobs)
        size -= len(jobs)


def _rank(ordered: list[float], percent: int) -> float:
    """Nearest rank; 0 for an empty list."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0
