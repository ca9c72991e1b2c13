"""`rustqueue recover DIR`: ways out that change a log, for a node that does not run.

It must not know a running node. Invariants: what a way out costs is said before it is taken; a step that was cut off is
ended by taking it again; the old journal is kept beside the new one.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from rustqueue.machine.kv import KV
from rustqueue.machine.machine import ApplyFault, Machine
from rustqueue.model import times
from rustqueue.model.entry import decode_entry
from rustqueue.node import JOURNAL_FOLDER, STORE_FOLDER
from rustqueue.node.keeping.refused import read_refused, write_refused
from rustqueue.node.state_files import settle
from rustqueue.raft.cluster.config import node_of
from rustqueue.raft.cluster.passport import Passport, read_passport
from rustqueue.raft.hardstate import HardState
from rustqueue.raft.journal import JournalError, list_segments
from rustqueue.raft.real import OsDisk
from rustqueue.raft.records import (
    KIND_CONFIG,
    SEGMENT_HEADER_BYTES,
    Flaw,
    Record,
    Window,
    read_record,
    read_segment_header,
)
from rustqueue.rescue.beginning import Begun, Founder, RescueError, change_state, write_folder
from rustqueue.storage import open_store

_NEW_JOURNAL = "journal.new"
_OLD_JOURNAL = "journal.before-recovery"


class Survey(Struct, frozen=True):
    """How far the log of a node goes. Of several survivors the one with the highest last term, and then the highest
    last index, knows most.
    """

    folder: str
    node: str
    cluster_id: str
    last_term: int
    last_index: int
    last_entry_at: str | None
    members: list[str]
    refused: list[int]


class Recovered(Struct, frozen=True):
    """A new cluster that begins with what this node knew."""

    folder: str
    cluster_id: str
    member: str
    index: int
    term: int
    state_hash: str
    invited: dict[str, str]


def survey(folder: Path) -> Survey:
    """Changes nothing. Raises `RescueError`, `JournalError`, `OSError`."""
    with _locked(folder) as disk:
        path = str(folder / JOURNAL_FOLDER)
        last: Record | None = None
        index, term, owner, cluster_id = 0, 0, "", b""
        for window in _segments(disk, path):
            header = read_segment_header(window)
            if isinstance(header, Flaw):
                break
            index, term = header.first_index - 1, header.previous_term
            owner, cluster_id = header.identity.node_id, header.identity.cluster_id
            for record in _records_in(window):
                last = record
        at = None
        if last is not None and last.index >= index:
            index, term = last.index, last.term
            at = times.to_text(decode_entry(last.payload).now_ms)
        passport = read_passport(disk, str(folder))
        known = [] if passport is None or passport.founders is None else [m.id for m in passport.founders.members]
        refused = sorted(read_refused(str(folder)))
        return Survey(str(folder), owner, cluster_id.hex(), term, index, at, known, refused)


def force_new_cluster(folder: Path, founder: Founder) -> Recovered:
    """Let this node be the only member of a new cluster, with everything that its log holds.

    `founder` may leave out what the node knows itself: its id and address, and the other members' nodes, which are
    invited. Raises `RescueError`, `JournalError`, `StorageError`, `OSError`.
    """
    with _locked(folder) as disk:
        passport = read_passport(disk, str(folder))
        if passport is None or passport.cluster_id is None:
            raise RescueError(f"{folder}: belongs to a node without others. It needs no majority: start it.")
        settle(str(folder), STORE_FOLDER)
        with _opened(folder) as (store, machine):
            _replay(folder, disk, machine)
            founder = _completed(founder, passport, machine)
            term = max(machine.applied_term, _voted_term(folder, disk), 1)
            new = change_state(machine, founder, term)
            store.flush()
            index, digest = machine.applied_index, machine.state_hash.hex()
        begun = _exchange_journal(folder, disk, new, index, term)
    return Recovered(str(folder), begun.cluster_id, begun.member, index, term, digest, dict(founder.others))


def refuse_entry(folder: Path, index: int) -> frozenset[int]:
    """Refuse the commands of an entry that apply cannot take. Gives the whole list of this node."""
    with _locked(folder) as disk:
        record = next((record for record in _records(folder, disk) if record.index == index), None)
        if record is None:
            raise RescueError(f"{folder}: its log has no entry {index}: it is older than the log, or not here yet")
        if record.kind == KIND_CONFIG:
            raise RescueError(f"{folder}: entry {index} says who belongs to the cluster and cannot be refused")
        with _opened(folder) as (_, machine):
            if machine.applied_index >= index:
                raise RescueError(
                    f"{folder}: entry {index} has been applied here already. If other nodes refuse it, wipe "
                    f"this one and let them refill it."
                )
        refused = read_refused(str(folder)) | {index}
        write_refused(str(folder), refused)
        return refused


@contextmanager
def _locked(folder: Path) -> Iterator[OsDisk]:
    """No node runs on it meanwhile."""
    disk, journal = OsDisk(), folder / JOURNAL_FOLDER
    if not (journal.is_dir() or (folder / _OLD_JOURNAL).is_dir()) or not (folder / STORE_FOLDER).is_dir():
        raise RescueError(f"{folder}: is no data folder: it has no {JOURNAL_FOLDER} or no {STORE_FOLDER}")
    if not journal.is_dir():
        yield disk  # A recovery was cut off between its two renames; it is ended by taking it again.
        return
    try:
        unlock = disk.lock(str(journal))
    except BlockingIOError:
        raise RescueError(f"{folder}: in use by a running node; stop it first") from None
    try:
        yield disk
    finally:
        unlock()


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[KV, Machine]]:
    store = open_store("rocks", str(folder / STORE_FOLDER))
    try:
        yield store, Machine(store, refused_indexes=read_refused(str(folder)))
    finally:
        store.close()


def _records(folder: Path, disk: OsDisk) -> Iterator[Record]:
    """All of the log up to its end, torn or not."""
    journal = folder / JOURNAL_FOLDER
    if not journal.is_dir():
        return
    for window in _segments(disk, str(journal)):
        yield from _records_in(window)


def _segments(disk: OsDisk, journal: str) -> Iterator[Window]:
    for segment in list_segments(disk, journal):
        yield Window(partial(disk.read, segment.path), disk.size_bytes(segment.path))


def _records_in(segment: Window) -> Iterator[Record]:
    """Those that are whole, up to the end or the first that is not."""
    offset = SEGMENT_HEADER_BYTES
    while not isinstance(record := read_record(segment, offset), Flaw):
        offset = record.end_offset
        yield record


def _replay(folder: Path, disk: OsDisk, machine: Machine) -> None:
    for record in _records(folder, disk):
        if record.index <= machine.applied_index:
            continue
        if record.index != machine.applied_index + 1:
            raise JournalError(f"{folder}: entries {machine.applied_index + 1} to {record.index - 1} are missing")
        try:
            machine.apply(record.index, decode_entry(record.payload))
        except (ApplyFault, msgspec.MsgspecError) as error:
            text = f"{folder}: entry {record.index} cannot be applied: {error}. Refuse it first: --refuse-entry"
            raise RescueError(f"{text} {record.index}") from error


def _completed(founder: Founder, passport: Passport, machine: Machine) -> Founder:
    """What was not said is as it was."""
    node = founder.node_id or passport.node_id
    if node != passport.node_id:
        raise RescueError(f"the folder belongs to node {passport.node_id!r}, not to {node!r}")
    stored = machine.members
    known = {} if stored is None else {node_of(member.id): member.address for member in stored.members}
    address = founder.address or known.get(node, "")
    if not address:
        raise RescueError("the node's address is not known: give it with --advertise HOST:PORT")
    others = founder.others or {name: where for name, where in known.items() if name != node} or passport.invited
    return Founder(node, address, others)


def _voted_term(folder: Path, disk: OsDisk) -> int:
    try:
        return HardState(disk, str(folder / JOURNAL_FOLDER)).read().term
    except FileNotFoundError:
        return 0


def _exchange_journal(folder: Path, disk: OsDisk, passport: Passport, index: int, term: int) -> Begun:
    """The state is durable and goes further than the old journal. Each step leaves what the next try can go on with."""
    new, old, journal = folder / _NEW_JOURNAL, folder / _OLD_JOURNAL, folder / JOURNAL_FOLDER
    if new.exists():
        shutil.rmtree(new)
    begun = write_folder(str(folder), str(new), passport, index, term)
    if journal.exists():
        if old.exists():
            shutil.rmtree(old)
        os.rename(journal, old)
    os.rename(new, journal)
    disk.sync_dir(str(folder))
    return begun
