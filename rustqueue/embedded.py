"""The node inside one's own program: no ports, the same machine, journal and ticker (decisions A36, contract A24).

    async with RustQueue.rocks("./data").build() as queue:
        await queue.push("mail", "welcome", {"to": "ada@example.org"})

`RustQueue` is an `AsyncClient` whose calls go to the gateway of a node in the same event loop: all methods of the
client are there and mean the same. It must not decide anything itself.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from typing import Final, NoReturn, Self, TypeVar, Unpack

import msgspec

from rustqueue.client.aio import AsyncClient
from rustqueue.client.call import Answer, Call, read_answer
from rustqueue.client.calls.jobs import Queues
from rustqueue.client.errors import RustQueueError
from rustqueue.client.lines import Lines
from rustqueue.client.stream.session import StreamEvent
from rustqueue.client.work.handlers import Handler
from rustqueue.client.work.outbox import WorkerCounts
from rustqueue.client.work.registry import WorkerRegistry, call
from rustqueue.client.work.reports import Reports
from rustqueue.client.work.running import RunningJob
from rustqueue.client.work.worker import Worker, WorkerOptions
from rustqueue.gateway.places import placed
from rustqueue.model.errors import ApiError
from rustqueue.model.replies import ErrorEnvelope, Refused, Reply, status_of
from rustqueue.model.wire import decode_request
from rustqueue.node.assembly import Node, NodeError
from rustqueue.settings import Settings, StorageSettings

__all__ = ["NodeError", "RustQueue", "RustQueueBuilder"]

T = TypeVar("T")

_NOWHERE: Final = "tcp://in.this.process:1"
"""A worker and a client want an address; nobody connects to this one."""


class RustQueueBuilder:
    """What `build` puts together. Each method changes the builder and returns it."""

    def __init__(self, storage: StorageSettings) -> None:
        self._settings = Settings(storage=storage)
        self._registry: WorkerRegistry | None = None

    def with_settings(self, settings: Settings) -> Self:
        """All settings but the storage; those of ports have no effect."""
        self._settings = msgspec.structs.replace(settings, storage=self._settings.storage)
        return self

    def with_write_coalescing(self, interval_ms: int, max_batch: int) -> Self:
        """Let a commit wait that long for company, or until so many commands are there."""
        storage = msgspec.structs.replace(
            self._settings.storage,
            write_coalescing_enabled=True,
            write_coalescing_interval_ms=interval_ms,
            write_coalescing_max_batch=max_batch,
        )
        self._settings = msgspec.structs.replace(self._settings, storage=storage)
        return self

    def with_hybrid_config(self, snapshot_interval_ms: int = 1_000, max_dirty: int = 5_000) -> Self:
        """Taken for compatibility: nothing here is acknowledged before it is on the disk."""
        return self

    def with_worker_registry(self, registry: WorkerRegistry) -> Self:
        """For `dispatch_next_with_registered_worker`."""
        self._registry = registry
        return self

    def build(self) -> "RustQueue":
        """The queue, not yet open: `async with` it, or `await start()`."""
        return RustQueue(self._settings, self._registry)


class RustQueue(AsyncClient):
    """A durable queue in this process. It belongs to the event loop that it is started in."""

    def __init__(self, settings: Settings, registry: WorkerRegistry | None = None) -> None:
        super().__init__(_NOWHERE, idempotency="off")
        self._settings = settings
        self._registry = registry
        self._node: Node | None = None

    @staticmethod
    def memory() -> RustQueueBuilder:
        """Nothing is kept: for tests."""
        return RustQueueBuilder(StorageSettings(backend="memory"))

    @staticmethod
    def rocks(path: str | os.PathLike[str]) -> RustQueueBuilder:
        """Kept in a folder, which one process at a time may open."""
        return RustQueueBuilder(StorageSettings(backend="rocks", path=os.fspath(path)))

    redb = rocks
    hybrid = rocks
    get_job = AsyncClient.get
    list_queues = AsyncClient.queues
    get_queue_stats = AsyncClient.stats
    update_progress = AsyncClient.progress

    async def start(self) -> Self:
        """Open the folder and replay its log. Raises `NodeError`, for example when another process has the folder."""
        node = Node(self._settings, with_ports=False)
        await node.start()
        self._node = node
        return self

    async def close(self) -> None:
        """Answer what is on its way, flush, let the folder go."""
        node, self._node = self._node, None
        if node is not None:
            await node.stop(self._settings.limits.shutdown_s)

    async def __aenter__(self) -> Self:
        return await self.start()

    def worker(self, queues: Queues, handler: Handler | None = None, **options: Unpack[WorkerOptions]) -> Worker:
        """A worker for jobs of this process; register its handlers, then `run_worker`."""
        return Worker(_NOWHERE, queues, handler, **options)

    async def run_worker(self, worker: Worker) -> WorkerCounts:
        """Work until `worker.drain()` is called."""
        return await worker.run_with(self)

    async def dispatch_next_with_registered_worker(self, queue: str) -> str | None:
        """Pull one job, run it with the worker that the registry names, and ack or fail it; its id, or None for no job.

        Raises `UnknownEngine` for a job that no engine is named for; it stays leased until its lease ends.
        """
        if self._registry is None:
            raise RustQueueError("NO_REGISTRY", "The queue was built without a worker registry")
        jobs = await self.pull(queue)
        if not jobs:
            return None
        job = jobs[0]
        run = self._registry.resolve_worker(job)
        reports = Reports(self, lambda running, lease: running.mark(cancel_requested=lease.cancel_requested))
        running = RunningJob(job, reports.say)
        try:
            result = await call(run, running)
            await reports.empty()
        except Exception as error:
            await reports.empty()
            await self.fail(job, str(error) or type(error).__name__)
        else:
            await self.ack(job, result)
        return job.id

    def subscribe(
        self,
        *,
        events: Iterable[str] = (),
        queues: Iterable[str] = (),
        job_id: str | None = None,
        after: str | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Streams of events need a port."""
        _no_port()

    async def _send(self, call: Call[T]) -> T:
        node = self._node
        if node is None:
            raise RustQueueError("CLOSED", "The queue is not open: use `async with`, or `await start()`")
        # A read is answered at once: one that is repeated must leave the node, and everybody else, a turn.
        await asyncio.sleep(0)
        line = Lines().encode(call.request, call.key, None)[:-1]
        try:
            reply = await node.gateway.ask(decode_request(line), line)
        except ApiError as error:
            reply = Refused.of(placed(error))
        return read_answer(call, Answer(_body_of(reply), status_of(reply)), False)


def _body_of(reply: Reply) -> bytes:
    return msgspec.json.encode(ErrorEnvelope(False, reply.error) if isinstance(reply, Refused) else reply)


def _no_port() -> NoReturn:
    raise RustQueueError("UNSUPPORTED", "An embedded queue has no port, and so no stream of events")
