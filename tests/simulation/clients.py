"""Clients of the simulated node: generators that ask and sleep, and the session that runs them over a lossy line.

They must not look into the node. Each request is text, as it would come over TCP; what a client was told goes into the
history, and a request whose answer was lost is unknown, never failed.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, NamedTuple, Protocol

import msgspec

from rustqueue.gateway.door import Gateway
from rustqueue.model.errors import ApiError
from rustqueue.model.jobs import Job
from rustqueue.model.replies import FailedJob, Leased, Pulled, PulledOne, Pushed, PushedBatch, Refused, Reply, Seen
from rustqueue.model.wire import decode_request
from tests.simulation.timeline import Timeline

GIVE_UP_US = 20_000_000
_FILLER_BYTES = (50, 50, 50, 200, 3_000)
QUEUES = ("mail", "video", "reports")


class Sleep(NamedTuple):
    """Do nothing for so long."""

    duration_us: int


class Ask(NamedTuple):
    """Send a request and wait for its outcome. `until_known` repeats the same text until the outcome is known."""

    fields: dict[str, Any]
    until_known: bool = False


@dataclass(slots=True)
class Call:
    """One request in the history. `reply` is None while the outcome is unknown."""

    raw: bytes
    called_us: int
    returned_us: int | None = None
    reply: Reply | None = None

    @property
    def ok(self) -> bool:
        return self.reply is not None and not isinstance(self.reply, Refused)


Script = Generator[Sleep | Ask, Any, None]


class Yard(Protocol):
    """What clients know of the world: whether to go on, the node's address, and what they told each other."""

    timeline: Timeline
    calls: list[Call]
    pushed: list[str]
    load: bool

    @property
    def gateway(self) -> Gateway | None: ...

    def name(self) -> str:
        """A word that nobody else has."""
        ...


class Session:
    """Runs one script. Its requests travel some time, and die with the process that they wait for."""

    def __init__(self, yard: Yard, script: Script, rng: Random) -> None:
        self._yard = yard
        self._script = script
        self._rng = rng
        self._waiting: Call | None = None
        self._ask: Ask | None = None
        self._raw = b""
        self.at: Gateway | None = None
        """Where its request is."""

    def start(self) -> None:
        self._go(None)

    def connection_lost(self) -> None:
        """The process at the other end has died."""
        if self._waiting is not None:
            self._waiting = None
            self._later(partial(self._returned, None))

    def _go(self, value: Call | None) -> None:
        try:
            wish = self._script.send(value)
        except StopIteration:
            return
        if isinstance(wish, Sleep):
            self._yard.timeline.after(wish.duration_us, lambda: self._go(None))
        else:
            self._ask = wish
            self._call(msgspec.json.encode({**wish.fields, "request_id": self._yard.name()}))

    def _call(self, raw: bytes) -> None:
        self._raw = raw
        self._later(lambda: self._arrived(raw))

    def _arrived(self, raw: bytes) -> None:
        gateway = self.at = self._yard.gateway
        if gateway is None:
            self._returned(None)  # Nobody listens: the request was never sent.
            return
        call = Call(raw, self._yard.timeline.now_us)
        self._yard.calls.append(call)
        self._waiting = call
        self._yard.timeline.after(GIVE_UP_US, lambda: self._gave_up(call))
        try:
            request = decode_request(call.raw)
        except ApiError as error:
            raise AssertionError(f"a client of the simulation wrote nonsense: {call.raw!r}") from error
        gateway.submit(request, call.raw, lambda reply: self._later(lambda: self._answered(call, reply)))

    def _answered(self, call: Call, reply: Reply) -> None:
        if self._waiting is call:
            self._waiting = None
            call.reply = reply if not _tells_nothing(reply) else None
            self._returned(call)

    def _gave_up(self, call: Call) -> None:
        if self._waiting is call:
            self._waiting = None
            self._returned(None)

    def _returned(self, call: Call | None) -> None:
        if call is not None and call.reply is not None:
            call.returned_us = self._yard.timeline.now_us
            self._go(call)
        elif self._ask is not None and self._ask.until_known:
            self._yard.timeline.after(200_000 + self._rng.randrange(800_000), lambda: self._call(self._raw))
        else:
            self._go(None)

    def _later(self, call: Any) -> None:
        self._yard.timeline.after(self._rng.randrange(50, 2_000), call)


