"""A world: one seed, one node, its clients, its faults; and the verdict at the end.

`World(seed).run()` plays it and raises `Violation` for the first broken invariant. The same seed gives the same world,
event for event: every generator of chance is forked from it by name, so that a new draw in one place does not
reshuffle the others.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import msgspec

from rustqueue.gateway.door import Gateway
from rustqueue.machine import rows
from rustqueue.machine.machine import Machine
from rustqueue.machine.schedules.reads import standings
from rustqueue.model.commands import Ack
from rustqueue.model.errors import NotFound
from rustqueue.model.ids import parse_id
from rustqueue.model.queries import Get
from rustqueue.model.replies import Done, OneJob, Pulled, PulledOne, Pushed, PushedBatch, QueueStats, Refused
from rustqueue.model.wire import decode_request
from tests.simulation.clients import QUEUES, Call, Script, Session, canceller, pusher, reader, scheduler, worker
from tests.simulation.faults import KINDS, Faults
from tests.simulation.ledger import JobFacts, Violation, require
from tests.simulation.node import SimNode, Variant
from tests.simulation.odd_faults import OddFaults, Pair
from tests.simulation.oddities import PLAIN, Oddities, draw
from tests.simulation.plan import Plan
from tests.simulation.timeline import Timeline
from tests.simulation.trace import Trace, request_of

LOAD_US = 30_000_000
DRAIN_US_MAX = 7_300_000_000
_STEPS_BETWEEN_LOOKS = 200
_NOTHING = (b'{"ok":true,"jobs":[]}', b'{"ok":true,"job":null}')
"""What a pull that changed nothing is answered."""


@dataclass(slots=True)
class Report:
    """What a world went through."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    calls_count: int = 0
    unknown_count: int = 0
    acked_pushes_count: int = 0
    jobs_count: int = 0
    leases_count: int = 0
    completed_count: int = 0
    ticks_count: int = 0
    entries_count: int = 0
    replays_count: int = 0
    simulated_us: int = 0


class Troubles(Protocol):
    """What goes wrong in a world."""

    counts: Counter[str]
    kinds: list[str]
    note: Callable[[str], None]

    def start(self) -> None: ...

    def draw(self, allowed: tuple[str, ...]) -> None: ...

    def calm(self) -> None: ...

    def check_stopped(self) -> None: ...


