"""`python -m rustqueue_operator.pod.restore FILE`: an init container that lets a new release begin with a backup.

It runs before every start of every node of the release, so it decides whether there is anything to do. Invariants: only
the first pod restores; a folder that holds something is left alone; and where the release serves already, the pod has
lost its volume and shall join the cluster, not found another one beside it.
"""

import os
import sys
from collections.abc import Mapping
from threading import Event

from rustqueue_operator.pod.asking import Answer, Server, ask
from rustqueue_operator.pod.keeper import Ask
from rustqueue_operator.pod.serve import Place, place_of

_DATA = "/data"
_TIMEOUT_S = 5.0
_TRIES = 3
_PAUSE_S = 2.0


def words(file: str, place: Place | None) -> list[str]:
    """The command that restores."""
    command = ["rustqueue", "restore", file, f"--data={_DATA}", "--if-empty"]
    if place is None:
        return command
    return [*command, f"--node-id={place.pod}", f"--advertise={place.address(place.ordinal)}"]


def reason_against(pod: str, health: Answer) -> str:
    """Why this pod does not restore; empty when it does. Whatever answers in the release's name counts as the cluster:
    a second one beside it would be worse than a restore that did not happen.
    """
    if not pod.endswith("-0"):
        return "the first pod restores, and takes this one in"
    if health.status != 0:
        return "the release serves already: this pod joins it"
    return ""


def serving(url: str, ask: Ask = ask, pause_s: float = _PAUSE_S) -> Answer:
    """What the release's Service says; asked several times, since a lost packet must not found a second cluster.

    Unverified: nothing secret is sent, and an authority that this pod was not told must not look like silence.
    """
    answer = ask(Server(url, unverified=True), "GET", "/api/v1/health", None, _TIMEOUT_S)
    for _ in range(_TRIES - 1):
        if answer.status != 0:
            break
        Event().wait(pause_s)
        answer = ask(Server(url, unverified=True), "GET", "/api/v1/health", None, _TIMEOUT_S)
    return answer


def main(environment: Mapping[str, str], file: str) -> int:
    pod = environment["POD_NAME"]
    health = serving(environment["RUSTQUEUE_POD_URL"]) if pod.endswith("-0") else Answer(0, {})
    reason = reason_against(pod, health)
    if not reason:
        command = words(file, place_of(environment))
        os.execvp(command[0], command)
    sys.stdout.write(f"nothing is restored: {reason}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.argv[1]))
