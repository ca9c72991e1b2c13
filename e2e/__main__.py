"""`python -m e2e`: a Kubernetes for a person to look at; it lives until Ctrl-C."""

import argparse
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.machine import MachineCluster
from e2e.harness.control_plane import ControlPlane, control_plane


@contextmanager
def with_nodes(folder: Path, count: int) -> Iterator[ControlPlane]:
    cluster = MachineCluster(folder, count)
    try:
        cluster.up()
        yield cluster.plane
    finally:
        cluster.down()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where its files and logs lie; a temporary folder if left out")
    parser.add_argument("--nodes", type=int, default=0, help="nodes to boot, which needs root; default: none")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="rustqueue-e2e-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    stops = {signal.SIGINT, signal.SIGTERM}
    with with_nodes(folder, asked.nodes) if asked.nodes else control_plane(folder) as plane:
        print(f"export KUBECONFIG={plane.kubeconfig} PATH={plane.bin}:$PATH", flush=True)
        # What is waited for must be blocked. Not earlier: programs inherit it, and would not hear us when we stop them.
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
