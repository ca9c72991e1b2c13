"""The operator against a real API server and a real node, with exactly the rights that the chart gives it."""

import os
import time

import pytest

from e2e.api import figures
from e2e.api.operated import CHART, DEADLINE_S, DRIFT_S, RELEASE_NAMESPACE, Operated, cluster, queue, ready, webhook
from e2e.api.receiver import Receiver
from e2e.harness.control_plane import ControlPlane
from e2e.harness.kubectl import Kubectl
from e2e.harness.waiting import pause, until
from rustqueue_operator.kube.lease import LeaseTimes

LEASE_S = LeaseTimes().duration
# Longer to measure than to test: a minute's writes need minutes.
IDLE_S = float(os.environ.get("RUSTQUEUE_E2E_IDLE_S", DRIFT_S * 3))
DAILY = {"queue": "digests", "job_name": "digest"}


def reasons(kubectl: Kubectl, name: str) -> list[str]:
    """Reasons of the events about an object. Their times are whole seconds, so they have no order."""
    return sorted(event["reason"] for event in kubectl.items("events") if event["involvedObject"]["name"] == name)


def test_an_applied_queue_is_ready_and_a_change_is_in_force_in_two_seconds(release: Operated, kubectl: Kubectl) -> None:
    kubectl.apply(queue("mail", leaseSeconds=60, limits={"maxWaiting": 1000}, labels={"team": "mail"}))
    ready(kubectl, "mail")
    found = release.node.queue("mail")
    assert found is not None
    assert (found["settings"], found["labels"]) == (
        {"lease_ms": 60_000, "limits": {"max_waiting": 1_000}},
        {"team": "mail"},
    )
    assert found["owner"]["ref"].endswith(f"/{kubectl.namespace}/mail")

    changes_s = [change_in_force_s(release, kubectl, lease_s) for lease_s in (90, 91, 92)]
    for change_s in changes_s:
        figures.note("change in force", seconds=change_s)
    # The one in the middle: a stall of this machine's disk is not the operator's, and each change is on two disks.
    assert sorted(changes_s)[1] <= 2
    assert set(reasons(kubectl, "mail")) == {"Created", "Updated"}


def change_in_force_s(release: Operated, kubectl: Kubectl, lease_s: int) -> float:
    kubectl.apply(queue("mail", leaseSeconds=lease_s))
    begun = time.monotonic()
    wanted = {"lease_ms": lease_s * 1_000}
    until("the new lease", lambda: (release.node.queue("mail") or {})["settings"] == wanted, every=0.02)
    change_s = time.monotonic() - begun
    ready(kubectl, "mail")
    return change_s


def test_a_schedule_is_kept_as_declared_and_pausing_is_left_to_people(release: Operated, kubectl: Kubectl) -> None:
    spec = {
        "queue": "digests",
        "cron": "0 6 * * *",
        "timeZone": "Europe/Berlin",
        "overlapPolicy": "Forbid",
        "startTime": "2026-01-01T00:00:00+01:00",
        "jobTemplate": {"name": "digest", "data": {"kind": "daily"}, "options": {"maxAttempts": 2}},
    }
    schedule = {"apiVersion": "rustqueue.io/v1alpha1", "kind": "Schedule", "metadata": {"name": "digest"}, "spec": spec}
    kubectl.apply(schedule)
    kubectl.wait_condition("schedule", "digest", "Ready")
    found = release.node.ask("GET", "/schedules/digest")["schedule"]
    assert (found["queue"], found["job_name"], found["job_data"], found["overlap"], found["timezone"]) == (
        "digests",
        "digest",
        {"kind": "daily"},
        "skip",
        "Europe/Berlin",
    )

    assert release.node.ask("POST", "/schedules/digest/pause")["ok"]
    kubectl.wait_condition("schedule", "digest", "Paused")
    assert release.node.ask("PUT", "/schedules/digest", {**DAILY, "cron_expr": "0 7 * * *"})["ok"]
    until(
        "the old time",
        lambda: release.node.ask("GET", "/schedules/digest")["schedule"]["cron_expr"] == "0 6 * * *",
        DEADLINE_S * 15,
    )

    kubectl.apply({**schedule, "metadata": {"name": "wrong"}, "spec": {**spec, "cron": "61 * * * *"}})
    wrong = kubectl.wait_condition("schedule", "wrong", "Ready", "False")
    assert (wrong["reason"], "cron" in wrong["message"].lower()) == ("ValidationError", True)
    kubectl.run("delete", "schedule", "digest", "wrong")
    assert release.node.ask("GET", "/schedules/digest")["status"] == 404


