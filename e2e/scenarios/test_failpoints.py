"""The operator dies before and after each of its writes, in its pods and under load: whoever comes next ends what was
begun, and nothing is done twice.
"""

import json
from collections.abc import Callable
from functools import partial

import pytest

from e2e.harness.kubectl import Object
from e2e.harness.waiting import until
from e2e.load.running import RESTRICTED, RESTRICTED_POD
from e2e.scenarios.conftest import Space
from e2e.scenarios.declared import all_in_force, declared
from e2e.scenarios.release import IMAGE, SERVICE, Release
from e2e.scenarios.test_cluster import GAP_S, installed
from e2e.scenarios.test_members import scale, wait_members
from e2e.scenarios.walk import SETTING, STEP_S, Walk, every_point
from rustqueue_operator.certificates.planning import RENEW, RENEWED
from rustqueue_operator.kinds.table import KINDS
from rustqueue_operator.members.planning import STORAGE
from rustqueue_operator.objects import KIND_OF
from rustqueue_operator.workers.costs import ANNOTATION
from rustqueue_operator.workers.rounds import LABEL

pytestmark = pytest.mark.slow

WHENS = ("before", "after")
WORKER = "busy"
# One call to the node of the pod itself, which sends it on to whoever leads.
ASK = (
    "import json, os, sys, urllib.request as u; method, path, body = sys.argv[1:]; "
    "token = os.environ['RUSTQUEUE_AUTH__TOKENS']; "
    "headers = {'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json'}; "
    "asked = u.Request('http://127.0.0.1:6790/api/v1' + path, body.encode() or None, headers, method=method); "
    "print(u.urlopen(asked, timeout=30).read().decode())"
)


def ask(release: Release, method: str, path: str, body: Object | None = None) -> Object:
    words = ["python", "-c", ASK, method, path, "" if body is None else json.dumps(body)]
    answer: Object = json.loads(release.kubectl.run("exec", f"{SERVICE}-0", "-c", "rustqueue", "--", *words))
    return answer


def revision(release: Release, plural: str, name: str) -> int:
    """How often the thing itself was written."""
    answer = ask(release, "GET", f"/{plural}/{name}")
    key = KINDS[KIND_OF[plural]].record_key
    found: int = (answer if key is None else answer[key])["revision"]
    return found


def test_the_operator_dies_at_each_of_its_steps(space: Space, release: Release) -> None:
    installed(release, operator={"protectBusyWorkers": True, "driftSeconds": 5, "extraEnv": [SETTING]})
    load = space.load(release.target())
    walk = Walk(release.kubectl, load.note)

    objects_are_made_and_changed(release, walk)
    objects_go(release, walk)
    the_lease_is_taken(release, walk)
    a_worker_is_protected(release, walk)
    the_certificate_is_renewed(release, walk)
    volumes_are_to_grow(release, walk)
    members_are_removed(release, walk)

    space.out.mkdir(parents=True, exist_ok=True)
    (space.out / "deaths.jsonl").write_text(walk.report())
    assert {point for point, _, _ in walk.deaths} == {f"{when} {point}" for when in WHENS for point in every_point()}
    release.wait_ready()
    assert space.judge(load).gap_s < GAP_S


def objects_are_made_and_changed(release: Release, walk: Walk) -> None:
    """Each is made and changed twice, with a death each time; then it was written three times and not more often."""
    for plural, kind in KIND_OF.items():
        for when in WHENS:
            points = (f"{when} PATCH {plural}", f"{when} PUT /{plural}", f"{when} PATCH {plural}/status")
            for version, point in enumerate(points, 1):
                walk.die(point, apply(release, declared(kind, f"one-{when}", version)))
                in_force(release)
            assert revision(release, plural, f"one-{when}") == len(points)
    for when in WHENS:
        walk.die(f"{when} POST events", apply(release, declared("Queue", f"told-{when}", 1)))
        in_force(release)
        assert revision(release, "queues", f"told-{when}") == 1


def objects_go(release: Release, walk: Walk) -> None:
    """Some stay, to be Ready in the end."""
    for plural, kind in KIND_OF.items():
        release.kubectl.apply(declared(kind, "stays", 1))
        for when in WHENS:
            gone(release, walk, f"{when} DELETE /{plural}", plural, f"one-{when}")
    for when in WHENS:
        gone(release, walk, f"{when} PATCH queues", "queues", f"told-{when}")
    names = {queue["name"] for queue in ask(release, "GET", "/queues")["queues"]}
    assert not names & {f"{name}-{when}" for name in ("one", "told") for when in WHENS}


