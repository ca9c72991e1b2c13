"""The chart as helm renders it, and what a real API server says to that."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.api.operated import CHART
from e2e.harness.control_plane import ControlPlane
from e2e.harness.kubectl import Kubectl
from e2e.harness.waiting import until
from rustqueue.settings.loading import load_settings
from rustqueue_operator.kube.calls import VERBS, VERBS_FOR_CERTIFICATES, VERBS_FOR_WORKERS

Object = dict[str, Any]

PROFILES = {
    "default": [],
    "three": ["--set=replicas=3"],
    "all": [
        "--set=replicas=3",
        "--set=operator.namespaces={*}",
        "--set=tls.existingSecret=tls,tls.ca=PEM",
        "--set=admissionPolicies.webhookHosts.enabled=true,admissionPolicies.webhookHosts.allowed={*.example.org}",
        "--set=admissionPolicies.protectedQueues.enabled=true",
        "--set=monitoring.dashboards.enabled=true",
        "--set=settings.jobs.default_max_attempts=5",
        "--set=settings.webhooks.allowed_networks={10.0.0.0/8,192.168.0.0/16}",
        "--set=auth.serviceAccounts.jobs/producer={push:mail.*}",
        "--set=networkPolicy.clients[0].podSelector.matchLabels.queue-client=yes",
    ],
    **{path.stem: [f"--values={path}"] for path in sorted((CHART / "profiles").glob("*.yaml"))},
    "without operator": ["--set=operator.enabled=false,auth.enabled=false,networkPolicy.enabled=false"],
}
profiles = pytest.mark.parametrize("words", PROFILES.values(), ids=list(PROFILES))


class Helm:
    """helm without a cluster."""

    def __init__(self, plane: ControlPlane) -> None:
        self._program = plane.helm
        self._environment = plane.environment()

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *words], env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )

    def template(self, *words: str, namespace: str = "queues") -> list[Object]:
        done = self.run("template", "rq", CHART, f"--namespace={namespace}", "--set=fullnameOverride=rq", *words)
        assert done.returncode == 0, done.stderr
        return [item for item in yaml.safe_load_all(done.stdout) if item]

    def refusal(self, *words: str) -> str:
        done = self.run("template", "rq", CHART, *words)
        assert done.returncode != 0, done.stdout
        return done.stderr


@pytest.fixture(scope="session")
def helm(plane: ControlPlane) -> Helm:
    return Helm(plane)


def of_kind(objects: list[Object], *kinds: str) -> Iterator[Object]:
    return (item for item in objects if item["kind"] in kinds)


def pods(objects: list[Object]) -> list[Object]:
    found = [item["spec"]["template"]["spec"] for item in of_kind(objects, "StatefulSet", "Deployment")]
    return [*found, *(item["spec"] for item in of_kind(objects, "Pod"))]


@profiles
def test_lint_is_clean(helm: Helm, words: list[str]) -> None:
    done = helm.run("lint", "--strict", CHART, *words)

    assert done.returncode == 0, done.stdout


@profiles
def test_the_server_takes_every_object(helm: Helm, kubectl: Kubectl, words: list[str]) -> None:
    kubectl.apply(*helm.template(*words, namespace=kubectl.namespace), dry=True)


@profiles
def test_pods_are_accepted_where_security_is_restricted(helm: Helm, kubectl: Kubectl, words: list[str]) -> None:
    kubectl.run("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    for number, spec in enumerate(pods(helm.template(*words))):
        # Alone it has neither its account nor the volume that its claim would be.
        volumes = [*spec.get("volumes", []), {"name": "data", "emptyDir": {}}]
        alone = {**spec, "serviceAccountName": "default", "volumes": volumes}
        kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}"}, "spec": alone}, dry=True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set=replicas=2"], "value must be one of 1, 3, 5"),
        (["--set=replicsa=3"], "additional properties 'replicsa' not allowed"),
        (["--set=operator.namespaces={*,team}"], '"*" means all namespaces, so name no others beside it.'),
        (["--set=settings.server.http_port=80"], "settings.server.http_port: set by the chart"),
        (["--set=settings.auth.tokens={secret}"], "tokens do not belong into values"),
        (["--set=admissionPolicies.webhookHosts.enabled=true"], "enabled without a single allowed host"),
        (["--set=cluster.firstMembers=1,replicas=3"], "cannot become a cluster by scaling"),
        (["--set=auth.enabled=false,auth.serviceAccounts.a/b={push:*}"], "auth.serviceAccounts: needs auth.enabled"),
        (["--set=tls.existingSecret=tls"], "tls.ca: needed with tls.existingSecret"),
        (["--set=storage.size=big"], "/storage/size"),
        (["--set=replicas=3,settings.cluster.node_id=x"], "the chart makes this section from replicas"),
        (["--set=replicas=3,fullnameOverride=a-name-of-more-than-29-letters"], "is too long for a cluster"),
        (["--set=fullnameOverride=a.b"], "fullnameOverride: a.b cannot be the name of a Service"),
        (["--set=tls.ca=PEM"], "tls.ca: given without tls.existingSecret"),
        (["--set=service.tcpPort=6790"], "service.tcpPort: 6790 is service.httpPort too"),
        (["--set=replicas=3,cluster.peerPort=6789"], "cluster.peerPort: 6789 is a port of the node"),
        (["--set=settings.storage.path=/mine"], "settings.storage.path: set by the chart"),
        (["--set=settings.job.default_max_attempts=5"], "at '/settings': additional properties 'job' not allowed"),
        (["--set=settings.jobs.attempts=5"], "at '/settings/jobs': additional properties 'attempts' not allowed"),
        (["--set=settings.jobs.default_max_attempts=0"], "minimum: got 0, want 1"),
        (["--set=settings.logging.level=loud"], "at '/settings/logging/level': value must be one of 'trace'"),
        (["--set=auth.serviceAccounts.mailer={push:*}"], "additional properties 'mailer' not allowed"),
        (["--set=auth.serviceAccounts.jobs/mailer={fly:*}"], "'fly:*' does not match pattern"),
        (["--set=resources.limits.memory=much"], "at '/resources/limits/memory': 'much' does not match pattern"),
        (["--set=replicas=null"], "missing property 'replicas'"),
        (["--set=storage.size=null"], "at '/storage': missing property 'size'"),
        (["--set=settings.raft.fsync=none"], "settings.raft.fsync: none is refused by every node"),
        ([r"--set=podLabels.app\.kubernetes\.io/name=x"], "podLabels: app.kubernetes.io/name is how the chart finds"),
        (["--set=image.tag=a b"], "at '/image/tag': 'a b' does not match pattern"),
        (
            ["--set=keda.scaledObjects[0].deployment=a,keda.scaledObjects[0].queue=q,keda.scaledObjects[0].min=11"],
            "keda.scaledObjects: a has a min of 11, which is more than its max of 10",
        ),
    ],
)
def test_wrong_values_fail_with_one_sentence_before_anything_is_installed(
    helm: Helm, words: list[str], sentence: str
) -> None:
    assert sentence in helm.refusal(*words)


def test_a_node_reads_its_settings_as_the_values_file_has_them(helm: Helm, tmp_path: Path) -> None:
    given: dict[str, Object] = {
        "jobs": {"default_max_attempts": 1_000_000, "default_timeout_ms": 86_400_000},
        "logging": {"format": "pretty"},
        "queues": {"auto_create": False},
        "retention": {"completed_count": 2_000_000, "dlq_count": "unlimited"},
        "webhooks": {"allowed_ports": [8080, 65535], "allowed_networks": ["10.0.0.0/8"]},
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"settings": given}))
    rendered = helm.template(f"--values={tmp_path / 'values.yaml'}")
    # Twice the same key is an error for whoever reads YAML strictly, as kubectl does.
    environment = next(
        item["data"] for item in of_kind(rendered, "ConfigMap") if item["metadata"]["name"] == "rq-settings"
    )

    read = load_settings(None, environment, {})

    told = {section: {key: getattr(getattr(read, section), key) for key in keys} for section, keys in given.items()}
    assert told == given
    assert (read.storage.path, read.auth.enabled) == ("/data", True)


def test_large_numbers_of_a_scaled_object_are_written_out(helm: Helm, tmp_path: Path) -> None:
    scaled = {"deployment": "mailer", "queue": "mail", "perWorker": 1_000_000, "dueWithinMs": 86_400_000}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"keda": {"scaledObjects": [scaled]}}))
    (scaler,) = of_kind(helm.template(f"--values={tmp_path / 'values.yaml'}"), "ScaledObject")
    url = scaler["spec"]["triggers"][0]["metadata"]["url"]
    assert url.endswith("/scale?per_worker=1000000&min=0&max=10&due_within_ms=86400000")


def rules(objects: list[Object]) -> dict[tuple[str, str], set[str]]:
    """Verbs by group and resource that the operator's roles grant."""
    granted: dict[tuple[str, str], set[str]] = {}
    for role in of_kind(objects, "Role", "ClusterRole"):
        if role["metadata"]["labels"]["app.kubernetes.io/component"] != "operator" or "-operator" not in str(
            role["metadata"]["name"]
        ):
            continue
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    granted.setdefault((group, resource), set()).update(rule["verbs"])
    return granted


