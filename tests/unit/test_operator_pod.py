"""A pod's place in its StatefulSet as flags of the node."""

import pytest

from rustqueue.settings import load_settings
from rustqueue_operator.pod.serve import Place, flags, place_of

ENVIRONMENT = {
    "POD_NAME": "rq-1",
    "RUSTQUEUE_POD_SERVICE": "rq-nodes.queues.svc",
    "RUSTQUEUE_POD_PEER_PORT": "6800",
    "RUSTQUEUE_POD_FIRST_MEMBERS": "3",
}


def test_a_node_alone_gets_no_flags() -> None:
    assert flags(place_of({"POD_NAME": "rq-0"})) == []


def test_a_first_member_is_told_all_of_them() -> None:
    assert flags(place_of(ENVIRONMENT)) == [
        "--cluster-node-id=rq-1",
        "--cluster-advertise=rq-1.rq-nodes.queues.svc:6800",
        "--cluster-peers=rq-0=rq-0.rq-nodes.queues.svc:6800,rq-1=rq-1.rq-nodes.queues.svc:6800,"
        "rq-2=rq-2.rq-nodes.queues.svc:6800",
    ]


def test_a_later_one_is_told_whom_to_join() -> None:
    assert flags(place_of({**ENVIRONMENT, "POD_NAME": "rq-3"}))[2:] == ["--cluster-join=rq-0.rq-nodes.queues.svc:6800"]


@pytest.mark.parametrize("ordinal", [0, 4])
def test_the_node_takes_these_flags(ordinal: int) -> None:
    words = flags(Place(f"a-b-{ordinal}", "nodes.queues.svc", 6_800, 3))
    given = {word[2:].partition("=")[0]: word.partition("=")[2] for word in words}
    overrides = {f"cluster.{name.removeprefix('cluster-').replace('-', '_')}": value for name, value in given.items()}

    settings = load_settings(None, {}, overrides)

    assert (settings.cluster.node_id, bool(settings.cluster.peers), bool(settings.cluster.join)) == (
        f"a-b-{ordinal}",
        ordinal < 3,
        ordinal >= 3,
    )
