"""What a job is to the second system."""

from enum import StrEnum
from typing import Final

from msgspec import Raw, Struct

MAX_ATTEMPTS_DEFAULT: Final = 3
BACKOFF_DELAY_MS_DEFAULT: Final = 1_000


class Status(StrEnum):
    """Decisions B3 say which state of ours is which of these."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    RETRYING = "retrying"
    FAILED_PERMANENT = "failed_permanent"
    CANCELLED = "cancelled"


ENDED: Final = {"completed": Status.SUCCEEDED, "dlq": Status.FAILED_PERMANENT, "cancelled": Status.CANCELLED}
"""States from which no job comes back by itself."""


class KindJob(Struct, frozen=True, gc=False):
    """The job object of the second system, exactly (contract B2)."""

    id: str
    kind: str
    status: Status
    attempts: int
    max_attempts: int
    last_error: str | None
    payload: Raw
    run_at: str
    idempotency_key: str | None
    created_at: str
    updated_at: str