def hook_secret(value: str) -> dict[str, object]:
    metadata = {"name": "hook", "labels": {"rustqueue.io/use": "true"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"secret": value}}


def test_a_webhook_delivers_signed_events_and_follows_its_secret(
    release: Operated, kubectl: Kubectl, receiver: Receiver
) -> None:
    def delivered(key: str) -> bool:
        count = len(receiver.seen)
        release.node.push("hooked")
        until("a delivery", lambda: len(receiver.seen) > count)
        return receiver.signed_by(key)

    spec = {"clusterRef": {"name": "local"}, "url": receiver.url, "secretKeyRef": {"name": "hook", "key": "secret"}}
    spec |= {"events": ["job.pushed"], "queues": ["hooked"], "headers": {"X-Team": "a"}}
    hook = webhook("hook", **spec)
    release.kubectl.apply(hook)
    missing = release.kubectl.wait_condition("webhook", "hook", "Ready", "False")
    assert (missing["reason"], missing["message"]) == ("SecretNotUsable", "there is no Secret hook")

    release.kubectl.apply(hook_secret("first"))
    release.kubectl.wait_condition("webhook", "hook", "Ready")
    assert delivered("first")
    assert receiver.seen[-1][0]["x-team"] == "a"

    release.kubectl.apply(hook_secret("second"))
    until("the new secret to be in force", lambda: delivered("second"), DRIFT_S * 20, 0.5)
    told = release.kubectl.run("get", "webhook", "hook", "--output=yaml")
    assert "first" not in told.replace("firstTimestamp", "")
    assert "second" not in told

    release.kubectl.run("delete", "webhook", "hook")
    assert release.node.ask("GET", "/webhooks/hook")["status"] == 404


def test_secrets_of_namespaces_that_were_not_opened_are_not_read(release: Operated, kubectl: Kubectl) -> None:
    kubectl.apply(hook_secret("mine"))
    kubectl.apply(webhook("closed", url="https://example.org/", secretKeyRef={"name": "hook", "key": "secret"}))

    condition = kubectl.wait_condition("webhook", "closed", "Ready", "False")

    assert "operator.secretNamespaces" in condition["message"]


def test_drift_is_healed_and_told(release: Operated, kubectl: Kubectl) -> None:
    kubectl.apply(queue("drifting", leaseSeconds=60))
    ready(kubectl, "drifting")

    assert release.node.ask("PUT", "/queues/drifting", {"lease_ms": 1_000})["ok"]

    until(
        "the lease of before",
        lambda: (release.node.queue("drifting") or {})["settings"] == {"lease_ms": 60_000},
        DEADLINE_S * 15,
    )
    until("the event", lambda: "DriftCorrected" in reasons(kubectl, "drifting"))


def test_what_is_wrong_in_itself_is_refused_by_the_api_server_with_a_sentence(
    release: Operated, kubectl: Kubectl
) -> None:
    kubectl.apply(queue("fixed", leaseSeconds=60))
    schedule = {
        "apiVersion": "rustqueue.io/v1alpha1",
        "kind": "Schedule",
        "metadata": {"name": "both"},
        "spec": {"queue": "q", "jobTemplate": {"name": "n"}, "cron": "* * * * *", "everySeconds": 5},
    }
    webhook = {
        "apiVersion": "rustqueue.io/v1alpha1",
        "kind": "Webhook",
        "metadata": {"name": "none"},
        "spec": {"events": ["job.dlq"]},
    }

    assert "name is immutable" in kubectl.apply_refused(queue("fixed", leaseSeconds=60, name="other"))
    assert "exactly one of cron and everySeconds" in kubectl.apply_refused(schedule)
    assert "exactly one of url and serviceRef" in kubectl.apply_refused(webhook)
    assert "leaseSeconds" in kubectl.apply_refused(queue("long", leaseSeconds=86_401))
    assert 'unknown field "laeseSeconds"' in kubectl.apply_refused(queue("typo", laeseSeconds=5))


