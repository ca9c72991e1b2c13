"""A backup taken under load becomes a second release in another namespace, with the state that it had."""

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from e2e.cluster import network
from e2e.cluster.machine import MachineCluster
from e2e.harness.gateway import Gateway
from e2e.harness.kubectl import Object
from e2e.harness.object_store import BUCKET, Store
from e2e.harness.waiting import until
from e2e.load.held import Cut, held
from e2e.load.running import RESTRICTED, RESTRICTED_POD, leave
from e2e.scenarios.conftest import Space
from e2e.scenarios.declared import keep
from e2e.scenarios.release import IMAGE, SERVICE, Release, states
from e2e.scenarios.test_cluster import GAP_S, installed
from e2e.scenarios.test_members import wait_members
from rustqueue.history.verdict import ms_of

pytestmark = pytest.mark.slow

JOB_S = 120
# Pauses between the tries of a Job grow: 10, 20, 40 seconds and so on.
TRIED_AGAIN_S = 300
STATES_S = 90
SHARED = "backups"
TOLD = re.compile(
    r"^(?P<file>(?:/backups|s3:/)/\S+)\nstate of (?P<at>\S+), entry (?P<index>\d+) of term \d+, hash (?P<hash>\w+)\n"
)
RESTORED = re.compile(r"^/data holds the state of (?P<at>\S+), hash (?P<hash>\w+)\n")


class Backup(NamedTuple):
    """What the CronJob's pod said of the file that it wrote."""

    file: str
    cut: Cut
    state_hash: str
    taken_at: str


def backed_up(release: Release) -> Backup:
    """As a person asks for one at once."""
    kubectl, begin_us = release.kubectl, now_us()
    kubectl.run("create", "job", "now", f"--from=cronjob/{SERVICE}-backup")
    kubectl.wait_condition("job", "now", "Complete", seconds=JOB_S)
    said = kubectl.run("logs", "job/now")
    told = TOLD.search(said)
    assert told is not None, said
    cut = Cut(begin_us, now_us(), ms_of(told["at"]))
    return Backup(told["file"], cut, told["hash"], told["at"])


def backup_jobs(release: Release) -> list[bool]:
    """Whether each of them has done what it was made for."""
    return [bool(job["status"].get("succeeded")) for job in release.kubectl.items("jobs")]


def now_us() -> int:
    return time.monotonic_ns() // 1_000


def reader(claim: str) -> Object:
    """A pod that does nothing but mount the backups, so that they can be copied away."""
    container = {
        "name": "reader",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sleep", "3600"],
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "backups", "mountPath": "/backups", "readOnly": True}],
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "securityContext": RESTRICTED_POD,
        "containers": [container],
        "volumes": [{"name": "backups", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"}, "spec": spec}


def copy_away(release: Release, file: str, folder: Path) -> None:
    kubectl = release.kubectl
    kubectl.apply(reader(f"{SERVICE}-backup"))
    kubectl.wait_condition("pod", "reader", "Ready")
    text = kubectl.run("exec", "reader", "--", "base64", f"/backups/{file}")
    kubectl.run("delete", "pod", "reader", "--wait=false")
    (folder / file).write_bytes(base64.b64decode(text))


def shared_folder(space: Space) -> Path:
    """What stands for a network file system: one folder of this machine, seen by pods on all nodes."""
    assert isinstance(space.cluster, MachineCluster), "nodes in containers share no folder"
    name = f"{SHARED}-{space.kubectl.namespace}"
    folder = space.cluster.folder / name
    folder.mkdir()
    size, modes = {"storage": "1Gi"}, ["ReadOnlyMany"]
    volume = {"capacity": size, "accessModes": modes, "hostPath": {"path": str(folder), "type": "Directory"}}
    claim = {"accessModes": modes, "resources": {"requests": size}, "storageClassName": "", "volumeName": name}
    space.kubectl.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": SHARED}, "spec": claim},
    )
    return folder


def carry_seal(old: Release, new: Release) -> str:
    """The keys of webhooks' secrets are not in a backup; the name of the Secret that has them in the new namespace."""
    data = old.kubectl.get("secret", f"{SERVICE}-seal")["data"]
    name = "seal-of-before"
    new.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})
    return name


class Kept(Protocol):
    """Where backups of the scenario lie: the values that say so to the two releases."""

    def of_first(self, release: Release) -> Object: ...

    def of_second(self, other: Space, backup: Backup, release: Release) -> Object: ...


class OnVolumes:
    """The chart's own claim; somebody copies the file away, to where all pods of the second release can read it."""

    def of_first(self, release: Release) -> Object:
        return {"backup": {"enabled": True}}

    def of_second(self, other: Space, backup: Backup, release: Release) -> Object:
        file = backup.file.removeprefix("/backups/")
        copy_away(release, file, shared_folder(other))
        return {"restore": {"existingClaim": SHARED, "file": file}}


