"""One control plane for all tests of this folder, and a namespace of its own for each test."""

import itertools
from collections.abc import Iterator

import pytest

from e2e.api.operated import Operated, operated
from e2e.api.receiver import Receiver
from e2e.harness.control_plane import ControlPlane, control_plane
from e2e.harness.kubectl import Kubectl

namespaces = itertools.count(1)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture(scope="session")
def release(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """One release for all tests that need a node and an operator."""
    with operated(plane, tmp_path_factory.mktemp("release")) as running:
        yield running


@pytest.fixture
def kubectl(plane: ControlPlane) -> Iterator[Kubectl]:
    """kubectl as an administrator, in a new namespace."""
    name = f"test-{next(namespaces)}"
    plane.kubectl.run("create", "namespace", name)
    mine = plane.kubectl.within(name)
    mine.wait_account()
    yield mine
    plane.kubectl.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()
