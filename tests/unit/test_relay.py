"""Errands to a leader that is lost from sight for a moment, or for good."""

from collections.abc import Callable
from typing import Any, cast

from rustqueue.gateway.relay import ErrandRules, Relay, refusal_text
from rustqueue.model import limits
from rustqueue.model.commands import Pull, PushJobs
from rustqueue.model.errors import Unavailable
from rustqueue.model.replies import PulledOne, Pushed, Refused, Reply
from rustqueue.raft.messages import Forward, Message, Placed, Unplaced
from tests.simulation.timeline import HostClock, Process, Timeline
from tests.unit.gateway_world import ManualClock


class Wires:
    """Links that are always up, and keep what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []

    def send(self, peer: str, message: Message) -> bool:
        self.sent.append((peer, message))
        return True


class Places:
    """A log that nothing has been applied of: what is expected of it is told by the test."""

    def __init__(self) -> None:
        self.told: dict[int, Callable[[Reply | None], None]] = {}

    def expect(self, index: int, ordinal: int, term: int, done: Callable[[Reply | None], None]) -> bool:
        self.told[index] = done
        return True


NO_LEADER = refusal_text(Refused.of(Unavailable.no_leader()))


def test_what_is_said_of_an_earlier_time_does_not_send_an_errand_once_more() -> None:
    # Given a push that a leader placed and then gave back, and that the next one has placed as well
    wires, places, timeline, replies = Wires(), Places(), Timeline(), list[Reply]()
    clock = Process(timeline, HostClock(timeline, 0))
    relay = Relay(cast("Any", wires), places, clock, ErrandRules(10_000, 7))
    relay.leader_is("n1", leads_here=False)
    relay.forward(PushJobs(queue="q", jobs=[], single=True), b"push", replies.append)
    relay.placed(Placed(8, 158, 0, 9))
    relay.leader_is("n2", leads_here=False)
    relay.unplaced(Unplaced(8, NO_LEADER))
    timeline.run_until(timeline.now_us + limits.ERRAND_RETRY_MS * 1_000)
    assert wires.sent == [("n1", Forward(8, b"push")), ("n2", Forward(9, b"push"))]
    relay.placed(Placed(9, 161, 0, 10))
    # When another entry comes to stand at the first place, and the first leader is heard of again
    places.told[158](None)
    relay.unplaced(Unplaced(8, NO_LEADER))
    timeline.run_until(timeline.now_us + limits.ERRAND_RETRY_MS * 1_000)
    # Then it is not sent again, and answered by what comes of the second place.
    assert len(wires.sent) == 2
    places.told[161](Pushed(id="a"))
    assert replies == [Pushed(id="a")]


def test_a_pull_is_not_sent_twice_to_a_leader_that_was_out_of_sight_for_a_moment() -> None:
    # Given a pull on its way to the leader
    wires, replies = Wires(), list[Reply]()
    relay = Relay(cast("Any", wires), cast("Any", None), ManualClock(), ErrandRules(10_000, 7))
    relay.leader_is("n1", leads_here=False)
    relay.forward(Pull(queue="q", wait_ms=5_000), b"pull", replies.append)
    # When nobody is known to lead, and then it is the same one
    relay.leader_is(None, leads_here=False)
    relay.leader_is("n1", leads_here=False)
    # Then it has the pull already.
    assert (wires.sent, replies) == ([("n1", Forward(8, b"pull"))], [])
    # And another leader gets it anew, as the first one does when its link was broken.
    relay.leader_is("n2", leads_here=False)
    relay.link_down("n2")
    assert [peer for peer, _ in wires.sent] == ["n1", "n2", "n2"]


def test_a_waiting_pull_whose_leader_was_lost_is_not_said_to_be_undone() -> None:
    # Given a waiting pull that found nothing at its place, and that the leader may have tried once more before it fell
    wires, places, timeline, replies = Wires(), Places(), Timeline(), list[Reply]()
    clock = Process(timeline, HostClock(timeline, 0))
    relay = Relay(cast("Any", wires), places, clock, ErrandRules(10_000, 7))
    relay.leader_is("n1", leads_here=False)
    relay.forward(Pull(queue="q", wait_ms=5_000), b"pull", replies.append)
    relay.placed(Placed(8, 3, 0, 1))
    relay.leader_is(None, leads_here=False)
    relay.link_down("n1")
    places.told[3](PulledOne(job=None))
    # When nobody leads for as long as it waits
    timeline.run_until(timeline.now_us + 15_000_000)
    # Then it got nothing: that it certainly did not happen nobody can say.
    assert replies == [PulledOne(job=None)]
