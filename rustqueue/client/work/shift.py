"""One working period of a worker, from its first pull to the end of its drain. Lives on one event loop.

The flow of a job: pulled -> buffered -> running -> outcome in the outbox -> settled. Its lease is kept from the pull
until it is settled. A pull is never cut off: what it was about to get would stay leased to nobody.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from rustqueue.client.aio import AsyncClient
from rustqueue.client.calls.jobs import PullOptions, Queues
from rustqueue.client.errors import RustQueueError
from rustqueue.client.results import Job, Lease
from rustqueue.client.work.handlers import Broken, Handler, Handlers, Outcome, is_async, logger, run_async
from rustqueue.client.work.heartbeats import Heartbeats
from rustqueue.client.work.outbox import Ended, Outbox, WorkerCounts
from rustqueue.client.work.reports import Reports
from rustqueue.client.work.running import RunningJob
from rustqueue.client.work.threads import Threads
from rustqueue.model import limits

_UNSETTLED_FACTOR: Final = 4  # Finished jobs may pile up while the node is away, but only to this many fillings.
_EMPTY_PAUSE_S: Final = 0.1  # After an empty answer that did not wait, as of a node that is going down.
_PULL_MARGIN_S: Final = 1.0
_SILENCE_S: Final = 2.0  # A node that has not been heard of for so long is told of; the client asks on for much longer.


class Plan(Struct, frozen=True, kw_only=True):
    """What a worker was told to do, checked."""

    queues: Queues
    concurrency: int
    batch: int
    wait_ms: int
    lease_ms: int | None
    worker_id: str
    with_parent_results: bool
    grace_s: float
    on_ended: Callable[[RunningJob, Ended], None] | None = None

    @property
    def held_max(self) -> int:
        return max(self.concurrency, self.batch)


class Shift:
    """Call `work` once; `drain` and `abandon` on the same loop end it softly or at once."""

    def __init__(self, client: AsyncClient, plan: Plan, handlers: Handlers, counts: WorkerCounts) -> None:
        self._client = client
        self._plan = plan
        self._handlers = handlers
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._buffer: deque[tuple[RunningJob, Handler]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held_count = 0
        self.in_touch = False
        """Whether the node has answered the last pull."""
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._abandoned = asyncio.Event()
        self._threads = Threads(plan.concurrency, self._finished)
        self._heartbeats = Heartbeats(client, self._heard)
        self._reports = Reports(client, self._heard)
        self._outbox = Outbox(client, counts, plan.held_max, self._settled, lambda: self._held_count > 0)

    def drain(self) -> None:
        """Take no more jobs and end when those that are here are done."""
        self._ending.set()
        self._changed.set()

    def abandon(self) -> None:
        """End now; the jobs that run come back to the queue."""
        self.drain()
        self._abandoned.set()

    async def work(self) -> None:
        """Raises `RustQueueError` when pulling cannot succeed, for example without permission."""
        beating = self._loop.create_task(self._heartbeats.run())
        pulling = self._loop.create_task(self._pull())
        ending = self._loop.create_task(self._ending.wait())
        try:
            await asyncio.wait([pulling, ending], return_when=asyncio.FIRST_COMPLETED)
            self.drain()
            await self._finish(pulling)
        finally:
            for task in (beating, pulling, ending, *self._tasks):
                task.cancel()
            await asyncio.gather(beating, pulling, ending, *self._tasks, return_exceptions=True)
            self._threads.close()
            await self._reports.close()
            await self._heartbeats.close()
            await self._outbox.close()
        if not pulling.cancelled():
            pulling.result()

    async def _finish(self, pulling: asyncio.Task[None]) -> None:
        """The drain: bounded by the grace, cut short by `abandon`."""
        drained = self._loop.create_task(self._drained(pulling))
        abandoned = self._loop.create_task(self._abandoned.wait())
        await asyncio.wait([drained, abandoned], timeout=self._plan.grace_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, abandoned):
            task.cancel()
        await asyncio.gather(drained, abandoned, return_exceptions=True)
        if self._held_count:
            logger.warning("%d jobs did not end in time", self._held_count)
            await self._give_back()

    async def _drained(self, pulling: asyncio.Task[None]) -> None:
        # Longer than its own wait means that the node is away, and then there is nothing to wait for.
        await asyncio.wait([pulling], timeout=self._plan.wait_ms / 1_000 + _PULL_MARGIN_S)
        pulling.cancel()
        while self._held_count:
            self._changed.clear()
            await self._changed.wait()
        await self._outbox.empty()

    async def _give_back(self) -> None:
        """Handlers on the loop are cut off and their tries fail, so that they are tried again soon. Those in threads
        cannot be cut off: their leases end by themselves, after this process has.
        """
        # First what nobody has begun: a slot that becomes free would begin it.
        not_begun = [*(job for job, _ in self._buffer), *self._threads.withdraw()]
        self._buffer.clear()
        cut_off = list(self._tasks)
        for task in cut_off:
            task.cancel()
        await asyncio.gather(*cut_off, return_exceptions=True)
        for job in not_begun:
            self._finished(Broken(job, "The worker stopped before it began the job"))
        await asyncio.wait([self._loop.create_task(self._outbox.empty())], timeout=_PULL_MARGIN_S)

    async def _pull(self) -> None:
        busy = False
        while not self._ending.is_set():
            room = self._room()
            if room == 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            asked_s = self._loop.time()
            jobs = await self._pull_once(room, busy)
            busy = bool(jobs)
            self._take(jobs)
            if not jobs and (self._loop.time() - asked_s) * 1_000 < self._plan.wait_ms / 2:
                await asyncio.sleep(_EMPTY_PAUSE_S)

    async def _pull_once(self, room: int, busy: bool) -> list[Job]:
        """While jobs come, a pull carries a key, so that a lost answer is asked for again and no job waits for its
        lease to end. An idle worker's pull carries none: the node would write each to its log, though it finds nothing.
        """
        plan = self._plan
        # The first one does not wait: it tells at once whether the node is there.
        wait_ms = plan.wait_ms if self.in_touch else 0
        options = PullOptions(wait_ms=wait_ms, worker_id=plan.worker_id, with_parent_results=plan.with_parent_results)
        if plan.lease_ms is not None:
            options["lease_ms"] = plan.lease_ms
        if busy:
            options["idempotency_key"] = uuid.uuid4().hex
        silence = None if self.in_touch else self._loop.call_later(_SILENCE_S, _tell_of_silence)
        try:
            while True:
                try:
                    jobs = await self._client.pull(plan.queues, room, **options)
                except RustQueueError as error:
                    self.in_touch = False
                    if not error.passing:
                        raise
                    logger.warning("cannot pull, trying again: %s", error)
                else:
                    self.in_touch = True
                    return jobs
        finally:
            if silence is not None:
                silence.cancel()

    def _room(self) -> int:
        """How many jobs to ask for. Small asks only when a slot would stay idle otherwise: many jobs cost one pull."""
        plan = self._plan
        free = plan.held_max - self._held_count
        if self._outbox.waiting_count >= plan.held_max * _UNSETTLED_FACTOR:
            return 0
        if self._held_count >= plan.concurrency and free < plan.held_max / 2:
            return 0
        return min(free, limits.PULL_COUNT_MAX)

    def _take(self, records: list[Job]) -> None:
        self._counts.pulled += len(records)
        self._held_count += len(records)
        for record in records:
            job = RunningJob(record, self._reports.say)
            self._heartbeats.hold(job)
            handler = self._handlers.find(job.name)
            if handler is None:
                self._finished(Broken(job, f"This worker has no handler for '{job.name}'"))
            elif is_async(handler):
                self._buffer.append((job, handler))
            else:
                self._threads.submit(job, handler)
        self._start()

    def _start(self) -> None:
        while self._buffer and len(self._tasks) < self._plan.concurrency:
            task = self._loop.create_task(self._run(*self._buffer.popleft()))
            self._tasks.add(task)

    async def _run(self, job: RunningJob, handler: Handler) -> None:
        try:
            outcome = await run_async(job, handler)
        except asyncio.CancelledError:
            outcome = Broken(job, "The worker stopped before the job ended")
        task = asyncio.current_task()
        assert task is not None
        self._tasks.discard(task)
        self._finished(outcome)
        self._start()

    def _finished(self, outcome: Outcome) -> None:
        outcome.job.ended = True
        self._reports.after(outcome.job, lambda: self._hand_over(outcome))

    def _hand_over(self, outcome: Outcome) -> None:
        self._held_count -= 1
        self._changed.set()
        self._outbox.add(outcome)

    def _settled(self, job: RunningJob, ended: Ended) -> None:
        if self._plan.on_ended is not None:
            self._plan.on_ended(job, ended)
        self._heartbeats.release(job)
        self._changed.set()  # A full outbox holds pulls up.

    def _heard(self, job: RunningJob, lease: Lease) -> None:
        job.mark(cancel_requested=lease.cancel_requested)
        if lease.drain and not self._ending.is_set():
            logger.info("the node asked this worker to drain")
            self.drain()


def _tell_of_silence() -> None:
    """A wrong address would otherwise look like a queue without jobs."""
    logger.warning("no answer from the node yet, trying on")
