"""Webhooks over failover: receivers that fail, hang and lose answers, while leader after leader is killed.

Every event arrives, under one id, in order for each job; what arrives twice is counted.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import msgspec
import pytest

from rustqueue.effects.webhooks.duty import DutyParts, WebhookDuty
from rustqueue.effects.webhooks.ports import Answer, Posting, Times
from rustqueue.gateway.door import Gateway
from rustqueue.gateway.ports import Applied, GatewayLimits, Replicator
from rustqueue.model.commands import Command
from rustqueue.model.events import Event
from rustqueue.model.replies import Reply
from rustqueue.model.webhooks.commands import WebhookOutcomes
from rustqueue.model.wire import encode_command
from rustqueue.node.webhooks import MachineOutboxes
from rustqueue.raft.ports import Clock, Proposal
from tests.simulation.clients import Ask, Script, Sleep, Yard
from tests.simulation.cluster_world import ClusterWorld
from tests.simulation.ledger import require
from tests.simulation.member_node import SimMember
from tests.simulation.timeline import Process
from tests.simulation.world import World
from tests.unit.factories import PREPARING, SEALER

EVENTS = ("job.pushed", "job.expired", "job.dlq")
"""What becomes of each job here: nobody pulls it in time."""

_BATCH = 20
_TIMEOUT_MS = 5_000


class PreparedGateway(Gateway):
    """Seals as the gateway of a node does."""

    def __init__(
        self,
        replicator: Replicator,
        applied: Applied,
        clock: Clock,
        limits: GatewayLimits,
        observe: Callable[[Command, Reply, int], None],
    ) -> None:
        super().__init__(replicator, applied, clock, limits, observe, PREPARING)


class Receiver:
    """Outside of the cluster: it hears what was sent, also of a leader that has died since."""

    def __init__(self, world: ClusterWorld, rng: Random) -> None:
        self._timeline = world.timeline
        self._rng = rng
        self.heard: list[tuple[str, str, str]] = []
        """Delivery, job and event, in the order of their arrival."""

    def sender_of(self, process: Process) -> "Sending":
        return Sending(self, process)

    def arrives(self, posting: Posting, answered: Callable[[Answer], None]) -> None:
        """The request is there: mostly it is taken; sometimes it is refused, or the answer is lost."""
        body = msgspec.json.decode(posting.body)
        chance = self._rng.random()
        if chance < 0.05:
            answered(Answer(500, "answered 500"))
            return
        self.heard.append((posting.headers["webhook-id"], body["data"]["job_id"], body["event"]))
        if chance > 0.02 + 0.05:
            answered(Answer(200, None))

    def delay_us(self) -> int:
        return self._rng.randrange(500, 20_000)

    def send(self, posting: Posting, answered: Callable[[Answer], None]) -> None:
        self._timeline.after(self.delay_us(), lambda: self.arrives(posting, answered))


class Sending:
    """A `Sender` of one life of a node."""

    def __init__(self, receiver: Receiver, process: Process) -> None:
        self._receiver = receiver
        self._process = process

    def post(self, posting: Posting, done: Callable[[Answer], None]) -> Callable[[], None]:
        is_open = True

        def end(answer: Answer) -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                done(answer)

        def forget() -> None:
            nonlocal is_open
            is_open = False

        self._process.call_later(_TIMEOUT_MS, lambda: end(Answer(None, "no answer")))
        self._receiver.send(posting, lambda answer: self._process.call_soon(partial(end, answer)))
        return forget


class DeliveryWorld(ClusterWorld):
    """A cluster whose leader is killed again and again, with jobs that expire and a webhook that tells of it."""

    drain_us_max = 300_000_000
    odd = False

    def __init__(self, seed: int, jobs_count: int, load_s: int) -> None:
        self._jobs_count = jobs_count
        self._pause_us = load_s * 1_000_000 * _BATCH // jobs_count
        self.pushed_ids: list[str] = []
        super().__init__(seed, kinds=("kill leader",), load_us=load_s * 1_000_000)

    def _build(self) -> None:
        self.receiver = Receiver(self, self._fork("receiver"))
        super()._build()

    def _member(self, name: str, names: list[str]) -> SimMember:
        member = super()._member(name, names)
        member.make_gateway = PreparedGateway
        member.make_webhooks = self._duty
        return member

    def _duty(self, member: SimMember, process: Process) -> WebhookDuty:
        def propose(command: WebhookOutcomes, done: Callable[[Reply], None]) -> None:
            member.replicator.propose(Proposal(command, encode_command(command), done))

        times = Times(process.monotonic_us, member.replicator.now_ms, process.call_soon, process.call_later)
        sender = self.receiver.sender_of(process)
        parts = DutyParts(MachineOutboxes(member.machine), sender, propose, times, SEALER, _TIMEOUT_MS)
        duty = WebhookDuty(parts, lambda succeeded, took_us: None)
        others = member.machine.publish

        def publish(index: int, now_ms: int, events: Sequence[Event]) -> None:
            if others is not None:
                others(index, now_ms, list(events))
            duty.on_events(index, now_ms, events)

        member.machine.publish = publish
        return duty

    def _scripts(self, rng: Random) -> list[Callable[[World, Random, int], Script]]:
        return [self._pusher]

    def _pusher(self, yard: Yard, rng: Random, think_us: int) -> Script:
        retry = {"max_retries": 100, "max_delay_ms": 2_000}
        hook = {"name": "h", "url": "https://hooks.example/", "secret": "s", "events": list(EVENTS), "retry": retry}
        yield Ask({"cmd": "webhook_put", **hook}, True)
        while len(self.pushed_ids) < self._jobs_count:
            jobs = [{"name": "n", "data": 1, "ttl_ms": 200} for _ in range(_BATCH)]
            fields = {"queue": "mail", "jobs": jobs, "idempotency_key": yard.name()}
            call = yield Ask({"cmd": "push_batch", **fields}, True)
            self.pushed_ids += call.reply.ids
            yield Sleep(self._pause_us)

    def _at_rest(self) -> bool:
        up = all(node.up for node in self.nodes)
        alike = up and len({node.machine.applied_index for node in self.nodes}) == 1
        counts = [count for _, count in self._machine().queue_counts()]
        idle = not any(count.waiting for count in counts) and not self._machine().state.webhooks.waiting
        return alike and idle and len(self.pushed_ids) >= self._jobs_count

    def _judge(self) -> None:
        machine = self._machine()
        assert {node.machine.state_hash for node in self.nodes} == {machine.state_hash}
        counters = machine.state.webhooks.by_name["h"].counters
        wanted = {(job_id, event) for job_id in self.pushed_ids for event in EVENTS}
        assert (counters.delivered, counters.dropped, counters.given_up) == (len(wanted), 0, 0)
        first: dict[tuple[str, str], tuple[str, int]] = {}
        for place, (delivery, job_id, event) in enumerate(self.receiver.heard):
            known = first.setdefault((job_id, event), (delivery, place))
            require(known[0] == delivery, "I17", f"{event} of {job_id} came as {known[0]} and as {delivery}")
        require(first.keys() == wanted, "I17", f"{len(wanted - first.keys())} missing, {first.keys() - wanted} made up")
        require(len({delivery for delivery, _ in first.values()}) == len(wanted), "I17", "two events share an id")
        for job_id in self.pushed_ids:
            places = [first[job_id, event][1] for event in EVENTS]
            require(places == sorted(places), "I17", f"events of {job_id} came in another order: {places}")

    @property
    def repeats(self) -> Counter[str]:
        """How often deliveries came again."""
        times = Counter(delivery for delivery, _, _ in self.receiver.heard)
        return Counter({delivery: count - 1 for delivery, count in times.items() if count > 1})


def play(jobs_count: int, load_s: int, kills: int) -> float:
    """The share of deliveries that came more than once."""
    world = DeliveryWorld(2, jobs_count, load_s)
    report = world.run()
    assert report.faults["kill leader"] >= kills, report.faults
    return world.repeats.total() / (jobs_count * len(EVENTS))


def test_a_thousand_events_over_some_failovers() -> None:
    # Two in a hundred answers are lost here; a kill adds at most what was on its way.
    assert play(jobs_count=340, load_s=50, kills=3) < 0.10


@pytest.mark.slow
def test_ten_thousand_events_over_thirty_failovers() -> None:
    assert play(jobs_count=3_400, load_s=500, kills=30) < 0.10
