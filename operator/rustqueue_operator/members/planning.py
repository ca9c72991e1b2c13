"""What is to be done about the nodes of one cluster. Pure: what was seen in, steps out.

Nothing is remembered from one look to the next, so an operator that is killed between two steps goes on where it was.
Invariants: a member is taken away only when its number lies beyond the size that the StatefulSet has now and its pod
does not exist; one member at a time; never without a leader, since whoever takes members away from a cluster that has
lost its majority decides which jobs are forgotten. Volumes grow and never shrink.
"""

import re
from decimal import Decimal
from typing import Final

from msgspec import Struct

STORAGE: Final = "rustqueue.io/storage"
"""Annotation of a StatefulSet: how large its volumes are to be. Its template cannot be changed any more."""

_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)\Z")
_POWERS: Final = ("", "k", "M", "G", "T", "P")


class Member(Struct, frozen=True):
    """As the cluster tells: `id` is that of a node and its disk, `node` the name of a pod."""

    id: str

    @property
    def node(self) -> str:
        return self.id.partition("#")[0]


class Claim(Struct, frozen=True):
    """The claim of one volume, and how much it asks for."""

    name: str
    storage: str


class Seen(Struct, frozen=True, kw_only=True):
    """`size` None: the StatefulSet is not there or is being deleted. `absent` are pods that were looked for in vain."""

    stateful_set: str
    size: int | None
    has_leader: bool = True
    members: tuple[Member, ...] = ()
    absent: frozenset[str] = frozenset()
    storage: str | None = None
    claims: tuple[Claim, ...] = ()


class RemoveMember(Struct, frozen=True, tag=True):
    """Let a member go whose pod is gone for good."""

    member: Member


class GrowClaim(Struct, frozen=True, tag=True):
    """Ask for a larger volume."""

    name: str
    before: str
    storage: str


Step = RemoveMember | GrowClaim


def beyond(stateful_set: str, size: int | None, members: tuple[Member, ...]) -> list[Member]:
    """Members that the StatefulSet has no place for, the highest number first. Of size 0 it is stopped, not made
    smaller. Nodes of other names are somebody else's.
    """
    if not size:
        return []
    numbered = [(ordinal, member) for member in members if (ordinal := _ordinal(stateful_set, member.node)) is not None]
    found = [(ordinal, member) for ordinal, member in numbered if ordinal >= size]
    return [member for _, member in sorted(found, key=lambda pair: (-pair[0], pair[1].id))]


def plan(seen: Seen) -> list[Step]:
    steps: list[Step] = []
    if seen.has_leader:
        gone = [each for each in beyond(seen.stateful_set, seen.size, seen.members) if each.node in seen.absent]
        steps += [RemoveMember(member) for member in gone[:1]]
    wanted = bytes_of(seen.storage or "")
    for claim in seen.claims:
        present = bytes_of(claim.storage)
        if seen.size is not None and wanted is not None and present is not None and present < wanted:
            steps.append(GrowClaim(claim.name, claim.storage, seen.storage or ""))
    return steps


def bytes_of(quantity: str) -> int | None:
    """A quantity as Kubernetes writes them; None for what is none."""
    match = _QUANTITY.match(quantity)
    if match is None:
        return None
    number, unit = match.groups()
    base = 1024 if unit.endswith("i") else 1000
    return int(Decimal(number) * base ** _POWERS.index(unit.removesuffix("i").replace("K", "k")))


def _ordinal(stateful_set: str, node: str) -> int | None:
    name, _, number = node.rpartition("-")
    return int(number) if name == stateful_set and number.isdecimal() and number.isascii() else None
