"""Progress of running jobs: sent in the background, in order, and before the outcome of the job."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from rustqueue.client.aio import AsyncClient
from rustqueue.client.errors import Conflict, NotFound, RustQueueError
from rustqueue.client.results import Lease
from rustqueue.client.work.handlers import logger
from rustqueue.client.work.running import RunningJob

Report = tuple[int, str | None]


class Reports:
    """One sender for each job that has something to say."""

    def __init__(self, client: AsyncClient, heard: Callable[[RunningJob, Lease], None]) -> None:
        self._client = client
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._unsent: dict[RunningJob, deque[Report]] = {}
        self._senders: dict[RunningJob, asyncio.Task[None]] = {}

    def say(self, job: RunningJob, percent: int, message: str | None) -> None:
        """From any thread."""
        if threading.get_ident() == self._loop_thread:
            self._add(job, percent, message)
        else:
            self._loop.call_soon_threadsafe(self._add, job, percent, message)

    def after(self, job: RunningJob, then: Callable[[], None]) -> None:
        """Call `then` when nothing of the job is left to send: the node takes no progress of a job that has ended."""
        sender = self._senders.get(job)
        if sender is None:
            then()
        else:
            sender.add_done_callback(lambda _: then())

    async def empty(self) -> None:
        """Wait until everything was sent."""
        await asyncio.gather(*self._senders.values(), return_exceptions=True)

    async def close(self) -> None:
        senders = list(self._senders.values())
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    def _add(self, job: RunningJob, percent: int, message: str | None) -> None:
        unsent = self._unsent.setdefault(job, deque())
        if unsent and unsent[-1][1] is None:
            unsent.pop()  # A bare percentage is out of date as soon as there is another; messages are all kept.
        unsent.append((percent, message))
        if job not in self._senders:
            self._senders[job] = self._loop.create_task(self._send(job, unsent))

    async def _send(self, job: RunningJob, unsent: deque[Report]) -> None:
        try:
            while unsent:
                percent, message = unsent.popleft()
                try:
                    self._heard(job, await self._client.progress(job.record, percent, message))
                except (Conflict, NotFound) as error:
                    job.mark(lease_lost=True)
                    logger.warning("progress of job %s came too late: %s", job.id, error.message)
                except RustQueueError as error:
                    # Progress is a courtesy; the result of the job must not wait for it any longer.
                    logger.warning("progress of job %s did not get through: %s", job.id, error)
        finally:
            del self._senders[job], self._unsent[job]
