"""The gateway's side of the cluster: errands to the leader, reads that ask it, and errands of others when we lead.

It must not know how members agree. Invariants: what another node sends us is answered by its place in the log as soon
as it has one, or by a refusal; a peer whose link is lost has nobody waiting here any more.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from rustqueue.gateway.ports import Done, Ticket
from rustqueue.gateway.reads import OwnIndex, ReadPoints
from rustqueue.gateway.relay import LEADS_NOT, ErrandRules, Placing, Relay, refusal_text
from rustqueue.gateway.waiting import is_empty
from rustqueue.model.commands import Command
from rustqueue.model.errors import Unavailable
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import decode_logged
from rustqueue.raft.links import Links
from rustqueue.raft.messages import Forward, IndexAsked, IndexGiven, Message, Placed, Unplaced, Withdraw
from rustqueue.raft.ports import Clock

PlacedAt = Callable[[int, int, int], None]
"""Told index, ordinal and term of a command that stands in the log."""

_no_leader = refusal_text(Refused.of(Unavailable.no_leader()))
_unknown_here = refusal_text(
    Refused.of(Unavailable("FEATURE_NOT_ACTIVE", "The leader runs an older version that does not know this request"))
)


class Leadership(Protocol):
    """What is asked of the replicator."""

    @property
    def leads(self) -> bool: ...

    @property
    def applied_index(self) -> int: ...

    @property
    def commit_index(self) -> int: ...

    @property
    def term_begins_at(self) -> int: ...

    @property
    def placements(self) -> Placing: ...


class Serve(Protocol):
    """How the gateway takes a command of another node; a ticket means that it may wait."""

    def __call__(
        self, command: Command, raw: bytes, done: Done, placed: PlacedAt, behind_own: bool
    ) -> Ticket | None: ...


class _Guest:
    """One errand of another node. It is told once; what stands in the log it follows there by itself."""

    __slots__ = ("_links", "number", "peer", "placed", "ticket")

    def __init__(self, links: Links, peer: str, number: int) -> None:
        self._links = links
        self.peer = peer
        self.number = number
        self.placed = False
        self.ticket: Ticket | None = None

    def stands_at(self, index: int, ordinal: int, term: int) -> None:
        self.placed = True
        self._links.send(self.peer, Placed(self.number, index, ordinal, term))

    def tell(self, reply: Reply) -> None:
        if is_empty(reply):
            self._links.send(self.peer, Unplaced(self.number, b""))
        elif isinstance(reply, Refused) and (not self.placed or reply.error.code in LEADS_NOT):
            self._links.send(self.peer, Unplaced(self.number, refusal_text(reply)))


class Neighbours:
    """Given to the gateway of a node that belongs to a cluster."""

    relay_type = Relay

    def __init__(self, links: Links, log: Leadership, clock: Clock, own_index: OwnIndex, rules: ErrandRules) -> None:
        self._links = links
        self._log = log
        self.relay = self.relay_type(links, log.placements, clock, rules)
        self.reads = ReadPoints(links, clock, own_index, lambda: log.applied_index, rules.first_number)
        self._guests: dict[tuple[str, int], _Guest] = {}
        self.serve: Serve | None = None

    @property
    def leads(self) -> bool:
        return self._log.leads

    @property
    def is_behind(self) -> bool:
        """A leader that may not have applied yet what others acknowledged: one of a moment ago, or one whose own disk
        is slower than those of a majority.
        """
        return self._log.applied_index < max(self._log.term_begins_at, self._log.commit_index)

    def leader_is(self, leader: str | None) -> None:
        self.reads.leader_is(leader, self._log.leads)
        self.relay.leader_is(leader, self._log.leads)

    def link_up(self, peer: str) -> None:
        self.relay.link_up(peer)

    def link_down(self, peer: str) -> None:
        self.relay.link_down(peer)
        for key in [key for key in self._guests if key[0] == peer]:
            guest = self._guests.pop(key)
            if guest.ticket is not None:
                guest.ticket.cancel()

    def received(self, peer: str, message: Message) -> bool:
        """Whether the message was one of ours."""
        match message:
            case Forward():
                self._forwarded(peer, message)
            case Placed():
                self.relay.placed(message)
            case Unplaced():
                self.relay.unplaced(message)
            case Withdraw():
                self._withdrawn(peer, message.number)
            case IndexAsked():
                self._index_asked(peer, message.number)
            case IndexGiven():
                self.reads.given(message)
            case _:
                return False
        return True

    def _forwarded(self, peer: str, message: Forward) -> None:
        if self.serve is None or not self._log.leads:
            self._links.send(peer, Unplaced(message.number, _no_leader))
            return
        guest = _Guest(self._links, peer, message.number)
        key = (peer, message.number)

        def done(reply: Reply) -> None:
            self._guests.pop(key, None)
            guest.tell(reply)

        try:
            command = decode_logged(message.raw)
        except msgspec.MsgspecError:
            # A newer program let it through, before all members knew what it means.
            self._links.send(peer, Unplaced(message.number, _unknown_here))
            return
        ticket = self.serve(command, message.raw, done, guest.stands_at, message.behind_own)
        if ticket is not None:
            guest.ticket = ticket
            self._guests[key] = guest

    def _withdrawn(self, peer: str, number: int) -> None:
        guest = self._guests.pop((peer, number), None)
        if guest is not None and guest.ticket is not None:
            guest.ticket.cancel()

    def _index_asked(self, peer: str, number: int) -> None:
        def tell(index: int | None) -> None:
            self._links.send(peer, IndexGiven(number, -1 if index is None else index))

        if self._log.leads:
            self.reads.own_index(tell)
        else:
            tell(None)

    def close(self) -> None:
        self.relay.close()
