"""What is read off a node when somebody scrapes its metrics.

It must not know how numbers are shown, nor count anything itself. Invariant: a read takes a bounded time on the loop.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from rustqueue.auth import Authenticator
from rustqueue.effects.depths import OldestJobs, QueueDepths
from rustqueue.effects.metrics import Gauges, Labelled
from rustqueue.effects.schedules.duty import ScheduleDuty
from rustqueue.effects.stalls import LoopStalls
from rustqueue.effects.stream import EventStream
from rustqueue.gateway import Gateway
from rustqueue.machine.machine import Machine
from rustqueue.node.cluster import ClusterSide
from rustqueue.node.room import RoomMaker
from rustqueue.node.webhooks import Webhooks, webhook_numbers
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.journal import Journal
from rustqueue.raft.local import LocalReplicator
from rustqueue.tcp import TcpShell


class Parts(Protocol):
    """What of a node is looked at."""

    started_s: float
    machine: Machine
    journal: Journal
    replicator: LocalReplicator | ClusterReplicator
    cluster: ClusterSide | None
    gateway: Gateway
    schedules: ScheduleDuty
    webhooks: Webhooks
    stream: EventStream
    depths: QueueDepths
    oldest: OldestJobs
    stalls: LoopStalls
    room: RoomMaker
    auth: Authenticator
    tcp: TcpShell


def _due_lag_ms(node: Parts) -> int:
    """How long the oldest due work has been waiting for its tick."""
    due_ms = node.machine.next_due_ms()
    return 0 if due_ms is None else max(0, node.replicator.now_ms() - due_ms)


def gauges_of(node: Parts) -> Gauges:
    replicator, space = node.replicator, node.replicator.space
    queues, rest = node.depths.read()
    used = 0.0 if space.last is None else space.last.used_percent / 100
    numbers: Sequence[tuple[str, str, float]] = (
        ("uptime_seconds", "Since the start of the node.", time.monotonic() - node.started_s),
        ("due_lag_seconds", "How long the oldest due work has been waiting.", _due_lag_ms(node) / 1_000),
        ("schedules", "Schedules, paused ones too.", node.machine.state.meta.schedules),
        ("schedule_lag_seconds", "How late the most overdue run is.", node.schedules.lag_ms / 1_000),
        ("waiting_pulls", "Pulls that wait for a job.", node.gateway.waiting_count),
        ("commands_in_flight", "Commands on their way through the log.", node.gateway.in_flight_count),
        ("websocket_clients_connected", "Clients that follow events.", node.stream.followers_count),
        ("tcp_connections", "Open TCP connections.", len(node.tcp.connections)),
        ("disk_warned", "1 while the file system with the data is filling up.", space.warned),
        ("disk_full", "1 while pushes are refused for want of room.", replicator.disk_full),
        ("disk_used_ratio", "Use of the file system with the data.", used),
        ("journal_bytes", "Size of the log on disk.", node.journal.size_bytes),
        *webhook_numbers(node.machine, node.webhooks.duty),
        ("raft_term", "Term of the log.", replicator.term),
        ("raft_last_index", "Last entry of the log.", node.journal.last_index),
        ("raft_durable_index", "Last entry that survives a power cut.", node.journal.durable_index),
        ("raft_applied_index", "Last applied entry.", replicator.applied_index),
        ("raft_flushed_index", "Last entry in the flushed store.", replicator.flushed_index),
        ("raft_pending_bytes", "Commands not yet applied.", replicator.pending_bytes),
    )
    counters: Sequence[tuple[str, str, float]] = (
        ("trimmed_jobs", "Completed jobs removed early for want of room.", node.room.trimmed_jobs),
        ("auth_failures", "Bad tokens that were shown.", node.auth.failures_count),
        (
            "auth_lockouts",
            "Requests of addresses that had failed too often.",
            node.auth.locked_out_count,
        ),
        ("store_compactions", "Compactions of the store for want of room.", node.room.compactions_count),
        ("loop_stalls", "Times that the event loop stood still for a second or more.", node.stalls.count),
    )
    oldest_ms = node.oldest.read([name for name, counts in queues if counts.waiting])
    peers: tuple[Labelled, ...] = ()
    if node.cluster is not None:
        numbers, counters = (*numbers, *node.cluster.numbers()), (*counters, *node.cluster.counters())
        peers = tuple(node.cluster.peer_numbers.read())
    return Gauges(numbers, queues, rest, counters, peers, oldest_ms, replicator.now_ms())
