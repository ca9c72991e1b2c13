"""Comparing states: every so many entries the leader tells its state hash, and who has another one must stop.

It must not know what the hash is made of. Invariant: a node compares only hashes of the same index.
"""

from collections.abc import Callable

from rustqueue.model import limits
from rustqueue.raft.cluster.parts import Parts
from rustqueue.raft.messages import StateDigest


class StateDiffers(Exception):
    """This node's state is not the leader's: a bug or rot. It must stop; another copy of the state is to be had."""

    def __init__(self, index: int) -> None:
        super().__init__(
            f"the state after entry {index} differs from the leader's. This node has stopped so that it serves nothing "
            f"wrong. Keep a copy of its data for a report, then wipe it and let it come back as a new member."
        )
        self.index = index


class Digests:
    """Told of every applied entry and of every digest of the leader; raises `StateDiffers`."""

    def __init__(self, parts: Parts, every_entries: int) -> None:
        self._parts = parts
        self._every_entries = every_entries
        self._own: tuple[int, bytes] = (0, b"")
        self._foreign: dict[int, bytes] = {}
        self.own_digest: Callable[[], bytes] = lambda: b""

    def applied(self, index: int, leads: bool) -> None:
        if index % self._every_entries:
            return
        digest = self.own_digest()
        self._own = (index, digest)
        if leads:
            for member in self._parts.others():
                self._parts.links.send(member, StateDigest(index, digest))
        foreign = self._foreign.pop(index, digest)
        self._foreign = {at: told for at, told in self._foreign.items() if at > index}
        if foreign != digest:
            raise StateDiffers(index)

    def told(self, message: StateDigest, applied_index: int) -> None:
        """A digest of the present leader."""
        if message.index > applied_index:
            if len(self._foreign) < limits.DIGESTS_KEPT_MAX:
                self._foreign[message.index] = message.digest
        elif self._own[0] == message.index and self._own[1] != message.digest:
            raise StateDiffers(message.index)
