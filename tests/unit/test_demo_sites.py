"""Where the demo's jobs go: what it asks of the nodes themselves."""

from pathlib import Path

import msgspec

from rustqueue.demo.sites import Cluster
from rustqueue.model.cluster.replies import ClusterInfo
from tests.unit.scripted_peer import Step, http, scripted_peer


def told(leader: str | None) -> Step:
    return http(200, msgspec.json.encode(ClusterInfo(cluster_id="c", leader=leader, term=1, members=[])))


def test_a_leader_who_is_being_elected_is_waited_for(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 3)
    with scripted_peer(told(None), told(None), told("n2#1")) as peer:
        assert cluster._leader(f"http://127.0.0.1:{peer.port}") == "n2"
    cluster.stop()
