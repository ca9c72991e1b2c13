"""The small pieces between parts that do not know each other.

It must not decide anything: each class here turns one part's interface into the port that another part asks for.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from rustqueue.api.ports import EventsAsked
from rustqueue.auth import Authenticator, Principal
from rustqueue.effects.histogram import Histogram
from rustqueue.effects.metrics import Metrics
from rustqueue.effects.stream import EventFilter, EventStream, Follower, Place
from rustqueue.gateway.schedules import with_next_runs
from rustqueue.machine import queries
from rustqueue.machine.machine import Machine
from rustqueue.model.commands import Command, Tick
from rustqueue.model.entry import Entry
from rustqueue.model.errors import ApiError
from rustqueue.model.jobs import Rate
from rustqueue.model.queries import Read, WebhookQuery
from rustqueue.model.replies import HealthInfo, Reply
from rustqueue.raft.ports import Clock, Executor, JobDone, Space

log: Final = logging.getLogger("rustqueue.node")

_DISK_LOOK_MS: Final = 1_000


class MachineReads:
    """The applied state as the gateway reads it."""

    def __init__(
        self,
        machine: Machine,
        health: Callable[[], HealthInfo],
        check_webhooks: Callable[[], None],
        configured_rates: Mapping[str, Rate] | None = None,
        configured_kinds: Mapping[str, bytes] | None = None,
    ) -> None:
        self._machine = machine
        self._check_webhooks = check_webhooks
        self._configured_rates = configured_rates or {}
        self.ready_count = machine.ready_count
        self.push_rate = self._push_rate if self._configured_rates else machine.push_rate
        self._configured_kinds = configured_kinds or {}
        self.payload_schema = self._payload_schema if self._configured_kinds else machine.payload_schema
        self.is_draining = machine.is_draining
        self.health = health

    @property
    def applied_index(self) -> int:
        return self._machine.applied_index

    def _push_rate(self, queue: str) -> Rate | None:
        """The queue's own rate, else the one of the configuration."""
        return self._machine.push_rate(queue) or self._configured_rates.get(queue)

    def _payload_schema(self, queue: str) -> bytes | None:
        """The queue's own schema, else the one of the configuration."""
        return self._machine.payload_schema(queue) or self._configured_kinds.get(queue)

    def queue_of_job(self, reference: str) -> str | None:
        return queries.queue_of_job(self._machine, reference)

    def queue_of_sweep(self, reference: str) -> str | None:
        return queries.queue_of_sweep(self._machine, reference)

    def queue_of_schedule(self, name: str) -> str | None:
        return queries.queue_of_schedule(self._machine, name)

    def answer(self, query: Read) -> Reply:
        if isinstance(query, WebhookQuery):
            self._check_webhooks()
        return with_next_runs(queries.answer(self._machine, query))


class Condition(Protocol):
    """What a node says of itself."""

    def health(self) -> HealthInfo: ...

    def ready(self) -> tuple[bool, str]: ...


class HttpServices:
    """What the HTTP shell asks of the node besides requests."""

    def __init__(self, auth: Authenticator, metrics: Metrics, node: Condition, stream: EventStream) -> None:
        self._auth = auth
        self._stream = stream
        self.health = node.health
        self.ready = node.ready
        self.metrics_text = metrics.text
        self.observe = metrics.request_answered

    def followers_count(self) -> int:
        return self._stream.followers_count

    def follow(self, follower: Follower, asked: EventsAsked, principal: Principal) -> Place:
        full = principal.grants().is_full
        wants = EventFilter(asked.events, asked.queues, asked.job_id, None if full else partial(_reads, principal))
        return self._stream.join(follower, wants, asked.after)

    def admit(self, peer: str, authorization: str | None) -> Principal:
        return self._auth.check_header(authorization, peer)


def _reads(principal: Principal, queue: str) -> bool:
    """Whether somebody may still read a queue. Whose token is gone reads nothing until his stream is ended."""
    try:
        return principal.grants().allows("read", queue)
    except ApiError:
        return False


class MeasuredExecutor:
    """An executor that tells how long its jobs take."""

    def __init__(self, executor: Executor, histogram: Histogram) -> None:
        self._executor = executor
        self._histogram = histogram

    def run(self, job: Callable[[], Any], done: JobDone) -> None:
        def measured() -> Any:
            started_ns = time.perf_counter_ns()
            try:
                return job()
            finally:
                self._histogram.observe((time.perf_counter_ns() - started_ns) // 1_000)

        self._executor.run(measured, done)

    def close(self) -> None:
        self._executor.close()


class MeasuredMachine:
    """The machine as the log feeds it; tells how long due work takes."""

    def __init__(self, machine: Machine, tick_applied: Callable[[int], None]) -> None:
        self._machine = machine
        self._tick_applied = tick_applied
        self.next_due_ms = machine.next_due_ms

    @property
    def applied_index(self) -> int:
        return self._machine.applied_index

    @property
    def now_ms(self) -> int:
        return self._machine.now_ms

    def apply(self, index: int, entry: Entry, commands: Sequence[Command] | None, unread: bool = False) -> list[Reply]:
        # A tick has an entry of its own; what a replay applies is not measured.
        if not commands or not isinstance(commands[0], Tick):
            return self._machine.apply(index, entry, commands, unread)
        started_ns = time.perf_counter_ns()
        replies = self._machine.apply(index, entry, commands, unread)
        self._tick_applied((time.perf_counter_ns() - started_ns) // 1_000)
        return replies


class DiskState(Protocol):
    """What is known of the disk with the data."""

    @property
    def warned(self) -> bool: ...

    @property
    def full(self) -> bool: ...

    @property
    def last(self) -> Space | None: ...


class DiskLog:
    """Says in the log when the disk fills up, is full, and has room again."""

    def __init__(self, space: DiskState, clock: Clock) -> None:
        self._space = space
        self._clock = clock
        self._said = (False, False)
        self._stop_timer: Callable[[], None] | None = None

    def start(self) -> None:
        space = self._space
        now = (space.warned, space.full)
        if now != self._said:
            self._said = now
            fields = {"used_percent": None if space.last is None else space.last.used_percent}
            if space.full:
                log.error("disk full, pushes are refused", extra=fields)
            elif space.warned:
                log.warning("disk filling up", extra=fields)
            else:
                log.info("disk has room again", extra=fields)
        self._stop_timer = self._clock.call_later(_DISK_LOOK_MS, self.start)

    def stop(self) -> None:
        if self._stop_timer is not None:
            self._stop_timer()
            self._stop_timer = None
