"""One cluster for the whole run, one namespace for each test; what a failed test saw is kept."""

import itertools
import json
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from e2e.cluster import choice
from e2e.cluster.driver import Cluster
from e2e.harness.kubectl import Kubectl
from e2e.harness.waiting import until
from e2e.load.running import Load, Outcome, Target, out_folder
from e2e.scenarios.declared import KEPT, OURS, keep
from e2e.scenarios.release import ROOT, Release

HEAL_DEADLINE_S = 120
# An operator on a machine that is gone is followed within 100 seconds, and one that failed often is started again late.
READY_S = 240
numbers = itertools.count(1)
failed = pytest.StashKey[bool]()


@dataclass
class Space:
    """The namespace of one test, and where it leaves what it saw."""

    cluster: Cluster
    kubectl: Kubectl
    out: Path
    others: list["Space"] = field(default_factory=list)

    def another(self, suffix: str) -> "Space":
        """One more namespace, for a second release; it goes with this one."""
        space = opened(self.cluster, f"{self.kubectl.namespace}-{suffix}", self.out / suffix)
        self.others.append(space)
        return space

    def load(self, target: Target, node: str | None = None, prefix: str = "") -> Load:
        load = Load(self.kubectl, target, node, prefix)
        load.start()
        return load

    def judge(self, load: Load) -> Outcome:
        """End the load: nothing acknowledged may be lost, nothing may have happened twice, and what is declared is
        Ready.
        """
        load.go_on()
        outcome = self.sound(load.finish(self.out))
        if self.kubectl.works("get", "queues.rustqueue.io", KEPT):
            self.ready_again()
        return outcome

    def ready_again(self) -> None:
        """Changed, since what was Ready before may only look so: it takes the operator and the cluster."""
        keep(self.kubectl, 2, READY_S)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "objects.txt").write_text(self.kubectl.run("get", OURS))

    def sound(self, outcome: Outcome) -> Outcome:
        """Nothing is lost, nothing happened twice, and something happened at all."""
        assert (outcome.problems, outcome.broken) == ([], []), f"see {self.out}"
        assert outcome.completed > 0
        return outcome


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Built and booted once; down whatever happens. How long each part took is left with what the tests leave."""
    begin = time.monotonic()
    folder = tmp_path_factory.mktemp("cluster")
    archive = choice.image(folder)
    seconds = {"image built": time.monotonic() - begin}
    made = choice.cluster(folder)
    try:
        made.up()
        seconds["cluster up"] = time.monotonic() - begin
        made.load(archive)
        seconds["image loaded"] = time.monotonic() - begin
        out_folder().mkdir(parents=True, exist_ok=True)
        (out_folder() / "boot.json").write_text(json.dumps(seconds, indent=1) + "\n")
        yield made
    finally:
        made.down()


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    mine = opened(cluster, f"e2e-{next(numbers)}", out_folder() / request.node.name)
    yield mine
    if request.node.stash.get(failed, False):
        for each in (mine, *mine.others):
            keep_evidence(each)
    mend(cluster)
    for each in (mine, *mine.others):
        cluster.kubectl.run("delete", "namespace", each.kubectl.namespace, "--wait=false")


def opened(cluster: Cluster, namespace: str, out: Path) -> Space:
    cluster.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }
    )
    space = Space(cluster, cluster.kubectl.within(namespace), out)
    space.kubectl.wait_account()
    return space


@pytest.fixture(scope="session")
def kinds(cluster: Cluster) -> None:
    """Queue, Schedule and Webhook are known to the cluster; every release shares them."""
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        cluster.kubectl.run("apply", "--server-side", "-f", file)


@pytest.fixture
def release(space: Space, kinds: None) -> Release:
    return Release(space.cluster, space.kubectl)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[failed] = report.failed
    return report


def mend(cluster: Cluster) -> None:
    """Whatever a test did to the nodes, the next one finds all of them."""
    for node in cluster.nodes:
        cluster.heal(node)
        cluster.kubectl.run("uncordon", node)
    until("all nodes to be Ready", lambda: all(is_ready(cluster, node) for node in cluster.nodes), HEAL_DEADLINE_S)


def is_ready(cluster: Cluster, node: str) -> bool:
    return cluster.kubectl.condition("node", node, "Ready").get("status") == "True"


def keep_evidence(space: Space) -> None:
    space.out.mkdir(parents=True, exist_ok=True)
    kubectl = space.kubectl
    looks: dict[str, Callable[[], str]] = {
        "pods.txt": partial(kubectl.run, "get", "all,pvc,queues,schedules,webhooks", "-o", "wide"),
        "describe.txt": partial(kubectl.run, "describe", "pods"),
        "events.txt": partial(kubectl.run, "get", "events", "--sort-by=.lastTimestamp"),
    }
    for pod in kubectl.items("pods"):
        name = pod["metadata"]["name"]
        looks[f"{name}.log"] = partial(kubectl.run, "logs", name, "--all-containers", "--tail=500")
        looks[f"{name}-before.log"] = partial(kubectl.run, "logs", name, "--previous", "--tail=500")
    for file, look in looks.items():
        try:
            (space.out / file).write_text(look())
        except AssertionError as error:
            (space.out / file).write_text(str(error))
