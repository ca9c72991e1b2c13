"""Facts that the machine tells after an entry was stored: the same on every node; metrics and waiters follow them.

They are grouped by cause, so that a batch of a thousand jobs is one fact, not a thousand.
"""

import re
from typing import Final, Literal, NamedTuple

from msgspec import Struct

JobEventName = Literal["pushed", "ready", "started", "progress", "completed", "failed", "dlq", "cancelled", "expired"]


class JobsChanged(Struct, frozen=True, gc=False):
    """`event` happened to the jobs `ids` (16 bytes each) of one queue.

    `pushed`: accepted, ready or not. `ready`: an older job became ready again (delay over, parents done, retry).
    `failed`: a try failed; `will_retry` says whether another follows. `dlq`, `expired`: the job is in the dead letters.
    `progress` is in percent, with the event of that name. `ready_ms`, with `started`: since when each job could be
    pulled; None: since it was made, which its id tells.
    """

    event: JobEventName
    queue: str
    ids: list[bytes]
    will_retry: bool = False
    progress: int | None = None
    ready_ms: list[int] | None = None


class QueueChanged(Struct, frozen=True, gc=False):
    """`freed`: a queue with a limit of active jobs may hand out more than before; only waiting pulls need to know."""

    event: Literal["paused", "resumed", "freed"]
    queue: str


class WebhookChanged(Struct, frozen=True, gc=False):
    """A webhook was defined, changed or deleted, or has something to send that no event of a job tells."""

    id: bytes


class SchedulesChanged(Struct, frozen=True, gc=False):
    """Definitions or timetables of these schedules are new, or they are gone."""

    names: list[str]


class SchedulesFired(Struct, frozen=True, gc=False):
    """Ticks were decided: how many by outcome of their run."""

    ticks: dict[str, int]


QueueEvent = JobsChanged | QueueChanged
"""What happened to a queue or its jobs."""

Event = QueueEvent | SchedulesChanged | SchedulesFired | WebhookChanged

EVENT_NAMES: Final = {
    "pushed": "job.pushed",
    "started": "job.started",
    "progress": "job.progress",
    "completed": "job.completed",
    "failed": "job.failed",
    "dlq": "job.dlq",
    "cancelled": "job.cancelled",
    "expired": "job.expired",
    "paused": "queue.paused",
    "resumed": "queue.resumed",
}
"""The names that clients see (decisions A6). That an older job became ready again is told to nobody outside."""

_SPELLINGS: Final = {spelling: name for name in EVENT_NAMES.values() for spelling in (name, name.replace(".", "_"))}


def event_named(text: str) -> str | None:
    """The name of an event in either spelling (decisions A5), or None."""
    return _SPELLINGS.get(text)


_CURSOR: Final = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,9}))?", re.ASCII)
_WHOLE_ENTRY: Final = 10**9


class Cursor(NamedTuple):
    """The place of an event in the stream of all nodes: the index of its entry and its place among that entry's."""

    entry: int
    ordinal: int = _WHOLE_ENTRY

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """`INDEX-ORDINAL`, or `INDEX` for the end of an entry."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            return None
        return cls(int(found[1]), _WHOLE_ENTRY if found[2] is None else int(found[2]))

    def __str__(self) -> str:
        return str(self.entry) if self.ordinal == _WHOLE_ENTRY else f"{self.entry}-{self.ordinal}"