class InObjects:
    """A store that both releases reach."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def of_first(self, release: Release) -> Object:
        return {"backup": {"enabled": True, "url": f"s3://{BUCKET}/jobs/"}, **self._known(release)}

    def of_second(self, other: Space, backup: Backup, release: Release) -> Object:
        return {"restore": {"url": backup.file}, **self._known(Release(other.cluster, other.kubectl))}

    def _known(self, release: Release) -> Object:
        release.kubectl.apply(keys_of_store(self.store.key_id, self.store.secret))
        return {"objectStore": {"endpoint": self.store.address, "existingSecret": "s3"}}


def keys_of_store(key_id: str, secret: str) -> Object:
    keys = {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}, "stringData": keys}


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Store]:
    """A real one, outside the cluster, at an address that pods reach."""
    store = Gateway(tmp_path, network.HOST)
    try:
        store.start()
        yield store
    finally:
        store.stop()


def test_a_backup_on_a_volume_becomes_a_release_in_another_namespace(space: Space, release: Release) -> None:
    restored_beside(space, release, OnVolumes())


def test_a_backup_in_an_object_store_becomes_a_release_in_another_namespace(
    space: Space, release: Release, objects: Store
) -> None:
    restored_beside(space, release, InObjects(objects))


def test_a_store_that_refuses_the_keys_is_told_by_the_pod_until_they_are_right(
    release: Release, objects: Store
) -> None:
    kubectl = release.kubectl
    values = InObjects(objects).of_first(release)
    kubectl.apply(keys_of_store(objects.key_id, "not the secret"))
    release.install(**values)

    # It may have come before the node was ready, which is another sentence.
    until("a pod to say why", lambda: [each for each in ends(release) if "SignatureDoesNotMatch" in each], JOB_S)
    refused = next(each for each in ends(release) if "SignatureDoesNotMatch" in each)
    assert len(refused.splitlines()) == 1, refused
    assert refused.startswith(f"rustqueue: s3://{BUCKET}/jobs/rustqueue-"), refused

    kubectl.apply(keys_of_store(objects.key_id, objects.secret))
    until("the same Job to do it", lambda: backup_jobs(release) == [True], TRIED_AGAIN_S, every=0.5)


def ends(release: Release) -> list[str]:
    """What the pods of backups that failed said last."""
    pods = release.kubectl.items("pods", "app.kubernetes.io/component=backup")
    states = [each["state"] for pod in pods for each in pod["status"].get("containerStatuses", [])]
    return [state["terminated"].get("message", "").strip() for state in states if "terminated" in state]


def restored_beside(space: Space, release: Release, kept: Kept) -> None:
    """The story of both."""
    installed(release, **kept.of_first(release))
    load = space.load(release.target(), prefix="old-")
    wait_members(release, 3)
    until("the backup of the install", lambda: backup_jobs(release) == [True], JOB_S, every=0.5)
    load.note("backup")
    backup = backed_up(release)
    load.go_on()

    # When a second release begins with it, while the first one goes on
    other = space.another("restored")
    second = Release(space.cluster, other.kubectl)
    seal = {"existingSecret": carry_seal(release, second)}
    load.note("restored beside it")
    seconds = second.install(replicas=3, seal=seal, **kept.of_second(other, backup, release))
    # Then it began with the state of the backup
    said = other.kubectl.run("logs", f"{SERVICE}-0", "--container=restore")
    told = RESTORED.search(said)
    assert told is not None, said
    assert (told["hash"], told["at"]) == (backup.state_hash, backup.taken_at)
    # And serves with three members, also without the values that restored it
    again = other.load(second.target(), prefix="new-")
    wait_members(second, 3)
    again.note("values of the restore removed", install_s=round(seconds, 1))
    second.upgrade(replicas=3, seal=seal)
    again.go_on()
    load.go_on()

    # And nothing is lost: not of the first release, and of the second nothing that was in the backup
    before, after = load.end(), again.end()
    after.calls = [*held(before.calls, backup.cut), *after.calls]
    after.events = [*before.events, *after.events]
    first_outcome, outcome = leave(before, space.out / "old"), leave(after, space.out)
    space.sound(first_outcome)
    space.sound(outcome)
    assert first_outcome.gap_s < GAP_S
    until("three nodes with the same state", lambda: len(states(second)) == 1, STATES_S, every=1)
    # And what is declared is Ready in both; the second begins with what objects of the first one own.
    space.ready_again()
    keep(other.kubectl, 3, adopt="Always")