def _tells_nothing(reply: Reply) -> bool:
    """An outcome that nobody knows, and what a node read while nobody led: it marks that as perhaps old."""
    if isinstance(reply, Seen):
        return reply.stale
    return isinstance(reply, Refused) and reply.error.code == "OUTCOME_UNKNOWN"


# What clients do.


def pusher(yard: Yard, rng: Random, think_us: int) -> Script:
    """Single jobs and batches, with all options; some with a key that makes repeats harmless."""
    while yard.load:
        yield Sleep(rng.randrange(think_us))
        queue = rng.choice(QUEUES)
        once = rng.random() < 0.5
        fields: dict[str, Any] = {"idempotency_key": yard.name()} if once else {}
        if rng.random() < 0.5:
            call = yield Ask({"cmd": "push", "queue": queue, **_job(yard, rng), **fields}, once)
        else:
            jobs = [_job(yard, rng) for _ in range(rng.randrange(1, 12))]
            _add_parents_inside(rng, jobs)
            call = yield Ask({"cmd": "push_batch", "queue": queue, "jobs": jobs, **fields}, once)
        if call is not None and isinstance(call.reply, Pushed):
            yard.pushed.append(call.reply.id)
        elif call is not None and isinstance(call.reply, PushedBatch):
            yard.pushed.extend(call.reply.ids)


def _job(yard: Yard, rng: Random) -> dict[str, Any]:
    job: dict[str, Any] = {
        "name": "work",
        "data": {"n": yard.name(), "filler": "x" * rng.randrange(rng.choice(_FILLER_BYTES))},
    }
    chance = rng.random()
    if chance < 0.15:
        job["delay_ms"] = rng.randrange(5_000)
    elif chance < 0.3:
        job["unique_key"] = f"key {rng.randrange(8)}"
    elif chance < 0.4 and yard.pushed:
        job["depends_on"] = [rng.choice(yard.pushed) for _ in range(rng.randrange(1, 3))]
    if rng.random() < 0.1:
        follow_up = {"queue": rng.choice(QUEUES), "name": "follow", "data": {"after": job["data"]["n"]}}
        job["metadata"] = {"follow_ups": [follow_up]}
    if rng.random() < 0.3:
        job["priority"] = rng.randrange(-2, 3)
    if rng.random() < 0.3:
        job["max_attempts"] = rng.randrange(1, 5)
        job["backoff"] = rng.choice(("fixed", "linear", "exponential"))
        job["backoff_delay_ms"] = rng.randrange(1_000)
    return job


def _add_parents_inside(rng: Random, jobs: list[dict[str, Any]]) -> None:
    for place in range(1, len(jobs)):
        if rng.random() < 0.1:
            jobs[place]["depends_on"] = [rng.randrange(place)]


def worker(yard: Yard, rng: Random, think_us: int) -> Script:
    """Pulls, works, and then acks, fails, beats, repeats itself, comes late or forgets."""
    name = yard.name()
    while True:
        yield Sleep(rng.randrange(think_us))
        fields = {"queue": rng.choice(QUEUES), "count": rng.choice((1, 1, 3, 10)), "worker_id": name}
        fields |= {"lease_ms": rng.choice((500, 2_000, 8_000)), "wait_ms": rng.choice((0, 1_000, 5_000))}
        call = yield Ask({"cmd": "pull", **fields})
        jobs = _jobs(call)
        if not jobs or (yard.load and rng.random() < 0.05):
            continue  # A worker that dies here keeps its leases until they end.
        if len(jobs) > 1 and rng.random() < 0.5:
            yield Sleep(rng.randrange(500_000))
            items = [{"id": job.id, "attempt_token": job.attempt_token, "result": {"done": True}} for job in jobs]
            yield Ask({"cmd": "ack_batch", "items": items}, rng.random() < 0.5)
            continue
        for job in jobs:
            yield from _work(yard, rng, job)


