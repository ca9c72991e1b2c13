"""The chart with three nodes under load: whatever happens to one of them, clients go on and nothing is lost."""

import json
import time
from typing import Any

import pytest

from e2e.harness.kubectl import Refused
from e2e.harness.waiting import WaitedInVain, until
from e2e.load.running import Load
from e2e.scenarios.conftest import Space, is_ready
from e2e.scenarios.declared import keep
from e2e.scenarios.release import NAME, Release

INSTALL_S = 60
# How long clients may be without an answer: an election, and what they need to notice it.
GAP_S = 30
SELECTOR = f"app.kubernetes.io/instance={NAME}"
HEALTH = (
    "import urllib.request as u; print(u.urlopen('http://127.0.0.1:6790/api/v1/health', timeout=3).read().decode())"
)


def installed(release: Release, **more: Any) -> float:
    """Three members, each on a node of its own: else a test that takes one node away would take the majority. What is
    declared besides is in force.
    """
    seconds = release.install(replicas=3, **more)
    hosts = {pod["spec"]["nodeName"] for pod in release.members()}
    assert len(hosts) == 3, hosts
    keep(release.kubectl, 1)
    return seconds


def leader(release: Release, unreachable: str = "") -> str:
    """The pod that leads, as it says itself; whoever is on the unreachable node is not asked."""

    said: dict[str, str] = {}

    def told() -> str:
        for pod in release.members():
            name: str = pod["metadata"]["name"]
            if pod["spec"].get("nodeName") == unreachable:
                continue
            try:
                health = json.loads(release.kubectl.run("exec", name, "-c", "rustqueue", "--", "python", "-c", HEALTH))
            except Refused as refused:
                said[name] = str(refused)
                continue
            said[name] = str(health)
            if health.get("role") == "leader":
                return name
        return ""

    try:
        return until("a leader", told, 60, every=0.5)
    except WaitedInVain as late:
        hosts = {pod["metadata"]["name"]: pod["spec"].get("nodeName") for pod in release.members()}
        raise WaitedInVain(f"{late}; pods {hosts} said {said}") from None


def load_away_from(space: Space, release: Release, *nodes: str) -> Load:
    return space.load(release.target(), release.other_node(*nodes))


def test_a_deleted_leader_and_then_all_pods_deleted(space: Space, release: Release) -> None:
    assert installed(release) < INSTALL_S
    load = space.load(release.target())
    told = release.helm("test", NAME, "--timeout=100s")
    assert "Succeeded" in told
    space.out.mkdir(parents=True, exist_ok=True)
    (space.out / "helm-test.txt").write_text(told)

    first = leader(release)
    load.note("leader deleted with grace 0", pod=first)
    release.kubectl.run("delete", "pod", first, "--grace-period=0", "--force")
    load.go_on()
    release.wait_ready()
    load.note("all pods deleted")
    release.kubectl.run("delete", "pods", f"--selector={SELECTOR},app.kubernetes.io/component=node")
    release.wait_ready()

    space.judge(load)


def test_a_leader_whose_node_is_cut_off_and_healed(space: Space, release: Release) -> None:
    installed(release)
    node = release.node_of(leader(release))
    load = load_away_from(space, release, node)

    load.note("node cut", node=node)
    space.cluster.cut(node)
    load.note("new leader", pod=leader(release, unreachable=node))
    until("Kubernetes to miss the node", lambda: not is_ready(space.cluster, node), 90, every=0.5)
    load.go_on()
    load.note("node healed", node=node)
    space.cluster.heal(node)
    release.wait_ready()

    assert space.judge(load).gap_s < GAP_S


@pytest.mark.slow
def test_two_nodes_that_do_not_see_each_other(space: Space, release: Release) -> None:
    installed(release)
    one = release.node_of(leader(release))
    other = release.other_node(one)
    load = load_away_from(space, release, one, other)

    load.note("two nodes cut from each other", nodes=[one, other])
    space.cluster.cut(one, other)
    load.go_on()
    load.note("healed")
    space.cluster.heal(one)
    release.wait_ready()

    assert space.judge(load).gap_s < GAP_S


@pytest.mark.slow
def test_the_leaders_node_loses_power(space: Space, release: Release) -> None:
    installed(release)
    node = release.node_of(leader(release))
    load = load_away_from(space, release, node)

    load.note("power off", node=node)
    space.cluster.kill(node)
    try:
        load.note("new leader", pod=leader(release, unreachable=node))
        load.go_on()
    finally:
        space.cluster.start(node)
    load.note("power on", node=node)
    release.wait_ready()

    assert space.judge(load).gap_s < GAP_S


@pytest.mark.slow
def test_a_drain_of_two_nodes_takes_one_at_a_time(space: Space, release: Release) -> None:
    installed(release)
    first = release.node_of(leader(release))
    second = release.other_node(first)
    load = load_away_from(space, release, first, second)
    options = [f"--pod-selector={SELECTOR}", "--ignore-daemonsets", "--delete-emptydir-data"]

    load.note("drain", node=first)
    release.kubectl.run("drain", first, *options, "--timeout=90s")
    refusal = release.kubectl.refusal("drain", second, *options, "--timeout=10s")
    assert "disruption budget" in refusal
    load.go_on()
    release.kubectl.run("uncordon", first)
    release.kubectl.run("uncordon", second)
    release.wait_ready()

    assert space.judge(load).gap_s < GAP_S


@pytest.mark.slow
def test_a_rolling_restart_and_two_minutes_without_an_api_server(space: Space, release: Release) -> None:
    installed(release)
    load = space.load(release.target())

    load.note("helm upgrade")
    release.upgrade(replicas=3, settings={"jobs": {"default_max_attempts": 5}})
    load.go_on()
    load.note("API server down")
    space.cluster.stop_api()
    begin = time.monotonic()
    until("two minutes to be over", lambda: time.monotonic() - begin > 120, 150)
    space.cluster.start_api()
    load.note("API server up")
    release.wait_ready()

    assert space.judge(load).gap_s < GAP_S
