"""The section `[cluster]`: what a cluster has to be told, and what it must not."""

from typing import Any

import pytest

from rustqueue.settings import ClusterSettings, ClusterTls, SettingsError, load_settings
from rustqueue.settings.cluster import cluster_problems

PEERS = ["n0=10.0.0.1:6800", "n1=n1.rq:6800", "n2=[fd00::1]:6800"]


def a_cluster(**changes: Any) -> ClusterSettings:
    return ClusterSettings(**{"enabled": True, "peers": PEERS, "insecure": True, **changes})


@pytest.mark.parametrize(
    "cluster",
    [
        ClusterSettings(),
        a_cluster(),
        a_cluster(insecure=False, tls_cert="c", tls_key="k", tls_ca="a"),
        a_cluster(peers=[], join="n0.rq:6800", node_id="n7"),
        a_cluster(listen="[::]:6800", advertise="n0.rq:6800"),
        a_cluster(heartbeat_ms=100, election_timeout_ms="300-300"),
    ],
)
def test_good_ones(cluster: ClusterSettings) -> None:
    assert list(cluster_problems(cluster)) == []


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({"insecure": False}, "enabled", "no tls_cert, no tls_key, no tls_ca: set tls_cert, tls_key and tls_ca, or"),
        ({"insecure": False, "tls_cert": "c", "tls_key": "k"}, "enabled", "there is no tls_ca: set"),
        ({"tls_ca": "a"}, "insecure", "tls_ca says the opposite"),
        ({"peers": []}, "enabled", "give peers for the first members of a cluster, or join"),
        ({"join": "h:1"}, "enabled", "and not both"),
        ({"peers": ["n0=h:1", "n0=h:2"]}, "peers", "stands in it twice"),
        ({"peers": ["n0=h:1", "n1=h:1"]}, "peers", "stands in it twice"),
        ({"node_id": "n9"}, "peers", "this node, 'n9' (node_id), is not among them"),
        ({"listen": "0.0.0.0:6800"}, "enabled", "others cannot dial 0.0.0.0:6800: set advertise"),
        ({"listen": "[::]:6800"}, "enabled", "others cannot dial [::]:6800: set advertise"),
        ({"heartbeat_ms": 101}, "enabled", "a range begins at 3 heartbeats or more"),
        ({"election_timeout_ms": "600-300"}, "enabled", "ends no earlier than it begins"),
    ],
)
def test_bad_ones_are_said_with_what_to_do(changes: dict[str, Any], key: str, says: str) -> None:
    (named, reason), *more = cluster_problems(a_cluster(**changes))
    assert (named, more) == (f"cluster.{key}", [])
    assert says in reason


def test_texts_are_taken_apart() -> None:
    cluster = a_cluster(insecure=False, tls_cert="c", tls_key="k", tls_ca="a", election_timeout_ms="500-1000")
    assert cluster.first_members == {"n0": "10.0.0.1:6800", "n1": "n1.rq:6800", "n2": "[fd00::1]:6800"}
    assert cluster.tls == ClusterTls("c", "k", "a")
    assert a_cluster().tls is None
    assert cluster.election_range_ms == (500, 1_000)
    assert (cluster.advertised, a_cluster(advertise="h:1").advertised) == ("127.0.0.1:6800", "h:1")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("node_id", "-n"),
        ("node_id", "n#1"),
        ("node_id", "n" * 33),
        ("listen", "6800"),
        ("listen", "h:1\n"),
        ("advertise", "h"),
        ("peers", "n0"),
        ("peers", "n0=h"),
        ("join", "h:123456"),
        ("heartbeat_ms", "1"),
        ("election_timeout_ms", "300"),
        ("election_timeout_ms", "300-"),
    ],
)
def test_what_has_no_sense_by_itself_is_refused_with_its_source(key: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"cluster\.{key} = .* \(from RUSTQUEUE_CLUSTER__{key.upper()}\)"):
        load_settings(None, {f"RUSTQUEUE_CLUSTER__{key.upper()}": text}, {})


def test_peers_come_from_the_environment_too() -> None:
    settings = load_settings(None, {"RUSTQUEUE_CLUSTER__PEERS": ",".join(PEERS)}, {"cluster.node_id": "n1"})
    assert settings.cluster == ClusterSettings(peers=PEERS, node_id="n1")
