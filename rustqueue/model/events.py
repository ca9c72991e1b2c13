"""Facts that the machine tells after an entry was stored: the same on every node; metrics and waiters follow them.

They are grouped by cause, so that a batch of a thousand jobs is one fact, not a thousand.
"""

from typing import Literal

from msgspec import Struct

JobEventName = Literal["pushed", "ready", "started", "progress", "completed", "failed", "dlq", "cancelled", "expired"]


class JobsChanged(Struct, frozen=True, gc=False):
    """`event` happened to the jobs `ids` (16 bytes each) of one queue.

    `pushed`: accepted, ready or not. `ready`: an older job became ready again (delay over, parents done, retry).
    `failed`: a try failed; `will_retry` says whether another follows. `dlq`, `expired`: the job is in the dead letters.
    `progress` is in percent, with the event of that name.
    """

    event: JobEventName
    queue: str
    ids: list[bytes]
    will_retry: bool = False
    progress: int | None = None


class QueueChanged(Struct, frozen=True, gc=False):
    event: Literal["paused", "resumed"]
    queue: str


Event = JobsChanged | QueueChanged
