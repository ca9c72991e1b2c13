"""`python -m rustqueue_operator.pod.serve FLAG...`: starts `rustqueue serve` as the member that this pod is.

One pod template serves all ordinals, but the first members are told each other's names and later ones whom to join, so
that somebody has to look at the ordinal. A node without others takes this process's place; one of a cluster runs below
it, so that somebody asks for its place in the cluster and gives it back.
"""

import os
import sys
from collections.abc import Mapping

from msgspec import Struct

from rustqueue_operator.pod import keeper
from rustqueue_operator.pod.asking import Server, api_server, own_namespace


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


def neighbourhood(place: Place, environment: Mapping[str, str], namespace: str | None = None) -> keeper.Neighbourhood:
    """Whom this pod talks to. Raises `KeyError` and `ValueError` as `place_of` does."""
    service = environment["RUSTQUEUE_POD_URL"]
    host = environment.get("KUBERNETES_SERVICE_HOST")
    kubernetes = None if host is None else api_server(host, environment.get("KUBERNETES_SERVICE_PORT", "443"))
    scheme = service.partition(":")[0]
    name = place.pod.rpartition("-")[0]
    where = namespace or (own_namespace() if kubernetes is not None else "default")
    return keeper.Neighbourhood(
        node=place.pod,
        ordinal=place.ordinal,
        address=place.address(place.ordinal),
        own=Server(f"{scheme}://127.0.0.1:{environment.get('RUSTQUEUE_HTTP_PORT', '6790')}", unverified=True),
        service=Server(
            service,
            token=environment.get("RUSTQUEUE_AUTH__TOKENS", "").partition(",")[0].strip() or None,
            ca=environment.get("RUSTQUEUE_POD_CA") or None,
        ),
        kubernetes=kubernetes,
        stateful_set=f"/apis/apps/v1/namespaces/{where}/statefulsets/{name}",
        grace_s=float(environment.get("RUSTQUEUE_POD_GRACE_S", "60")),
    )


def main() -> int:
    place = place_of(os.environ)
    words = ["rustqueue", "serve", *flags(place), *sys.argv[1:]]
    if place is None:
        os.execvp(words[0], words)
    return keeper.keep(words, keeper.Place(neighbourhood(place, os.environ)))


if __name__ == "__main__":
    sys.exit(main())
