"""Bugs of what is applied: the rules of jobs, and what makes replicas differ."""

from collections.abc import Sequence
from random import Random

import msgspec

from rustqueue.machine import keys, rows
from rustqueue.machine.machine import Machine
from rustqueue.machine.schedules import rows as schedule_rows
from rustqueue.machine.tx import Tx
from rustqueue.machine.verbs import follow_ups
from rustqueue.model.commands import Ack, Cancel, Command, Fail, Heartbeat, Tick
from rustqueue.model.entry import Entry
from rustqueue.model.errors import NotFound
from rustqueue.model.ids import parse_id
from rustqueue.model.replies import Pulled, Refused, Reply
from rustqueue.model.schedules import ScheduleFire
from tests.simulation.member_node import MemberVariant
from tests.simulation.node import Variant
from tests.simulation.planted.bug import Bug, Swarm, SwarmWorld
from tests.simulation.world import World

_TICK_MS = 250


class _Numbered(Machine):
    """Knows which of all machines it is: what differs between replicas hangs on that."""

    made_count = 0

    def open(self, kv: object) -> None:
        super().open(kv)  # type: ignore[arg-type]
        type(self).made_count += 1
        self.number = type(self).made_count


class OwnClockMachine(_Numbered):
    """Each replica asks its own clock: every third machine is a millisecond ahead."""

    def apply(
        self, index: int, entry: Entry, commands: Sequence[Command] | None = None, unread: bool = False
    ) -> list[Reply]:
        later = Entry(entry.version, entry.term, entry.now_ms + self.number % 3, entry.seed, entry.commands)
        return super().apply(index, later, commands, unread)


class SetOrderMachine(_Numbered):
    """Hands out jobs in the order of a set, which is another one in each process."""

    def _one(self, tx: Tx, command: Command) -> Reply:
        reply = super()._one(tx, command)
        if isinstance(reply, Pulled):
            Random(self.number).shuffle(reply.jobs)
        return reply


class LocalDeleteMachine(_Numbered):
    """Only every second machine hears of a cancelled job."""

    def _one(self, tx: Tx, command: Command) -> Reply:
        if isinstance(command, Cancel) and self.number % 2:
            return Refused.of(NotFound.job(command.id))
        return super()._one(tx, command)


class UnfencedMachine(Machine):
    """Takes whatever a worker says of a job that is leased, to whomever."""

    def _one(self, tx: Tx, command: Command) -> Reply:
        if isinstance(command, Ack | Fail | Heartbeat):
            command = msgspec.structs.replace(command, attempt_token=None)
        return super()._one(tx, command)


class EarlyMachine(Machine):
    """Ends leases one tick too early."""

    def _one(self, tx: Tx, command: Command) -> Reply:
        if not isinstance(command, Tick):
            return super()._one(tx, command)
        tx.now_ms += _TICK_MS
        try:
            return super()._one(tx, command)
        finally:
            tx.now_ms -= _TICK_MS


class EagerFollowUps(Machine):
    """Every ack of a job pushes its follow-ups, a repeated one as well."""

    def _one(self, tx: Tx, command: Command) -> Reply:
        job_id = parse_id(command.id) if isinstance(command, Ack) else None
        row = None if job_id is None else self.state.job_row(tx, job_id)
        was_leased = job_id in self.state.leases
        reply = super()._one(tx, command)
        if job_id is not None and row is not None and not was_leased and not isinstance(reply, Refused):
            follow_ups.push_all(self.state, tx, job_id, row, None)
        return reply


class LevellingMachine(Machine):
    """A job that is tried again has lost its priority."""

    def _one(self, tx: Tx, command: Command) -> Reply:
        if isinstance(command, Fail):
            job_id = parse_id(command.id)
            lease = None if job_id is None else self.state.leases.get(job_id)
            row = None if job_id is None else self.state.job_row(tx, job_id)
            if job_id is not None and row is not None and lease is not None and lease.token == command.attempt_token:
                tx.rows[keys.job(job_id)] = rows.encode(rows.changed(row, priority=0))
        return super()._one(tx, command)


class KeylessSchedules(Machine):
    """A firing counts whatever the schedule's turn is by now."""

    def _one(self, tx: Tx, command: Command) -> Reply:
        if isinstance(command, ScheduleFire):
            firings = []
            for firing in command.firings:
                found = schedule_rows.find(tx, firing.name)
                turn = firing.turn if found is None else found.table.turn
                firings.append(msgspec.structs.replace(firing, turn=turn))
            command = msgspec.structs.replace(command, firings=firings)
        return super()._one(tx, command)


def _alone(name: str, machine: type[Machine], *kinds: str) -> Bug:
    """What one node shows as well as several do, and faster."""
    return Bug(name, lambda seed: World(seed, Variant(machine=machine), kinds, _LOAD_US))


def _together(name: str, machine: type[Machine], swarm: Swarm) -> Bug:
    return Bug(name, lambda seed: SwarmWorld(seed, MemberVariant(machine=machine), swarm))


_LOAD_US = 15_000_000
_QUIET = Swarm(("kill leader",), 10)
_REIGNS = Swarm(("kill leader", "hand over", "isolate"), 20, fault_mean_ms=1_000)

BUGS = (
    _together("own clock in apply", OwnClockMachine, _QUIET),
    _together("order of a set in apply", SetOrderMachine, _QUIET),
    _together("delete not replicated", LocalDeleteMachine, _QUIET),
    _alone("fencing check off", UnfencedMachine, "kill"),
    _alone("lease ends one tick early", EarlyMachine, "kill"),
    _alone("follow-up on every ack", EagerFollowUps, "kill"),
    _alone("priority lost by a retry", LevellingMachine, "kill"),
    _together("schedule without a tick key", KeylessSchedules, _REIGNS),
)
