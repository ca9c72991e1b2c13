"""The one home of pysyncobj: its node holds the Raft state of ours.

`SyncObj` as published cannot be trusted with acknowledged writes (docs/safety.md names each reason), so `Seat` keeps
its constructor, its state variables and what reports them, and replaces every method that decides, sends, applies or
unpickles. Names that are overridden or read are private to pysyncobj, hence the exact pin and the check at start.

It must not decide anything: `rules` does. Invariants: term and vote are durable before the setter returns; no path to
pickle is left; nothing of pysyncobj runs by itself (no thread, no tick, no socket).
"""

import hashlib
import inspect
from collections.abc import Collection
from typing import Any, Final

import pysyncobj.syncobj as library
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport
from pysyncobj.version import VERSION

from rustqueue.raft.hardstate import HardState, TermVote

FOLLOWER: Final = library._RAFT_STATE.FOLLOWER
CANDIDATE: Final = library._RAFT_STATE.CANDIDATE
LEADER: Final = library._RAFT_STATE.LEADER
ROLE_NAMES: Final = {FOLLOWER: "follower", CANDIDATE: "candidate", LEADER: "leader"}

PINNED_VERSION: Final = "0.3.17"
PINNED_SHA256: Final = "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4"
"""Of the source of pysyncobj/syncobj.py in that version."""

REPLACED: Final = (
    "_SyncObj__onMessageReceived",
    "_SyncObj__sendAppendEntries",
    "_SyncObj__sendNextNodeIdx",
    "_SyncObj__applyLogEntries",
    "_SyncObj__doApplyCommand",
    "_SyncObj__onBecomeLeader",
    "_SyncObj__onNodeConnected",
    "_SyncObj__onNodeDisconnected",
    "_SyncObj__tryLogCompaction",
    "_SyncObj__loadDumpFile",
    "_SyncObj__changeCluster",
    "_SyncObj__doChangeCluster",
    "_SyncObj__parseChangeClusterRequest",
    "_onTick",
    "_applyCommand",
    "_checkCommandsToApply",
)
KEPT: Final = ("_SyncObj__setCurrentTerm", "_SyncObj__setState")


class LibraryChanged(Exception):
    """The installed pysyncobj is not the one that `Seat` was written against."""


def check_library() -> None:
    """Raises `LibraryChanged` unless version, source and every name that `Seat` relies on are as expected."""
    if VERSION != PINNED_VERSION:
        raise LibraryChanged(f"pysyncobj {VERSION} is installed; the cluster needs exactly {PINNED_VERSION}")
    digest = hashlib.sha256(inspect.getsource(library).encode()).hexdigest()
    if digest != PINNED_SHA256:
        raise LibraryChanged("pysyncobj/syncobj.py is not the published file: install pysyncobj==0.3.17 anew")
    missing = [name for name in (*REPLACED, *KEPT) if name not in SyncObj.__dict__]
    if missing:
        raise LibraryChanged(f"pysyncobj has no {missing[0]} any more")


class _NoCode:
    """Stands where pysyncobj has its pickle module: whatever would make code from bytes fails loudly."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"pysyncobj reached for its serializer: {name}")


library.pickle = _NoCode()


class _Peer(Node):  # type: ignore[misc] # pysyncobj publishes no types.
    """A node that is its own key: there is one for each name here, and progress is looked up several times an entry."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class _SilentTransport(Transport):  # type: ignore[misc] # pysyncobj publishes no types.
    """Members talk over `rustqueue.raft.links`; pysyncobj itself has nobody to talk to."""

    def __init__(self) -> None:
        super().__init__(None, None, None)

    def send(self, node: Any, message: Any) -> bool:
        raise AssertionError("pysyncobj sends nothing")

    def addNode(self, node: Any) -> None:
        pass

    def dropNode(self, node: Any) -> None:
        pass

    def destroy(self) -> None:
        pass


