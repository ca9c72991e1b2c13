"""What a leader does about its members: carries changes out, one at a time, and lets learners vote that have caught up.

It must not know who asked, nor how a new member is found. Invariants: a change is begun only when the one before is
committed and an entry of the present term is, since only then do two majorities always meet (Raft, 4.1 and its
erratum), and only when a majority of those that will vote is heard; an answer is given when the change is committed, or
when it is certain that it never will be.
"""

from collections.abc import Callable
from typing import Final

from rustqueue.model import limits
from rustqueue.model.errors import ApiError, Conflict, Unavailable
from rustqueue.model.replies import Refused, Reply
from rustqueue.raft.cluster.config import Config, with_learner, with_replaced, with_voter, without
from rustqueue.raft.cluster.parts import Parts
from rustqueue.raft.cluster.replicator import ClusterReplicator
from rustqueue.raft.links import member_id
from rustqueue.raft.membership.lag import LagWatch

Changed = Callable[[ApiError | None], None]
"""None: the change is committed."""


class Steward:
    """Told when this node begins and ceases to lead; its other methods are for a leader."""

    def __init__(self, parts: Parts, replicator: ClusterReplicator) -> None:
        self._parts = parts
        self._replicator = replicator
        self._stop: Callable[[], None] | None = None
        self.lags = LagWatch()
        self.promotions_count = 0

    def role_changed(self, leads: bool) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None
        if leads:
            self.lags = LagWatch()
            self._look()

    # Learners.

    def _look(self) -> None:
        self._stop = self._parts.clock.call_later(limits.MEMBER_LOOK_MS, self._look)
        if self._replicator.stopped is not None or not self._replicator.leads:
            return
        seat, now_ms = self._parts.seat, self._now_ms()
        matched = {member: seat.progress(member)[0] for member in self._parts.others()}
        self.lags.look(now_ms, self._parts.log.last_index, matched)
        learner = next((m.id for m in self._parts.config.members if not m.voter and self._is_fit(m.id, now_ms)), None)
        if learner is not None and self.obstacle() is None:
            self.promotions_count += 1
            self._replicator.change_members(with_voter(self._parts.config, learner))

    def _is_fit(self, member: str, now_ms: int) -> bool:
        return self._parts.links.writable(member) and self.lags.has_caught_up(member, now_ms)

    def _now_ms(self) -> int:
        return self._parts.clock.monotonic_us() // 1_000

    # Changes.

    def obstacle(self) -> ApiError | None:
        """Why no change may begin now."""
        leading, configs = self._replicator.member.leading, self._parts.configs
        if leading is None or self._replicator.stopped is not None:
            return Unavailable.no_leader()
        if self._replicator.member.hands_over:
            return _under_way("The leadership is being handed over")
        if configs.current_index > self._parts.seat.commit_index or not leading.is_settled:
            return _under_way("Another change of the members is not committed yet")
        return None

    def add(self, node: str, incarnation: int, address: str, done: Changed) -> None:
        """Take a node in as a learner."""
        config = self._parts.config
        self.refuse_known(node)
        if len(config.members) >= limits.MEMBERS_MAX:
            raise Conflict("TOO_MANY_MEMBERS", f"A cluster has {limits.MEMBERS_MAX} members at most", {"field": "id"})
        self._change(with_learner(config, member_id(node, incarnation), address), done)

    def refuse_known(self, node: str) -> None:
        """Raises `Conflict` for a node that belongs to the cluster already, under whatever incarnation."""
        if next(self._parts.config.of_node(node), None) is not None:
            raise _exists(node, same=False)

    def replace(self, node: str, incarnation: int, address: str, done: Changed) -> None:
        """Give a node's place to the disk that it has now."""
        config, new_id = self._parts.config, member_id(node, incarnation)
        if new_id in config:
            raise _exists(node, same=True)
        old = next(config.of_node(node), None)
        changed = (
            with_learner(config, new_id, address) if old is None else with_replaced(config, old.id, new_id, address)
        )
        self._change(changed, done)

    def remove(self, name: str, done: Changed) -> None:
        """Let a member go that is not the leader."""
        self._change(without(self._parts.config, self.member_named(name)), done)

    def member_named(self, name: str) -> str:
        """A member by its id, or by that of its node. Raises `Conflict`."""
        config = self._parts.config
        found = name if name in config else next((member.id for member in config.of_node(name)), None)
        if found is None:
            raise Conflict("MEMBER_UNKNOWN", f"No member '{name}' belongs to the cluster", {"field": "id"})
        return found

    def transfer(self, to: str | None) -> str:
        """Begin to hand the leadership over; gives the heir. Raises `Conflict`."""
        heir = None if to is None else self.member_named(to)
        if heir is not None and heir not in self._parts.voters():
            raise Conflict("NOT_A_VOTER", f"'{heir}' does not vote yet and cannot lead", {"field": "to"})
        if heir == self._parts.me:
            return heir
        obstacle = self.obstacle()
        if obstacle is not None:
            raise obstacle
        if heir is not None and not self._parts.links.writable(heir):
            raise Conflict("MEMBER_UNREACHABLE", f"'{heir}' cannot be reached and cannot lead", {"field": "to"})
        taken = self._replicator.member.transfer(heir)
        if taken is None:
            raise Conflict("NO_HEIR", "There is no other voter that could lead")
        return taken

    def _change(self, config: Config, done: Changed) -> None:
        obstacle = self.obstacle()
        if obstacle is not None:
            raise obstacle
        leading = self._replicator.member.leading
        assert leading is not None, "whoever does not lead has an obstacle"
        if not leading.hears_most(config.voters):
            # It could not be committed, and no other change behind it: the cluster would stand still.
            text = "Too few of the members that would vote after this change answer: start those that are down first"
            raise Conflict("QUORUM_AT_RISK", text)
        index = self._replicator.change_members(config)

        def applied(reply: Reply | None) -> None:
            if reply is None:
                done(Unavailable.no_leader())
            else:
                done(Unavailable.unknown_outcome() if isinstance(reply, Refused) else None)

        self._replicator.placements.expect(index, 0, self._replicator.term, applied)


_UNDER_WAY: Final = "CHANGE_IN_PROGRESS"


def _under_way(reason: str) -> Conflict:
    return Conflict(_UNDER_WAY, f"{reason}: ask again in a moment")


def _exists(node: str, same: bool) -> Conflict:
    advice = "" if same else f". If it lost its disk, run: rustqueue cluster replace {node}"
    return Conflict("MEMBER_EXISTS", f"'{node}' belongs to the cluster already{advice}", {"field": "id"})
