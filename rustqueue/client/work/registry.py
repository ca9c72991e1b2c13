"""Which engine runs a job: by its metadata, else by its queue (contract A24).

It must not know where jobs come from. An engine is a name with a factory that makes a worker; a worker is what is
called with a running job, and what it returns or raises is the outcome.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from rustqueue.client.results import Job
from rustqueue.client.work.handlers import is_async
from rustqueue.client.work.running import RunningJob

EngineWorker = Callable[[RunningJob], Any]
"""Runs one job: its result is what is returned, its error what is raised. An `async def` or a plain function."""

EngineFactory = Callable[[], EngineWorker]


async def call(worker: EngineWorker, job: RunningJob) -> Any:
    """Run a job with its worker. A plain function runs in a thread, so that it holds nobody else up."""
    return await worker(job) if is_async(worker) else await asyncio.to_thread(worker, job)


class UnknownEngine(LookupError):
    """No factory of that name is registered, or nothing says which one it is."""


class WorkerRegistry:
    """Engines and the queues that are routed to them. Names of engines do not tell capitals apart."""

    def __init__(self) -> None:
        self._factories: dict[str, EngineFactory] = {}
        self._routes: dict[str, str] = {}

    def register_engine_factory(self, engine: str, factory: EngineFactory) -> None:
        """`factory` makes a worker for each job of the engine; an earlier one of that name is replaced."""
        self._factories[engine.lower()] = factory

    def route_queue_to_engine(self, queue: str, engine: str) -> None:
        """Jobs of the queue go to that engine, unless their metadata says otherwise."""
        if engine.lower() not in self._factories:
            raise UnknownEngine(f"engine '{engine}' is not registered")
        self._routes[queue] = engine.lower()

    @property
    def queues(self) -> list[str]:
        """The queues that are routed to an engine."""
        return list(self._routes)

    def resolve_engine(self, job: Job) -> str | None:
        """`metadata.engine` of the job, else the route of its queue, else None."""
        metadata = job.metadata
        named = metadata.get("engine") if isinstance(metadata, dict) else None
        return named.lower() if isinstance(named, str) else self._routes.get(job.queue)

    def resolve_worker(self, job: Job) -> EngineWorker:
        """A new worker for the job. Raises `UnknownEngine`."""
        engine = self.resolve_engine(job)
        factory = None if engine is None else self._factories.get(engine)
        if factory is None:
            raise UnknownEngine(f"no engine for job '{job.name}' of queue '{job.queue}' (named: {engine})")
        return factory()
