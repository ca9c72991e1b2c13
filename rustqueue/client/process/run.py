"""The worker process: registry in, jobs out, until a signal.

It must not know a command line. Invariants: after a signal no job is begun, and those that run have the grace to end;
the port for metrics answers as long as jobs run.
"""

from typing import Any, Final

from msgspec import Struct

from rustqueue.client.address import Address
from rustqueue.client.aio import AsyncClient
from rustqueue.client.process.numbers import WorkerNumbers
from rustqueue.client.process.probes import Probes, Told
from rustqueue.client.token import Token
from rustqueue.client.work.handlers import logger
from rustqueue.client.work.outbox import WorkerCounts
from rustqueue.client.work.registry import WorkerRegistry, call
from rustqueue.client.work.running import RunningJob
from rustqueue.client.work.worker import Worker, WorkerOptions

CONCURRENCY_DEFAULT: Final = 4
METRICS_HOST_DEFAULT: Final = "0.0.0.0"
METRICS_PORT_DEFAULT: Final = 9091
GRACE_S_DEFAULT: Final = 30.0


class ProcessPlan(Struct, frozen=True, kw_only=True):
    """What the process was told to do. No `queues`: those that the registry routes. No `metrics_port`: no port."""

    url: str
    token: Token | None = None
    ca_file: str | None = None
    timeout_s: float = 30.0
    queues: list[str] = []
    concurrency: int = CONCURRENCY_DEFAULT
    wait_ms: int = 2_000
    lease_ms: int | None = None
    worker_id: str | None = None
    grace_s: float = GRACE_S_DEFAULT
    metrics_host: str = METRICS_HOST_DEFAULT
    metrics_port: int | None = METRICS_PORT_DEFAULT


class WorkerProcess:
    """`run` once; `drain` ends it softly, as SIGTERM does."""

    def __init__(self, plan: ProcessPlan, registry: WorkerRegistry) -> None:
        queues = plan.queues or registry.queues
        if not queues:
            raise ValueError("the registry routes no queue to an engine: name queues, or call route_queue_to_engine")
        Address.parse(plan.url)  # A wrong one is told before anything begins.
        self._plan = plan
        self._registry = registry
        self._numbers = WorkerNumbers()
        options = WorkerOptions(
            concurrency=plan.concurrency,
            wait_ms=plan.wait_ms,
            grace_s=plan.grace_s,
            timeout_s=plan.timeout_s,
            on_ended=self._numbers.ended,
        )
        if plan.lease_ms is not None:
            options["lease_ms"] = plan.lease_ms
        if plan.worker_id is not None:
            options["worker_id"] = plan.worker_id
        self._worker = Worker(plan.url, queues, self._run_job, **options)
        self._queues = queues
        self.probes: Probes | None = None

    async def run(self, *, signals: bool = True) -> WorkerCounts:
        """Raises `RustQueueError` when pulling cannot succeed, `OSError` when the port for metrics cannot be had."""
        plan = self._plan
        if plan.metrics_port is not None:
            told = Told(self._numbers.text, lambda: self._worker.is_ready)
            self.probes = Probes(plan.metrics_host, plan.metrics_port, told)
            await self.probes.start()
        port = None if self.probes is None else self.probes.port
        logger.info("worker begins", extra={"url": plan.url, "queues": self._queues, "metrics_port": port})
        try:
            async with AsyncClient(plan.url, plan.token, timeout_s=plan.timeout_s, ca_file=plan.ca_file) as client:
                counts = await self._worker.run_with(client, signals=signals)
        finally:
            if self.probes is not None:
                await self.probes.stop()
        logger.info("worker ends", extra={"completed": counts.completed, "failed": counts.failed})
        return counts

    def drain(self) -> None:
        self._worker.drain()

    async def _run_job(self, job: RunningJob) -> Any:
        self._numbers.began(job)
        return await call(self._registry.resolve_worker(job.record), job)
