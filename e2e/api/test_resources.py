"""What the repository offers to a cluster is taken by a real API server."""

from pathlib import Path

from e2e.harness.kubectl import Kubectl

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_custom_resource_definitions_are_accepted(kubectl: Kubectl) -> None:
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        kubectl.run("apply", "--dry-run=server", "-f", file)
