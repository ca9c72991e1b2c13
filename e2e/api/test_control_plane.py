"""The harness itself: what tests of the operator and of the chart build on."""

import subprocess

from e2e.harness.control_plane import ControlPlane
from e2e.harness.kubectl import Kubectl
from e2e.harness.waiting import until


def crd(plural: str, kind: str) -> dict[str, object]:
    size = {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 10", "message": "size is under 10"}]}
    spec = {"type": "object", "properties": {"size": size}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.e2e.invalid"},
        "spec": {
            "group": "e2e.invalid",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def toy(name: str, size: int) -> dict[str, object]:
    return {"apiVersion": "e2e.invalid/v1", "kind": "Toy", "metadata": {"name": name}, "spec": {"size": size}}


def test_a_custom_resource_is_served_and_its_rules_are_enforced(kubectl: Kubectl) -> None:
    kubectl.apply(crd("toys", "Toy"))
    kubectl.wait_condition("crd", "toys.e2e.invalid", "Established")
    until("toys to be served", lambda: kubectl.works("get", "toys"))

    kubectl.apply(toy("small", 3))

    assert kubectl.get("toy", "small")["spec"] == {"size": 3}
    assert "size is under 10" in kubectl.apply_refused(toy("large", 11))


def test_a_service_account_may_what_its_role_says(plane: ControlPlane, kubectl: Kubectl) -> None:
    kubectl.run("create", "serviceaccount", "reader")
    kubectl.run("create", "role", "reader", "--verb=get,list", "--resource=configmaps")
    kubectl.run("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={kubectl.namespace}:reader")
    reader = Kubectl(kubectl.program, plane.kubeconfig_of(kubectl.namespace, "reader"), kubectl.namespace)

    assert reader.works("get", "configmaps")
    assert "forbidden" in reader.refusal("get", "secrets")


def test_what_belongs_to_a_deleted_object_goes_with_it(kubectl: Kubectl) -> None:
    kubectl.run("create", "configmap", "owner")
    owner = kubectl.get("configmap", "owner")["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    owned = {"name": "owned", "ownerReferences": [reference]}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": owned})

    kubectl.run("delete", "configmap", "owner")

    until("the owned object to go", lambda: kubectl.find("configmap", "owned") is None)


def test_the_api_server_may_be_away_for_a_while(plane: ControlPlane, kubectl: Kubectl) -> None:
    kubectl.run("create", "configmap", "kept")
    plane.stop_api()
    assert not plane.answers()

    plane.start_api()

    assert kubectl.get("configmap", "kept")["metadata"]["name"] == "kept"


def test_helm_finds_this_cluster(plane: ControlPlane) -> None:
    listed = subprocess.run(
        [plane.helm, "list"], env=plane.environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert (listed.returncode, listed.stdout.split()[:2]) == (0, ["NAME", "NAMESPACE"]), listed.stderr
