"""The gateway: authorise, propose or read, wait, give up at a deadline, map failures.

It must not know a protocol, nor what a command does. Invariants: `done` is called exactly once for every request, on
the loop, unless its ticket was cancelled; a refusal is a reply, never an exception; a pull that finds nothing does not
touch the log.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, cast, get_args

import msgspec

from rustqueue.auth import ANYBODY, Principal
from rustqueue.gateway import permits
from rustqueue.gateway.kinds import KindRules
from rustqueue.gateway.neighbours import Neighbours, PlacedAt
from rustqueue.gateway.places import as_one
from rustqueue.gateway.ports import Applied, Done, GatewayLimits, Replicator, Ticket
from rustqueue.gateway.preparing import NOTHING_TO_PREPARE, Preparing, prepare
from rustqueue.gateway.rates import PushRates
from rustqueue.gateway.reads import Reader
from rustqueue.gateway.relay import Errand
from rustqueue.gateway.results import ENDED
from rustqueue.gateway.waiting import NOBODY_SPECIAL, Asker, Stand, Waiter, WaitingRoom, nothing_for, queues_of
from rustqueue.model.cluster.backups import BackupRequest
from rustqueue.model.cluster.requests import ClusterRequest
from rustqueue.model.commands import Command, Pull, PushJobs, RunTransaction
from rustqueue.model.errors import ApiError, Unavailable
from rustqueue.model.events import Event, JobsChanged, QueueChanged
from rustqueue.model.queries import Auth, Health, Read
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import Request, encode_command
from rustqueue.raft.ports import Clock, Proposal

_QUERIES: Final = frozenset(get_args(Read))
_OF_NODES: Final = frozenset((Health, *get_args(ClusterRequest), *get_args(BackupRequest)))
_WITH_AN_ENDING: Final = permits.AUDITED | {RunTransaction}
_MAKES_READY: Final = frozenset({"pushed", "ready", "resumed", "freed"})
_OF_QUEUES: Final = (JobsChanged, QueueChanged)
_unknown_outcome: Final = Refused.of(Unavailable.unknown_outcome())
_stopping: Final = Refused.of(Unavailable.stopping())
_disk_full: Final = Refused.of(Unavailable.disk_full())
_no_leader: Final = Refused.of(Unavailable.no_leader())
_NO_LEADER: Final = _no_leader.error.code

Observe = Callable[[Command, Reply, int], None]
"""Told a command, its reply, and the microseconds from proposal to reply."""


AskCluster = Callable[[ClusterRequest, bytes, Done], None]
"""Takes a request about the cluster and its text; tells the reply."""

AskBackups = Callable[[BackupRequest, bytes, Done], None]
"""Takes a request about backups of this node; tells the reply."""

Audit = Callable[[Principal, Request, Reply], None]


class _Flight:
    """A command on its way through the log. `done` is None when it has been answered; `raw` what is sent to another
    leader, None when somebody else sees to that.
    """

    __slots__ = ("command", "done", "raw", "started_us")

    def __init__(self, command: Command, raw: bytes | None, done: Done, started_us: int) -> None:
        self.command = command
        self.raw = raw
        self.done: Done | None = done
        self.started_us = started_us


class Gateway:
    """The one door of a node. Everything is called, and calls back, on the loop."""

    def __init__(
        self,
        replicator: Replicator,
        applied: Applied,
        clock: Clock,
        limits: GatewayLimits,
        observe: Observe,
        preparing: Preparing = NOTHING_TO_PREPARE,
    ) -> None:
        self._replicator = replicator
        self._applied = applied
        self._clock = clock
        self._observe = observe
        self._preparing = preparing
        self._deadline_us = limits.command_deadline_ms * 1_000
        self._flights: deque[_Flight] = deque()
        self._watching = False
        self._closed = False
        self._rates = PushRates(clock, applied.push_rate)
        self._payload_rules = KindRules(applied.payload_schema)
        self._reader = Reader(applied, clock, limits)
        self._room = WaitingRoom(clock, applied.ready_count, self._ask_again, limits.waiting_pulls_max)
        self._neighbours: Neighbours | None = None
        self.audit: Audit | None = None
        """Told everything that administrators ask, and what became of it."""
        self.ask_cluster: AskCluster | None = None
        self.ask_backups: AskBackups | None = None
        self._pulled: Callable[[Waiter, Reply], None] = self._room.answered
        replicator.on_assemble = self._assemble

    def join(self, neighbours: Neighbours) -> None:
        """This node belongs to a cluster: whatever a leader has to do goes to the leader."""
        self._neighbours = neighbours
        self._pulled = self._pulled_in_cluster
        self._reader.join(neighbours.reads)
        neighbours.serve = self._serve
        neighbours.relay.take = self._take
        self._rates.is_behind = lambda: neighbours.is_behind

    @property
    def waiting_count(self) -> int:
        """Pulls that wait for a job."""
        return len(self._room)

    @property
    def in_flight_count(self) -> int:
        """Commands on their way through the log, about."""
        return len(self._flights)

    def submit(
        self,
        request: Request,
        raw: bytes,
        done: Done,
        principal: Principal = ANYBODY,
        behind_own: bool = False,
        sure: bool = False,
    ) -> Ticket | None:
        """Take a prepared request; `raw` is its text, which is what the log keeps. A ticket means that it may wait.

        `behind_own`: the caller has commands on their way that this one comes after, so that the applied state does
        not yet tell whether a pull would find nothing. `sure`: what is applied here was just seen to be fresh.
        """
        neighbours = self._neighbours
        if (
            neighbours is not None
            and principal.tenant
            and not sure
            and permits.is_unsure(principal, request, self._applied)
        ):
            # This node may not have heard yet of a job that somebody names, and so of the queue that guards it.
            neighbours.reads.wait(partial(self._submit_sure, request, raw, done, principal, behind_own))
            return None
        if type(request) in _WITH_AN_ENDING:
            done = self._ending(principal, request, done)
        try:
            if principal is not ANYBODY:
                request, raw, done = self._admitted(principal, request, raw, done)
            if type(request) in _QUERIES:
                return self._reader.ask(cast("Read", request), done)
            if type(request) in _OF_NODES:
                self._ask_node(cast("Health | ClusterRequest | BackupRequest", request), raw, done)
                return None
            assert not isinstance(request, Auth), "a shell knows its clients; the gateway knows principals"
            command = cast("Command", request)
            step = self._preparing.get(type(request))
            if step is not None:
                command, raw, done = prepare(step, request, done)
            self._payload_rules.check(command)
            if neighbours is not None and not neighbours.leads:
                return self._forward(neighbours, command, raw, done, behind_own)
            asker = NOBODY_SPECIAL
            if principal.tenant and isinstance(request, Pull):
                asker = Asker(refusal=partial(permits.refusal, principal, request, self._applied))
            return self._command(command, raw, done, behind_own, asker)
        except ApiError as error:
            done(Refused.of(error))
            return None

    def _ending(self, principal: Principal, request: Request, done: Done) -> Done:
        if type(request) is RunTransaction:
            return partial(_as_one, done)
        return done if self.audit is None else partial(_audited, self.audit, principal, request, done)

    def _submit_sure(
        self, request: Request, raw: bytes, done: Done, principal: Principal, behind_own: bool, stale: bool
    ) -> None:
        # Stale: nobody leads. What the state does not know is then not told, and a command finds no leader.
        self.submit(request, raw, done, principal, behind_own, sure=True)

    def _ask_node(self, request: Health | ClusterRequest | BackupRequest, raw: bytes, done: Done) -> None:
        """What neither the machine nor the log knows."""
        if isinstance(request, Health):
            done(self._applied.health())
        elif isinstance(request, BackupRequest):
            assert self.ask_backups is not None, "the node makes backups"
            self.ask_backups(request, raw, done)
        else:
            assert self.ask_cluster is not None, "the node says whom to ask"
            self.ask_cluster(request, raw, done)

    async def ask(self, request: Request, raw: bytes, principal: Principal = ANYBODY) -> Reply:
        """The same for a caller that can wait. Cancelling the call cancels the wait."""
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        ticket = self.submit(request, raw, partial(_resolve, answered), principal)
        try:
            return await answered
        except asyncio.CancelledError:
            if ticket is not None:
                ticket.cancel()
            raise

    def on_events(self, index: int, now_ms: int, events: Sequence[Event]) -> None:
        """What an entry changed. Pulls that wait for it are proposed."""
        self._reader.applied(index)
        if self._reader.results:
            for event in events:
                if isinstance(event, JobsChanged) and event.event in ENDED:
                    self._reader.results.ended(event.ids)
        if not self._room:
            return
        for event in events:
            if isinstance(event, _OF_QUEUES) and event.event in _MAKES_READY:
                self._room.woken(event.queue)

    def close(self) -> None:
        """Take no more commands; answer the pulls that wait. What is on its way is answered as it lands."""
        self._closed = True
        self._room.close()
        self._reader.close()
        if self._neighbours is not None:
            self._neighbours.close()

    def abandon(self) -> None:
        """The log has stopped: nothing on its way will be answered by it any more."""
        self.close()
        flights, self._flights = self._flights, deque()
        for flight in flights:
            self._land(flight, _unknown_outcome)

    def _admitted(self, principal: Principal, request: Request, raw: bytes, done: Done) -> tuple[Request, bytes, Done]:
        """Raises `ApiError` if `principal` may not ask this. The rest is done as if only he were there."""
        grants = permits.check(principal, request, self._applied)
        if grants is not None:
            done = permits.cut_down(request, grants, done)
        if principal.tenant and getattr(request, "idempotency_key", None) is not None:
            request, raw = permits.with_own_key(principal.tenant, request, raw)
        return request, raw, done

    def _command(
        self, command: Command, raw: bytes, done: Done, behind_own: bool, asker: Asker = NOBODY_SPECIAL
    ) -> Ticket | None:
        """Take a command on the node that leads."""
        if isinstance(command, Pull):
            return self._pull(command, raw, done, behind_own, asker)
        refused = self._refused(command) if isinstance(command, PushJobs | RunTransaction) else None
        if refused is not None:
            done(refused)
        else:
            self._propose(command, raw, done, asker.placed)
        return None

    def _refused(self, command: PushJobs | RunTransaction) -> Refused | None:
        """Why a push, or a transaction with one, is not even proposed."""
        for push in _pushes_in(command):
            if self._replicator.disk_full:
                return _disk_full
            try:
                self._rates.admit(push.queue, len(push.jobs))
            except ApiError as error:
                refused = Refused.of(error)
                self._observe(push, refused, 0)
                return refused
        return None

    # In a cluster.

    def _forward(
        self, neighbours: Neighbours, command: Command, raw: bytes, done: Done, behind_own: bool
    ) -> Ticket | None:
        if self._closed:
            done(_stopping)
            return None
        return neighbours.relay.forward(command, raw, done, behind_own)

    def _serve(self, command: Command, raw: bytes, done: Done, placed: PlacedAt, behind_own: bool) -> Ticket | None:
        """A command of another node's client."""
        try:
            return self._command(command, raw, done, behind_own, Asker(placed=placed))
        except ApiError as error:
            done(Refused.of(error))
            return None

    def _take(self, errand: Errand) -> None:
        """An errand to a leader that this node has become."""
        if errand.done is not None:
            errand.here = self._command(errand.command, errand.raw, errand.done, True)

    def _not_done(self, command: Command, raw: bytes, done: Done) -> None:
        """This node led no more when the command's turn came: it certainly did not happen."""
        assert self._neighbours is not None, "only a cluster has leaders"
        if isinstance(command, Pull) and command.wait_ms:
            done(_no_leader)  # Its waiter is sent on as a whole.
        else:
            self._neighbours.relay.forward(command, raw, done)

    def lost_leadership(self) -> None:
        """The pulls that wait here go to where the jobs are handed out from now on."""
        for waiter in list(self._room.standing()):
            self._send_away(waiter)

    def _pulled_in_cluster(self, waiter: Waiter, reply: Reply) -> None:
        """A pull that was not carried out, or found nothing, on a node that leads no more, is another one's now."""
        assert self._neighbours is not None, "only a cluster has leaders"
        gone = isinstance(reply, Refused) and reply.error.code == _NO_LEADER
        self._room.answered(waiter, nothing_for(waiter.pull) if gone else reply)
        if not self._neighbours.leads and waiter.stand is Stand.WAITING:
            self._send_away(waiter)

    def _send_away(self, waiter: Waiter) -> None:
        assert self._neighbours is not None, "only a cluster has leaders"
        self._room.leave(waiter)
        if waiter.asker.placed is not None:
            waiter.done(_no_leader)  # Its own node finds the new leader.
            return
        rest_ms = max(0, waiter.until_us - self._clock.monotonic_us()) // 1_000
        pull = msgspec.structs.replace(waiter.pull, wait_ms=rest_ms)
        waiter.elsewhere = self._neighbours.relay.forward(pull, encode_command(pull), waiter.done)

    # Pulls.

    def _pull(
        self, pull: Pull, raw: bytes, done: Done, behind_own: bool, asker: Asker = NOBODY_SPECIAL
    ) -> Ticket | None:
        must_ask = behind_own or pull.idempotency_key is not None
        if self._neighbours is not None and self._neighbours.is_behind:
            must_ask = True
        drains = pull.worker_id is not None and self._applied.is_draining(pull.worker_id)
        has_job = not drains and (must_ask or self._room.has_free_job(queues_of(pull)))
        if pull.wait_ms == 0 or pull.count == 0 or self._closed:
            # Behind what is not applied yet the worker may drain no more: apply knows.
            if has_job or must_ask:
                self._propose(pull, raw, done, asker.placed)
            else:
                done(nothing_for(pull))
            return None
        waiter = self._room.enter(pull, raw, done)
        waiter.asker = asker
        if has_job:
            self._ask_again(waiter)
        elif drains:
            self._room.rest(waiter)
        else:
            self._room.wait(waiter)
        return waiter

    def _ask_again(self, waiter: Waiter) -> None:
        if not self._turned_away(waiter):
            self._propose(waiter.pull, waiter.raw, partial(self._pulled, waiter), waiter.asker.placed)

    def _assemble(self, proposals: list[Proposal]) -> None:
        """Pulls of waiters go into the entry that pushes their jobs, so that delivery costs no second commit."""
        if not self._room:
            return
        for waiter in self._room.turns([proposal.command for proposal in proposals]):
            if not self._turned_away(waiter):
                answered = partial(self._pulled, waiter)
                proposals.append(self._flight(waiter.pull, waiter.raw, answered, waiter.asker.placed))

    def _turned_away(self, waiter: Waiter) -> bool:
        """Refuse a pull whose token was taken away while it waited, or whose worker is to drain."""
        worker_id = waiter.pull.worker_id
        if worker_id is not None and self._applied.is_draining(worker_id):
            self._room.dismiss(waiter)
            return True
        refusal = waiter.asker.refusal
        error = refusal() if refusal is not None else None
        if error is None:
            return False
        self._room.answered(waiter, Refused.of(error))
        return True

    # Through the log.

    def _propose(self, command: Command, raw: bytes, done: Done, placed: PlacedAt | None = None) -> None:
        if self._closed:
            done(_stopping)
        else:
            self._replicator.propose(self._flight(command, raw, done, placed))

    def _flight(self, command: Command, raw: bytes, done: Done, placed: PlacedAt | None = None) -> Proposal:
        mine = self._neighbours is not None and placed is None
        flight = _Flight(command, raw if mine else None, done, self._clock.monotonic_us())
        self._flights.append(flight)
        if not self._watching:
            self._watching = True
            self._clock.call_later(self._deadline_us // 1_000, self._watch)
        return Proposal(command, raw, partial(self._land, flight), placed)

    def _land(self, flight: _Flight, reply: Reply) -> None:
        done = flight.done
        if done is None:
            return  # Its deadline came first.
        flight.done = None
        flights = self._flights
        # Replies come in the order of the log, so that the front is nearly always the one that landed.
        while flights and flights[0].done is None:
            flights.popleft()
        if flight.raw is not None and isinstance(reply, Refused) and reply.error.code == _NO_LEADER:
            self._not_done(flight.command, flight.raw, done)
            return
        self._observe(flight.command, reply, self._clock.monotonic_us() - flight.started_us)
        done(reply)

    def _watch(self) -> None:
        """Answer what has been on its way for too long: the caller must not wait in silence."""
        latest_us = self._clock.monotonic_us() - self._deadline_us
        flights = self._flights
        while flights and flights[0].started_us <= latest_us:
            self._land(flights[0], _unknown_outcome)
        if flights:
            delay_us = max(0, flights[0].started_us - latest_us)
            self._clock.call_later(-(-delay_us // 1_000), self._watch)
        else:
            self._watching = False


def _audited(audit: Audit, principal: Principal, request: Request, done: Done, reply: Reply) -> None:
    audit(principal, request, reply)
    done(reply)


def _as_one(done: Done, reply: Reply) -> None:
    done(as_one(reply))


def _pushes_in(command: PushJobs | RunTransaction) -> Iterable[PushJobs]:
    if isinstance(command, PushJobs):
        return (command,)
    return [operation for operation in command.operations if isinstance(operation, PushJobs)]


def _resolve(answered: "asyncio.Future[Reply]", reply: Reply) -> None:
    if not answered.done():
        answered.set_result(reply)
