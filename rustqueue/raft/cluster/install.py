"""Snapshots of one member, both ways: what the sender and the receiver need of the replicator, and the switch itself.

It must not know files' contents. Invariants: between the note beside the store and its removal, a start does what is
left to do (`finish_install`); the log begins behind the snapshot only after the store is the snapshot's.
"""

from collections.abc import Callable

from rustqueue.model import limits
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.parts import Parts
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.cluster.snapshots import (
    INCOMING,
    InstallNote,
    SnapshotReceiver,
    SnapshotSender,
    StateFiles,
    read_note,
    remove_note,
)
from rustqueue.raft.messages import Message, SnapshotPart, SnapshotTaken
from rustqueue.raft.ports import Disk, Executor


def finish_install(disk: Disk, folder: str, log: MemberLog) -> None:
    """At a start, when the store is open already: let the log begin behind a snapshot that was being installed."""
    note = read_note(disk, folder)
    if note is None:
        return
    if log.term_at(note.index) != note.term:
        log.begin_after(note.index, note.term)
    remove_note(disk, folder)


class Snapshots:
    """Given every message of snapshots, every lost link and every change of role."""

    def __init__(
        self, parts: Parts, replicator: ClusterReplicator, disk: Disk, folder: str, background: Executor
    ) -> None:
        self._parts = parts
        self._replicator = replicator
        self._disk = disk
        self._folder = folder
        self._files: StateFiles | None = None
        self._background = background
        self.sender: SnapshotSender | None = None
        self.receiver = SnapshotReceiver(parts, disk, folder, background, self._install)
        self.installs_count = 0

    def use(self, files: StateFiles) -> None:
        self._files = files
        self.sender = SnapshotSender(self._parts, self._disk, files, self._has_snapshot)
        self._replicator.member.needs_snapshot = self.sender.wanted

    def received(self, peer: str, message: Message) -> bool:
        """Whether the message was one of snapshots."""
        seat, member = self._parts.seat, self._replicator.member
        if isinstance(message, SnapshotPart):
            if message.term == seat.term and member.leader == peer and not member.leads:
                self.receiver.received(peer, message)
            return True
        if isinstance(message, SnapshotTaken):
            if self.sender is not None and message.term == seat.term and member.leads:
                self.sender.taken(peer, message)
            return True
        return False

    def link_down(self, peer: str) -> None:
        if self.sender is not None:
            self.sender.link_down(peer)

    def role_changed(self, leads: bool) -> None:
        if self.sender is not None and not leads:
            self.sender.leads_no_more()

    def _has_snapshot(self, peer: str, index: int) -> None:
        leading = self._replicator.member.leading
        if leading is not None:
            leading.has_snapshot(peer, index)

    def _install(self, note: InstallNote, done: Callable[[], None]) -> None:
        """The files and the note are durable: switch."""
        log = self._parts.log
        if self._replicator.stopped is not None:
            return
        if log.syncing:
            self._parts.clock.call_later(limits.INSTALL_RETRY_MS, lambda: self._install(note, done))
            return
        if note.index <= self._parts.seat.commit_index:
            remove_note(self._disk, self._folder)
            done()
            return
        assert self._files is not None, "a member has its store"
        try:
            self._files.adopt(INCOMING)
            log.begin_after(note.index, note.term)
            remove_note(self._disk, self._folder)
            self._replicator.state_installed(note.index)
        except Exception as error:
            self._replicator.fail(error)
            return
        self.installs_count += 1
        done()
