"""Requests about the cluster: the leader carries them out, every other node asks it.

It must not know protocols, nor how members agree. Invariants: every request is answered once, within its deadline; what
may have happened is never sent a second time; a node is taken in only under the incarnation that it told just now.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import msgspec

from rustqueue.gateway.ports import Done
from rustqueue.gateway.relay import read_refusal, refusal_text
from rustqueue.model import limits
from rustqueue.model.cluster.features import FEATURE_LEVEL
from rustqueue.model.cluster.replies import ClusterInfo, MemberInfo
from rustqueue.model.cluster.requests import (
    ClusterGet,
    ClusterRequest,
    ClusterTransfer,
    MemberAdd,
    MemberRemove,
    MemberReplace,
)
from rustqueue.model.commands import FeatureLevel
from rustqueue.model.errors import ApiError, Conflict, Unavailable
from rustqueue.model.replies import Refused, Reply
from rustqueue.model.wire import decode_request, encode_command
from rustqueue.raft.cluster.parts import Parts
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.links import Hello
from rustqueue.raft.membership.steward import Steward
from rustqueue.raft.messages import Asked, MemberState, Message, Told
from rustqueue.raft.ports import Proposal

_HAND_OVER_MS: Final = 5_000
_get: Final = ClusterGet()
_get_raw: Final = encode_command(_get)
_infos: Final = msgspec.json.Decoder(ClusterInfo)

Look = Callable[[str, str, Callable[[Hello | None], None]], None]
"""Dials an address and tells the hello of the node of this id that answers there, or None when none does."""


class Lone(Protocol):
    """What a node without others tells of itself."""

    def cluster_info(self) -> ClusterInfo: ...


@dataclass(frozen=True, slots=True)
class About:
    """What a member tells of itself. `feature_level` is the one in force in its state, which its program may exceed."""

    cluster_id: str
    version: str
    feature_level: Callable[[], int]


class LoneCouncil:
    """For a node without others."""

    def __init__(self, node: Lone) -> None:
        self._node = node

    def submit(self, request: ClusterRequest, raw: bytes, done: Done) -> None:
        if isinstance(request, ClusterGet):
            done(self._node.cluster_info())
        else:
            text = "This node runs alone and has no members: a cluster is started with its [cluster] section"
            done(Refused.of(Conflict("NOT_A_CLUSTER", text)))


@dataclass(slots=True)
class _Errand:
    """A request of this node's client that is not answered yet. `sent_to` None: nobody has it."""

    request: ClusterRequest
    raw: bytes
    done: Done
    sent_to: str | None = None


@dataclass(frozen=True, slots=True)
class _HandingOver:
    """What is asked of the new leader once there is one."""

    request: ClusterRequest
    answer: Done


