"""What the repository offers to a cluster is taken by a real API server."""

from pathlib import Path

import pytest

from e2e.harness.control_plane import ControlPlane
from e2e.harness.kubectl import Kubectl, Object
from e2e.harness.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
CRDS = ROOT / "crds"
SCHEDULED: Object = {"queue": "mail", "jobTemplate": {"name": "digest"}}


def test_the_custom_resource_definitions_are_accepted(kubectl: Kubectl) -> None:
    for file in sorted(CRDS.glob("*.yaml")):
        kubectl.run("apply", "--dry-run=server", "-f", file)


@pytest.fixture(scope="module")
def kinds(plane: ControlPlane) -> None:
    """Everybody's: other tests of this run may have made them before."""
    plane.kubectl.run("apply", "--server-side", "-f", CRDS)
    until("the kinds to be served", lambda: plane.kubectl.works("get", "queues,schedules,webhooks", "--all-namespaces"))


def sample(kind: str, **spec: object) -> Object:
    return {"apiVersion": "rustqueue.io/v1alpha1", "kind": kind, "metadata": {"name": "sample"}, "spec": spec}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (sample("Schedule", **SCHEDULED, cron="every day"), "cron needs five fields, or six with seconds first"),
        (sample("Schedule", **SCHEDULED, everySeconds=5, timeZone="UTC"), "timeZone needs cron"),
        (sample("Webhook", url="https://name:password@example.org/"), "spec.url"),
        (sample("Webhook", url="https://example.org/a b"), "spec.url"),
        (sample("Queue", mode="Paused"), 'supported values: "Both", "Hold", "Normal", "Reject"'),
    ],
)
def test_what_no_cluster_would_take_is_refused_when_it_is_applied(
    kubectl: Kubectl, kinds: None, wrong: Object, sentence: str
) -> None:
    assert sentence in kubectl.apply_refused(wrong)


@pytest.mark.parametrize("cron", ["0 6 * * *", "0 0 6 * * MON-FRI", "*/5  *\t* * *", "@daily"])
def test_every_shape_of_a_cron_expression_is_taken(kubectl: Kubectl, kinds: None, cron: str) -> None:
    kubectl.apply(sample("Schedule", **SCHEDULED, cron=cron), dry=True)


@pytest.mark.parametrize("url", ["https://example.org", "http://[::1]:8080/in?x=a@b", "https://example.org?x=1"])
def test_every_shape_of_an_address_is_taken(kubectl: Kubectl, kinds: None, url: str) -> None:
    kubectl.apply(sample("Webhook", url=url), dry=True)
