"""Errands to a leader that is lost from sight for a moment, or for good."""

from typing import Any, cast

from rustqueue.gateway.relay import ErrandRules, Relay
from rustqueue.model.commands import Pull
from rustqueue.model.replies import Reply
from rustqueue.raft.messages import Forward, Message
from tests.unit.gateway_world import ManualClock


class Wires:
    """Links that are always up, and keep what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []

    def send(self, peer: str, message: Message) -> bool:
        self.sent.append((peer, message))
        return True


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
