"""`python -m e2e`: a Kubernetes for a person to look at; it lives until Ctrl-C."""

import argparse
import signal
import tempfile
from pathlib import Path

from e2e.harness.control_plane import control_plane


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where its files and logs lie; a temporary folder if left out")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp(prefix="rustqueue-e2e-"))
    folder.mkdir(parents=True, exist_ok=True)
    # A signal that is waited for must be blocked first, or it ends the program before it can clean up.
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with control_plane(folder.resolve()) as plane:
        print(f"export KUBECONFIG={plane.kubeconfig} PATH={plane.bin}:$PATH", flush=True)
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
