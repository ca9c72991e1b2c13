"""Keeps the leases of all pulled jobs alive until their outcomes are stored, and hears what the node says meanwhile."""

import asyncio
from collections.abc import Callable

from rustqueue.client.aio import AsyncClient
from rustqueue.client.errors import Conflict, NotFound, RustQueueError
from rustqueue.client.results import Job, Lease
from rustqueue.client.work.handlers import logger
from rustqueue.client.work.running import RunningJob
from rustqueue.model import limits, times

_BEATS_PER_LEASE = 3
"""Two beats can be lost before the lease is."""


class Heartbeats:
    """One task for all jobs; a beat is due after a third of the job's own lease."""

    def __init__(self, client: AsyncClient, heard: Callable[[RunningJob, Lease], None]) -> None:
        self._client = client
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._due: dict[RunningJob, float] = {}
        self._next_s = float("inf")
        self._sooner = asyncio.Event()
        self._beats: set[asyncio.Task[None]] = set()
        self._known_lease: tuple[str | None, str | None, float] = (None, None, 0.0)

    def hold(self, job: RunningJob) -> None:
        due_s = self._loop.time() + self._interval_s(job.record)
        self._due[job] = due_s
        if due_s < self._next_s:
            self._next_s = due_s
            self._sooner.set()

    def release(self, job: RunningJob) -> None:
        self._due.pop(job, None)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self._sooner.clear()
            now_s = self._loop.time()
            for job in [job for job, due_s in self._due.items() if due_s <= now_s]:
                self._due[job] = now_s + self._interval_s(job.record)
                beat = self._loop.create_task(self._beat(job))
                self._beats.add(beat)
                beat.add_done_callback(self._beats.discard)
            self._next_s = min(self._due.values(), default=float("inf"))
            pause_s = None if self._next_s == float("inf") else self._next_s - now_s
            try:
                async with asyncio.timeout(pause_s):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        beats = list(self._beats)
        for beat in beats:
            beat.cancel()
        await asyncio.gather(*beats, return_exceptions=True)

    async def _beat(self, job: RunningJob) -> None:
        try:
            lease = await self._client.heartbeat(job.record)
        except (Conflict, NotFound) as error:
            self.release(job)
            # The beat may have been overtaken by the job's own outcome, whose answer may even be lost.
            if not job.ended:
                job.mark(lease_lost=True)
                logger.warning("lease of job %s is lost: %s", job.id, error.message)
        except RustQueueError as error:
            logger.warning("heartbeat of job %s did not get through: %s", job.id, error)
        else:
            self._heard(job, lease)

    def _interval_s(self, record: Job) -> float:
        """A third of the lease. Jobs of one pull share their times, so the last answer is usually the next."""
        started, ends, interval_s = self._known_lease
        if record.started_at == started and record.lease_expires_at == ends and interval_s:
            return interval_s
        started_ms = times.from_text(record.started_at or "")
        ends_ms = times.from_text(record.lease_expires_at or "")
        lease_ms = limits.LEASE_MS_DEFAULT if started_ms is None or ends_ms is None else ends_ms - started_ms
        interval_s = max(lease_ms, limits.LEASE_MS_MIN) / _BEATS_PER_LEASE / 1_000
        self._known_lease = (record.started_at, record.lease_expires_at, interval_s)
        return interval_s
