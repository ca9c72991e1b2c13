"""Reports outcomes in batches, and again until each is stored or known to be too late.

Invariant: an outcome leaves only when the node has answered for it: stored, or refused because the lease was lost.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Literal, TypeVar

from msgspec import Struct

from rustqueue.client.aio import AsyncClient
from rustqueue.client.errors import Conflict, InvalidRequest, NotFound, RustQueueError
from rustqueue.client.results import ItemResult, Problem
from rustqueue.client.work.handlers import Broken, Done, Outcome, error_text, logger
from rustqueue.client.work.running import RunningJob
from rustqueue.model import limits

Ended = Literal["completed", "retried", "dead", "cancelled", "lost"]
"""What became of a job whose outcome has left; `lost`: it came too late, or the node would not have it."""

Reported = TypeVar("Reported", Done, Broken)

_GATHER_S = 0.002
"""How long an outcome waits for others to share its request."""
_BATCH_BYTES_MAX = limits.LINE_BYTES_MAX // 4
_PAUSE_S = 1.0
"""Between tries that the client itself does not repeat, as with a token that was taken away."""
_LEASE_IS_OVER = frozenset({"STALE_ATTEMPT", "INVALID_STATE", "JOB_NOT_FOUND", "NOT_FOUND"})


class WorkerCounts(Struct):
    """What a worker has done so far. `stale`: outcomes that came too late, their jobs ran or run again elsewhere."""

    pulled: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    stale: int = 0


class Outbox:
    """`settled` is told each job whose outcome has left, and what became of it. `more_soon` tells whether waiting for
    others pays.
    """

    def __init__(
        self,
        client: AsyncClient,
        counts: WorkerCounts,
        batch_max: int,
        settled: Callable[[RunningJob, Ended], None],
        more_soon: Callable[[], bool],
    ) -> None:
        self._client = client
        self._counts = counts
        self._batch_max = min(batch_max, limits.BATCH_JOBS_MAX)
        self._settled = settled
        self._more_soon = more_soon
        self._loop = asyncio.get_running_loop()
        self._done: list[Done] = []
        self._done_bytes = 0
        self._broken: list[Broken] = []
        self._timer: asyncio.Handle | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self.waiting_count = 0

    def add(self, outcome: Outcome) -> None:
        self.waiting_count += 1
        if isinstance(outcome, Done):
            self._done.append(outcome)
            self._done_bytes += memoryview(outcome.result).nbytes
        else:
            self._broken.append(outcome)
        if len(self._done) + len(self._broken) >= self._batch_max or self._done_bytes >= _BATCH_BYTES_MAX:
            self._send()
        elif self._timer is None:
            more = self._more_soon()
            self._timer = self._loop.call_later(_GATHER_S, self._send) if more else self._loop.call_soon(self._send)

    async def empty(self) -> None:
        """Wait until everything has left."""
        self._send()
        while self._deliveries:
            await asyncio.wait(self._deliveries)
            self._send()  # A refused result has become a failure meanwhile.

    async def close(self) -> None:
        """Give up what has not left."""
        deliveries = list(self._deliveries)
        for delivery in deliveries:
            delivery.cancel()
        await asyncio.gather(*deliveries, return_exceptions=True)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._done:
            done, self._done, self._done_bytes = self._done, [], 0
            self._deliver(self._acks(done))
        if self._broken:
            broken, self._broken = self._broken, []
            self._deliver(self._fails([outcome for outcome in broken if not outcome.cancelled]))
            for outcome in broken:
                if outcome.cancelled:  # Only the single verb can say so for each job.
                    self._deliver(self._cancellation(outcome))

    def _deliver(self, work: Coroutine[None, None, None]) -> None:
        delivery = self._loop.create_task(work)
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._delivered)

    def _delivered(self, delivery: asyncio.Task[None]) -> None:
        self._deliveries.discard(delivery)
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            logger.error("outcomes could not be reported, their jobs will run again", exc_info=error)

    async def _acks(self, outcomes: list[Done]) -> None:
        while outcomes := self._still_wanted(outcomes):
            try:
                reply = await self._client.ack_batch([(job.record, result) for job, result in outcomes])
            except InvalidRequest as error:
                await self._acks_refused(outcomes, error)
            except RustQueueError as error:
                await self._pause(error, len(outcomes))
                continue
            else:
                for outcome, problem in _with_problems(outcomes, reply.failed, reply.results):
                    self._answered(outcome, problem)
            return

    def _answered(self, outcome: Done, problem: Problem | None) -> None:
        if problem is None:
            self._counts.completed += 1
            self._leave(outcome.job, "completed")
        elif problem.code in _LEASE_IS_OVER:
            self._too_late(outcome.job, problem.message)
        else:
            self._turn_into_failure(outcome, problem.message)

    async def _acks_refused(self, outcomes: list[Done], error: InvalidRequest) -> None:
        """One bad result refuses its whole batch: each goes alone, and a bad one becomes the failure of its job."""
        if len(outcomes) == 1:
            self._turn_into_failure(outcomes[0], error.message)
            return
        for outcome in outcomes:
            await self._acks([outcome])

    def _turn_into_failure(self, outcome: Done, reason: str) -> None:
        self.waiting_count -= 1
        self.add(Broken(outcome.job, error_text(f"The result was refused: {reason}")))

    async def _fails(self, outcomes: list[Broken]) -> None:
        while outcomes := self._still_wanted(outcomes):
            try:
                reply = await self._client.fail_batch([(outcome.job.record, outcome.error) for outcome in outcomes])
            except InvalidRequest as error:
                self._drop(outcomes, error)
            except RustQueueError as error:
                await self._pause(error, len(outcomes))
                continue
            else:
                for outcome, result in zip(outcomes, reply.results, strict=True):
                    if result.error is None:
                        self._counts.failed += 1
                        self._leave(outcome.job, "retried" if result.will_retry else "dead")
                    else:
                        self._too_late(outcome.job, result.error.message)
            return

    async def _cancellation(self, outcome: Broken) -> None:
        while self._still_wanted([outcome]):
            try:
                await self._client.fail(outcome.job.record, outcome.error, cancelled=True)
            except (Conflict, NotFound) as error:
                self._too_late(outcome.job, error.message)
            except InvalidRequest as error:
                self._drop([outcome], error)
            except RustQueueError as error:
                await self._pause(error, 1)
                continue
            else:
                self._counts.cancelled += 1
                self._leave(outcome.job, "cancelled")
            return

    def _still_wanted(self, outcomes: Sequence[Reported]) -> list[Reported]:
        """Those whose lease is not known to be lost."""
        wanted = []
        for outcome in outcomes:
            if outcome.job.lease_lost():
                self._too_late(outcome.job, "its lease was lost meanwhile")
            else:
                wanted.append(outcome)
        return wanted

    async def _pause(self, error: RustQueueError, count: int) -> None:
        logger.warning("%d outcomes are not stored yet, trying again: %s", count, error)
        await asyncio.sleep(_PAUSE_S)

    def _too_late(self, job: RunningJob, reason: str) -> None:
        logger.warning("outcome of job %s came too late: %s", job.id, reason)
        self._counts.stale += 1
        self._leave(job, "lost")

    def _drop(self, outcomes: list[Broken], error: InvalidRequest) -> None:
        """The node takes this failure in no form: the job comes back when its lease ends."""
        for outcome in outcomes:
            logger.error("failure of job %s was refused: %s", outcome.job.id, error)
            self._counts.stale += 1
            self._leave(outcome.job, "lost")

    def _leave(self, job: RunningJob, ended: Ended) -> None:
        self.waiting_count -= 1
        self._settled(job, ended)


def _with_problems(
    outcomes: Sequence[Reported], failed: int, results: Sequence[ItemResult]
) -> Iterator[tuple[Reported, Problem | None]]:
    """Each outcome with what its item was answered. Results stand in the order of the items."""
    if failed == 0:
        return zip(outcomes, itertools.repeat(None), strict=False)
    return ((outcome, result.error) for outcome, result in zip(outcomes, results, strict=True))
