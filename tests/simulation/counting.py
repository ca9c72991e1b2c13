"""A state machine that only counts: what the replicator is tested with where the real machine would be in the way."""

from collections.abc import Callable, Sequence

from rustqueue.model.commands import Command, Tick
from rustqueue.model.entry import Entry
from rustqueue.model.replies import Done, Pushed, Reply
from rustqueue.storage.memory import MemoryKV

_APPLIED = b"applied"
_NOW = b"now"
_DUE = b"due"


class CountingMachine:
    """Keeps every command in its store under (index, ordinal), and due times that the test sets."""

    def __init__(self, kv: MemoryKV) -> None:
        self.kv = kv
        self.applied_index = int.from_bytes(kv.get(_APPLIED) or b"", "big")
        self.now_ms = int.from_bytes(kv.get(_NOW) or b"", "big")
        self.due_ms: list[int] = []
        self.due_at_once_max = 1_000_000
        self.before_apply: Callable[[int], None] | None = None
        self.entries: list[tuple[int, list[bytes]]] = []

    def apply(self, index: int, entry: Entry, commands: Sequence[Command] | None, unread: bool = False) -> list[Reply]:
        assert index == self.applied_index + 1, "entries come in order, each once"
        assert entry.now_ms >= self.now_ms, "time does not go back"
        if self.before_apply is not None:
            self.before_apply(index)
        rows: dict[bytes, bytes | None] = {
            _APPLIED: index.to_bytes(8, "big"),
            _NOW: entry.now_ms.to_bytes(8, "big"),
        }
        for ordinal, raw in enumerate(entry.commands):
            rows[b"c" + index.to_bytes(8, "big") + ordinal.to_bytes(4, "big")] = raw
        self.kv.write(rows)
        self.applied_index, self.now_ms = index, entry.now_ms
        self.entries.append((index, list(entry.commands)))
        if commands is not None and any(isinstance(command, Tick) for command in commands):
            done = sorted(due_ms for due_ms in self.due_ms if due_ms <= entry.now_ms)[: self.due_at_once_max]
            for due_ms in done:
                self.due_ms.remove(due_ms)
        return [Pushed(id=f"{index}/{ordinal}") for ordinal in range(len(entry.commands))] or [Done()]

    def next_due_ms(self) -> int | None:
        return min(self.due_ms, default=None)

    def commands(self) -> list[bytes]:
        """Everything ever applied, as the store has it."""
        return [value for _, value in self.kv.scan(b"c", b"d", 1_000_000)]
