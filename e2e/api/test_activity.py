"""What `kubectl get` tells of what the cluster did: runs of schedules, deliveries of webhooks."""

from e2e.api.operated import DRIFT_S, Operated, webhook
from e2e.api.receiver import Receiver
from e2e.harness.control_plane import LOOPBACK
from e2e.harness.kubectl import Kubectl
from e2e.harness.waiting import until


def test_kubectl_get_tells_when_a_schedule_ran_and_runs_next(release: Operated, kubectl: Kubectl) -> None:
    def status() -> dict[str, object]:
        return dict(kubectl.get("schedule", "nightly")["status"])

    # Given a schedule that has not run yet
    spec = {"queue": "digests", "cron": "0 3 29 2 *", "jobTemplate": {"name": "digest"}}
    metadata = {"name": "nightly"}
    kubectl.apply({"apiVersion": "rustqueue.io/v1alpha1", "kind": "Schedule", "metadata": metadata, "spec": spec})
    kubectl.wait_condition("schedule", "nightly", "Ready")
    before = status()
    assert (before["nextRunTime"], before["runs"], "lastRunTime" in before) == ("2028-02-29T03:00:00Z", 0, False)

    # When somebody runs it now
    ran = release.node.ask("POST", "/schedules/nightly/run")
    until("the run to be told", lambda: status().get("runs") == 1, DRIFT_S * 20, 0.2)

    # Then the status has the run, and the columns too
    told = status()
    shown = release.node.ask("GET", "/schedules/nightly")["schedule"]
    assert (told["lastJobID"], told["lastRunTime"]) == (shown["last_job_id"], f"{shown['last_run_at'][:19]}Z"), ran
    heading, row = kubectl.run("get", "schedule", "nightly", "--output=wide").splitlines()
    assert ("LAST RUN" in heading, "NEXT RUN" in heading, "2028-02-29T03:00:00Z" in row) == (True, True, True)


def test_a_webhook_tells_whether_its_deliveries_arrive(release: Operated, kubectl: Kubectl, receiver: Receiver) -> None:
    def status(name: str) -> dict[str, object]:
        return dict(kubectl.get("webhook", name)["status"])

    def told(name: str) -> tuple[object, bool, bool]:
        seen = status(name)
        return seen["consecutiveFailures"], "lastSuccessTime" in seen, "lastFailureTime" in seen

    # Given a webhook whose receiver answers and one that nobody listens to
    common = {"events": ["job.pushed"], "queues": ["told"]}
    kubectl.apply(webhook("heard", url=receiver.url, **common))
    kubectl.apply(webhook("unheard", url=f"http://{LOOPBACK}:1/in", **common))
    for name in ("heard", "unheard"):
        kubectl.wait_condition("webhook", name, "Ready")
        assert told(name) == (0, False, False)
    # When something happens
    release.node.push("told")
    # Then both tell what became of it
    until("the success to be told", lambda: told("heard") == (0, True, False), DRIFT_S * 20, 0.2)
    until("the failure to be told", lambda: told("unheard") == (1, False, True), DRIFT_S * 20, 0.2)
