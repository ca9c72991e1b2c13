"""A data folder of a new cluster out of a state that there is already: restored from a backup, or left of an old one.

It must not know backups or how the state came here. Invariants: the new cluster has an id and the node a member id that
nobody ever had, so that no disk of an earlier cluster, and none that was restored twice, can take part in it; the node
is its only member, and all others begin empty; who belongs to it stands in the state, as an entry behind all others.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rustqueue.machine.machine import Machine
from rustqueue.model.commands import MemberRecord, Members
from rustqueue.model.entry import ENTRY_VERSION, Entry
from rustqueue.model.wire import encode_command
from rustqueue.raft.cluster.config import Config, config_of
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.passport import Passport, write_passport
from rustqueue.raft.hardstate import HardState, TermVote
from rustqueue.raft.links import member_id
from rustqueue.raft.ports import JobDone
from rustqueue.raft.real import OsDisk
from rustqueue.raft.records import Identity

_LONE_NODE = "n0"


class RescueError(Exception):
    """What was asked cannot be done. The message says why, and what can be."""


@dataclass(frozen=True, slots=True)
class Founder:
    """Who the node will be; without an id it is a node without others. `others` are taken in as soon as they run with
    empty folders: node ids and where their peer ports answer.
    """

    node_id: str = ""
    address: str = ""
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begun:
    """What came of it."""

    cluster_id: str
    member: str
    index: int
    term: int


class _InPlace:
    """An executor for a journal that nothing is appended to."""

    def run(self, job: Callable[[], Any], done: JobDone) -> None:
        done(job(), None)

    def close(self) -> None:
        pass


def change_state(machine: Machine, founder: Founder, term: int) -> Passport:
    """Let the state know its new and only member. The caller flushes the store."""
    incarnation = secrets.randbelow(2**31 - 1) + 1
    name = member_id(founder.node_id, incarnation)
    records = [MemberRecord(name, founder.address, True)] if founder.node_id else []
    raw = encode_command(Members(members=records))
    entry = Entry(ENTRY_VERSION, term, machine.now_ms, bytes(16), [raw])
    machine.apply(machine.applied_index + 1, entry)
    config = config_of(Members(members=records)) if records else Config(())
    return Passport(founder.node_id, incarnation, secrets.token_bytes(16), config, dict(founder.others))


def write_folder(folder: str, journal: str, passport: Passport, index: int, term: int) -> Begun:
    """A journal that begins behind `index`, in the folder `journal`, and the passport, if there is a cluster."""
    disk = OsDisk()
    assert passport.cluster_id is not None, "a new cluster has an id"
    member = member_id(passport.node_id, passport.incarnation) if passport.node_id else _LONE_NODE
    log = MemberLog(disk, _InPlace(), journal, Identity(passport.cluster_id, member))
    log.open()
    try:
        log.begin_after(index, term)
        hard_state = HardState(disk, journal)
        hard_state.open()
        hard_state.store(TermVote(term, None))
        hard_state.close()
    finally:
        log.close()
    if passport.node_id:
        write_passport(disk, folder, passport)
    disk.sync_dir(folder)
    return Begun(passport.cluster_id.hex(), member, index, term)
