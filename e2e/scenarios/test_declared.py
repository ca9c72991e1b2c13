"""Queues as objects, kept by an operator that runs in pods with nothing but its own rights."""

import json

import pytest

from e2e.harness.kubectl import Object
from e2e.harness.waiting import until
from e2e.scenarios.conftest import Space
from e2e.scenarios.declared import all_in_force, keep
from e2e.scenarios.release import NAME, SERVICE, Release

COUNT = 10
OPERATOR = "app.kubernetes.io/component=operator"


def queue(name: str, lease_s: int) -> Object:
    return {
        "apiVersion": "rustqueue.io/v1alpha1",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": {"leaseSeconds": lease_s},
    }


def lease_ms(release: Release, name: str) -> int:
    """What the queue itself says."""
    words = f'rustqueue queues settings {name} --token "$RUSTQUEUE_AUTH__TOKENS" --output json'
    told = json.loads(release.kubectl.run("exec", f"{SERVICE}-0", "-c", "rustqueue", "--", "sh", "-c", words))
    found: int = told["settings"]["lease_ms"]
    return found


def test_objects_are_in_force_though_the_operator_is_killed_meanwhile(space: Space, release: Release) -> None:
    release.install()
    names = [f"queue-{number}" for number in range(COUNT)]
    release.kubectl.apply(*(queue(name, 60) for name in names))
    until("all queues to be in force", lambda: all_in_force(release.kubectl), 60, every=0.5)

    release.kubectl.apply(*(queue(name, 90) for name in names))
    release.kubectl.run("delete", "pods", f"--selector={OPERATOR}", "--grace-period=0", "--force")
    until("all changes to be in force", lambda: all_in_force(release.kubectl), 120, every=0.5)

    assert {lease_ms(release, name) for name in names} == {90_000}
    space.out.mkdir(parents=True, exist_ok=True)
    (space.out / "queues.txt").write_text(release.kubectl.run("get", "queues"))
    release.kubectl.run("delete", "queues.rustqueue.io", "--all", "--timeout=100s")


@pytest.mark.slow
def test_an_upgrade_with_other_settings_loses_nothing(space: Space, release: Release) -> None:
    release.install()
    keep(release.kubectl, 1)
    load = space.load(release.target())

    load.note("helm upgrade")
    release.upgrade(settings={"jobs": {"default_max_attempts": 5}})
    load.go_on()
    load.note("helm rollback")
    release.helm("rollback", NAME, "--wait", "--timeout=120s")

    space.judge(load)
