"""What a handler gets: the job it runs and the few things it can ask and say meanwhile."""

from collections.abc import Callable
from typing import Any

from rustqueue.client.results import Job


class JobCancelled(Exception):
    """Raised by a handler to end its job as cancelled, usually after `job.cancel_requested()` was true."""


class RunningJob:
    """A pulled job in the hands of its handler. All methods may be called from any thread and return at once.

    `attempt` counts earlier failures. `fence` only grows with every lease of this job: write it beside the job's own
    side effects, and refuse writes with a smaller one, to keep out a forgotten earlier run.
    """

    __slots__ = (
        "_cancel_requested",
        "_lease_lost",
        "_say",
        "attempt",
        "ended",
        "fence",
        "id",
        "max_attempts",
        "name",
        "queue",
        "record",
    )

    def __init__(self, record: Job, say: Callable[["RunningJob", int, str | None], None]) -> None:
        self.record = record
        self.id = record.id
        self.name = record.name
        self.queue = record.queue
        self.attempt = record.attempt
        self.max_attempts = record.max_attempts
        self.fence = record.fence
        self._say = say
        self._cancel_requested = record.cancel_requested
        self._lease_lost = False
        self.ended = False
        """The handler is through; only the answer to its outcome tells now whether that came in time."""

    @property
    def data(self) -> Any:
        """The payload it was pushed with."""
        return self.record.data

    @property
    def metadata(self) -> Any:
        return self.record.metadata

    @property
    def parent_results(self) -> dict[str, Any]:
        """Results of the jobs it depends on, by id. If `record.parent_results_truncated`, read them with
        `Client.iter_parents`.
        """
        return self.record.parent_results

    def progress(self, percent: int, message: str | None = None) -> None:
        """Say how far the job is; `message` becomes a line of its log. Sent in the background."""
        self._say(self, percent, message)

    def cancel_requested(self) -> bool:
        """True once somebody asked to stop this job; heard with the next heartbeat."""
        return self._cancel_requested

    def lease_lost(self) -> bool:
        """True once the node has given the job up: its result will not be taken, another run may have begun."""
        return self._lease_lost

    def raise_if_cancelled(self) -> None:
        """A safe point: ends the job here if it shall stop. Raises `JobCancelled`."""
        if self._cancel_requested or self._lease_lost:
            raise JobCancelled

    def mark(self, *, cancel_requested: bool = False, lease_lost: bool = False) -> None:
        """For the runtime: what the node said. Flags are only ever raised."""
        self._cancel_requested = self._cancel_requested or cancel_requested
        self._lease_lost = self._lease_lost or lease_lost