def the_lease_is_taken(release: Release, walk: Walk) -> None:
    free = '{"spec":{"holderIdentity":""}}'
    for when in WHENS:
        name = walk.lease()["metadata"]["name"]
        release_it = partial(release.kubectl.works, "patch", "lease", name, "--type=merge", "-p", free)
        walk.die_taking_over(f"{when} PUT leases", release_it)
        remove_it = partial(release.kubectl.works, "delete", "lease", name)
        walk.die_taking_over(f"{when} POST leases", remove_it)


def a_worker_is_protected(release: Release, walk: Walk) -> None:
    """Its pod is told after each pull how much work it holds."""
    release.kubectl.apply(worker())
    for held, when in enumerate(WHENS, 1):
        assert ask(release, "POST", "/queues/chores/jobs", {"name": "chore", "data": {}})["ok"]
        pull = {"worker_id": WORKER, "lease_ms": 3_600_000}
        walk.die(f"{when} PATCH pods", partial(ask, release, "POST", "/queues/chores/pull", pull))
        until(f"a cost of {held}", lambda: cost(release) == str(held), STEP_S, every=0.5)  # noqa: B023
    # The load is judged with all jobs that are there in the end.
    assert ask(release, "DELETE", "/queues/chores?force=true")["ok"]


def worker() -> Object:
    container = {"name": "worker", "image": IMAGE, "imagePullPolicy": "Never", "command": ["sleep", "3600"]}
    spec = {
        "securityContext": RESTRICTED_POD,
        "terminationGracePeriodSeconds": 0,
        "containers": [{**container, "securityContext": RESTRICTED}],
    }
    metadata = {"name": WORKER, "labels": {LABEL: "true"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def cost(release: Release) -> str | None:
    annotations: dict[str, str] = release.kubectl.get("pod", WORKER)["metadata"].get("annotations", {})
    return annotations.get(ANNOTATION)


def the_certificate_is_renewed(release: Release, walk: Walk) -> None:
    """Once for each wish."""
    name = f"{SERVICE}-peers"
    seen = [certificate(release, name)]
    for when in WHENS:
        wish = partial(release.kubectl.run, "annotate", "secret", name, f"{RENEW}={when}", "--overwrite")
        walk.die(f"{when} PATCH secrets", wish)
        until("the wish to be granted", lambda: certificate(release, name)[1] == when, STEP_S, every=0.5)  # noqa: B023
        seen.append(certificate(release, name))
    assert len({made for made, _ in seen}) == len(seen)
    # Long enough for a look by the one that came back.
    walk.die("after PATCH queues/status", apply(release, declared("Queue", "stays", 2)))
    in_force(release)
    assert certificate(release, name) == seen[-1]


def certificate(release: Release, name: str) -> tuple[str, str | None]:
    """As it is in the Secret, and for which wish."""
    found = release.kubectl.get("secret", name)
    return found["data"]["tls.crt"], found["metadata"].get("annotations", {}).get(RENEWED)


def volumes_are_to_grow(release: Release, walk: Walk) -> None:
    """The class of the volumes may refuse it, which is then told."""
    before = release.kubectl.get("statefulset", SERVICE)["metadata"]["annotations"][STORAGE]

    def wanted(size: str) -> None:
        release.kubectl.run("annotate", "statefulset", SERVICE, f"{STORAGE}={size}", "--overwrite")

    for when, size in zip(WHENS, ("100Gi", "101Gi"), strict=True):
        walk.die(f"{when} PATCH persistentvolumeclaims", partial(wanted, size))
        until("its outcome to be told", lambda: told_of_volumes(release, size), STEP_S, every=0.5)  # noqa: B023
    wanted(before)


def told_of_volumes(release: Release, size: str) -> bool:
    sizes = {claim["spec"]["resources"]["requests"]["storage"] for claim in release.kubectl.items("pvc")}
    return sizes == {size} or "VolumeNotGrown" in {event["reason"] for event in release.kubectl.items("events")}


def members_are_removed(release: Release, walk: Walk) -> None:
    """Pods that may not ask for the size of their StatefulSet do not leave by themselves."""
    scale(release, 5)
    wait_members(release, 5)
    release.kubectl.run("delete", "rolebinding", f"{SERVICE}-size")
    for when, size in zip(WHENS, (4, 3), strict=True):
        walk.die(f"{when} DELETE /cluster/members", partial(scale, release, size))
        wait_members(release, size)


def gone(release: Release, walk: Walk, point: str, plural: str, name: str) -> None:
    kind = f"{plural}.rustqueue.io"
    walk.die(point, partial(release.kubectl.run, "delete", kind, name, "--wait=false"))
    until(f"{kind}/{name} to be gone", lambda: release.kubectl.find(kind, name) is None, STEP_S)


def apply(release: Release, item: Object) -> Callable[[], None]:
    return lambda: release.kubectl.apply(item)


def in_force(release: Release) -> None:
    until("all objects to be in force", lambda: all_in_force(release.kubectl), STEP_S, every=0.2)
