"""The operator dies where it is told to, once, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rustqueue_operator.failpoints import EXIT_CODE, FILE, cluster_point, kubernetes_point, reached
from rustqueue_operator.kube.calls import OURS

PASSES = "from rustqueue_operator import failpoints; failpoints.reached('after', 'PUT /queues'); print('alive')"


def pass_point(file: Path) -> subprocess.CompletedProcess[str]:
    # With the rest of ours: an interpreter with a shared library may be found by a variable only.
    environment = {**os.environ, FILE: str(file), "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", PASSES], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_dies_once_and_the_next_process_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "failpoint"
    file.write_text("after PUT /queues\n")

    first, second = pass_point(file), pass_point(file)

    assert (first.returncode, first.stdout) == (EXIT_CODE, "")
    assert (second.returncode, second.stdout) == (0, "alive\n")


def test_at_another_place_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "failpoint"
    file.write_text("before PUT /queues")
    monkeypatch.setenv(FILE, str(file))

    reached("after", "PUT /queues")
    reached("before", "PUT /schedules")

    assert file.exists()


def test_without_the_setting_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    reached("before", "PUT /queues")


@pytest.mark.parametrize(
    ("method", "path", "point"),
    [
        ("PATCH", f"{OURS}/namespaces/team/queues/events", "PATCH queues"),
        ("PATCH", f"{OURS}/namespaces/team/queues/status/status", "PATCH queues/status"),
        ("POST", "/api/v1/namespaces/team/events", "POST events"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/team/leases/one", "PUT leases"),
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/team/leases", "POST leases"),
    ],
)
def test_writes_to_kubernetes_are_named_as_in_a_role(method: str, path: str, point: str) -> None:
    assert kubernetes_point(method, path) == point


@pytest.mark.parametrize(
    ("method", "path", "point"),
    [
        ("PUT", "/queues/mail", "PUT /queues"),
        ("DELETE", "/queues/a%2Fb?force=true", "DELETE /queues"),
        ("DELETE", "/cluster/members/jobs-3%2341", "DELETE /cluster/members"),
    ],
)
def test_writes_to_the_queue_are_named_without_the_thing(method: str, path: str, point: str) -> None:
    assert cluster_point(method, path) == point
