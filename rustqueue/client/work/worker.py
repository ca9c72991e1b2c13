"""The worker: pulls jobs, runs handlers, reports outcomes, until it is told to stop."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import TypedDict, TypeVar, Unpack

from rustqueue.client.aio import AsyncClient
from rustqueue.client.calls.jobs import Queues
from rustqueue.client.token import Token
from rustqueue.client.tracing.carried import Tracing, traced
from rustqueue.client.work.handlers import Handler, Handlers, logger
from rustqueue.client.work.outbox import Ended, WorkerCounts
from rustqueue.client.work.running import RunningJob
from rustqueue.client.work.shift import Plan, Shift
from rustqueue.model import limits

H = TypeVar("H", bound=Handler)


class WorkerOptions(TypedDict, total=False):
    """`concurrency` (10): jobs that run at once. `batch` (as concurrency): jobs held at once, running or next; raise
    it for short jobs. `wait_ms` (2,000): how long an idle worker's pull waits, and so the longest that an idle worker
    takes to stop. `lease_ms`: how soon another worker gets the jobs if this process dies (the queue's or the node's
    default). `grace_s` (30): how long running jobs may go on after a signal. `timeout_s` (30): see `Client`. `tracing`:
    told of every job that runs, as `rustqueue.client.tracing.telemetry.OpenTelemetry`. `on_ended`: told on the loop
    what became of a job, once the node has answered for that.
    """

    concurrency: int
    batch: int
    wait_ms: int
    lease_ms: int
    worker_id: str
    with_parent_results: bool
    token: Token
    grace_s: float
    timeout_s: float
    on_ended: Callable[[RunningJob, Ended], None]
    tracing: Tracing


class Worker:
    """Runs handlers for the jobs of some queues::

        worker = Worker("tcp://127.0.0.1:6789", ["mail"])

        @worker.handler("welcome")
        def welcome(job: RunningJob) -> str:
            return f"sent to {job.data['to']}"

        worker.run()

    What a handler returns is the job's result; what it raises is its error, and the job is tried again as its options
    say. An `async def` runs on the event loop, any other function in a thread. A job may run more than once (its worker
    may die after the work and before the report), never twice at the same time as long as its lease is kept.
    """

    def __init__(
        self, url: str, queues: Queues, handler: Handler | None = None, **options: Unpack[WorkerOptions]
    ) -> None:
        concurrency = options.get("concurrency", 10)
        batch = options.get("batch", concurrency)
        wait_ms = options.get("wait_ms", 2_000)
        if not (concurrency >= 1 and 1 <= batch <= limits.PULL_COUNT_MAX and 1 <= wait_ms <= limits.WAIT_MS_MAX):
            raise ValueError(
                f"concurrency must be at least 1, batch 1 to {limits.PULL_COUNT_MAX}, wait_ms 1 to {limits.WAIT_MS_MAX}"
            )
        self._url = url
        self._token = options.get("token")
        self._timeout_s = options.get("timeout_s", 30.0)
        self._plan = Plan(
            queues=queues,
            concurrency=concurrency,
            batch=batch,
            wait_ms=wait_ms,
            lease_ms=options.get("lease_ms"),
            worker_id=options.get("worker_id") or f"{socket.gethostname()}-{os.getpid()}-{os.urandom(2).hex()}",
            with_parent_results=options.get("with_parent_results", True),
            grace_s=options.get("grace_s", 30.0),
            on_ended=options.get("on_ended"),
        )
        self._tracing = options.get("tracing")
        self._handlers = Handlers(self._told(handler) if handler is not None else None)
        self._shift: Shift | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain_asked = False
        self.counts = WorkerCounts()

    def handler(self, name: str) -> Callable[[H], H]:
        """Decorator: the handler of the jobs of that name."""

        def register(handler: H) -> H:
            self._handlers.add(name, self._told(handler))
            return handler

        return register

    def _told(self, handler: Handler) -> Handler:
        return handler if self._tracing is None else traced(self._tracing, handler)

    def run(self) -> WorkerCounts:
        """Work until SIGTERM or SIGINT (a second signal ends it at once); the answer says what was done."""
        return asyncio.run(self.run_async(signals=threading.current_thread() is threading.main_thread()))

    async def run_async(self, *, signals: bool = False) -> WorkerCounts:
        """Work until `drain` is called; with `signals` also until SIGTERM or SIGINT."""
        async with AsyncClient(self._url, self._token, timeout_s=self._timeout_s) as client:
            return await self.run_with(client, signals=signals)

    async def run_with(self, client: AsyncClient, *, signals: bool = False) -> WorkerCounts:
        """The same over a client that is there already, and stays."""
        if not self._handlers:
            raise ValueError("a worker needs a handler")
        loop = asyncio.get_running_loop()
        shift = Shift(client, self._plan, self._handlers, self.counts)
        self._shift, self._loop = shift, loop
        if self._drain_asked:
            shift.drain()
        watched = (signal.SIGTERM, signal.SIGINT) if signals else ()
        for number in watched:
            loop.add_signal_handler(number, self._signalled)
        try:
            await shift.work()
        finally:
            for number in watched:
                loop.remove_signal_handler(number)
            self._shift = self._loop = None
        return self.counts

    @property
    def is_ready(self) -> bool:
        """Whether it takes jobs now: it works, is not to stop, and the node has answered its last pull."""
        return self._shift is not None and self._shift.in_touch and not self._drain_asked

    def drain(self) -> None:
        """Take no more jobs, finish those that are here, then return from `run`. From any thread."""
        self._drain_asked = True
        shift, loop = self._shift, self._loop
        if shift is not None and loop is not None:
            loop.call_soon_threadsafe(shift.drain)

    def _signalled(self) -> None:
        assert self._shift is not None
        if self._drain_asked:
            logger.warning("second signal: ending at once")
            self._shift.abandon()
            return
        logger.info("signal: finishing the jobs that are here")
        self._drain_asked = True
        self._shift.drain()
