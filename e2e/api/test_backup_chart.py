"""The chart's backups and restores as helm renders them, and what a real API server says to that."""

import pytest

from e2e.api.test_chart import Helm, of_kind
from e2e.harness.control_plane import ControlPlane
from e2e.harness.kubectl import Kubectl

BACKUP = "--set=backup.enabled=true,replicas=3,tls.existingSecret=tls,tls.ca=PEM"
RESTORE = "--set=replicas=3,restore.existingClaim=old,restore.file=jobs.rqb"


@pytest.fixture(scope="session")
def helm(plane: ControlPlane) -> Helm:
    return Helm(plane)


def test_backups_are_off_until_asked_for(helm: Helm) -> None:
    assert list(of_kind(helm.template(), "CronJob", "PersistentVolumeClaim")) == []


def test_the_server_takes_the_cron_job_and_its_pod_where_security_is_restricted(helm: Helm, kubectl: Kubectl) -> None:
    objects = helm.template(BACKUP, namespace=kubectl.namespace)
    kubectl.apply(*objects, dry=True)
    (job,) = of_kind(objects, "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    kubectl.run("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "backup"}, "spec": spec}, dry=True)


def test_the_job_knows_the_service_its_token_and_its_authority(helm: Helm) -> None:
    objects = helm.template(BACKUP)
    (job,) = of_kind(objects, "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["command"] == ["rustqueue", "backup", "create", "/backups/", "--keep", "7"]
    assert environment == {
        "RUSTQUEUE_URL": "https://rq.queues.svc:6790", "RUSTQUEUE_TOKEN": None, "RUSTQUEUE_CA_FILE": "/ca/ca.crt",
    }  # fmt: skip
    assert job["spec"]["concurrencyPolicy"] == "Forbid"


def test_one_backup_is_made_at_once_and_one_with_another_image(helm: Helm, kubectl: Kubectl) -> None:
    objects = helm.template(BACKUP, namespace=kubectl.namespace)
    kubectl.apply(*objects, dry=True)
    (job,), (cron_job,) = of_kind(objects, "Job"), of_kind(objects, "CronJob")
    assert job["spec"] == cron_job["spec"]["jobTemplate"]["spec"]
    names = [
        one["metadata"]["name"]
        for tag in ("1", "1", "2")
        for one in of_kind(helm.template(BACKUP, f"--set=image.tag=v{tag}"), "Job")
    ]
    # A Job cannot be changed, so another one needs another name.
    assert names[0] == names[1] != names[2]


def test_the_volume_of_backups_outlives_the_release_or_is_a_given_one(helm: Helm) -> None:
    (claim,) = of_kind(helm.template(BACKUP), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    given = helm.template(BACKUP, "--set=backup.existingClaim=mine")
    assert list(of_kind(given, "PersistentVolumeClaim")) == []
    (job,) = of_kind(given, "CronJob")
    volumes = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "backups", "persistentVolumeClaim": {"claimName": "mine"}} in volumes


def test_a_policy_for_clients_lets_backups_through(helm: Helm) -> None:
    objects = helm.template(BACKUP, "--set=networkPolicy.clients[0].podSelector.matchLabels.queue-client=yes")
    (policy,) = (item for item in of_kind(objects, "NetworkPolicy") if item["metadata"]["name"] == "rq")
    peers = [peer["podSelector"]["matchLabels"] for peer in policy["spec"]["ingress"][0]["from"]]
    assert "backup" in [labels.get("app.kubernetes.io/component") for labels in peers]


def test_a_restore_is_an_init_container_of_the_nodes(helm: Helm, kubectl: Kubectl) -> None:
    objects = helm.template(RESTORE, namespace=kubectl.namespace)
    kubectl.apply(*objects, dry=True)
    (nodes,) = of_kind(objects, "StatefulSet")
    (container,) = nodes["spec"]["template"]["spec"]["initContainers"]
    assert container["command"] == ["python3", "-m", "rustqueue_operator.pod.restore", "/backups/jobs.rqb"]
    assert {entry["name"] for entry in container["env"]} == {
        *("POD_NAME", "RUSTQUEUE_POD_URL", "RUSTQUEUE_POD_FIRST_MEMBERS", "RUSTQUEUE_POD_SERVICE"),
        "RUSTQUEUE_POD_PEER_PORT",
    }
    volumes = {volume["name"]: volume for volume in nodes["spec"]["template"]["spec"]["volumes"]}
    assert volumes["backups"]["persistentVolumeClaim"] == {"claimName": "old", "readOnly": True}


OBJECTS = "--set=objectStore.existingSecret=s3,objectStore.endpoint=http://minio:9000"


def test_with_an_object_store_there_is_no_volume_and_keys_come_from_a_secret(helm: Helm, kubectl: Kubectl) -> None:
    words = [BACKUP, OBJECTS, "--set=backup.url=s3://backups/mail/,restore.url=s3://backups/mail/jobs.rqb"]
    objects = helm.template(*words, namespace=kubectl.namespace)
    kubectl.apply(*objects, dry=True)
    assert list(of_kind(objects, "PersistentVolumeClaim")) == []
    (job,), (nodes,) = of_kind(objects, "CronJob"), of_kind(objects, "StatefulSet")
    (backup,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    (restore,) = nodes["spec"]["template"]["spec"]["initContainers"]
    assert backup["command"] == ["rustqueue", "backup", "create", "s3://backups/mail/", "--keep", "7"]
    assert restore["command"][-1] == "s3://backups/mail/jobs.rqb"
    for container in (backup, restore):
        known = {entry["name"]: entry for entry in container["env"]}
        assert known["AWS_ENDPOINT_URL"]["value"] == "http://minio:9000"
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert known[key]["valueFrom"] == {"secretKeyRef": {"name": "s3", "key": key}}
        assert "backups" not in [mount["name"] for mount in container["volumeMounts"]]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--set=restore.file=jobs.rqb", "restore: needs both existingClaim and file"),
        ("--set=restore.existingClaim=old", "restore: needs both existingClaim and file"),
        ("--set=restore.existingClaim=old,restore.file=../jobs.rqb", "/restore/file"),
        ("--set=backup.enabled=true,settings.storage.backend=memory", "is memory, which keeps nothing"),
        (
            "--set=restore.url=s3://backups/jobs.rqb",
            "objectStore.existingSecret: backup.url and restore.url need a Secret",
        ),
        (
            f"{OBJECTS},restore.url=s3://b-b/j,restore.file=j,restore.existingClaim=c",
            "restore: url names the whole backup",
        ),
        (f"{OBJECTS},backup.url=s3://b-b/,backup.existingClaim=c", "backup: goes to url or to existingClaim"),
        ("--set=backup.url=s3://backups/mail", "/backup/url"),
        ("--set=restore.url=s3://backups/mail/", "/restore/url"),
        ("--set=objectStore.endpoint=minio:9000", "/objectStore/endpoint"),
        ("--set=backup.keep=0", "/backup/keep"),
        ("--set=backup.schedule=daily", "/backup/schedule"),
    ],
)
def test_wrong_values_fail_before_anything_is_installed(helm: Helm, words: str, sentence: str) -> None:
    assert sentence in helm.refusal(words)
