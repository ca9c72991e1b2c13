"""The chart with one node: what a person does with kubectl and Helm loses no acknowledged job."""

import json
import time
from pathlib import Path

import pytest

from e2e.harness.kubectl import Object
from e2e.harness.waiting import until
from e2e.scenarios.conftest import READY_S, Space, is_ready
from e2e.scenarios.declared import keep
from e2e.scenarios.release import NAME, SERVICE, Release

INSTALL_S = 60
POD = f"{SERVICE}-0"
AWAY_S = 20


def installed(release: Release) -> float:
    """What is declared besides is in force."""
    seconds = release.install()
    keep(release.kubectl, 1)
    return seconds


def test_install_serves_at_once_and_uninstall_keeps_the_data(space: Space, release: Release) -> None:
    assert installed(release) < INSTALL_S
    load = space.load(release.target())
    assert "Succeeded" in release.helm("test", NAME, "--timeout=100s")
    space.judge(load)

    release.uninstall()
    assert [claim["status"]["phase"] for claim in space.kubectl.items("pvc")] == ["Bound"]

    release.install()
    space.load(release.target(), prefix="again-").finish(space.out / "again")
    keep(release.kubectl, 3, READY_S)
    assert completed_jobs(space.out) <= completed_jobs(space.out / "again")


def test_deleted_pods_come_back_with_everything(space: Space, release: Release) -> None:
    installed(release)
    load = space.load(release.target())

    load.note("pod deleted with grace 0")
    release.kubectl.run("delete", "pod", POD, "--grace-period=0", "--force")
    release.wait_ready()
    load.note("all pods deleted")
    release.kubectl.run("delete", "pods", "--selector=app.kubernetes.io/instance=" + NAME)
    release.wait_ready()

    space.judge(load)


@pytest.mark.slow
def test_a_drain_of_its_node_moves_clients_back_when_it_returns(space: Space, release: Release) -> None:
    installed(release)
    node = release.node_of(POD)
    load = space.load(release.target(), release.other_node(node))

    load.note("drain", node=node)
    options = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s"]
    release.kubectl.run("drain", node, "--pod-selector=app.kubernetes.io/instance=" + NAME, *options)
    load.note("uncordon", node=node)
    release.kubectl.run("uncordon", node)
    release.wait_ready()

    space.judge(load)


@pytest.mark.slow
def test_jobs_flow_while_the_api_server_is_down(space: Space, release: Release) -> None:
    installed(release)
    load = space.load(release.target())

    load.note("API server down")
    space.cluster.stop_api()
    begin = time.monotonic()
    until(f"{AWAY_S} s to be over", lambda: time.monotonic() - begin > AWAY_S)
    space.cluster.start_api()
    load.note("API server up")
    release.wait_ready()

    outcome = space.judge(load)
    assert outcome.gap_s < AWAY_S / 2


def test_a_node_that_loses_power_loses_nothing(space: Space, release: Release) -> None:
    installed(release)
    node = release.node_of(POD)
    load = space.load(release.target(), release.other_node(node))

    load.note("power off", node=node)
    space.cluster.kill(node)
    try:
        until("the node to be missed", lambda: not is_ready(space.cluster, node), 90, every=0.5)
    finally:
        space.cluster.start(node)
    load.note("power on", node=node)
    release.wait_ready()

    space.judge(load)


def completed_jobs(out: Path) -> set[str]:
    jobs: dict[str, Object] = json.loads((out / "state.json").read_text())["jobs"]
    return {job_id for job_id, job in jobs.items() if job["state"] == "completed"}
