"""What a node of a cluster has and a single one has not: links, a past or a founding, a member's log, neighbours.

It must not know shells, nor how members agree. Invariants: nothing is said to peers before this node's incarnation is
on its disk; the log is opened only when it is certain to which cluster it belongs; without credentials a cluster does
not start unless it was told to be insecure.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import rustqueue
from rustqueue.gateway.neighbours import Neighbours
from rustqueue.gateway.relay import ErrandRules
from rustqueue.machine.machine import Machine
from rustqueue.node.keeping.invites import Invites
from rustqueue.node.membership import About, Council
from rustqueue.node.peer_numbers import PeerNumbers
from rustqueue.raft.cluster.config import Config, config_of, node_of
from rustqueue.raft.cluster.founding import Founded, Founding
from rustqueue.raft.cluster.install import Snapshots, finish_install
from rustqueue.raft.cluster.log import MemberLog
from rustqueue.raft.cluster.parts import Parts, ReplicatorOptions, ReplicatorPorts, Timing, open_configs
from rustqueue.raft.cluster.passport import Passport, read_passport, write_passport
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.cluster.snapshots import StateFiles
from rustqueue.raft.cluster.syncobj import ROLE_NAMES, Seat
from rustqueue.raft.hardstate import HardState
from rustqueue.raft.journal import JournalError
from rustqueue.raft.links import NO_CLUSTER, Hello, member_id
from rustqueue.raft.membership.acquaintance import Acquaintance, is_looked_at
from rustqueue.raft.membership.steward import Steward
from rustqueue.raft.messages import PROTOCOL_VERSION, Append, Appended, Message
from rustqueue.raft.ports import Clock, Disk, Executor, StateMachine, Store
from rustqueue.raft.records import Identity
from rustqueue.raft.transport import LinkOptions, TcpLinks, TlsFiles
from rustqueue.settings import ClusterSettings

log: Final = logging.getLogger("rustqueue.node")

_COMPLAINT_S: Final = 5.0
_TRANSFER_S: Final = 2.0


class ClusterError(Exception):
    """The settings of the cluster cannot work. The message says which and why."""


@dataclass(frozen=True, slots=True)
class MemberParts:
    """What the node has made already."""

    machine: Machine
    measured: StateMachine
    store: Store
    journal_thread: Executor
    background: Executor
    seed: Callable[[], bytes]
    segment_bytes: int
    options: ReplicatorOptions


class ClusterSide:
    """`belong` first, then `open`; `close` at the end."""

    def __init__(self, settings: ClusterSettings, folder: str, disk: Disk, clock: Clock) -> None:
        self._settings = settings
        self._folder = folder
        self._disk = disk
        self._clock = clock
        self._peers = settings.first_members
        self.address = self._peers.get(settings.node_id, settings.advertised)
        self._passport = self._find_passport()
        self._founding: Founding | None = None
        self._founded: asyncio.Future[Founded] = asyncio.get_running_loop().create_future()
        self._follows: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done as soon as this node leads no more."""
        self._turned_away = ""
        """What the last member said that did not want this node."""
        tls = None if settings.tls is None else TlsFiles(*settings.tls)
        self.links = TcpLinks(self._hello, self._admit, LinkOptions(settings.listen, tls), clock, random.random)
        self._acquaintance = Acquaintance(self._hello, self.links, clock)
        self.replicator: ClusterReplicator | None = None
        self.neighbours: Neighbours | None = None
        self.council: Council | None = None

    def _find_passport(self) -> Passport:
        found = read_passport(self._disk, self._folder)
        node_id = self._settings.node_id
        if found is None:
            found = Passport(node_id, secrets.randbelow(2**31 - 1) + 1)
            write_passport(self._disk, self._folder, found)
        if found.node_id != node_id:
            raise ClusterError(
                f"the data folder belongs to node {found.node_id!r}, not to {node_id!r}: start each node with its own"
            )
        return found

    @property
    def me(self) -> str:
        """This node's member id."""
        return member_id(self._passport.node_id, self._passport.incarnation)

    @property
    def cluster_id(self) -> bytes:
        return self._passport.cluster_id or NO_CLUSTER

    # Saying hello.

    def _hello(self) -> Hello:
        passport = self._passport
        return Hello(
            PROTOCOL_VERSION, PROTOCOL_VERSION, self.cluster_id, passport.node_id, passport.incarnation, self.address
        )

    def _admit(self, hello: Hello) -> str | None:
        if self._passport.cluster_id is None:
            return self._admit_founder(hello)
        return self._acquaintance.admit(hello)

    def _admit_founder(self, hello: Hello) -> str | None:
        founding = self._founding
        if founding is None:
            return "this node is not ready yet"
        founding.heard(hello)
        if founding.result is not None and not self._founded.done():
            self._founded.set_result(founding.result)
        if hello.node not in self._peers and not self._settings.join:
            return f"'{hello.node}' is not among the peers of '{self._settings.node_id}': list the same peers on all"
        return None

    # Founding.

    async def belong(self) -> None:
        """Listen, and wait until it is clear to which cluster this node belongs."""
        await self.links.start()
        if self._passport.cluster_id is not None:
            return
        join = self._settings.join or None
        self._founding = Founding(self._hello(), self._peers, join)
        others = {node: address for node, address in self._peers.items() if node != self._settings.node_id}
        self.links.set_peers({join: join} if join is not None else others)
        if not others and join is None:
            self._founding.heard(self._hello())
            if self._founding.result is not None:
                self._founded.set_result(self._founding.result)
        while not self._founded.done():
            await asyncio.wait({self._founded}, timeout=_COMPLAINT_S)
            if not self._founded.done():
                self._founding.wait_no_longer()
                if self._founding.result is not None:
                    self._founded.set_result(self._founding.result)
                    break
                log.warning("no cluster yet", extra={"reason": self._founding.complaint()})
        founded = self._founded.result()
        passport = Passport(self._passport.node_id, self._passport.incarnation, founded.cluster_id, founded.config)
        write_passport(self._disk, self._folder, passport)
        self._passport = passport
        log.info("belongs to a cluster", extra={"cluster": founded.cluster_id.hex(), "member": self.me})
        if not founded.config.members:
            node = passport.node_id
            advice = (
                f"rustqueue cluster add {node} {self.address}, or, after a lost disk: rustqueue cluster replace {node}"
            )
            log.warning("waits to be taken in", extra={"member": self.me, "advice": advice})

    # The member.

    def open(self, journal_folder: str, parts: MemberParts, files: StateFiles) -> ClusterReplicator:
        """Open the log of this member and make its replicator. Raises `JournalError`."""
        self._machine = parts.machine
        identity = Identity(self.cluster_id, self.me)
        self.log = MemberLog(self._disk, parts.journal_thread, journal_folder, identity, parts.segment_bytes)
        self.log.open()
        finish_install(self._disk, self._folder, self.log)
        self._hard_state = HardState(self._disk, journal_folder)
        self._hard_state.open(self.log.last_index)
        if self.log.last_index < parts.machine.applied_index:
            raise JournalError(
                f"the store has applied entry {parts.machine.applied_index}, but the journal ends at "
                f"{self.log.last_index}: files of the journal are missing. Wipe this node and let the others refill it."
            )
        known = parts.machine.members is not None
        base = _config_of(parts.machine) if known else self._passport.founders or Config(())
        configs = open_configs(self.log, parts.machine.applied_index if known else 0, base)
        low, high = self._settings.election_range_ms
        self.seat = Seat(self.me, self._hard_state)
        self._parts = Parts(
            self.seat, self.log, self.links, self._clock, random.Random(secrets.randbits(128)).randrange,
            Timing(self._settings.heartbeat_ms, low, high), configs,
        )  # fmt: skip
        ports = ReplicatorPorts(self._disk, parts.background, parts.seed)
        replicator = ClusterReplicator(self._parts, parts.measured, parts.store, ports, parts.options)
        replicator.digests.own_digest = lambda: parts.machine.state_hash
        replicator.installed_config = lambda: _config_of(parts.machine)
        self.snapshots = Snapshots(self._parts, replicator, self._disk, self._folder, parts.background)
        self.snapshots.use(files)
        self.steward = Steward(self._parts, replicator)
        self.peer_numbers = PeerNumbers(self._parts, self.snapshots, lambda: replicator.member.leading)
        replicator.member.round_trip = self.peer_numbers.round_trip
        self.replicator = replicator
        return replicator

    def join_gateway(self, deadline_ms: int, on_role: Callable[[bool], None]) -> Neighbours:
        """Connect links, replicator and gateway; call `start` on the replicator afterwards."""
        replicator = self.replicator
        assert replicator is not None, "the member is open"
        rules = ErrandRules(deadline_ms, secrets.randbelow(1 << 62))
        neighbours = Neighbours(self.links, replicator, self._clock, replicator.member.read_index, rules)
        self.neighbours = neighbours
        about = About(self.cluster_id.hex(), rustqueue.__version__, lambda: self._machine.state.meta.feature_level)
        council = self.council = Council(self._parts, replicator, self.steward, self._acquaintance.look, about)
        replicator.on_leader = self._leader_is
        replicator.on_applied = neighbours.reads.applied
        replicator.on_configured = self._acquaintance.configured
        self._acquaintance.config = lambda: self._config
        replicator.on_role = partial(self._role_changed, on_role)
        self.links.on_message = self._received
        self.links.on_up = self._link_up
        self.links.on_down = self._link_down
        self.links.on_refused = self._refused
        self._acquaintance.configured(self._config)
        council.start()
        self._invites = Invites(self._clock, council.submit, self._passport.invited, self._taken_in)
        self._invites.start()
        return neighbours

    def _taken_in(self, node: str) -> None:
        """One that was invited belongs to the cluster now."""
        invited = {name: address for name, address in self._passport.invited.items() if name != node}
        self._passport = replace(self._passport, invited=invited)
        write_passport(self._disk, self._folder, self._passport)

    def _role_changed(self, on_role: Callable[[bool], None], leads: bool) -> None:
        if leads and self._follows.done():
            self._follows = asyncio.get_running_loop().create_future()
        elif not leads and not self._follows.done():
            self._follows.set_result(None)
        self.snapshots.role_changed(leads)
        self.steward.role_changed(leads)
        on_role(leads)

    def _leader_is(self, leader: str | None) -> None:
        assert self.neighbours is not None, "the gateway is there"
        assert self.council is not None, "the gateway is there"
        assert self.replicator is not None, "the member is open"
        if leader is None:
            log.info("no leader", extra={"term": self.replicator.term})
        else:
            log.info("leader", extra={"leader": node_of(leader), "term": self.replicator.term})
        self._acquaintance.leader_is(leader)
        self.neighbours.leader_is(leader)
        self.council.leader_is(leader)

    @property
    def _config(self) -> Config:
        return self._parts.config if self.replicator is not None else Config(())

    def _received(self, peer: str, message: Message) -> None:
        assert self.neighbours is not None, "links speak after the start"
        assert self.replicator is not None, "links speak after the start"
        assert self.council is not None, "links speak after the start"
        if isinstance(message, Append | Appended):
            self.replicator.received(peer, message)  # Nearly all that comes is one of these.
        elif (
            not self.neighbours.received(peer, message)
            and not self.snapshots.received(peer, message)
            and not self.council.received(peer, message)
        ):
            self.replicator.received(peer, message)

    def _link_up(self, peer: str) -> None:
        assert self.neighbours is not None, "links speak after the start"
        assert self.replicator is not None, "links speak after the start"
        assert self.council is not None, "links speak after the start"
        self._turned_away = ""
        if is_looked_at(peer):
            return
        self.replicator.member.link_up(peer)
        self.neighbours.link_up(peer)
        self.council.link_up(peer)

    def _link_down(self, peer: str) -> None:
        assert self.neighbours is not None, "links speak after the start"
        assert self.replicator is not None, "links speak after the start"
        assert self.council is not None, "links speak after the start"
        if is_looked_at(peer):
            return
        self.replicator.member.link_down(peer)
        self.council.link_down(peer)
        self.snapshots.link_down(peer)
        self.neighbours.link_down(peer)

    def _refused(self, peer: str, reason: str) -> None:
        self._turned_away = f"{peer} says: {reason}"

    # What the node says of itself.

    @property
    def role(self) -> str:
        replicator = self.replicator
        if replicator is None:
            return "joining"
        if self.me not in self._config.voters:
            return "learner"
        return ROLE_NAMES[self.seat.role]

    @property
    def leader_node(self) -> str | None:
        leader = self.replicator.member.leader if self.replicator is not None else None
        return None if leader is None else node_of(leader)

    def not_ready(self) -> str:
        """Why clients had better ask another node; empty when they need not."""
        replicator = self.replicator
        if replicator is None or self.me not in self._config.addresses:
            return "this node is no member of the cluster"
        if replicator.member.leader is None:
            return self._turned_away or "the cluster has no leader"
        # What is committed of its log a node that comes back learns late, and most of it is.
        lag = self.log.last_index - replicator.applied_index
        return f"this node is {lag} entries behind" if lag > _READY_LAG_ENTRIES else ""

    def numbers(self) -> tuple[tuple[str, str, float], ...]:
        """Gauges: name, help, value."""
        replicator = self.replicator
        if replicator is None:
            return ()
        member, config = replicator.member, self._config
        return (
            ("raft_is_leader", "1 while this node leads.", member.leads),
            ("raft_leader_known", "1 while this node knows who leads.", member.leader is not None),
            ("raft_commit_index", "Last entry that a majority holds, as far as this node knows.", member.commit_index),
            ("raft_members", "Members of the cluster, learners too.", len(config.members)),
            ("raft_voters", "Members that vote.", len(config.voters)),
            ("raft_lag_entries", "Committed entries not yet applied.", member.commit_index - replicator.applied_index),
        )

    def counters(self) -> tuple[tuple[str, str, float], ...]:
        """Numbers that only grow: name, help, value."""
        replicator = self.replicator
        if replicator is None:
            return ()
        member, sender = replicator.member, self.snapshots.sender
        return (
            ("raft_elections_won", "Elections that this node won.", member.elections_count),
            ("raft_campaigns", "Elections that this node stood for.", member.election.campaigns_count),
            ("raft_log_cuts", "Times that the log was cut for another leader's.", member.cuts_count),
            ("raft_snapshots_installed", "Snapshots that replaced this node's state.", self.snapshots.installs_count),
            (
                "raft_snapshots_sent",
                "Snapshots that other nodes took from this one.",
                sender.sent_count if sender else 0,
            ),
            ("raft_snapshot_sent_bytes", "Sent as parts of snapshots.", sender.sent_bytes if sender else 0),
            ("raft_snapshot_received_bytes", "Got as parts of snapshots.", self.snapshots.receiver.received_bytes),
            ("raft_peer_faults", "What went wrong at the peer port.", sum(self.links.faults.values())),
        )

    async def hand_over(self) -> None:
        """Let another voter lead before this node goes."""
        replicator = self.replicator
        if replicator is None or not replicator.leads or replicator.member.transfer() is None:
            return
        await asyncio.wait({self._follows}, timeout=_TRANSFER_S)

    async def close(self) -> None:
        if self.council is not None:
            self.council.close()
            self._invites.close()
        await self.links.close()
        if self.replicator is not None:
            self._hard_state.close()


def _config_of(machine: Machine) -> Config:
    return Config(()) if machine.members is None else config_of(machine.members)


_READY_LAG_ENTRIES: Final = 5_000
