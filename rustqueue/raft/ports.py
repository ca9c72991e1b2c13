"""What the replicated log needs from the outside: a disk, a clock, a thread to block in, and a machine to feed.

It must not know any body of these ports (`rustqueue.raft.real` has the operating system's, tests/simulation the
simulated ones). Invariants of the ports:
- a file keeps what was written before a completed `sync`; anything later may vanish wholly or partly in a power cut;
- creation, renaming and removal survive a power cut only after `sync_dir` of the folder;
- a job handed to an `Executor` runs off the loop, one at a time and in order; its `done` is called on the loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from rustqueue.model.commands import Command
from rustqueue.model.entry import Entry
from rustqueue.model.replies import Reply


class Space(NamedTuple):
    """Room on the file system that holds a folder, as an ordinary user may use it."""

    total_bytes: int
    free_bytes: int

    @property
    def used_percent(self) -> int:
        """Rounded up, so that a threshold is met no later than it is reached."""
        if self.total_bytes <= 0:
            return 0
        return 100 - self.free_bytes * 100 // self.total_bytes


class File(Protocol):
    """An open file. Every call may block and may raise OSError."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data`; after an error any part of it may be there."""
        ...

    def sync(self) -> None:
        """Return when all that was written before survives a power cut. It is never tried again after an error."""
        ...

    def truncate(self, size_bytes: int) -> None: ...

    def close(self) -> None: ...


class Disk(Protocol):
    """The file system. Paths are plain text with `/`; missing files raise FileNotFoundError."""

    def make_dir(self, path: str) -> None:
        """Make the folder and its parents, durably; nothing happens when it is there."""
        ...

    def lock(self, path: str) -> Callable[[], None]:
        """Take the folder for this process and return what lets go of it. BlockingIOError when another one holds it."""
        ...

    def create(self, path: str, ahead_bytes: int = 0) -> File:
        """A new empty file; FileExistsError when there is one. See `open` for the zeros ahead."""
        ...

    def allocate(self, path: str, size_bytes: int) -> None:
        """A new file that takes up so much room, not just promises to; its name survives after `sync_dir`."""
        ...

    def open(self, path: str, ahead_bytes: int = 0) -> File:
        """A file that is there. When it grows, the body may write up to `ahead_bytes` zeros behind what is written."""
        ...

    def read(self, path: str, offset: int, count_bytes: int) -> bytes:
        """Up to `count_bytes` bytes; fewer only at the end of the file."""
        ...

    def size_bytes(self, path: str) -> int: ...

    def list(self, path: str) -> list[str]:
        """Names in a folder, sorted."""
        ...

    def remove(self, path: str) -> None: ...

    def rename(self, old: str, new: str) -> None: ...

    def sync_dir(self, path: str) -> None: ...

    def space(self, path: str) -> Space: ...


class Clock(Protocol):
    """Time and the event loop. Callbacks run on the loop, one at a time."""

    def monotonic_us(self) -> int:
        """Never goes back; starts anywhere."""
        ...

    def wall_ms(self) -> int:
        """Unix time as this machine believes it to be; may step either way."""
        ...

    def call_soon(self, call: Callable[[], None]) -> None: ...

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call once after the delay; what is returned cancels it."""
        ...


JobDone = Callable[[Any, BaseException | None], None]
"""Called on the loop with the result of a job or with what it raised."""


class Executor(Protocol):
    """One thread beside the loop."""

    def run(self, job: Callable[[], Any], done: JobDone) -> None: ...

    def close(self) -> None:
        """Let the running job end and take no more."""
        ...


class StateMachine(Protocol):
    """What entries are fed to, in order, each once. A refused command is a reply; whatever it raises is a bug."""

    @property
    def applied_index(self) -> int: ...

    @property
    def now_ms(self) -> int:
        """The stamp of the last applied entry."""
        ...

    def apply(self, index: int, entry: Entry, commands: Sequence[Command] | None, unread: bool = False) -> list[Reply]:
        """One reply for each command; `commands` spares decoding them from the entry. `unread`: nobody wants the
        replies, so none are given. The state is the same.
        """
        ...

    def next_due_ms(self) -> int | None:
        """When the next `Tick` has work, None if never."""
        ...


class Store(Protocol):
    """What the replicator asks of the machine's store besides what the machine does with it."""

    def flush(self) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Proposal:
    """A command that wants into the log: decoded, as the JSON that is logged, and where its reply goes.

    `placed` is told index, ordinal and term as soon as it stands in the log, committed or not.
    """

    command: Command
    raw: bytes
    done: Callable[[Reply], None]
    placed: Callable[[int, int, int], None] | None = None
