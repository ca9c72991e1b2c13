"""How long an operator that starts leaves its objects alone."""

import time

from e2e.api import figures
from e2e.api.operated import Operated, queue, ready
from e2e.harness.kubectl import Kubectl
from e2e.harness.waiting import until

FIRST_LOOK_S = 5
STARTS_MAX = 5


def test_an_operator_that_starts_has_looked_at_its_first_object_in_five_seconds(
    release: Operated, kubectl: Kubectl
) -> None:
    # By its own clock. The best of a few: a busy machine makes one start slow, a framework that waits makes all so.
    looks_s = []
    for number in range(STARTS_MAX):
        looks_s.append(started_anew(release, kubectl, f"waits-{number}"))
        if looks_s[-1] <= FIRST_LOOK_S:
            break
    assert min(looks_s) <= FIRST_LOOK_S, looks_s


def started_anew(release: Operated, kubectl: Kubectl, waiting: str) -> float:
    """Seconds from the start of its process to the end of its first look, as it says itself."""
    release.operator.program.stop()
    kubectl.apply(queue(waiting, leaseSeconds=60))
    begun = time.monotonic()
    release.operator.program.start()
    ready(kubectl, waiting)
    figures.note("start to first ready", seconds=time.monotonic() - begun)
    until("it to lead", release.operator.leads)
    look_s = release.operator.metric("rustqueue_operator_first_reconcile_seconds")
    assert look_s > 0
    figures.note("start to first look", seconds=look_s)
    return look_s
