"""Which driver makes the cluster: RUSTQUEUE_E2E_DRIVER, else kind where it can run, else this machine itself."""

import os
from pathlib import Path

from e2e.cluster import kind
from e2e.cluster.driver import Cluster
from e2e.cluster.kind import KindCluster
from e2e.cluster.machine import MachineCluster
from e2e.harness import images
from e2e.harness.binaries import binaries


def chosen() -> str:
    name = os.environ.get("RUSTQUEUE_E2E_DRIVER", "auto")
    if name not in ("auto", "kind", "machine"):
        raise SystemExit(f"RUSTQUEUE_E2E_DRIVER={name}: it is one of auto, kind, machine")
    if name == "auto":
        return "kind" if kind.usable() else "machine"
    return name


def image(folder: Path, tag: str = "dev", root: Path = images.ROOT) -> Path:
    """The image of a checkout as an archive that every node can be given."""
    return kind.image(folder, tag, root) if chosen() == "kind" else images.build(tag, root)


def cluster(folder: Path) -> Cluster:
    return KindCluster(folder) if chosen() == "kind" else MachineCluster(folder)


if __name__ == "__main__":
    # Built before the tests begin, because it takes minutes and tells how far it is.
    if chosen() == "machine":
        binaries("control-plane", "nodes")