def test_what_the_cluster_refuses_is_a_condition_that_names_the_field(release: Operated, kubectl: Kubectl) -> None:
    kubectl.apply(queue("labels", labels={"not a label!": "x"}))

    condition = ready(kubectl, "labels", "False", "ValidationError")

    assert "labels" in condition["message"]
    assert release.node.queue("labels") is None


def test_a_queue_with_jobs_blocks_its_deletion_until_it_is_empty(release: Operated, kubectl: Kubectl) -> None:
    kubectl.apply(queue("full"))
    ready(kubectl, "full")
    release.node.push("full")
    kubectl.run("delete", "queue", "full", "--wait=false")

    condition = kubectl.wait_condition("queue", "full", "DeletionBlocked")
    assert "waiting 1" in condition["message"]
    assert release.node.queue("full") is not None

    assert release.node.ask("POST", "/queues/full/drain")["ok"]
    until("the object to go", lambda: kubectl.find("queue", "full") is None)
    assert release.node.queue("full") is None
    assert reasons(kubectl, "full") == ["Created", "Deleted", "DeletionBlocked"]


@pytest.mark.parametrize(("policy", "stays"), [("Delete", False), ("Retain", True)])
def test_delete_takes_the_jobs_along_and_retain_leaves_them(
    release: Operated, kubectl: Kubectl, policy: str, stays: bool
) -> None:
    name = f"with-{policy.lower()}"
    kubectl.apply(queue(name, deletionPolicy=policy))
    ready(kubectl, name)
    release.node.push(name)

    kubectl.run("delete", "queue", name)

    assert (release.node.queue(name) is not None) == stays


def test_a_retained_queue_is_taken_over_by_the_same_object_made_anew(release: Operated, kubectl: Kubectl) -> None:
    kubectl.apply(queue("again", deletionPolicy="Retain", leaseSeconds=60))
    ready(kubectl, "again")
    kubectl.run("delete", "queue", "again")

    kubectl.apply(queue("again", leaseSeconds=70))

    ready(kubectl, "again")


def test_of_two_objects_the_older_wins_and_the_younger_follows(release: Operated, kubectl: Kubectl) -> None:
    kubectl.apply(queue("first", name="shared", leaseSeconds=60))
    ready(kubectl, "first")
    pause(1.1)  # Kubernetes writes down the second in which an object was made, no more.
    kubectl.apply(queue("second", name="shared", leaseSeconds=70))

    condition = ready(kubectl, "second", "False", "ResourceConflict")
    assert f"{kubectl.namespace}/first is older" in condition["message"]
    assert (release.node.queue("shared") or {})["settings"] == {"lease_ms": 60_000}

    kubectl.run("delete", "queue", "first")
    ready(kubectl, "second")
    assert (release.node.queue("shared") or {})["settings"] == {"lease_ms": 70_000}


def test_what_people_made_is_adopted_only_when_asked(release: Operated, kubectl: Kubectl) -> None:
    assert release.node.ask("PUT", "/queues/handmade", {"lease_ms": 1_000})["ok"]
    kubectl.apply(queue("handmade", leaseSeconds=60))
    assert "differs in lease_ms" in ready(kubectl, "handmade", "False", "AlreadyExists")["message"]

    kubectl.apply(queue("handmade", leaseSeconds=60, adopt="Always"))

    ready(kubectl, "handmade")
    assert (release.node.queue("handmade") or {})["settings"] == {"lease_ms": 60_000}


def test_a_cluster_lists_the_namespaces_that_may_use_it(release: Operated, kubectl: Kubectl) -> None:
    release.kubectl.apply(cluster("closed", release.node.url))
    reference = {"name": "closed", "namespace": RELEASE_NAMESPACE}
    kubectl.apply(queue("guest", clusterRef=reference), queue("lost", clusterRef={"name": "nowhere"}))
    ready(kubectl, "guest", "False", "NamespaceNotAllowed")
    ready(kubectl, "lost", "False", "ClusterNotFound")

    release.kubectl.apply(cluster("closed", release.node.url, kubectl.namespace))

    ready(kubectl, "guest")


