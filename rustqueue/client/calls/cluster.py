"""The verbs about the cluster itself; methods of the same names on the clients."""

from msgspec import Struct

from rustqueue.client.call import Call, whole
from rustqueue.model.cluster import requests


class Member(Struct, frozen=True):
    """One member as the leader sees it. `applied_index`, `version` and `feature_level`, the highest that its program
    knows, are None when it was not heard for a while.
    """

    id: str
    address: str = ""
    role: str = ""
    voter: bool = False
    match_index: int = 0
    applied_index: int | None = None
    lag_ms: int = 0
    version: str | None = None
    feature_level: int | None = None


class Cluster(Struct, frozen=True):
    """Who belongs to the cluster. `leader` is a member's id; `feature_level` is the one in force."""

    cluster_id: str
    leader: str | None = None
    term: int = 0
    members: list[Member] = []
    feature_level: int = 1


_read = whole(Cluster)


def cluster() -> Call[Cluster]:
    """Who belongs to the cluster, who leads, and who lags."""
    return Call(requests.ClusterGet(), _read)


def add_member(node_id: str, address: str) -> Call[Cluster]:
    """Take in a node that runs with `[cluster] join` and waits at this address of its peer port."""
    return Call(requests.MemberAdd(id=node_id, address=address), _read, repeat="asked")


def remove_member(member_id: str) -> Call[Cluster]:
    """Let a member go."""
    return Call(requests.MemberRemove(id=member_id), _read, repeat="asked")


def replace_member(node_id: str, address: str | None = None) -> Call[Cluster]:
    """Give the place of a node that lost its disk to what runs under its id now."""
    return Call(requests.MemberReplace(id=node_id, address=address), _read, repeat="asked")


def transfer_leadership(to: str | None = None) -> Call[Cluster]:
    """Let another voter lead: `to`, or else the one with the longest log."""
    return Call(requests.ClusterTransfer(to=to), _read, repeat="asked")
