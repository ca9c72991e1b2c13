"""Who belongs to the cluster: members, which of them vote, and how that may change.

It must not know links or logs. A configuration is the newest one in the log, committed or not (Raft, chapter 4).
Invariants: one change makes one voter more or one fewer at most (one member more, one fewer, one made a voter, or one
whose place a learner takes), so that the majorities of two following configurations always meet; there is always a
voter.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from rustqueue.model.commands import MemberRecord, Members
from rustqueue.model.errors import Conflict


class Config(Struct, frozen=True, array_like=True):
    """The members in order of their ids."""

    members: tuple[MemberRecord, ...]

    @property
    def voters(self) -> tuple[str, ...]:
        return tuple(member.id for member in self.members if member.voter)

    @property
    def addresses(self) -> dict[str, str]:
        return {member.id: member.address for member in self.members}

    def __contains__(self, member_id: str) -> bool:
        return any(member.id == member_id for member in self.members)

    def member(self, member_id: str) -> MemberRecord | None:
        return next((member for member in self.members if member.id == member_id), None)

    def of_node(self, node_id: str) -> Iterator[MemberRecord]:
        """All incarnations of a node."""
        return (member for member in self.members if node_of(member.id) == node_id)


def node_of(member_id: str) -> str:
    """The node of a member: `n0` of `n0#5`. A node that lost its disk comes back as another member."""
    return member_id.partition("#")[0]


def config_of(members: Members) -> Config:
    return Config(tuple(sorted(members.members, key=lambda member: member.id)))


def command_of(config: Config) -> Members:
    """The command that is logged, so that the state machine, and with it every snapshot, knows the members."""
    return Members(members=list(config.members))


def with_learner(config: Config, member_id: str, address: str) -> Config:
    """One member more, that does not vote yet."""
    if member_id in config:
        raise Conflict("MEMBER_EXISTS", f"Member '{member_id}' belongs to the cluster already", {"field": "id"})
    taken = next((member.id for member in config.members if member.address == address), None)
    if taken is not None:
        raise Conflict("MEMBER_EXISTS", f"Member '{taken}' has the address {address} already", {"field": "address"})
    return _config([*config.members, MemberRecord(member_id, address, False)])


def with_voter(config: Config, member_id: str) -> Config:
    """The learner votes from now on."""
    return _config([msgspec.structs.replace(m, voter=m.voter or m.id == member_id) for m in config.members])


def without(config: Config, member_id: str) -> Config:
    """One member fewer."""
    if member_id not in config:
        raise Conflict("MEMBER_UNKNOWN", f"No member '{member_id}' belongs to the cluster", {"field": "id"})
    rest = [member for member in config.members if member.id != member_id]
    if not any(member.voter for member in rest):
        raise Conflict("LAST_VOTER", f"'{member_id}' is the last voter and cannot be removed", {"field": "id"})
    return _config(rest)


def with_replaced(config: Config, old_id: str, new_id: str, address: str) -> Config:
    """One voter fewer, and a learner in its place: of the voters only one has changed."""
    rest = without(config, old_id)
    return with_learner(rest, new_id, address)


def _config(members: list[MemberRecord]) -> Config:
    return Config(tuple(sorted(members, key=lambda member: member.id)))