def test_an_outage_is_a_condition_and_nobody_is_stuck(release: Operated, kubectl: Kubectl) -> None:
    kubectl.apply(queue("patient", leaseSeconds=60), queue("leaving"))
    ready(kubectl, "patient")
    ready(kubectl, "leaving")
    release.node.program.kill()
    try:
        kubectl.apply(queue("patient", leaseSeconds=61))
        ready(kubectl, "patient", "False", "ClusterUnreachable")
        # Every other object of this cluster is told once, too.
        until("an outage that goes on to be told no more", lambda: writes_in_a_while(release) <= 1)

        kubectl.run("delete", "queue", "leaving", f"--timeout={DEADLINE_S * 15}s")
        assert "ReleasedWithoutDeletion" in reasons(kubectl, "leaving")
    finally:
        release.node.start()

    ready(kubectl, "patient")
    assert (release.node.queue("patient") or {})["settings"] == {"lease_ms": 61_000}
    assert release.node.queue("leaving") is not None


def writes_in_a_while(release: Operated) -> float:
    before = release.operator.metric("rustqueue_operator_kubernetes_calls_total", method="PATCH")
    pause(DRIFT_S + 2)
    return release.operator.metric("rustqueue_operator_kubernetes_calls_total", method="PATCH") - before


def test_a_namespace_goes_with_all_that_is_in_it(release: Operated, plane: ControlPlane) -> None:
    plane.kubectl.run("create", "namespace", "short-lived")
    inside = plane.kubectl.within("short-lived")
    inside.apply(queue("blocked"))
    ready(inside, "blocked")
    release.node.push("blocked")

    plane.kubectl.run("delete", "namespace", "short-lived", "--timeout=100s")

    assert release.node.queue("blocked") is not None


def test_a_paused_object_and_an_observed_one_are_left_alone(release: Operated, kubectl: Kubectl) -> None:
    assert release.node.ask("PUT", "/queues/seen", {"lease_ms": 1_000})["ok"]
    kubectl.apply(queue("seen", leaseSeconds=60, managementPolicy="Observe"))
    kubectl.apply(
        {
            **queue("held", leaseSeconds=60),
            "metadata": {"name": "held", "annotations": {"rustqueue.io/paused": "true"}},
        }
    )

    assert kubectl.wait_condition("queue", "seen", "Drifted")["message"] == "lease_ms"
    ready(kubectl, "held", "Unknown", "ReconciliationPaused")
    assert (release.node.queue("seen") or {})["settings"] == {"lease_ms": 1_000}
    assert release.node.queue("held") is None


def test_a_worker_that_holds_a_job_is_the_last_to_go(release: Operated, kubectl: Kubectl) -> None:
    for name in ("busy", "idle"):
        pod = {"containers": [{"name": "worker", "image": "none:1"}]}
        metadata = {"name": f"{name}-{kubectl.namespace}", "labels": {"rustqueue.io/worker": "true"}}
        kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    release.node.push("work")
    body = {"worker_id": f"busy-{kubectl.namespace}", "lease_ms": 60_000}
    job = release.node.ask("POST", "/queues/work/pull", body)["job"]

    def cost(name: str) -> str | None:
        metadata: dict[str, dict[str, str]] = kubectl.get("pod", f"{name}-{kubectl.namespace}")["metadata"]
        return metadata.get("annotations", {}).get("controller.kubernetes.io/pod-deletion-cost")

    until("the busy one to be told", lambda: cost("busy") == "1")
    assert cost("idle") is None

    assert release.node.ask("POST", f"/jobs/{job['id']}/ack", {"attempt_token": job["attempt_token"]})["ok"]
    until("the idle one to be told", lambda: cost("busy") == "0")