@pytest.mark.parametrize("words", [[], ["--set=operator.namespaces={*}"], ["--set=operator.namespaces={a,b}"]])
def test_the_operator_may_exactly_what_it_does(helm: Helm, words: list[str]) -> None:
    assert rules(helm.template(*words)) == VERBS


def test_in_a_cluster_it_may_write_the_certificate_that_the_chart_made_and_no_other(helm: Helm) -> None:
    existing = "--set=replicas=3,cluster.existingSecret=mine"

    assert rules(helm.template("--set=replicas=3")) == {**VERBS, **VERBS_FOR_CERTIFICATES}
    assert rules(helm.template(existing)) == VERBS
    assert not [item for item in of_kind(helm.template(existing), "Secret") if "peers" in item["metadata"]["name"]]


def test_it_may_list_and_patch_pods_only_to_protect_workers(helm: Helm) -> None:
    assert rules(helm.template("--set=operator.protectBusyWorkers=true")) == {**VERBS, **VERBS_FOR_WORKERS}


def test_keda_asks_the_scale_endpoint(helm: Helm) -> None:
    values = (
        "keda.scaledObjects[0].deployment=mailer,keda.scaledObjects[0].queue=mail,keda.scaledObjects[0].perWorker=10"
    )
    objects = helm.template(f"--set={values}")
    (scaled,) = of_kind(objects, "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]

    assert trigger["metadata"]["url"] == (
        "http://rq.queues.svc:6790/api/v1/queues/mail/scale?per_worker=10&min=0&max=10&due_within_ms=0"
    )
    assert trigger["authenticationRef"]["name"] in [
        item["metadata"]["name"] for item in of_kind(objects, "TriggerAuthentication")
    ]


@profiles
def test_no_rule_has_a_star_and_nobody_lists_secrets(helm: Helm, words: list[str]) -> None:
    for role in of_kind(helm.template(*words), "Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            by_name = set(rule.get("resourceNames", [])) == {"rq-peers"} and rule["verbs"] == ["get", "patch"]
            assert "secrets" not in rule["resources"] or rule["verbs"] == ["get"] or by_name


def test_secrets_of_other_namespaces_are_opened_one_by_one(helm: Helm) -> None:
    roles = list(of_kind(helm.template("--set=operator.secretNamespaces={hooks}"), "Role"))

    assert [role["metadata"]["namespace"] for role in roles if role["metadata"]["name"] == "rq-operator-secrets"] == [
        "hooks"
    ]


def test_profiles_have_one_three_and_five_nodes(helm: Helm) -> None:
    told = {}
    for name in ("dev", "ha", "five"):
        (nodes,) = of_kind(helm.template(*PROFILES[name]), "StatefulSet")
        told[name] = nodes["spec"]["replicas"]
    assert told == {"dev": 1, "ha": 3, "five": 5}


def test_nodes_carry_no_token_of_kubernetes(helm: Helm) -> None:
    (nodes,) = of_kind(helm.template(), "StatefulSet")

    assert nodes["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_nodes_of_a_cluster_may_ask_for_their_own_size_and_nothing_else(helm: Helm) -> None:
    objects = helm.template("--set=replicas=3")
    (nodes,) = of_kind(objects, "StatefulSet")
    named = [role for role in of_kind(objects, "Role", "ClusterRole") if role["metadata"]["name"] == "rq-size"]

    assert nodes["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    assert [role["rules"] for role in named] == [
        [{"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": ["rq"], "verbs": ["get"]}]
    ]
    accounts = [
        (binding["roleRef"]["name"], subject["name"])
        for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding")
        for subject in binding["subjects"]
        if subject["name"] == "rq"
    ]
    assert accounts == [("rq-size", "rq")]


def test_a_cluster_that_was_made_smaller_stays_a_cluster(helm: Helm) -> None:
    (nodes,) = of_kind(helm.template("--set=replicas=1,cluster.firstMembers=3"), "StatefulSet")
    told = {entry["name"]: entry.get("value") for entry in nodes["spec"]["template"]["spec"]["containers"][0]["env"]}

    assert (nodes["spec"]["replicas"], told["RUSTQUEUE_POD_FIRST_MEMBERS"]) == (1, "3")


def test_a_larger_size_leaves_the_template_of_volumes_as_it_was(plane: ControlPlane, kubectl: Kubectl) -> None:
    helm = Helm(plane)
    without = "--set=crds.install=false,operator.enabled=false,userRoles.enabled=false,fullnameOverride=grown"
    words = (CHART, f"--namespace={kubectl.namespace}", without)
    assert helm.run("install", "grown", *words).returncode == 0

    done = helm.run("upgrade", "grown", *words, "--set=storage.size=20Gi")

    assert done.returncode == 0, done.stderr
    found = kubectl.get("statefulset", "grown")
    (template,) = found["spec"]["volumeClaimTemplates"]
    assert (found["metadata"]["annotations"]["rustqueue.io/storage"], template["spec"]["resources"]) == (
        "20Gi",
        {"requests": {"storage": "10Gi"}},
    )


def test_three_nodes_know_each_other_by_stable_names_and_go_one_at_a_time(helm: Helm) -> None:
    objects = helm.template("--set=replicas=3")
    (nodes,) = of_kind(objects, "StatefulSet")
    budgets = {
        item["metadata"]["name"]: item["spec"]["maxUnavailable"] for item in of_kind(objects, "PodDisruptionBudget")
    }
    told = {entry["name"]: entry.get("value") for entry in nodes["spec"]["template"]["spec"]["containers"][0]["env"]}

    assert (told["RUSTQUEUE_POD_SERVICE"], told["RUSTQUEUE_POD_FIRST_MEMBERS"]) == ("rq-nodes.queues.svc", "3")
    assert nodes["spec"]["podManagementPolicy"] == "Parallel"
    assert budgets == {"rq": 1, "rq-operator": 1}
    assert not [item for item in of_kind(helm.template(), "PodDisruptionBudget") if item["metadata"]["name"] == "rq"]


def test_an_existing_secret_is_used_and_none_is_made(helm: Helm) -> None:
    objects = helm.template("--set=auth.existingSecret=mine,auth.secretKey=t,seal.existingSecret=keys")

    assert not list(of_kind(objects, "Secret"))
    assert "name: mine, key: t" in yaml.dump(pods(objects), default_flow_style=True).replace(
        "{key: t, name: mine}", "name: mine, key: t"
    )


def test_an_upgrade_keeps_the_token_that_was_made(plane: ControlPlane, kubectl: Kubectl) -> None:
    helm = Helm(plane)
    without = "--set=crds.install=false,operator.enabled=false,userRoles.enabled=false"
    words = (CHART, f"--namespace={kubectl.namespace}", without)
    assert helm.run("install", "kept", *words).returncode == 0
    before = kubectl.get("secret", "kept-rustqueue-admin")["data"]

    assert helm.run("upgrade", "kept", *words, "--set=service.httpPort=80").returncode == 0

    assert kubectl.get("secret", "kept-rustqueue-admin")["data"] == before
    notes = helm.run("get", "notes", "kept", f"--namespace={kubectl.namespace}").stdout
    assert "tls.existingSecret is empty" in notes
    assert helm.run("uninstall", "kept", f"--namespace={kubectl.namespace}").returncode == 0


def test_policies_refuse_foreign_hosts_and_the_deletion_of_protected_queues(
    helm: Helm, plane: ControlPlane, kubectl: Kubectl
) -> None:
    objects = helm.template(*PROFILES["all"], namespace=kubectl.namespace)
    policies = list(of_kind(objects, "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"))
    kubectl.apply(*of_kind(objects, "CustomResourceDefinition"))
    hook = {"apiVersion": "rustqueue.io/v1alpha1", "kind": "Webhook", "metadata": {"name": "hook"}}
    metadata = {"name": "before", "finalizers": ["rustqueue.io/test"]}
    hook_before = {**hook, "metadata": metadata, "spec": {"url": "https://evil.test/in"}}
    queue = {
        "apiVersion": "rustqueue.io/v1alpha1",
        "kind": "Queue",
        "metadata": {"name": "kept", "labels": {"rustqueue.io/protected": "true"}},
        "spec": {},
    }
    until("the kinds to be served", lambda: kubectl.works("get", "webhooks,queues.rustqueue.io"))
    kubectl.apply(hook_before)
    kubectl.apply(*policies)
    try:
        foreign = {**hook, "spec": {"url": "https://evil.test/in"}}
        until(
            "the policy to be in force",
            lambda: not kubectl.works("apply", "--dry-run=server", "-f", "-", text=json.dumps(foreign)),
            30,
        )
        assert "the host evil.test is not among those" in kubectl.apply_refused(foreign)
        assert "evil.test" in kubectl.apply_refused({**hook, "spec": {"url": "https://evil.test#.example.org/"}})
        kubectl.apply({**hook, "spec": {"url": "https://in.example.org/x"}}, dry=True)
        changed = {**hook_before, "spec": {"url": "https://evil.test/other"}}
        assert "evil.test" in kubectl.apply_refused(changed)
        # A finalizer that could not be taken off would keep it for ever.
        kubectl.run("delete", "webhook", "before", "--wait=false")
        kubectl.run("patch", "webhook", "before", "--type=merge", '--patch={"metadata": {"finalizers": null}}')
        assert kubectl.find("webhook", "before") is None
        kubectl.apply(queue)
        assert "remove the label first" in kubectl.refusal("delete", "queue", "kept")
        kubectl.run("label", "queue", "kept", "rustqueue.io/protected-")
        kubectl.run("delete", "queue", "kept", "--wait=false")
    finally:
        names = [f"{item['kind'].lower()}/{item['metadata']['name']}" for item in policies]
        plane.kubectl.run("delete", *names)


def test_the_examples_are_taken_where_security_is_restricted(kubectl: Kubectl, helm: Helm) -> None:
    kubectl.run("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl.apply(*of_kind(helm.template(), "CustomResourceDefinition"))
    examples = CHART.parent.parent / "examples" / "kubernetes"
    objects = ("apply", "--dry-run=server", "-f", examples / "objects.yaml")
    until("the objects to be taken", lambda: kubectl.works(*objects), 30)
    text = (examples / "worker.yaml").read_text()

    assert "deployment.apps/mailer" in kubectl.run("apply", "--dry-run=server", "-f", "-", text=text)
    (deployment,) = (item for item in yaml.safe_load_all(text) if item["kind"] == "Deployment")
    pod = {**deployment["spec"]["template"]["spec"], "serviceAccountName": "default"}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, "spec": pod}, dry=True)


def test_alerts_are_wrapped_with_a_page_each(helm: Helm) -> None:
    objects = helm.template(
        "--set=monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.exclude={RustQueueDrift}",
        "--api-versions=monitoring.coreos.com/v1",
    )
    (wrapped,) = of_kind(objects, "PrometheusRule")
    alerts = {rule["alert"]: rule for group in wrapped["spec"]["groups"] for rule in group["rules"]}
    plain = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    names = {rule["alert"] for group in plain["groups"] for rule in group["rules"]}

    assert set(alerts) == names - {"RustQueueDrift"}
    for name, alert in alerts.items():
        assert alert["annotations"]["runbook_url"].endswith(f"/{name}.md")
        assert (CHART.parent.parent / "docs/kubernetes/runbooks" / f"{name}.md").exists(), name


def test_every_value_is_described(helm: Helm) -> None:
    """The page has a row for each leaf of the values."""
    described = set(re.findall(r"^\| `([^`]+)`", (CHART.parent.parent / "docs/kubernetes/values.md").read_text(), re.M))

    def leaves(value: object, path: str) -> Iterator[str]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from leaves(inner, f"{path}.{key}" if path else key)
        else:
            yield path

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    wanted = {
        re.sub(r"\.(resources|labels)\..*", r".\1", re.sub(r"^resources\..*", "resources", leaf))
        for leaf in leaves(values, "")
    }
    assert described == wanted
