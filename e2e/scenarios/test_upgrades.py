"""A rolling upgrade to the next release, with the way back open until all nodes have it, and closed from then on.

The next release is this checkout with one feature level and one command more (`tests/upgrades`), in its own image.
"""

import json
from typing import NamedTuple

import pytest

import rustqueue
from e2e.cluster import choice
from e2e.cluster.driver import Cluster
from e2e.harness import images
from e2e.harness.kubectl import Object, Refused
from e2e.harness.waiting import until
from e2e.scenarios.conftest import Space
from e2e.scenarios.release import NAME, SERVICE, Release, states
from e2e.scenarios.test_cluster import GAP_S, installed
from e2e.scenarios.test_members import CLUSTER, wait_members
from tests.upgrades import next_build

pytestmark = pytest.mark.slow

TAG = "next"
LEVEL_S = 60
MESSAGE_S = 120
STATES_S = 90
PODS = [f"{SERVICE}-{ordinal}" for ordinal in range(3)]
# The command that only the next release knows, to the node of the pod itself.
MARK = (
    "import json, os, socket; link = socket.create_connection(('127.0.0.1', 6789), 10); lines = link.makefile('rwb'); "
    "told = [json.dumps({'cmd': 'auth', 'token': os.environ['RUSTQUEUE_AUTH__TOKENS']}), "
    "json.dumps({'cmd': 'queue_mark', 'queue': 'marked'})]; "
    "ask = lambda text: (lines.write(text.encode() + b'\\n'), lines.flush(), json.loads(lines.readline()))[2]; "
    "told = [ask(text) for text in told][1]; print('done' if told['ok'] else told['error']['code'])"
)


class Running(NamedTuple):
    """What a node says of the cluster: the version of each pod, and the feature level in force."""

    versions: dict[str, str]
    level: int


THIS, NEXT = rustqueue.__version__, next_build.VERSION


def running(release: Release) -> Running | None:
    try:
        told: Object = json.loads(inside(release, PODS[0], CLUSTER))
    except Refused:
        return None
    return Running({each["id"].partition("#")[0]: each["version"] for each in told["members"]}, told["feature_level"])


def inside(release: Release, pod: str, program: str) -> str:
    return release.kubectl.run("exec", pod, "-c", "rustqueue", "--", "python", "-c", program).strip()


def wait_running(release: Release, versions: list[str], level: int) -> None:
    """Until the pods, in order, run these versions with this level in force."""
    wanted = Running(dict(zip(PODS, versions, strict=True)), level)
    until(f"{wanted}", lambda: running(release) == wanted, LEVEL_S, every=1)


def end_message(release: Release, pod: str) -> str:
    """What a container said when it ended, as `kubectl describe pod` shows it."""
    found = release.kubectl.find("pod", pod) or {}
    for status in found.get("status", {}).get("containerStatuses", []):
        for state in (status["state"], status["lastState"]):
            if "terminated" in state:
                return str(state["terminated"].get("message", ""))
    return ""


@pytest.fixture(scope="module")
def next_image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Object:
    """The values that name it, once every node has it."""
    folder = tmp_path_factory.mktemp("next")
    sources = folder / "sources"
    images.copy_context(sources)
    next_build.change(sources)
    cluster.load(choice.image(folder, TAG, sources))
    return {"tag": TAG}


def test_an_upgrade_can_be_taken_back_until_all_nodes_have_it(
    space: Space, release: Release, next_image: Object
) -> None:
    level = next_build.LEVEL
    installed(release)
    load = space.load(release.target())
    wait_members(release, 3)
    wait_running(release, [THIS] * 3, level - 1)

    load.note("upgrade, one node held back")
    release.upgrade(replicas=3, image=next_image, rollout={"partition": 1})
    wait_running(release, [THIS, NEXT, NEXT], level - 1)
    assert [inside(release, pod, MARK) for pod in PODS[1:]] == ["FEATURE_NOT_ACTIVE"] * 2
    load.go_on()
    load.note("rollback")
    release.helm("rollback", NAME, "--wait", "--timeout=180s")
    wait_running(release, [THIS] * 3, level - 1)
    load.go_on()

    load.note("upgrade of all")
    release.upgrade(replicas=3, image=next_image)
    wait_running(release, [NEXT] * 3, level)
    assert [inside(release, pod, MARK) for pod in PODS] == ["done"] * 3
    load.go_on()

    load.note("rollback, refused")
    release.helm("rollback", NAME)
    wanted = f"start RustQueue {NEXT} or newer"
    until(f"{PODS[2]}: {wanted}", lambda: wanted in end_message(release, PODS[2]), MESSAGE_S, every=1)
    load.go_on()
    load.note("forward again")
    release.upgrade(replicas=3, image=next_image)
    wait_running(release, [NEXT] * 3, level)

    assert space.judge(load).gap_s < GAP_S
    until("three nodes with the same state", lambda: len(states(release)) == 1, STATES_S, every=1)