class Council:
    """Given every request about the cluster, every message of this kind, and every change of leadership."""

    def __init__(self, parts: Parts, replicator: ClusterReplicator, steward: Steward, look: Look, about: About) -> None:
        self._parts = parts
        self._replicator = replicator
        self._steward = steward
        self._look = look
        self._about_me = about
        self._errands: dict[int, _Errand] = {}
        # Random, so that answers to an earlier life of this node are not taken for ours.
        self._number = secrets.randbelow(1 << 62)
        self._handing: list[_HandingOver] = []
        self._said: dict[str, tuple[int, MemberState]] = {}
        self._stop_saying: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Tell the leader now and then how far this member is."""
        self._stop_saying = self._parts.clock.call_later(limits.MEMBER_SAID_MS, self.start)
        leader = self._replicator.member.leader
        if leader is not None and not self._replicator.leads:
            state = MemberState(self._replicator.applied_index, self._about_me.version, FEATURE_LEVEL)
            self._parts.links.send(leader, state)
        self._send_waiting()
        self._raise_level()

    def _raise_level(self) -> None:
        """Once every member, learners too, has just said that its program knows a higher level, the log says so."""
        if not self._replicator.leads or self._replicator.stopped is not None:
            return
        known = [(state.feature_level, state.version) for state in map(self._state_of, self._members()) if state]
        level, version = min(known)
        if len(known) == len(self._parts.config.members) and level > self._about_me.feature_level():
            command = FeatureLevel(level=level, version=version)
            self._replicator.propose(Proposal(command, encode_command(command), lambda reply: None))

    def _members(self) -> list[str]:
        return [record.id for record in self._parts.config.members]

    def _state_of(self, member: str) -> MemberState | None:
        """What it said last, if that is not long ago."""
        if member == self._parts.me:
            return MemberState(self._replicator.applied_index, self._about_me.version, FEATURE_LEVEL)
        said_us, state = self._said.get(member, (0, None))
        silent = self._parts.clock.monotonic_us() - said_us > limits.MEMBER_SILENT_MS * 1_000
        return None if silent else state

    def close(self) -> None:
        self._stop_saying()
        for number in list(self._errands):
            self._answer(number, Refused.of(Unavailable.stopping()))

    # Requests of this node's clients.

    def submit(self, request: ClusterRequest, raw: bytes, done: Done) -> None:
        self._number += 1
        number = self._number
        self._errands[number] = _Errand(request, raw, done)
        self._parts.clock.call_later(limits.MEMBER_ASKED_MS, partial(self._late, number))
        self._send(number)

    def _send(self, number: int) -> None:
        errand = self._errands[number]
        leader = self._replicator.member.leader
        if self._replicator.leads:
            errand.sent_to = self._parts.me
            self._carry_out(errand.request, partial(self._answer, number))
        elif leader is not None and self._parts.links.send(leader, Asked(number, errand.raw)):
            errand.sent_to = leader

    def _send_waiting(self) -> None:
        for number in [number for number, errand in self._errands.items() if errand.sent_to is None]:
            self._send(number)

    def _answer(self, number: int, reply: Reply) -> None:
        errand = self._errands.pop(number, None)
        if errand is not None:
            errand.done(reply)

    def _late(self, number: int) -> None:
        errand = self._errands.get(number)
        if errand is not None:
            nobody_has_it = errand.sent_to is None or isinstance(errand.request, ClusterGet)
            self._answer(number, Refused.of(Unavailable.no_leader() if nobody_has_it else _unknown()))

    def _lost(self, number: int) -> None:
        """Whoever had it cannot be asked any more."""
        errand = self._errands[number]
        if isinstance(errand.request, ClusterGet):
            errand.sent_to = None
        else:
            self._answer(number, Refused.of(_unknown()))

    # What the cluster tells.

    def leader_is(self, leader: str | None) -> None:
        if leader is None:
            return
        if leader != self._parts.me:
            handing, self._handing = self._handing, []
            for waiting in handing:
                self.submit(waiting.request, encode_command(waiting.request), waiting.answer)
        self._send_waiting()

    def link_up(self, peer: str) -> None:
        self._send_waiting()

    def link_down(self, peer: str) -> None:
        for number in [number for number, errand in self._errands.items() if errand.sent_to == peer]:
            self._lost(number)

    def received(self, peer: str, message: Message) -> bool:
        """Whether the message was one of ours."""
        match message:
            case Asked():
                self._asked(peer, message)
            case Told():
                self._told(peer, message)
            case MemberState():
                self._said[peer] = (self._parts.clock.monotonic_us(), message)
            case _:
                return False
        return True

    def _asked(self, peer: str, message: Asked) -> None:
        def tell(reply: Reply) -> None:
            refused = isinstance(reply, Refused)
            body = refusal_text(reply) if isinstance(reply, Refused) else msgspec.json.encode(reply)
            self._parts.links.send(peer, Told(message.number, refused, False, body))

        if not self._replicator.leads:
            self._parts.links.send(peer, Told(message.number, False, True, b""))
            return
        request = decode_request(message.raw)
        assert isinstance(request, ClusterRequest), "members send on only what is about the cluster"
        self._carry_out(request, tell)

    def _told(self, peer: str, message: Told) -> None:
        errand = self._errands.get(message.number)
        if errand is None or errand.sent_to != peer:
            return
        if message.moved:
            errand.sent_to = None  # The next leader, or the next look, sends it on.
        elif message.refused:
            self._answer(message.number, read_refusal(message.body))
        else:
            self._answer(message.number, _infos.decode(message.body))

    # What a leader does.

    def _carry_out(self, request: ClusterRequest, answer: Done) -> None:
        try:
            match request:
                case ClusterGet():
                    answer(self._info())
                case MemberAdd():
                    self._take_in(request, request.address, answer)
                case MemberReplace():
                    self._take_in(request, request.address or self._address_of(request.id), answer)
                case MemberRemove():
                    self._remove(request, answer)
                case ClusterTransfer():
                    self._hand_over(request.to, _get, answer)
        except ApiError as error:
            answer(Refused.of(error))

    def _take_in(self, request: MemberAdd | MemberReplace, address: str, answer: Done) -> None:
        if isinstance(request, MemberAdd):
            self._steward.refuse_known(request.id)
        elif any(self._parts.links.writable(member.id) for member in self._parts.config.of_node(request.id)):
            text = f"'{request.id}' answers and has the disk that it had: there is nothing to replace"
            raise Conflict("MEMBER_EXISTS", text, {"field": "id"})
        obstacle = self._steward.obstacle()
        if obstacle is not None:
            raise obstacle

        def found(hello: Hello | None) -> None:
            if hello is None:
                answer(Refused.of(_not_there(request.id, address)))
                return
            carry_out = self._steward.add if isinstance(request, MemberAdd) else self._steward.replace
            try:
                carry_out(request.id, hello.incarnation, address, partial(self._changed, answer))
            except ApiError as error:
                answer(Refused.of(error))

        self._look(request.id, address, found)

    def _address_of(self, node: str) -> str:
        known = next(self._parts.config.of_node(node), None)
        if known is None:
            text = (
                f"'{node}' has no place in the cluster: give its address, or run: rustqueue cluster add {node} ADDRESS"
            )
            raise Conflict("MEMBER_UNKNOWN", text, {"field": "id"})
        return known.address

    def _remove(self, request: MemberRemove, answer: Done) -> None:
        if self._steward.member_named(request.id) == self._parts.me and len(self._parts.voters()) > 1:
            self._hand_over(None, request, answer)
        else:
            self._steward.remove(request.id, partial(self._changed, answer))

    def _hand_over(self, to: str | None, then: ClusterRequest, answer: Done) -> None:
        """Let another node lead, and let it answer."""
        if self._steward.transfer(to) == self._parts.me:
            answer(self._info())
            return
        waiting = _HandingOver(then, answer)
        self._handing.append(waiting)
        self._parts.clock.call_later(_HAND_OVER_MS, partial(self._hand_over_late, waiting))

    def _hand_over_late(self, waiting: _HandingOver) -> None:
        if waiting in self._handing:
            self._handing.remove(waiting)
            text = "The other member did not take the leadership over in time; nothing was changed"
            waiting.answer(Refused.of(Conflict("HAND_OVER_FAILED", text)))

    def _changed(self, answer: Done, error: ApiError | None) -> None:
        if error is not None:
            answer(Refused.of(error))
        elif self._replicator.leads:
            answer(self._info())
        else:
            self.submit(_get, _get_raw, answer)

    def _info(self) -> ClusterInfo:
        parts, member = self._parts, self._replicator.member
        members = [self._about(record.id, record.address, record.voter) for record in parts.config.members]
        about = self._about_me
        return ClusterInfo(
            cluster_id=about.cluster_id, leader=member.leader, term=member.term, members=members,
            feature_level=about.feature_level(),
        )  # fmt: skip

    def _about(self, name: str, address: str, voter: bool) -> MemberInfo:
        state = self._state_of(name)
        said = (None, None, None) if state is None else (state.applied_index, state.version, state.feature_level)
        applied, version, level = said
        if name == self._parts.me:
            return MemberInfo(name, address, "leader", voter, self._parts.log.durable_index, applied, 0, version, level)
        role, held = "follower" if voter else "learner", self._parts.seat.progress(name)[0]
        return MemberInfo(name, address, role, voter, held, applied, self._steward.lags.lag_ms(name), version, level)


def _unknown() -> Unavailable:
    text = "It is not known whether the members were changed: look with `rustqueue cluster status`, then ask again"
    return Unavailable("OUTCOME_UNKNOWN", text)


def _not_there(node: str, address: str) -> Conflict:
    text = (
        f"No node '{node}' that waits to be taken in answers at {address}, its `advertise`: start it there with an "
        f"empty data folder and [cluster] join, or look into its log"
    )
    return Conflict("MEMBER_NOT_FOUND", text, {"field": "address"})
