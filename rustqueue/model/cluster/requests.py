"""Requests about the cluster. They never enter the log as they stand.

Invariant: a change names a node, as `n0`, or one member, as `n0#5`; which disk a node has now only the node can say.
"""

from typing import Annotated

from msgspec import Meta

from rustqueue.model import limits
from rustqueue.model.requests import Request

NodeId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z", max_length=limits.NODE_ID_BYTES_MAX)
]
MemberName = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(#[0-9]{1,19})?\Z", max_length=limits.MEMBER_ID_BYTES_MAX),
]
PeerAddress = Annotated[str, Meta(pattern=r"^\S+:[0-9]{1,5}\Z", max_length=limits.ADDRESS_BYTES_MAX)]


class ClusterGet(Request, frozen=True, kw_only=True, tag="cluster_get"):
    """Who belongs to the cluster, who leads, and who lags. Any node answers; it asks the leader."""


class MemberAdd(Request, frozen=True, kw_only=True, tag="member_add"):
    """Take in a node that runs with `[cluster] join` and waits at this address of its peer port. It votes as soon as it
    has caught up.
    """

    id: NodeId
    address: PeerAddress


class MemberRemove(Request, frozen=True, kw_only=True, tag="member_remove"):
    """Let a member go. The leader hands its leadership over first if it is the one."""

    id: MemberName


class MemberReplace(Request, frozen=True, kw_only=True, tag="member_replace"):
    """Give the place of a node that lost its disk to what runs under its id now, at the same address unless another one
    is given. It votes as soon as it has caught up.
    """

    id: NodeId
    address: PeerAddress | None = None


class ClusterTransfer(Request, frozen=True, kw_only=True, tag="cluster_transfer"):
    """Let another voter lead: `to`, or else the one with the longest log."""

    to: MemberName | None = None


ClusterChange = MemberAdd | MemberRemove | MemberReplace | ClusterTransfer
ClusterRequest = ClusterGet | ClusterChange