class World:
    """Play it once."""

    drain_us_max = DRAIN_US_MAX
    odd = True
    """Whether chance may set the nodes up in other ways than by default."""

    fault_mean_us: int | None = None
    """Every kind of fault comes that often; None: chance says which and how often."""

    def __init__(
        self, seed: int, variant: Variant | None = None, kinds: tuple[str, ...] = KINDS, load_us: int = LOAD_US
    ) -> None:
        self.seed = seed
        self._load_us = load_us
        odd = self._oddities() if variant is None else PLAIN
        self._is_odd = odd is not PLAIN and len(kinds) > 1
        """Whether there are odd faults, which tests of single kinds do not want."""
        self._odd = odd
        self._variant = variant or Variant().being(odd)
        self.timeline = Timeline()
        self.plan = Plan(self.timeline)
        self.calls: list[Call] = []
        self.pushed: list[str] = []
        self.load = True
        self.trace = Trace()
        self._names_count = 0
        self.notes: list[tuple[int, str]] = []
        self.trace.note = self._note
        self._kinds = kinds
        self._sessions: list[Session] = []
        self._build()

    def _build(self) -> None:
        self.trace.machine_type = self._variant.machine
        self.node = SimNode(self.timeline, self._fork("disk"), self.trace, self._variant)
        faults = Faults(self.plan, self._fork("faults"), self.node, self._connections_lost)
        faults.note, faults.mean_us = self._note, self.fault_mean_us
        self.faults: Troubles = faults
        self.odd_faults = OddFaults(self.plan, self._fork("odd faults"), [Pair(self.node, faults)], None, self._is_odd)
        self.odd_faults.note = self._note

    def _oddities(self) -> Oddities:
        return draw(self._fork("oddities")) if self.odd else PLAIN

    def _fork(self, concern: str) -> Random:
        return Random(f"{self.seed} {concern}")

    def _note(self, text: str) -> None:
        self.notes.append((self.timeline.now_us, text))

    # What clients see.

    @property
    def gateway(self) -> Gateway | None:
        return self.node.gateway

    def name(self) -> str:
        self._names_count += 1
        return f"w{self._names_count}"

    def _connections_lost(self) -> None:
        for session in self._sessions:
            session.connection_lost()

    # The play.

    def run(self) -> Report:
        rng = self._fork("clients")
        think_us = self._think_us(rng)
        self.faults.start()
        self.faults.draw(self._kinds)
        if self._is_odd:
            self.odd_faults.draw()
        for number, script in enumerate(self._scripts(rng)):
            own = self._fork(f"client {number}")
            session = Session(self, script(self, own, think_us), own)
            self._sessions.append(session)
            session.start()
        self._play(lambda: self.timeline.now_us < self._load_us)
        self.load = False
        self.faults.calm()
        self.odd_faults.calm()
        deadline_us = self.timeline.now_us + self.drain_us_max
        self._play(lambda: not self._at_rest() and self.timeline.now_us < deadline_us)
        require(self._at_rest(), "I6", f"jobs are left long after the last fault: {self._counts()}")
        self._judge()
        return self._report()

    def _think_us(self, rng: Random) -> int:
        """How long clients rest at most."""
        return round(10 ** rng.uniform(4.8, 6.0))

    def _scripts(self, rng: Random) -> list[Callable[["World", Random, int], Script]]:
        """What the clients do."""
        scripts = [pusher] * rng.randrange(1, 4) + [worker] * rng.randrange(2, 7) + [canceller] * rng.randrange(2)
        return scripts + [reader] * rng.randrange(3) + [scheduler] * rng.randrange(2)

    def _play(self, condition: Callable[[], bool]) -> None:
        steps_count = 0
        while steps_count % _STEPS_BETWEEN_LOOKS or condition():
            steps_count += 1
            require(self.timeline.step(), "I25", "nothing happens any more")
            self.faults.check_stopped()

    def _machine(self) -> Machine:
        return self.node.machine.inner

    def _counts(self) -> list[tuple[str, object]]:
        return list(self._machine().queue_counts())

    def _at_rest(self) -> bool:
        """Nothing is waiting, delayed, blocked or leased, no schedule runs any more, and the node is up."""
        if not self.node.up or self._is_scheduled():
            return False
        counts = [count for _, count in self._machine().queue_counts()]
        return not any(count.waiting + count.active + count.delayed + count.blocked for count in counts)

    def _is_scheduled(self) -> bool:
        """Whether there are runs to come."""
        return any(standing is not None for _, standing in standings(self._machine().view(), None, 1_000))

    # The verdict.

    def _judge(self) -> None:
        self.trace.timetables.judge(self._machine())
        self._judge_replies()
        self._judge_reads()
        self._judge_jobs()
        require(self.trace.replay_all() == self._machine().state_hash, "I18", "a replay of the log gives another state")
        self._judge_cold()

    def _judge_replies(self) -> None:
        """What a client was told is what the log says, and what it was refused did not happen."""
        known = self.trace.replies_of
        asked = Counter(call.raw for call in self.calls)
        for call in self.calls:
            reply = call.reply
            texts = known.get(request_of(call.raw), [])
            happened = [text for text in texts if not text.startswith(b'{"ok":false') and text not in _NOTHING]
            if call.raw.startswith(b'{"cmd":"push') and b'"idempotency_key"' not in call.raw:
                times = f"{call.raw!r} was sent {asked[call.raw]} times and happened {len(happened)} times"
                require(len(happened) <= asked[call.raw], "I3", times)
            if reply is None or isinstance(reply, OneJob | QueueStats):
                continue
            if isinstance(reply, Refused):
                require(
                    not happened or asked[call.raw] > 1,
                    "I2",
                    f"{call.raw!r} was refused ({reply.error.code}) and happened",
                )
            elif not (isinstance(reply, Pulled) and not reply.jobs) and reply != PulledOne(job=None):
                told = msgspec.json.encode(reply)
                require(told in texts, "I1", f"{call.raw!r} was answered {told!r}, the log has {texts}")

    def _judge_reads(self) -> None:
        """A read that began after a push or an ack was answered sees it."""
        known_us: dict[str, int] = {}
        done_us: dict[str, int] = {}
        for call in self.calls:
            at_us = call.returned_us or 0
            if isinstance(call.reply, Pushed | PushedBatch):
                for job_id in [call.reply.id] if isinstance(call.reply, Pushed) else call.reply.ids:
                    known_us.setdefault(job_id, at_us)
            elif isinstance(call.reply, Done) and isinstance(request := decode_request(call.raw), Ack):
                done_us[request.id] = min(at_us, done_us.get(request.id, at_us))
        for call in self.calls:
            if call.reply is None or not isinstance(request := decode_request(call.raw), Get):
                continue
            if call.called_us > known_us.get(request.id, call.called_us):
                require(isinstance(call.reply, OneJob), "I20", f"{request.id} was pushed before it was not found")
            if isinstance(call.reply, OneJob) and call.called_us > done_us.get(request.id, call.called_us):
                state = call.reply.job.state
                require(state == "completed", "I20", f"{request.id} was acked before it was seen {state}")

    def _judge_jobs(self) -> None:
        """Each job is where the log says it went, each acknowledged push is among them, and the sums are right."""
        ledger, machine = self.trace.ledger, self._machine()
        for call in self.calls:
            ids = [call.reply.id] if isinstance(call.reply, Pushed) else []
            ids = call.reply.ids if isinstance(call.reply, PushedBatch) else ids
            for job_id in ids:
                require(job_id in ledger.jobs, "I1", f"{job_id} was acknowledged and is not in the log")
        states: Counter[tuple[str, str]] = Counter()
        for facts in ledger.jobs.values():
            state = _state_of(machine, facts.id)
            require(state in _possible(facts), "I9", f"{facts.id} is {state}, the log says {facts.state}")
            if state == "completed":
                require(facts.fence > 0, "I6", f"{facts.id} completed without being leased")
            for parent in facts.parents:
                if _state_of(machine, parent) != "completed":
                    require(state != "completed", "I12", f"{facts.id} completed and its parent {parent} did not")
            states[facts.queue, state] += 1
        for name, counts in machine.queue_counts():
            found = (counts.completed, counts.dlq)
            told = (states[name, "completed"], states[name, "dlq"])
            require(found == told, "I21", f"queue {name} counts {found} completed and dead, there are {told}")
        for parent in ledger.follow_ups:
            state, follows = ledger.jobs[parent].state, ledger.followed.get(parent)
            require((follows is not None) == (state == "completed"), "I8", f"{parent} is {state}, {follows} follows it")
        require({queue for queue, _ in states} <= set(QUEUES), "I2", "there are queues that nobody pushed to")

    def _judge_cold(self) -> None:
        """One more restart: whatever was in memory only was not needed. What was on its way may have got through."""
        before, entries_count = self._counts(), len(self.trace.applied)
        self.node.crash(power=True, survivors=lambda count: 0)
        self.node.start()
        if len(self.trace.applied) == entries_count:
            require(self._counts() == before, "I18", f"after a restart {self._counts()}, before it {before}")

    def _report(self) -> Report:
        ledger = self.trace.ledger
        return Report(
            seed=self.seed,
            faults=self.faults.counts + self.odd_faults.counts + Counter({kind: 0 for kind in self.faults.kinds}),
            calls_count=len(self.calls),
            unknown_count=sum(call.reply is None for call in self.calls),
            acked_pushes_count=len(self.pushed),
            jobs_count=len(ledger.jobs),
            leases_count=ledger.leases_count,
            completed_count=ledger.acks_count,
            ticks_count=self.trace.timetables.ticks_count,
            entries_count=len(self.trace.applied),
            replays_count=self.trace.replays_count,
            simulated_us=self.timeline.now_us,
        )


def _state_of(machine: Machine, reference: str) -> str:
    job_id = parse_id(reference)
    assert job_id is not None, f"{reference} is an id"
    state = machine.state
    try:
        _, _, row = state.load(state.kv, reference)
    except NotFound as error:
        raise Violation(f"I1: {reference} is gone") from error
    return rows.STATE_NAMES[state.code_of(job_id, row)]


def _possible(facts: JobFacts) -> tuple[str, ...]:
    """Where a job can be at rest after what the log last said of it."""
    if facts.state in ("completed", "cancelled", "dlq"):
        return (facts.state,)
    # It was waiting or leased: time, or a parent, has sent it to the dead letters.
    return ("dlq",)
