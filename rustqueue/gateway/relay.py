"""The way to the leader, wherever it is: commands, waiting pulls and reads of a node that does not lead.

It must not know what a command does, nor how members agree. Invariants:
- a forwarded command is answered with the reply of this node's own apply, so that whoever asked can read it here next;
- it is sent again only when it is certain that it did not happen, or when happening twice is as good as once; otherwise
  the outcome is unknown, and said to be;
- nothing is answered twice; what is answered is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from rustqueue.gateway.deadlines import Deadlines
from rustqueue.gateway.ports import Done, Ticket
from rustqueue.gateway.waiting import is_empty, nothing_for
from rustqueue.model import limits
from rustqueue.model.commands import Ack, Command, Heartbeat, Progress, Pull
from rustqueue.model.errors import Unavailable
from rustqueue.model.replies import ErrorBody, Refused, Reply
from rustqueue.raft.links import Links
from rustqueue.raft.messages import Forward, Placed, Unplaced, Withdraw
from rustqueue.raft.ports import Clock

LEADS_NOT = frozenset({"NO_LEADER", "SHUTTING_DOWN"})
_unknown_outcome = Refused.of(Unavailable.unknown_outcome())
_no_leader = Refused.of(Unavailable.no_leader())


class Refusal(msgspec.Struct, array_like=True, frozen=True):
    """A refusal as it travels between nodes."""

    status: int
    retry_after_s: int | None
    error: ErrorBody


_refusals = msgspec.json.Decoder(Refusal)


def refusal_text(refused: Refused) -> bytes:
    return msgspec.json.encode(Refusal(refused.status, refused.retry_after_s, refused.error))


def read_refusal(text: bytes) -> Refused:
    told = _refusals.decode(text)
    return Refused(error=told.error, status=told.status, retry_after_s=told.retry_after_s)


class ErrandRules(NamedTuple):
    """`first_number` is a random one: answers to an earlier life of this node must not be taken for ours."""

    deadline_ms: int
    first_number: int


class Placing(Protocol):
    """The log of this node, where the reply of a placed command comes to light."""

    def expect(self, index: int, ordinal: int, term: int, done: Callable[[Reply | None], None]) -> bool: ...


@dataclass(slots=True, eq=False)
class Errand:
    """A command on its way to the leader, and the ticket of its client."""

    relay: "Relay"
    number: int
    command: Command
    raw: bytes
    done: Done | None
    behind_own: bool = False
    sent_to: str | None = None
    sent_as: int = 0
    """Its number on the wire, which is another one each time it is sent: what is said of an earlier time is known by
    it.
    """
    placements: int = 0
    """Places in the log that it was given and that are not applied here yet. A waiting pull may have several."""
    doubtful: bool = False
    """It was sent and lost before, and may have happened then."""
    here: Ticket | None = None
    """When this node came to lead, the errand waits here."""

    @property
    def waits(self) -> bool:
        return isinstance(self.command, Pull) and self.command.wait_ms > 0

    def cancel(self) -> None:
        if self.here is not None:
            self.here.cancel()
        else:
            self.relay.withdraw(self)


class Relay:
    """Errands of this node's clients. Everything is called, and calls back, on the loop."""

    def __init__(self, links: Links, log: Placing, clock: Clock, rules: ErrandRules) -> None:
        self._links = links
        self._log = log
        self._clock = clock
        self._retry_armed = False
        self._deadline_ms = rules.deadline_ms
        self._errands: dict[int, Errand] = {}
        self._sent: dict[int, Errand] = {}
        """By the numbers under which they were sent last."""
        self._homeless: dict[int, Errand] = {}
        self._deadlines: Deadlines[int] = Deadlines(clock, self._out_of_time)
        self._number = rules.first_number
        self.leader: str | None = None
        """The leader, when it is another node."""
        self.take: Callable[[Errand], None] = lambda errand: None
        """Called with an errand that can be done here, since this node has come to lead."""

    def forward(self, command: Command, raw: bytes, done: Done, behind_own: bool = False) -> Errand:
        """Send a command to the leader, as soon as there is one. `done` is called once, unless it is withdrawn.

        `behind_own`: the caller has commands on their way that this one comes after.
        """
        self._number += 1
        errand = Errand(self, self._number, command, raw, done, behind_own)
        self._errands[errand.number] = errand
        waits_ms = command.wait_ms if isinstance(command, Pull) else 0
        self._deadlines.put(errand.number, waits_ms + self._deadline_ms)
        self._send(errand)
        return errand

    def withdraw(self, errand: Errand) -> None:
        """Its client has gone."""
        if self._errands.get(errand.number) is errand:
            self._forget(errand)
            if errand.sent_to is not None:
                self._links.send(errand.sent_to, Withdraw(errand.sent_as))

    def leader_is(self, leader: str | None, leads_here: bool) -> None:
        """Somebody else leads now, or nobody, or this node."""
        self.leader = None if leads_here else leader
        if leader is None:
            # Who was asked may have been cut off, and lead again in a moment: as long as its link is up it answers, or
            # says that it leads no more. A pull that was sent again would be carried out twice there.
            return
        for errand in [errand for errand in self._errands.values() if errand.sent_to not in (None, self.leader)]:
            self._lost(errand)
        if not leads_here:
            self._send_homeless()
            return
        for errand in list(self._homeless.values()):
            self._forget(errand)
            if errand.doubtful and errand.done is not None:
                errand.done = partial(_doubt, errand.done)
            self.take(errand)

    def link_down(self, peer: str) -> None:
        """What was sent there may have arrived, or not."""
        for errand in [errand for errand in self._errands.values() if errand.sent_to == peer]:
            self._lost(errand)

    def link_up(self, peer: str) -> None:
        if peer == self.leader:
            self._send_homeless()

    # Answers of the leader.

    def placed(self, message: Placed) -> None:
        errand = self._sent.get(message.number)
        if errand is None:
            return
        errand.placements += 1
        came = partial(self._came, errand, message.number)
        if not self._log.expect(message.index, message.ordinal, message.term, came):
            errand.placements -= 1
            self._lost(errand)

    def unplaced(self, message: Unplaced) -> None:
        errand = self._sent.get(message.number)
        if errand is None:
            return
        if not message.refusal:
            assert isinstance(errand.command, Pull), "only a pull finds nothing"
            self._answer(errand, nothing_for(errand.command))
            return
        refused = read_refusal(message.refusal)
        if refused.error.code in LEADS_NOT:
            self._again(errand)
        else:
            # Refused this time says nothing of the time before.
            self._answer(errand, _unknown_outcome if errand.doubtful else refused)

    def _came(self, errand: Errand, sent_as: int, reply: Reply | None) -> None:
        """The entry where the command was placed has been applied here, or another one in its place."""
        if self._errands.get(errand.number) is not errand:
            return
        errand.placements -= 1
        is_latest = sent_as in self._sent
        if reply is None:
            if is_latest:
                self._again(errand)
        elif isinstance(reply, Refused) and errand.doubtful:
            # An ack may be refused as stale because it was taken the time before.
            self._answer(errand, _unknown_outcome)
        elif not (errand.waits and is_empty(reply)):
            self._answer(errand, reply)
        elif is_latest and errand.sent_to != self.leader:
            self._again(errand)

    # Sending again, and giving up.

    def _send(self, errand: Errand) -> None:
        leader = self.leader
        self._sent.pop(errand.sent_as, None)
        if errand.sent_as:
            self._number += 1
        errand.sent_as = self._number if errand.sent_as else errand.number
        message = Forward(errand.sent_as, errand.raw, errand.behind_own)
        if leader is not None and self._links.send(leader, message):
            errand.sent_to = leader
            self._sent[errand.sent_as] = errand
        else:
            errand.sent_to = None
            self._homeless[errand.number] = errand

    def _again(self, errand: Errand) -> None:
        """It certainly did not happen there. Who refused it may be taken for the leader here for a moment longer."""
        errand.doubtful = errand.doubtful or errand.placements > 0
        if self.leader is not None and errand.sent_to not in (None, self.leader):
            self._send(errand)
            return
        errand.sent_to = None
        self._homeless[errand.number] = errand
        if not self._retry_armed:
            self._retry_armed = True
            self._clock.call_later(limits.ERRAND_RETRY_MS, self._retry)

    def _retry(self) -> None:
        self._retry_armed = False
        self._send_homeless()

    def _send_homeless(self) -> None:
        homeless, self._homeless = self._homeless, {}
        for errand in homeless.values():
            self._send(errand)

    def _lost(self, errand: Errand) -> None:
        """Nobody will tell what became of it, unless its place in the log is known: then the log will."""
        if errand.placements:
            # A pull that waits may have been given one more place, which nobody could tell.
            errand.doubtful = errand.doubtful or errand.waits
            errand.sent_to = None
        elif _harmless_twice(errand.command):
            errand.doubtful = True
            self._send(errand)
        else:
            self._answer(errand, _unknown_outcome)

    def _out_of_time(self, number: int) -> None:
        errand = self._errands[number]
        if errand.number in self._homeless and not errand.doubtful:
            self._answer(errand, _no_leader)
        elif isinstance(errand.command, Pull) and not errand.placements:
            self._answer(errand, nothing_for(errand.command))
        else:
            self._answer(errand, _unknown_outcome)

    def _answer(self, errand: Errand, reply: Reply) -> None:
        done = errand.done
        self._forget(errand)
        if done is not None:
            done(reply)

    def _forget(self, errand: Errand) -> None:
        del self._errands[errand.number]
        self._sent.pop(errand.sent_as, None)
        self._homeless.pop(errand.number, None)
        self._deadlines.drop(errand.number)

    def close(self) -> None:
        """Answer what is still out."""
        for errand in list(self._errands.values()):
            may_have_happened = errand.sent_to is not None or errand.placements > 0 or errand.doubtful
            self._answer(errand, _unknown_outcome if may_have_happened else _no_leader)
        self._deadlines.close()


def _doubt(done: Done, reply: Reply) -> None:
    """A refusal of what was sent before says nothing of the time before."""
    done(_unknown_outcome if isinstance(reply, Refused) else reply)


def _harmless_twice(command: Command) -> bool:
    """Whether a second time changes nothing, or nothing that anybody would miss: a lost lease ends by itself."""
    if isinstance(command, Pull | Heartbeat | Progress):
        return True
    if isinstance(command, Ack) and command.attempt_token is not None:
        return True
    return getattr(command, "idempotency_key", None) is not None
