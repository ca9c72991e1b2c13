"""What the gateway needs from the rest of the node, and what it gives to its callers.

It must not name a body of these ports: `rustqueue.node` brings them together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rustqueue.model import limits
from rustqueue.model.jobs import Rate
from rustqueue.model.queries import Read
from rustqueue.model.replies import HealthInfo, Reply
from rustqueue.model.wire import Request
from rustqueue.raft.ports import Proposal

Done = Callable[[Reply], None]
"""Where a reply goes. Called on the loop, exactly once, unless the ticket was cancelled before."""


class Replicator(Protocol):
    """The log. What is proposed comes back by its `done`, after it is durable and applied, or refused at once."""

    on_assemble: Callable[[list[Proposal]], None] | None
    """Called when an entry is being closed; may append proposals to it."""

    @property
    def disk_full(self) -> bool: ...

    def propose(self, proposal: Proposal) -> None: ...


class Applied(Protocol):
    """The applied state, and what only the node knows. Every call is bounded work on the loop."""

    @property
    def applied_index(self) -> int:
        """The last entry of the log that the state has seen."""
        ...

    def ready_count(self, queue: str) -> int:
        """Jobs that a pull could take now."""
        ...

    def push_rate(self, queue: str) -> Rate | None:
        """How many jobs the queue takes in a time."""
        ...

    def is_draining(self, worker_id: str) -> bool:
        """Whether this worker shall take no more jobs."""
        ...

    def payload_schema(self, queue: str) -> bytes | None:
        """The JSON Schema of the queue's payloads."""
        ...

    def answer(self, query: Read) -> Reply:
        """Raises `ApiError`."""
        ...

    def queue_of_job(self, reference: str) -> str | None:
        """The queue of the job that a client names, None if there is no such job."""
        ...

    def queue_of_sweep(self, reference: str) -> str | None: ...

    def queue_of_schedule(self, name: str) -> str | None: ...

    def health(self) -> HealthInfo: ...


class Ticket(Protocol):
    """A request that may wait."""

    def cancel(self) -> None:
        """The client went away: stop waiting, answer nobody."""
        ...


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """`command_deadline_ms`: when a command that the log does not answer is answered with OUTCOME_UNKNOWN."""

    command_deadline_ms: int = 10_000
    waiting_pulls_max: int = limits.WAITING_PULLS_MAX


Around = Callable[[str, Request, str | None, Done], Done]
"""Told by a shell of each request before it is asked: protocol, request, the `traceparent` that came beside it, and who
is told the reply. Gives whom to tell instead.
"""
