"""What members of a cluster say to each other: the whole vocabulary of the peer link.

It must not know how messages travel, nor what a record holds. Invariants: every message carries the term of its sender
where terms matter, and every reply carries the sequence of what it answers, so that an answer of an earlier leadership
or of an earlier round is never counted in a later one; nothing here can carry code.
"""

from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from rustqueue.model.cluster.features import FIRST_LEVEL

PROTOCOL_VERSION = 1
"""Of these messages; members that speak different ones refuse each other in their hello."""


class LogRecord(NamedTuple):
    """One record of the log as it is replicated; its index follows from its place."""

    kind: int
    term: int
    payload: bytes


class Append(Struct, array_like=True, tag=1, frozen=True, gc=False):
    """Leader to member: `records` follow the record `prev_index`, which has `prev_term`. Empty: a heartbeat."""

    term: int
    prev_index: int
    prev_term: int
    commit_index: int
    sequence: int
    records: list[LogRecord]


class Appended(Struct, array_like=True, tag=2, frozen=True, gc=False):
    """`ok`: the log is the leader's up to `index`, durably. Otherwise `index` is where the leader may try next."""

    term: int
    ok: bool
    index: int
    sequence: int


class VoteAsked(Struct, array_like=True, tag=3, frozen=True, gc=False):
    """`pre`: would you vote for me in `term`? Nothing is changed by it. `forced`: the leader itself asks me to lead."""

    term: int
    last_index: int
    last_term: int
    pre: bool
    forced: bool


class VoteGiven(Struct, array_like=True, tag=4, frozen=True, gc=False):
    """`term` is the asked one when granted, the voter's own otherwise; `wall_ms` is the voter's wall clock."""

    term: int
    granted: bool
    pre: bool
    wall_ms: int


class TakeOver(Struct, array_like=True, tag=5, frozen=True, gc=False):
    """Leader to the member that has everything: campaign now, I step down."""

    term: int


class SnapshotPart(Struct, array_like=True, tag=6, frozen=True, gc=False):
    """A piece of a file of `file_bytes` bytes of the checkpoint at `index`. `crc` is of `data`; `is_last` ends the last
    file of all. `place` is how many files come before this one: none may be left out. An empty `name` offers the
    snapshot: the answer says where to go on.
    """

    term: int
    snapshot_id: bytes
    index: int
    index_term: int
    name: str
    file_bytes: int
    offset: int
    data: bytes
    crc: int
    is_last: bool
    place: int = 0


class SnapshotTaken(Struct, array_like=True, tag=7, frozen=True, gc=False):
    """`name` and `offset` say what is wanted next. `installed`: the state of `index` is in force. `name` empty: from
    the beginning.
    """

    term: int
    snapshot_id: bytes
    index: int
    name: str
    offset: int
    installed: bool


class Forward(Struct, array_like=True, tag=8, frozen=True, gc=False):
    """A command that a client gave to a member that does not lead, as it is logged. `number` is the sender's.
    `behind_own`: the same client has commands on their way that this one comes after.
    """

    number: int
    raw: bytes
    behind_own: bool = False


class Placed(Struct, array_like=True, tag=9, frozen=True, gc=False):
    """The command stands in the log, not yet committed: the sender answers when it has applied this entry itself."""

    number: int
    index: int
    ordinal: int
    term: int


class Unplaced(Struct, array_like=True, tag=10, frozen=True, gc=False):
    """The command did not and will not get into the log. `refusal` is the JSON of why; empty: a pull found nothing."""

    number: int
    refusal: bytes


class Withdraw(Struct, array_like=True, tag=11, frozen=True, gc=False):
    """The client of a waiting pull has gone."""

    number: int


class IndexAsked(Struct, array_like=True, tag=12, frozen=True, gc=False):
    """Up to where must I have applied, so that what I read is not older than this question?"""

    number: int


class IndexGiven(Struct, array_like=True, tag=13, frozen=True, gc=False):
    """`index` is -1 when the asked one does not lead."""

    number: int
    index: int


class StateDigest(Struct, array_like=True, tag=14, frozen=True, gc=False):
    """The state hash of the sender when it had applied `index`: whoever has another one must stop."""

    index: int
    digest: bytes


class Asked(Struct, array_like=True, tag=15, frozen=True, gc=False):
    """A request about the cluster that a client gave to a member that does not lead, as its text. The sender has seen
    to it that the client may ask this.
    """

    number: int
    raw: bytes


class Told(Struct, array_like=True, tag=16, frozen=True, gc=False):
    """The answer to `Asked`: a refusal or the JSON of a reply. `moved`: the asked one does not lead; ask again."""

    number: int
    refused: bool
    moved: bool
    body: bytes


class MemberState(Struct, array_like=True, tag=17, frozen=True, gc=False):
    """Member to leader, now and then: how far it is, and which program it runs. Fields are only ever added at the end,
    with a value for members that do not send them.
    """

    applied_index: int
    version: Annotated[str, Meta(max_length=64)]
    feature_level: Annotated[int, Meta(ge=0, lt=2**31)] = FIRST_LEVEL


Message = (
    Append
    | Appended
    | VoteAsked
    | VoteGiven
    | TakeOver
    | SnapshotPart
    | SnapshotTaken
    | Forward
    | Placed
    | Unplaced
    | Withdraw
    | IndexAsked
    | IndexGiven
    | StateDigest
    | Asked
    | Told
    | MemberState
)
