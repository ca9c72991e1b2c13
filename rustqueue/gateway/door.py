"""The gateway: authorise, propose or read, wait, give up at a deadline, map failures.

It must not know a protocol, nor what a command does. Invariants: `done` is called exactly once for every request, on
the loop, unless its ticket was cancelled; a refusal is a reply, never an exception; a pull that finds nothing does not
touch the log.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, cast, get_args

from rustqueue.auth import ANYBODY, Principal
from rustqueue.gateway import permits
from rustqueue.gateway.ports import Applied, Done, GatewayLimits, Replicator, Ticket
from rustqueue.gateway.preparing import NOTHING_TO_PREPARE, Preparing, prepare
from rustqueue.gateway.waiting import Waiter, WaitingRoom, nothing_for, queues_of
from rustqueue.model.commands import Command, Pull, PushJobs
from rustqueue.model.errors import ApiError, Unavailable
from rustqueue.model.events import Event, JobsChanged
from rustqueue.model.queries import Auth, Health, Query
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import Request
from rustqueue.raft.ports import Clock, Proposal

_QUERIES: Final = frozenset(get_args(Query))
_MAKES_READY: Final = frozenset({"pushed", "ready"})
_unknown_outcome: Final = Refused.of(Unavailable.unknown_outcome())
_stopping: Final = Refused.of(Unavailable.stopping())
_disk_full: Final = Refused.of(Unavailable.disk_full())

Observe = Callable[[Command, Reply, int], None]
"""Told a command, its reply, and the microseconds from proposal to reply."""


class _Flight:
    """A command on its way through the log. `done` is None when it has been answered."""

    __slots__ = ("command", "done", "started_us")

    def __init__(self, command: Command, done: Done, started_us: int) -> None:
        self.command = command
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
        self._room = WaitingRoom(clock, applied.ready_count, self._ask_again, limits.waiting_pulls_max)
        replicator.on_assemble = self._assemble

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
    ) -> Ticket | None:
        """Take a prepared request; `raw` is its text, which is what the log keeps. A ticket means that it may wait.

        `behind_own`: the caller has commands on their way that this one comes after, so that the applied state does
        not yet tell whether a pull would find nothing.
        """
        try:
            if principal is not ANYBODY:
                request, raw, done = self._admitted(principal, request, raw, done)
            if isinstance(request, PushJobs):
                if self._replicator.disk_full:
                    done(_disk_full)
                else:
                    self._propose(request, raw, done)
                return None
            if isinstance(request, Pull):
                return self._pull(request, raw, done, behind_own, principal)
            if type(request) in _QUERIES:
                reply = self._applied.answer(cast("Query", request))
            elif isinstance(request, Health):
                reply = self._applied.health()
            else:
                assert not isinstance(request, Auth), "a shell knows its clients; the gateway knows principals"
                command = cast("Command", request)
                step = self._preparing.get(type(request))
                if step is not None:
                    command, raw, done = prepare(step, request, done)
                self._propose(command, raw, done)
                return None
        except ApiError as error:
            reply = Refused.of(error)
        done(reply)
        return None

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
        if not self._room:
            return
        for event in events:
            if event.event in _MAKES_READY if isinstance(event, JobsChanged) else event.event == "resumed":
                self._room.woken(event.queue)

    def close(self) -> None:
        """Take no more commands; answer the pulls that wait. What is on its way is answered as it lands."""
        self._closed = True
        self._room.close()

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

    # Pulls.

    def _pull(self, pull: Pull, raw: bytes, done: Done, behind_own: bool, principal: Principal) -> Ticket | None:
        must_ask = behind_own or pull.idempotency_key is not None
        has_job = must_ask or self._room.has_free_job(queues_of(pull))
        if pull.wait_ms == 0 or pull.count == 0 or self._closed:
            if has_job:
                self._propose(pull, raw, done)
            else:
                done(nothing_for(pull))
            return None
        waiter = self._room.enter(pull, raw, done)
        if principal.tenant:
            waiter.refusal = partial(permits.refusal, principal, pull, self._applied)
        if has_job:
            self._ask_again(waiter)
        else:
            self._room.wait(waiter)
        return waiter

    def _ask_again(self, waiter: Waiter) -> None:
        if self._turned_away(waiter):
            return
        self._propose(waiter.pull, waiter.raw, partial(self._room.answered, waiter))

    def _assemble(self, proposals: list[Proposal]) -> None:
        """Pulls of waiters go into the entry that pushes their jobs, so that delivery costs no second commit."""
        if not self._room:
            return
        for waiter in self._room.turns([proposal.command for proposal in proposals]):
            if not self._turned_away(waiter):
                proposals.append(self._flight(waiter.pull, waiter.raw, partial(self._room.answered, waiter)))

    def _turned_away(self, waiter: Waiter) -> bool:
        """Refuse a pull whose token was taken away while it waited."""
        error = waiter.refusal() if waiter.refusal is not None else None
        if error is None:
            return False
        self._room.answered(waiter, Refused.of(error))
        return True

    # Through the log.

    def _propose(self, command: Command, raw: bytes, done: Done) -> None:
        if self._closed:
            done(_stopping)
        else:
            self._replicator.propose(self._flight(command, raw, done))

    def _flight(self, command: Command, raw: bytes, done: Done) -> Proposal:
        flight = _Flight(command, done, self._clock.monotonic_us())
        self._flights.append(flight)
        if not self._watching:
            self._watching = True
            self._clock.call_later(self._deadline_us // 1_000, self._watch)
        return Proposal(command, raw, partial(self._land, flight))

    def _land(self, flight: _Flight, reply: Reply) -> None:
        done = flight.done
        if done is None:
            return  # Its deadline came first.
        flight.done = None
        flights = self._flights
        # Replies come in the order of the log, so that the front is nearly always the one that landed.
        while flights and flights[0].done is None:
            flights.popleft()
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


def _resolve(answered: "asyncio.Future[Reply]", reply: Reply) -> None:
    if not answered.done():
        answered.set_result(reply)
