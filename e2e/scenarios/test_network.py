"""Who may talk to whom: network policies of the chart, enforced."""

import pytest

from e2e.harness.kubectl import Object
from e2e.harness.waiting import until
from e2e.load.running import NAME as LOAD
from e2e.load.running import RESTRICTED, RESTRICTED_POD
from e2e.scenarios.conftest import Space
from e2e.scenarios.declared import keep
from e2e.scenarios.release import IMAGE, SERVICE, Release

pytestmark = pytest.mark.slow

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


def stranger() -> Object:
    container = {
        "name": "stranger",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sleep", "3600"],
        "securityContext": RESTRICTED,
    }
    spec = {"terminationGracePeriodSeconds": 0, "securityContext": RESTRICTED_POD, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": spec}


def test_only_listed_clients_reach_the_queue_and_only_members_each_other(space: Space, release: Release) -> None:
    clients = [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": LOAD}}}]
    release.install(replicas=3, networkPolicy={"clients": clients})
    keep(release.kubectl, 1)
    space.kubectl.apply(stranger())
    space.kubectl.wait_condition("pod", "stranger", "Ready")
    load = space.load(release.target())

    def reaches(pod: str, host: str, port: int) -> bool:
        return space.kubectl.works("exec", pod, "--", "python", "-c", CONNECT, host, str(port))

    until("the stranger to be shut out", lambda: not reaches("stranger", SERVICE, 6789), 20)
    assert not reaches("stranger", SERVICE, 6790)
    assert reaches(LOAD, SERVICE, 6790)
    assert not reaches(LOAD, release.members()[0]["status"]["podIP"], 6800)
    space.judge(load)
