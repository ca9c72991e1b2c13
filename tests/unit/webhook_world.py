"""A world for deliveries: the real machine and the real duty, a log that closes an entry when told, a clock that passes
when told, and receivers that do what the test says.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from rustqueue.effects.webhooks.duty import DutyLimits, DutyParts, WebhookDuty
from rustqueue.effects.webhooks.ports import Answer, Posting, Times
from rustqueue.model.events import Event
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.webhooks.commands import WebhookOutcomes
from rustqueue.model.wire import encode_command
from rustqueue.node.webhooks import MachineOutboxes
from rustqueue.raft.ports import Proposal
from tests.unit.factories import PREPARING, SEALER, Json
from tests.unit.gateway_world import ManualClock, World

TOOK = Answer(200, None)
FAILED = Answer(500, "answered 500")


class Call(NamedTuple):
    posting: Posting
    answer: Callable[[Answer], None]

    @property
    def body(self) -> Json:
        value: Json = msgspec.json.decode(self.posting.body)
        return value

    @property
    def id(self) -> str:
        return self.posting.headers["webhook-id"]

    @property
    def told(self) -> tuple[str, str | None]:
        """Event and job."""
        return self.body["event"], self.body["data"]["job_id"]


class Receivers:
    """A `Sender`: calls wait until the test answers them, unless their URL has an answer of its own."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.open: dict[int, Call] = {}
        self.heard: list[Call] = []
        self.by_url: dict[str, Callable[[], Answer | None]] = {}
        self.most_open = 0
        self._numbers = 0

    def post(self, posting: Posting, done: Callable[[Answer], None]) -> Callable[[], None]:
        number = self._numbers = self._numbers + 1

        def answer(given: Answer) -> None:
            if self.open.pop(number, None) is not None:
                done(given)

        call = Call(posting, answer)
        self.open[number] = call
        self.heard.append(call)
        self.most_open = max(self.most_open, len(self.open))
        given = self.by_url.get(posting.url, lambda: None)()
        if given is not None:
            self._clock.call_soon(lambda: answer(given))

        def forget() -> None:
            self.open.pop(number, None)

        return forget


class Deliveries:
    """`leaders` duties over one machine; `duty` is the first."""

    def __init__(self, bounds: DutyLimits | None = None, leaders: int = 1) -> None:
        self.world = World(preparing=PREPARING)
        self.clock = self.world.clock
        self.receivers = [Receivers(self.clock) for _ in range(leaders)]
        self.tried: list[tuple[bool, int]] = []
        self.refusals: deque[Reply] = deque()
        times = Times(self.clock.monotonic_us, self.clock.wall_ms, self.clock.call_soon, self.clock.call_later)
        self.duties = [
            WebhookDuty(
                DutyParts(MachineOutboxes(self.world.machine), receivers, self._propose, times, SEALER, 5_000),
                lambda succeeded, took_us: self.tried.append((succeeded, took_us)),
                bounds,
            )
            for receivers in self.receivers
        ]
        self.world.machine.publish = self._publish

    @property
    def duty(self) -> WebhookDuty:
        return self.duties[0]

    @property
    def calls(self) -> list[Call]:
        """What is on its way to the receivers of the first leader."""
        return list(self.receivers[0].open.values())

    @property
    def heard(self) -> list[tuple[str, str | None]]:
        return [call.told for call in self.receivers[0].heard]

    def _publish(self, index: int, now_ms: int, events: list[Event]) -> None:
        for duty in self.duties:
            duty.on_events(index, now_ms, events)

    def _propose(self, command: WebhookOutcomes, done: Callable[[Reply], None]) -> None:
        if self.refusals:
            refusal = self.refusals.popleft()
            self.clock.call_soon(lambda: done(refusal))
        else:
            self.world.log.propose(Proposal(command, encode_command(command), done))

    def do(self, cmd: str, **fields: Any) -> Json:
        """A command that succeeds, and all that follows from it without time passing."""
        asked = self.world.ask(cmd, **fields)
        self.world.run()
        assert not isinstance(asked.replies[0], Refused), asked.replies
        return asked.reply

    def hook(self, name: str = "h", **fields: Any) -> Json:
        webhook: Json = self.do("webhook_put", name=name, **{"url": f"https://{name}.example/", **fields})["webhook"]
        return webhook

    def push(self, queue: str = "q", count: int = 1) -> list[str]:
        ids: list[str] = self.do("push_batch", queue=queue, jobs=[{"name": "n", "data": 1}] * count)["ids"]
        return ids

    def begin(self) -> None:
        self.duty.begin()
        self.world.run()

    def answer(self, call: Call, answer: Answer = TOOK) -> None:
        call.answer(answer)
        self.world.run()

    def pass_ms(self, duration_ms: int) -> None:
        """Time passes, with all that it makes happen."""
        self.clock.pass_ms(duration_ms)
        self.world.run()

    def counts(self, name: str = "h") -> Json:
        told: Json = self.world.ask("webhook_get", name=name).reply["webhook"]["deliveries"]
        return {key: value for key, value in told.items() if value and not key.startswith("last_")}