class _DurableTerm:
    """What pysyncobj takes for its journal: only term and vote are asked of it, and those are the hard state's."""

    def __init__(self, hard_state: HardState) -> None:
        self._hard_state = hard_state

    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: int) -> tuple[bytes, int, int]:
        return b"", 0, 0

    def getCurrentTerm(self) -> int:
        return self._hard_state.current.term

    def getVotedForNodeId(self) -> str | None:
        return self._hard_state.current.voted_for

    def getRaftCommitIndex(self) -> int:
        return 0

    def setCurrentTerm(self, term: int, voted_for: str | None) -> None:
        self._hard_state.store(TermVote(term, voted_for))


def _bypassed(name: str) -> Any:
    def refuse(self: Any, *arguments: Any, **options: Any) -> Any:
        raise AssertionError(f"pysyncobj's own {name} must not run")

    return refuse


class Seat(SyncObj):  # type: ignore[misc] # pysyncobj publishes no types.
    """Term, vote, role, leader, commit index and what each peer has, kept in pysyncobj's node."""

    def __init__(self, me: str, hard_state: HardState) -> None:
        check_library()
        own_journal = library.createJournal
        # The library has no parameter for the journal, only this module global.
        library.createJournal = lambda _: _DurableTerm(hard_state)
        try:
            super().__init__(_Peer(me), [], SyncObjConf(autoTick=False), nodeClass=Node, transport=_SilentTransport())
        finally:
            library.createJournal = own_journal
        self.me = me
        self._nodes: dict[str, Any] = {me: self._SyncObj__selfNode}
        self._SyncObj__raftLastApplied = 0

    # Own state.

    @property
    def term(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def voted_for(self) -> str | None:
        vote = self._SyncObj__votedForNodeId
        return None if vote is None else str(vote)

    def set_term(self, term: int, voted_for: str | None) -> None:
        """Durable when it returns."""
        self._SyncObj__setCurrentTerm(term, voted_for)

    @property
    def role(self) -> int:
        return int(self._SyncObj__raftState)

    @role.setter
    def role(self, role: int) -> None:
        self._SyncObj__setState(role)

    @property
    def leader(self) -> str | None:
        node = self._SyncObj__raftLeader
        return None if node is None else str(node.id)

    @leader.setter
    def leader(self, member: str | None) -> None:
        self._SyncObj__raftLeader = None if member is None else self._node(member)

    @property
    def commit_index(self) -> int:
        return int(self._SyncObj__raftCommitIndex)

    @commit_index.setter
    def commit_index(self, index: int) -> None:
        assert index >= self.commit_index, "the commit index never goes back"
        self._SyncObj__raftCommitIndex = index

    @property
    def election_us(self) -> int:
        """When the patience with the leader ends, on this node's monotonic clock."""
        return int(self._SyncObj__raftElectionDeadline)

    @election_us.setter
    def election_us(self, at_us: int) -> None:
        self._SyncObj__raftElectionDeadline = at_us

    # What a leader knows of the others, and pysyncobj's own reports of it.

    def set_others(self, members: Collection[str]) -> None:
        """The members but this one."""
        self._SyncObj__otherNodes = {self._node(member) for member in members if member != self.me}

    def connected(self, member: str, is_up: bool) -> None:
        nodes = self._SyncObj__connectedNodes
        (nodes.add if is_up else nodes.discard)(self._node(member))

    def progress(self, member: str) -> tuple[int, int]:
        """The index the member has durably, and the next one to send."""
        node = self._node(member)
        return self._SyncObj__raftMatchIndex.get(node, 0), self._SyncObj__raftNextIndex.get(node, 1)

    def set_progress(self, member: str, matched: int, next_index: int) -> None:
        assert next_index > matched, "what a member has is not sent again"
        node = self._node(member)
        self._SyncObj__raftMatchIndex[node] = matched
        self._SyncObj__raftNextIndex[node] = next_index

    def forget_progress(self) -> None:
        self._SyncObj__raftMatchIndex.clear()
        self._SyncObj__raftNextIndex.clear()

    def _node(self, member: str) -> Any:
        node = self._nodes.get(member)
        if node is None:
            node = self._nodes[member] = _Peer(member)
        return node


for _name in REPLACED:
    setattr(Seat, _name, _bypassed(_name))
