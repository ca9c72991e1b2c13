"""Which driver makes the cluster: RUSTQUEUE_E2E_DRIVER, else kind where it can run, else this machine itself."""

import os
from pathlib import Path

from e2e.cluster import kind
from e2e.cluster.driver import Cluster
from e2e.cluster.kind import KindCluster
from e2e.cluster.machine import MachineCluster


def chosen_cluster(folder: Path) -> Cluster:
    match os.environ.get("RUSTQUEUE_E2E_DRIVER", "auto"):
        case "kind":
            return KindCluster(folder)
        case "machine":
            return MachineCluster(folder)
        case "auto":
            return KindCluster(folder) if kind.usable() else MachineCluster(folder)
        case other:
            raise ValueError(f"RUSTQUEUE_E2E_DRIVER={other}: it is one of auto, kind, machine")
