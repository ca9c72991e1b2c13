"""`python -m rustqueue_operator.pod.serve FLAG...`: starts `rustqueue serve` as the member that this pod is.

One pod template serves all ordinals, but the first members are told each other's names and later ones whom to join, so
that somebody has to look at the ordinal. Pure but for the last line, which puts the node in this process's place.
"""

import os
import sys
from collections.abc import Mapping

from msgspec import Struct


class Place(Struct, frozen=True):
    """A pod and the cluster that it belongs to. `service` is the name under which pods have names of their own."""

    pod: str
    service: str
    port: int
    first_members: int

    @property
    def ordinal(self) -> int:
        return int(self.pod.rpartition("-")[2])

    def address(self, ordinal: int) -> str:
        return f"{self.name(ordinal)}.{self.service}:{self.port}"

    def name(self, ordinal: int) -> str:
        return f"{self.pod.rpartition('-')[0]}-{ordinal}"


def place_of(environment: Mapping[str, str]) -> Place | None:
    """None: a node without others. Raises `KeyError` and `ValueError` for what only a broken chart can get wrong."""
    members = int(environment.get("RUSTQUEUE_POD_FIRST_MEMBERS", "1"))
    if members == 1:
        return None
    return Place(
        pod=environment["POD_NAME"],
        service=environment["RUSTQUEUE_POD_SERVICE"],
        port=int(environment["RUSTQUEUE_POD_PEER_PORT"]),
        first_members=members,
    )


def flags(place: Place | None) -> list[str]:
    """The flags of `rustqueue serve` that tell a node its place."""
    if place is None:
        return []
    known = [f"--cluster-node-id={place.pod}", f"--cluster-advertise={place.address(place.ordinal)}"]
    if place.ordinal < place.first_members:
        peers = ",".join(f"{place.name(number)}={place.address(number)}" for number in range(place.first_members))
        return [*known, f"--cluster-peers={peers}"]
    # The first member is as good as any: whoever is asked names the leader.
    return [*known, f"--cluster-join={place.address(0)}"]


def main() -> None:
    words = ["rustqueue", "serve", *flags(place_of(os.environ)), *sys.argv[1:]]
    os.execvp(words[0], words)


if __name__ == "__main__":
    main()