def _work(yard: Yard, rng: Random, job: Job) -> Script:
    mine = {"id": job.id, "attempt_token": job.attempt_token}
    chance = rng.random() if yard.load else 1.0
    if chance < 0.1:
        yield Sleep(rng.randrange(10_000_000))  # Late: the lease may be over, and somebody else's by now.
    elif chance < 0.3:
        for _ in range(rng.randrange(1, 4)):
            yield Sleep(rng.randrange(600_000))
            call = yield Ask({"cmd": "heartbeat", **mine})
            if call is None or not isinstance(call.reply, Leased) or call.reply.cancel_requested:
                return
    else:
        yield Sleep(rng.randrange(300_000))
    if rng.random() < 0.15 and yard.load:
        call = yield Ask({"cmd": "fail", "error": "no luck", **mine})
        assert call is None or isinstance(call.reply, FailedJob | Refused)
        return
    for _ in range(1 + (rng.random() < 0.1)):
        yield Ask({"cmd": "ack", "result": {"by": "worker"}, **mine}, rng.random() < 0.5)


def _jobs(call: Call | None) -> list[Job]:
    if call is None:
        return []
    if isinstance(call.reply, PulledOne):
        return [call.reply.job] if call.reply.job is not None else []
    return call.reply.jobs if isinstance(call.reply, Pulled) else []


def canceller(yard: Yard, rng: Random, think_us: int) -> Script:
    while yard.load:
        yield Sleep(rng.randrange(think_us * 5))
        if yard.pushed:
            yield Ask({"cmd": "cancel", "id": rng.choice(yard.pushed[-50:]), "running": rng.random() < 0.5})


def scheduler(yard: Yard, rng: Random, think_us: int) -> Script:
    """Schedules that run a number of times; some are run by hand, and those whose name begins with `x` are paused."""
    names: list[str] = []
    while yard.load and len(names) < 4:
        yield Sleep(rng.randrange(think_us * 3))
        name = rng.choice(("", "x")) + yard.name()
        steps = {"every_ms": rng.choice((300, 700, 1_000, 2_500))}
        timing = steps if rng.random() < 0.6 else {"cron_expr": f"*/{rng.choice((1, 2, 5))} * * * * *"}
        fields = {"queue": rng.choice(QUEUES), "job_name": "tick", "job_data": {"of": name}, **timing}
        fields |= {"missed": rng.choice(("skip", "once", "all")), "overlap": rng.choice(("allow", "allow", "skip"))}
        fields |= {"max_executions": rng.randrange(1, 25), "job_options": {"priority": rng.randrange(2)}}
        yield Ask({"cmd": "schedule_create", "name": name, **fields, "idempotency_key": yard.name()}, True)
        names.append(name)
    while yard.load:
        yield Sleep(rng.randrange(think_us * 4))
        name = rng.choice(names)
        if name.startswith("x"):
            yield Ask({"cmd": "schedule_pause", "name": name}, True)
            yield Sleep(rng.randrange(3_000_000))
            yield Ask({"cmd": "schedule_resume", "name": name}, True)
        else:
            yield Ask({"cmd": "schedule_run", "name": name, "idempotency_key": yard.name()}, rng.random() < 0.5)


def reader(yard: Yard, rng: Random, think_us: int) -> Script:
    """Looks at single jobs and at queues; the world checks what it saw."""
    while yard.load:
        yield Sleep(rng.randrange(think_us * 2))
        if yard.pushed and rng.random() < 0.8:
            yield Ask({"cmd": "get", "id": rng.choice(yard.pushed[-40:])})
        else:
            yield Ask({"cmd": "stats", "queue": rng.choice(QUEUES)})
