"""The log as the machine has seen it over all lives of the node, and what must be true of it.

It must not know about clients. It keeps every entry, so that at the end all of them can be replayed into an empty
machine, although the journal has dropped the oldest.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from rustqueue.machine.machine import Machine
from rustqueue.model.commands import Command, Members
from rustqueue.model.entry import Entry, encode_entry
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import decode_logged
from rustqueue.raft.cluster.config import config_of
from rustqueue.storage.memory import MemoryKV
from tests.simulation.ledger import Ledger, Violation, require
from tests.simulation.memberships import Memberships
from tests.simulation.timetables import Timetables
from tests.simulation.toll import Toll


class Applied(NamedTuple):
    """One entry as first applied."""

    entry: Entry
    text: bytes
    replies: list[bytes]
    state_hash: bytes


class Trace:
    """Fed by every machine of the world."""

    def __init__(self) -> None:
        self.applied: list[Applied] = []
        self.ledger = Ledger()
        self.replies_of: dict[str, list[bytes]] = {}
        self.replays_count = 0
        self.timetables = Timetables()
        self.members = Memberships()
        self.note: Callable[[str], None] = lambda text: None
        self.machine_type = Machine
        """What the log is replayed into at the end: that which was tested, so that only its own words count."""

    def knows(self, index: int) -> bool:
        """Whether some machine has applied this entry before."""
        return index <= len(self.applied)

    def saw(self, index: int, entry: Entry, replies: Sequence[Reply] | None, state_hash: bytes) -> None:
        """The machine of the present process has applied an entry. No replies: nobody wanted them again."""
        if replies is None:
            self._compare(index, entry, self.applied[index - 1].replies, state_hash)
            return
        texts = [msgspec.json.encode(reply) for reply in replies]
        again = " again" if index <= len(self.applied) else ""
        begin = b"".join(entry.commands[:1])[:60]
        self.note(f"entry {index} applied{again}: {len(texts)} commands, {begin!r}")
        if index <= len(self.applied):
            self._compare(index, entry, texts, state_hash)
            return
        require(index == len(self.applied) + 1, "I1", f"entry {index} was applied after {len(self.applied)}")
        before = self.applied[-1] if self.applied else None
        require(before is None or entry.now_ms >= before.entry.now_ms, "I18", f"time went back in entry {index}")
        if before is not None and all(isinstance(reply, Refused) for reply in replies):
            require(state_hash == before.state_hash, "I24", f"entry {index} holds refusals only and changed the state")
        self.applied.append(Applied(entry, encode_entry(entry), texts, state_hash))
        for raw, text in zip(entry.commands, texts, strict=True):
            self.replies_of.setdefault(request_of(raw), []).append(text)
        commands = [decode_logged(raw) for raw in entry.commands]
        for command in commands:
            if isinstance(command, Members):
                self.members.saw(index, config_of(command))
        try:
            self.ledger.entry(entry.now_ms, commands, replies)
        except Violation as violation:
            raise Violation(f"{violation} (entry {index})") from violation

    def _compare(self, index: int, entry: Entry, texts: list[bytes], state_hash: bytes) -> None:
        """A restarted machine, with cold windows, must answer as the warm one did."""
        first = self.applied[index - 1]
        self.replays_count += 1
        require(encode_entry(entry) == first.text, "I1", f"entry {index} is another one than before the crash")
        require(texts == first.replies, "I18", f"entry {index} was answered differently when replayed")
        require(state_hash == first.state_hash, "I18", f"entry {index} gave another state when replayed")

    def restarted(self, last_index: int) -> None:
        """A process has started, and its log ends there."""
        count = len(self.applied)
        require(last_index >= count, "I1", f"{count} entries were applied, the log ends at {last_index}")

    def replay_all(self) -> bytes:
        """The state hash after all entries, in an empty machine."""
        machine = self.machine_type(MemoryKV())
        for index, applied in enumerate(self.applied, 1):
            replies = machine.apply(index, applied.entry)
            texts = [msgspec.json.encode(reply) for reply in replies]
            require(texts == applied.replies, "I18", f"entry {index} was answered differently in an empty machine")
        return machine.state_hash


class _Correlated(msgspec.Struct):
    request_id: str = ""


_correlated = msgspec.json.Decoder(_Correlated)


def request_of(raw: bytes) -> str:
    """What the client calls its request: the text itself may change on the way, as that of a pull that waits on."""
    return _correlated.decode(raw).request_id


class TracedMachine:
    """The real machine, watched."""

    def __init__(self, machine: Machine, trace: Trace, toll: Toll) -> None:
        self.inner = machine
        self._trace = trace
        self._toll = toll

    @property
    def applied_index(self) -> int:
        return self.inner.applied_index

    @property
    def now_ms(self) -> int:
        return self.inner.now_ms

    def next_due_ms(self) -> int | None:
        return self.inner.next_due_ms()

    def apply(self, index: int, entry: Entry, commands: Sequence[Command] | None, unread: bool = False) -> list[Reply]:
        self._toll.pay()
        # The first replies are what all later ones are compared with. Of those that nobody reads half are left out, as
        # a node leaves out all: the state must not depend on it.
        unread = unread and index % 2 == 0 and self._trace.knows(index)
        replies = self.inner.apply(index, entry, commands, unread)
        self._trace.saw(index, entry, None if unread else replies, self.inner.state_hash)
        return replies
