"""A world for the gateway: the real machine over the memory store, a log that closes an entry when told, a clock that
passes when told.
"""

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from rustqueue.auth import ANYBODY, Principal
from rustqueue.gateway import Gateway, GatewayLimits, Ticket
from rustqueue.gateway.preparing import NOTHING_TO_PREPARE, Preparing
from rustqueue.machine import queries
from rustqueue.machine.machine import Machine
from rustqueue.model.commands import Command, Tick
from rustqueue.model.entry import ENTRY_VERSION, Entry
from rustqueue.model.jobs import Rate
from rustqueue.model.queries import Read
from rustqueue.model.replies import HealthInfo, Refused, Reply
from rustqueue.model.wire import decode_request
from rustqueue.raft.ports import Proposal
from rustqueue.storage.memory import MemoryKV

START_MS = 1_750_000_000_000


class ManualClock:
    """Time passes in `pass_ms`, and calls are made there."""

    def __init__(self) -> None:
        self.now_us = 5_000_000
        self._soon: deque[Callable[[], None]] = deque()
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._numbers = count()

    def monotonic_us(self) -> int:
        return self.now_us

    def wall_ms(self) -> int:
        return START_MS + self.now_us // 1_000

    def call_soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> Callable[[], None]:
        number = next(self._numbers)
        heapq.heappush(self._later, (self.now_us + delay_ms * 1_000, number, call))
        return lambda: self._cancelled.add(number)

    @property
    def timers_count(self) -> int:
        return sum(number not in self._cancelled for _, number, _ in self._later)

    def run_soon(self) -> None:
        while self._soon:
            self._soon.popleft()()

    def pass_ms(self, duration_ms: int) -> None:
        end_us = self.now_us + duration_ms * 1_000
        self.run_soon()
        while self._later and self._later[0][0] <= end_us:
            at_us, number, call = heapq.heappop(self._later)
            self.now_us = max(self.now_us, at_us)
            if number not in self._cancelled:
                call()
                self.run_soon()
        self.now_us = end_us


class InstantLog:
    """A replicator without a disk: `turn` makes one entry of what was proposed, applies it and answers."""

    def __init__(self, machine: Machine, clock: ManualClock) -> None:
        self._machine = machine
        self._clock = clock
        self._pending: list[Proposal] = []
        self.on_assemble: Callable[[list[Proposal]], None] | None = None
        self.disk_full = False
        self.entries: list[list[str]] = []
        """The kinds of the commands of every entry."""
        self.logged: list[bytes] = []
        """The texts of all commands but ticks."""

    def propose(self, proposal: Proposal) -> None:
        self._pending.append(proposal)

    def turn(self) -> bool:
        """False if there was nothing to do."""
        proposals, self._pending = self._pending, []
        if not proposals:
            return False
        if self.on_assemble is not None:
            self.on_assemble(proposals)
        self.entries.append([type(proposal.command).__name__ for proposal in proposals])
        self.logged += [proposal.raw for proposal in proposals]
        self._apply(proposals)
        return True

    def tick(self) -> None:
        self._apply([Proposal(Tick(), b'{"cmd":"!tick"}', lambda reply: None)])

    def _apply(self, proposals: list[Proposal]) -> None:
        index = self._machine.applied_index + 1
        raws = [proposal.raw for proposal in proposals]
        entry = Entry(ENTRY_VERSION, 1, self._clock.wall_ms(), index.to_bytes(16, "big"), raws)
        # Decoded anew from what is logged, as a replay would do.
        replies = self._machine.apply(index, entry, None)
        for proposal, reply in zip(proposals, replies, strict=True):
            proposal.done(reply)


class World:
    """Gateway, log, machine and clock; requests are given as dictionaries, replies come as JSON values."""

    def __init__(self, limits: GatewayLimits | None = None, preparing: Preparing = NOTHING_TO_PREPARE) -> None:
        self.clock = ManualClock()
        self.machine = Machine(MemoryKV())
        self.log = InstantLog(self.machine, self.clock)
        self.landed: list[tuple[str, int]] = []
        self.gateway = Gateway(self.log, self, self.clock, limits or GatewayLimits(), self._observe, preparing)
        self.machine.publish = self.gateway.on_events

    def _observe(self, command: Command, reply: Reply, took_us: int) -> None:
        self.landed.append((type(command).__name__, took_us))

    # The port of the gateway.

    @property
    def applied_index(self) -> int:
        return self.machine.applied_index

    def ready_count(self, queue: str) -> int:
        return self.machine.ready_count(queue)

    def push_rate(self, queue: str) -> Rate | None:
        return self.machine.push_rate(queue)

    def is_draining(self, worker_id: str) -> bool:
        return self.machine.is_draining(worker_id)

    def payload_schema(self, queue: str) -> bytes | None:
        return self.machine.payload_schema(queue)

    def answer(self, query: Read) -> Reply:
        return queries.answer(self.machine, query)

    def queue_of_job(self, reference: str) -> str | None:
        return queries.queue_of_job(self.machine, reference)

    def queue_of_sweep(self, reference: str) -> str | None:
        return queries.queue_of_sweep(self.machine, reference)

    def queue_of_schedule(self, name: str) -> str | None:
        return queries.queue_of_schedule(self.machine, name)

    def health(self) -> HealthInfo:
        return HealthInfo(
            status="healthy", version="0", uptime_seconds=0, role="leader", leader="n0", term=1, applied=0, lag=0
        )

    # What tests do.

    def ask(self, cmd: str, principal: Principal = ANYBODY, behind_own: bool = False, **fields: object) -> "Asked":
        line = msgspec.json.encode({"cmd": cmd, **fields})
        return Asked(self.gateway, line, principal, behind_own)

    def run(self) -> None:
        """Let everything happen that needs no time to pass."""
        while True:
            self.clock.run_soon()
            if not self.log.turn():
                return

    def push(self, queue: str, count: int = 1, **options: object) -> None:
        """Push and let it happen."""
        jobs = [{"name": "n", "data": {}, **options} for _ in range(count)]
        asked = self.ask("push_batch", queue=queue, jobs=jobs)
        self.run()
        assert asked.reply["ok"] is True, asked.reply


class Asked:
    """One request and what became of it."""

    def __init__(self, gateway: Gateway, line: bytes, principal: Principal, behind_own: bool) -> None:
        self.replies: list[Reply] = []
        self.ticket: Ticket | None = gateway.submit(
            decode_request(line), line, self.replies.append, principal, behind_own
        )

    @property
    def is_answered(self) -> bool:
        return bool(self.replies)

    @property
    def reply(self) -> dict[str, Any]:
        [reply] = self.replies
        value: dict[str, Any] = msgspec.to_builtins(msgspec.json.decode(msgspec.json.encode(reply)))
        return value

    @property
    def code(self) -> str | None:
        [reply] = self.replies
        return reply.error.code if isinstance(reply, Refused) else None

    @property
    def jobs_count(self) -> int:
        """Jobs that a pull brought."""
        reply = self.reply
        return len(reply["jobs"]) if "jobs" in reply else int(reply["job"] is not None)