def test_the_second_replica_takes_over(release: Operated, kubectl: Kubectl) -> None:
    second = release.replica("operator-1")
    second.start()
    try:
        assert not second.leads()
        release.operator.program.stop()
        begun = time.monotonic()
        until("the second to lead", second.leads)
        assert time.monotonic() - begun < LEASE_S / 2, "a leader that ends lets the next begin"
        kubectl.apply(queue("second-leader"))
        ready(kubectl, "second-leader")
    finally:
        second.program.stop()
        release.operator.start()
        until("the first to lead again", release.operator.leads)


def test_who_leads_in_a_pod_that_is_gone_is_followed_at_once(release: Operated, kubectl: Kubectl) -> None:
    second = release.replica("operator-2")
    second.start()
    try:
        release.operator.program.kill()
        release.kubectl.run("delete", "pod", "operator-0", "--grace-period=0", "--force")
        begun = time.monotonic()
        until("the second to lead", second.leads)
        assert time.monotonic() - begun < LEASE_S / 2, "nobody waits for a lease to end whose holder is gone"
    finally:
        second.program.stop()
        release.operator = release.replica("operator-0")
        release.operator.start()
        until("the first to lead again", release.operator.leads)


def test_two_hundred_queues_and_a_hundred_of_each_other_kind_are_ready_within_a_minute(
    release: Operated, kubectl: Kubectl, receiver: Receiver
) -> None:
    hook = {"clusterRef": {"namespace": RELEASE_NAMESPACE, "name": "local"}, "url": receiver.url, "events": ["job.dlq"]}
    schedule = {"queue": "many-0", "cron": "0 6 * * *", "jobTemplate": {"name": "daily"}}
    begun = time.monotonic()
    kubectl.apply(
        *(queue(f"many-{number}", leaseSeconds=60) for number in range(200)),
        *({**queue(f"many-{number}", **schedule), "kind": "Schedule"} for number in range(100)),
        *(webhook(f"many-{number}", **hook) for number in range(100)),
    )

    def all_ready() -> bool:
        found = kubectl.items("queues,schedules,webhooks")
        return len(found) == 400 and all(
            any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in item.get("status", {}).get("conditions", [])
            )
            for item in found
        )

    until("all of them to be ready", all_ready, 60, 0.5)
    ready_s = time.monotonic() - begun
    figures.note("400 objects ready", seconds=ready_s)
    assert ready_s <= 60


def test_an_idle_operator_writes_less_than_once_a_minute(release: Operated, kubectl: Kubectl) -> None:
    def writes() -> float:
        count = release.operator.metric
        methods = ("PATCH", "POST", "PUT", "DELETE")
        return sum(count("rustqueue_operator_kubernetes_calls_total", method=method) for method in methods)

    def quiet() -> bool:
        before = writes()
        pause(2)
        return writes() == before

    kubectl.apply(queue("quiet", leaseSeconds=60))
    # The objects of earlier tests go with their namespaces.
    alone = "the objects of other tests to be gone"
    until(alone, lambda: release.operator.metric("rustqueue_operator_objects") == 1, 120, 0.5)
    until("the operator to come to rest", quiet, 60)
    before, begun = writes(), time.monotonic()
    pause(IDLE_S)

    # It keeps its Lease by less than a write a minute.
    made = writes() - before
    figures.note("idle", writes=made, seconds=time.monotonic() - begun)
    assert made <= 1 + IDLE_S / 60


def test_what_kubectl_get_tells_stands_in_the_docs(release: Operated, kubectl: Kubectl) -> None:
    root = CHART.parent.parent
    kubectl.run("apply", "-f", root / "examples" / "kubernetes" / "objects.yaml")
    ready(kubectl, "mail")
    kubectl.wait_condition("schedule", "digest", "Ready")
    kubectl.wait_condition("webhook", "dead-mail", "Ready", "False")
    page = [line.split() for line in (root / "docs" / "kubernetes" / "resources.md").read_text().splitlines()]

    for kind in ("queues", "schedules", "webhooks"):
        heading, row = kubectl.run("get", kind).splitlines()
        assert heading.split() in page
        # The cluster has another name here, and nobody knows how old it is.
        told = [word for word in row.split() if word != f"{RELEASE_NAMESPACE}/local"][:-1]
        assert any(set(told) <= set(line) for line in page), row
    assert len(kubectl.run("get", "rustqueue", "--output=name").splitlines()) == 3
