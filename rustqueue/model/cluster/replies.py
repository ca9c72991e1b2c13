"""Replies about the cluster."""

from msgspec import Struct

from rustqueue.model.cluster.features import FIRST_LEVEL
from rustqueue.model.replies import Reply


class MemberInfo(Struct, frozen=True, gc=False):
    """One member as the leader sees it. `match_index` is what of the leader's log it holds durably, `lag_ms` how old
    that is; `applied_index`, `version` and `feature_level`, the highest that its program knows, are what it said last,
    null when it was not heard for some seconds.
    """

    id: str
    address: str
    role: str
    voter: bool
    match_index: int
    applied_index: int | None
    lag_ms: int
    version: str | None
    feature_level: int | None = None


class ClusterInfo(Reply, frozen=True, kw_only=True):
    """The cluster. `leader` is a member's id; `feature_level` is the one in force (decision 0019)."""

    cluster_id: str
    leader: str | None
    term: int
    members: list[MemberInfo]
    feature_level: int = FIRST_LEVEL
