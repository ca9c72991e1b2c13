"""Backups of a node in an object store that speaks S3, by the command line as the chart's pods run it."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.api.operated import TOKEN, Node
from e2e.harness.gateway import Gateway
from e2e.harness.object_store import BUCKET, ObjectStore, Store

COMMAND_S = 120
JOBS, JOB_BYTES = 60, 500_000


# The real one has to be compiled first, for which continuous integration leaves no time.
@pytest.fixture(scope="module", params=[ObjectStore, pytest.param(Gateway, marks=pytest.mark.slow)])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store: Store = request.param(tmp_path_factory.mktemp("objects"))
    try:
        store.start()
        yield store
    finally:
        store.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """With more in it than one part of an upload holds."""
    node = Node(tmp_path_factory.mktemp("node"))
    try:
        node.start()
        for _ in range(JOBS):
            job = {"name": "job", "data": secrets.token_hex(JOB_BYTES // 2)}
            assert node.ask("POST", "/queues/mail/jobs", job)["ok"]
        yield node
    finally:
        node.program.kill()


def rustqueue(environment: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "rustqueue", *map(str, words)]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False)


def create(node: Node, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    known = {"RUSTQUEUE_URL": node.url, "RUSTQUEUE_TOKEN": TOKEN}
    return rustqueue({**environment, **known}, "backup", "create", *words)


def test_a_backup_goes_there_and_comes_back(objects: Store, node: Node, tmp_path: Path) -> None:
    environment = objects.environment()
    first = create(node, environment, f"s3://{BUCKET}/mail/", "--keep", "1")
    assert first.returncode == 0, first.stderr
    node.push("mail")
    second = create(node, environment, f"s3://{BUCKET}/mail/", "--keep", "1")
    assert (second.returncode, second.stderr) == (0, "1 older backups removed\n")

    address, state = second.stdout.splitlines()[:2]
    verified = rustqueue(environment, "backup", "verify", address)
    assert verified.stdout.splitlines()[:2] == [f"{address} is whole", state]
    gone = rustqueue(environment, "backup", "verify", first.stdout.splitlines()[0])
    assert (gone.returncode, "NoSuchKey" in gone.stderr) == (1, True), gone.stderr

    restored = rustqueue(environment, "restore", address, "--data", tmp_path / "data")
    assert restored.returncode == 0, restored.stderr
    assert state.rpartition(" ")[2] in restored.stdout


@pytest.mark.parametrize(
    ("other", "bucket", "sentence"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, BUCKET, "SignatureDoesNotMatch"),
        ({}, "none-of-ours", "NoSuchBucket: The specified bucket does not exist"),
    ],
)
def test_what_the_store_refuses_is_said_in_one_line(
    objects: Store, node: Node, other: dict[str, str], bucket: str, sentence: str
) -> None:
    refused = create(node, objects.environment(**other), f"s3://{bucket}/mail/")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert sentence in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_store_that_does_not_answer_is_given_up(objects: Store, node: Node) -> None:
    refused = create(node, objects.environment(AWS_ENDPOINT_URL="http://127.0.0.1:9"), f"s3://{BUCKET}/mail/")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"s3://{BUCKET}/mail/" in refused.stderr
