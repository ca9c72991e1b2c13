"""A cluster that is made larger and smaller by whatever means, and members that lose their volume or their pod."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from e2e.harness.kubectl import Refused
from e2e.harness.waiting import until
from e2e.scenarios.conftest import Space
from e2e.scenarios.release import NAME, ROOT, SERVICE, Release
from e2e.scenarios.test_cluster import GAP_S, installed, leader, load_away_from

CHANGE_S = 120
CERTIFICATE_S = 240  # The operator looks once a minute, and a kubelet takes another one to bring a Secret to its pods.
CLUSTER = (
    "import os, urllib.request as u; "
    "token = os.environ['RUSTQUEUE_AUTH__TOKENS']; "
    "asked = u.Request('http://127.0.0.1:6790/api/v1/cluster', headers={'Authorization': 'Bearer ' + token}); "
    "print(u.urlopen(asked, timeout=5).read().decode())"
)

FINGERPRINT = (
    "import hashlib, socket, ssl; "
    "context = ssl.create_default_context(cafile='/peers/ca.crt'); context.check_hostname = False; "
    "context.load_cert_chain('/peers/tls.crt', '/peers/tls.key'); "
    "link = context.wrap_socket(socket.create_connection(('127.0.0.1', 6800), 5)); "
    "print(hashlib.sha256(link.getpeercert(True)).hexdigest())"
)


def members(release: Release) -> dict[str, bool]:
    """Who belongs to the cluster and whether it votes, as the first node tells; by node and disk."""
    try:
        text = release.kubectl.run("exec", f"{SERVICE}-0", "-c", "rustqueue", "--", "python", "-c", CLUSTER)
    except Refused:
        return {}
    return {each["id"]: each["voter"] for each in json.loads(text)["members"]}


def wait_members(release: Release, count: int) -> list[str]:
    """Until exactly the first so many pods belong to the cluster, and all of them vote."""
    wanted = [f"{SERVICE}-{ordinal}" for ordinal in range(count)]

    def voters() -> list[str] | None:
        found = members(release)
        nodes = sorted(member.partition("#")[0] for member in found)
        return sorted(found) if nodes == wanted and all(found.values()) else None

    found = until(f"{count} voters", voters, CHANGE_S, every=1)
    assert found is not None
    return found


def scale(release: Release, count: int) -> None:
    release.kubectl.run("scale", f"statefulset/{SERVICE}", f"--replicas={count}")


def test_five_nodes_and_three_again_and_one_that_lost_its_volume(space: Space, release: Release) -> None:
    installed(release)
    load = space.load(release.target())
    wait_members(release, 3)

    load.note("scale to five")
    scale(release, 5)
    wait_members(release, 5)
    load.go_on()
    load.note("scale to three")
    scale(release, 3)
    kept = wait_members(release, 3)
    until("two pods to be gone", lambda: len(release.members()) == 3, CHANGE_S)
    load.go_on()

    first = leader(release)
    pod = next(f"{SERVICE}-{ordinal}" for ordinal in (1, 2) if f"{SERVICE}-{ordinal}" != first)
    lose_volume(release, pod)
    load.note("volume lost", pod=pod)
    release.wait_ready()
    until("another disk in its place", lambda: new_disk(kept, wait_members(release, 3), pod), CHANGE_S)

    assert space.judge(load).gap_s < GAP_S


def lose_volume(release: Release, pod: str) -> None:
    """Its claim and with it the volume go; the StatefulSet makes both anew."""
    claim = release.kubectl.get("pvc", f"data-{pod}")["metadata"]["uid"]
    release.kubectl.run("delete", "pvc", f"data-{pod}", "--wait=false")
    release.kubectl.run("delete", "pod", pod, "--grace-period=0", "--force")

    def fresh() -> bool:
        found = release.kubectl.find("pvc", f"data-{pod}")
        if found is not None and found["metadata"]["uid"] == claim:
            # Made anew before the claim was gone, the pod waits for a volume that never comes.
            release.kubectl.works("delete", "pod", pod, "--grace-period=0", "--force")
            return False
        return found is not None

    until("a new volume", fresh, 90, every=1)


def new_disk(before: list[str], after: list[str], pod: str) -> bool:
    return {each for each in before if each not in after} == {each for each in before if each.startswith(f"{pod}#")}


@pytest.mark.slow
def test_values_make_it_larger_and_smaller_and_old_volumes_come_back(space: Space, release: Release) -> None:
    installed(release)
    load = space.load(release.target())

    load.note("helm upgrade to five")
    release.upgrade(replicas=5)
    wait_members(release, 5)
    load.note("helm upgrade to three")
    release.upgrade(replicas=3)
    wait_members(release, 3)
    load.note("five again, with the volumes of before")
    release.upgrade(replicas=5)
    wait_members(release, 5)
    load.go_on()

    assert space.judge(load).gap_s < GAP_S


@pytest.mark.slow
def test_from_three_to_one_and_back(space: Space, release: Release) -> None:
    installed(release)
    load = space.load(release.target())

    load.note("scale to one")
    scale(release, 1)
    wait_members(release, 1)
    until("two pods to be gone", lambda: len(release.members()) == 1, CHANGE_S)
    load.go_on()
    load.note("scale to three")
    scale(release, 3)
    wait_members(release, 3)
    load.go_on()

    assert space.judge(load).gap_s < GAP_S


@pytest.mark.slow
def test_a_pod_that_was_killed_before_it_could_leave(space: Space, release: Release) -> None:
    release.install(replicas=5)
    wait_members(release, 5)
    pod = f"{SERVICE}-4"
    node = release.node_of(pod)
    load = load_away_from(space, release, node)

    load.note("power off", node=node, pod=pod)
    space.cluster.kill(node)
    try:
        scale(release, 4)
        # What the StatefulSet does by itself once Kubernetes has given the node up.
        release.kubectl.run("delete", "pod", pod, "--grace-period=0", "--force")
        until("four members", lambda: len(members_from(release, node)) == 4, CHANGE_S, every=1)
        load.go_on()
    finally:
        space.cluster.start(node)
    release.wait_ready()
    wait_members(release, 4)

    assert space.judge(load).gap_s < GAP_S


def members_from(release: Release, unreachable: str) -> dict[str, bool]:
    """Who belongs to the cluster, as a pod tells that does not run on a node."""
    for pod in release.members():
        if pod["spec"].get("nodeName") == unreachable:
            continue
        try:
            name = pod["metadata"]["name"]
            text = release.kubectl.run("exec", name, "-c", "rustqueue", "--", "python", "-c", CLUSTER)
        except Refused:
            continue
        return {each["id"]: each["voter"] for each in json.loads(text)["members"]}
    return {}


@pytest.mark.slow
def test_an_uninstalled_release_comes_back_with_all_its_members(space: Space, release: Release) -> None:
    installed(release)
    load = space.load(release.target())
    load.note("jobs before")
    load.go_on()
    before = wait_members(release, 3)
    space.judge(load)

    release.uninstall()
    until("no pods", lambda: not release.kubectl.items("pods", f"app.kubernetes.io/instance={NAME}"), CHANGE_S)
    installed(release)

    assert wait_members(release, 3) == before


def fingerprints(release: Release) -> set[str]:
    """Of the certificates that the nodes show each other now."""
    found = set()
    for pod in release.members():
        name = pod["metadata"]["name"]
        found.add(release.kubectl.run("exec", name, "-c", "rustqueue", "--", "python", "-c", FINGERPRINT))
    return found


@pytest.mark.slow
def test_a_new_certificate_is_taken_without_a_restart(space: Space, release: Release) -> None:
    installed(release)
    load = space.load(release.target())
    wait_members(release, 3)
    before = fingerprints(release)

    load.note("certificate asked for")
    release.kubectl.run("annotate", "secret", f"{SERVICE}-peers", "rustqueue.io/renew=now")
    until("all nodes to show a new one", lambda: not fingerprints(release) & before, CERTIFICATE_S, every=2)
    load.go_on()
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in release.members()] == [0, 0, 0]
    load.note("a node that has to dial the others anew")
    release.kubectl.run("delete", "pod", f"{SERVICE}-1")
    release.wait_ready()
    wait_members(release, 3)

    assert space.judge(load).gap_s < GAP_S


@pytest.mark.slow
def test_the_authority_is_exchanged_as_the_page_says(space: Space, release: Release, tmp_path: Path) -> None:
    installed(release, operator={"driftSeconds": 5})
    load = space.load(release.target())
    wait_members(release, 3)
    before = fingerprints(release)
    page = (ROOT / "docs" / "kubernetes" / "operate.md").read_text()
    block = next(text for text in page.split("```")[1::2] if "openssl req" in text)
    make, *steps = re.split(r"^# \d\. .*\n", block, flags=re.MULTILINE)
    assert len(steps) == 3

    as_a_person(release, make, tmp_path)
    old, new = ((tmp_path / name).read_text() for name in ("old.crt", "new.crt"))
    for step, authorities in zip(steps, (old + new, new + old, new), strict=True):
        load.note("authority", step=step)
        as_a_person(release, step, tmp_path)
        until("all nodes to have it", lambda: trusted(release) == {authorities}, CERTIFICATE_S, every=2)  # noqa: B023
        load.go_on()

    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in release.members()] == [0, 0, 0]
    assert not fingerprints(release) & before
    load.note("a node that has to dial the others anew")
    release.kubectl.run("delete", "pod", f"{SERVICE}-1")
    release.wait_ready()
    wait_members(release, 3)

    assert space.judge(load).gap_s < GAP_S


def as_a_person(release: Release, commands: str, folder: Path) -> None:
    """Commands of a page, for this release in its namespace."""
    ours = commands.replace("rustqueue-peers", f"{SERVICE}-peers")
    ours = ours.replace("kubectl ", f"{shlex.join(release.kubectl.words())} ")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ours], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{ours}: {done.stdout}{done.stderr}"


def trusted(release: Release) -> set[str]:
    """The authorities that the nodes were brought."""
    words = ("-c", "rustqueue", "--", "cat", "/peers/ca.crt")
    return {release.kubectl.run("exec", pod["metadata"]["name"], *words) for pod in release.members()}
