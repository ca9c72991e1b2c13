"""Term and vote: the two facts that a node must never forget, in two checksummed slots of one small file.

It must not know what a term is good for. Invariants: `store` returns only when the new state survives a power cut; the
slots are written in turn, so a torn write loses the new state and never the old one; a slot that was written wholly and
fails its checksum refuses to start, since it may have been the newer one, and a forgotten vote elects two leaders.
"""

import struct
import zlib
from dataclasses import dataclass

from rustqueue.raft.journal import JournalDamaged, JournalError
from rustqueue.raft.ports import Disk, File

SLOT_BYTES = 512
_SLOT = struct.Struct("<IQQB64s")  # crc of the rest of the slot, sequence, term, length of the vote, vote
_END_MARK = 0xFE  # The last byte of a slot that was written wholly.


@dataclass(frozen=True, slots=True)
class TermVote:
    """The current term and whom this node voted for in it."""

    term: int
    voted_for: str | None


class HardState:
    """Blocks on every `store`; it is called rarely, and nothing may be answered before it returns."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._folder = folder
        self._path = f"{folder}/hardstate"
        self._sequence = 0
        self._file: File | None = None
        self.current = TermVote(0, None)

    def open(self, last_index: int = 0) -> None:
        """Read what is there, or begin with term 0. Raises `JournalError` where a log that ends at `last_index` tells
        of a past: a node that begins anew could vote a second time in a term.
        """
        self._disk.make_dir(self._folder)
        try:
            self.current = self.read()
        except FileNotFoundError:
            self._refuse_past(last_index)
            self._create()
            return
        if self.current.term == 0:
            self._refuse_past(last_index)
        self._file = self._disk.open(self._path)
        self._disk.sync_dir(self._folder)
        if self.current.term > 0:
            # What was read may be in the page cache only, left by a store whose sync failed. Before anybody is told,
            # it has to be safe.
            self.store(self.current)

    def _refuse_past(self, last_index: int) -> None:
        if last_index > 0:
            raise JournalError(
                f"{self._path}: missing or empty, although the journal holds entries. Put the file back, or restore "
                f"from a backup; a member of a cluster can also be wiped and replaced."
            )

    def read(self) -> TermVote:
        """The newer slot; a file in which nothing was ever stored holds none, which is term 0."""
        newest = TermVote(0, None)
        for at in range(2):
            slot = self._disk.read(self._path, at * SLOT_BYTES, SLOT_BYTES)
            if len(slot) < SLOT_BYTES or slot[-1] == 0:
                continue
            decoded = _decode(slot)
            if decoded is None:
                raise JournalDamaged(self._path, at * SLOT_BYTES, "term and vote fail their checksum")
            if decoded[0] > self._sequence:
                self._sequence, newest = decoded
        return newest

    def store(self, state: TermVote) -> None:
        assert self._file is not None, "the hard state is open"
        assert state.term >= self.current.term, "terms only grow"
        self._sequence += 1
        offset = (self._sequence & 1) * SLOT_BYTES
        # The end mark goes first: new bytes torn over old ones would look like damage.
        self._file.write_at(offset + SLOT_BYTES - 1, b"\0")
        self._file.sync()
        self._file.write_at(offset, _encode(self._sequence, state))
        self._file.sync()
        self.current = state

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _create(self) -> None:
        self._file = self._disk.create(self._path)
        self._file.write_at(0, bytes(2 * SLOT_BYTES))
        self._file.sync()
        self._disk.sync_dir(self._folder)


def _encode(sequence: int, state: TermVote) -> bytes:
    vote = (state.voted_for or "").encode()
    slot = _SLOT.pack(0, sequence, state.term, len(vote), vote).ljust(SLOT_BYTES - 1, b"\0") + bytes([_END_MARK])
    return zlib.crc32(slot[4:]).to_bytes(4, "little") + slot[4:]


def _decode(slot: bytes) -> tuple[int, TermVote] | None:
    crc, sequence, term, vote_bytes, vote = _SLOT.unpack_from(slot)
    if crc != zlib.crc32(slot[4:]):
        return None
    return sequence, TermVote(term, vote[:vote_bytes].decode() or None)
