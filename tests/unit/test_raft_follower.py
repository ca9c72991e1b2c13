"""What a follower does first: the leader waits for what it holds durably, few wait for what it applies."""

from dataclasses import dataclass, field

from rustqueue.model.commands import PushJobs
from rustqueue.model.replies import Reply
from rustqueue.model.wire import decode_request
from rustqueue.raft.links import Links
from rustqueue.raft.messages import Appended, Message
from rustqueue.raft.ports import Proposal
from tests.simulation.member_node import SimMember
from tests.unit.test_steward import Bench

LINE = b'{"cmd":"push","queue":"q","name":"n","data":1}'
PATIENCE_US = 3_000_000


@dataclass
class Watched:
    """The links of a follower, and what it told its leader and applied, in order."""

    links: Links
    happened: list[tuple[str, int]] = field(default_factory=list)

    def send(self, peer: str, message: Message) -> bool:
        if isinstance(message, Appended) and ("told", message.index) not in self.happened:
            self.happened.append(("told", message.index))
        return self.links.send(peer, message)

    def applied(self, index: int) -> None:
        self.happened.append(("applied", index))

    def __getattr__(self, name: str) -> object:
        return getattr(self.links, name)


def watch(follower: SimMember) -> Watched:
    watched = Watched(follower.parts.links)
    follower.parts.links = watched  # type: ignore[assignment] # What it does not have it takes from the real ones.
    follower.replicator.on_applied = watched.applied
    return watched


def push(bench: Bench) -> Reply:
    """Return as soon as the leader has answered, before followers hear of the commit by itself."""
    command = decode_request(LINE)
    assert isinstance(command, PushJobs)
    replies, ends_us = list[Reply](), bench.timeline.now_us + PATIENCE_US
    bench.leader().replicator.propose(Proposal(command, LINE, replies.append))
    bench.timeline.run_while(lambda: not replies and bench.timeline.now_us < ends_us)
    return replies[0]


def test_a_follower_tells_what_it_holds_before_it_applies_what_the_same_message_says_is_committed() -> None:
    # Given a follower that has everything
    bench = Bench()
    follower = bench.followers()[0]
    before = follower.log.last_index
    watched = watch(follower)
    # When records come one after the other, each with the news that the one before is committed
    push(bench)
    push(bench)
    bench.settle()
    # Then each is told as soon as it is durable, and what is committed is applied after that.
    first, second = before + 1, before + 2
    happened = [(what, index) for what, index in watched.happened if index > before]
    assert happened == [("told", first), ("told", second), ("applied", first), ("applied", second)]
    assert follower.machine.state_hash == bench.leader().machine.state_hash
