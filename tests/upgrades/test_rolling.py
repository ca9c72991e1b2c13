"""A rolling upgrade of three real nodes, back and forth, and what is refused once it is complete."""

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import rustqueue
from rustqueue.client import Client, RustQueueError
from rustqueue.demo.local_cluster import LocalCluster
from rustqueue.demo.ports import free_port
from tests.upgrades import next_build

DEADLINE_S = 60.0


class Rollout:
    """Three nodes, each of which runs one of two builds."""

    def __init__(self, folder: Path) -> None:
        self.builds = {"this": Path(rustqueue.__file__).parent.parent, "next": next_build.make(folder / "next")}
        self.cluster = LocalCluster(3, folder / "data", free_port(*LocalCluster(3, folder, 0).ports[1:]))
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int, build: str) -> None:
        folder = self.cluster.folder
        folder.mkdir(exist_ok=True)
        with (folder / f"n{number}.log").open("ab") as log:
            self._running[number] = subprocess.Popen(
                self.cluster.words(number), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.builds[build], env=self._environment(build),
            )  # fmt: skip

    def _environment(self, build: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.builds[build])}

    def restart(self, number: int, build: str) -> None:
        self.stop(number)
        self.start(number, build)
        self.until(lambda: self.info(number)["version"] == self.version_of(build))

    @staticmethod
    def version_of(build: str) -> str:
        return next_build.VERSION if build == "next" else rustqueue.__version__

    def stop(self, number: int) -> int:
        child = self._running.pop(number)
        child.terminate()
        return child.wait(DEADLINE_S)

    def stop_all(self) -> None:
        for child in self._running.values():
            child.kill()
            child.wait()

    def ended(self, number: int) -> int:
        """Waits until a node ends by itself; its exit code."""
        return self._running.pop(number).wait(DEADLINE_S)

    def said(self, number: int) -> str:
        return (self.cluster.folder / f"n{number}.log").read_text(errors="replace")

    def client(self, number: int) -> Client:
        return Client(f"http://127.0.0.1:{self.cluster.http_port_of(number)}", timeout_s=DEADLINE_S)

    def info(self, number: int) -> dict[str, Any]:
        """Its health, and what it tells of the cluster."""
        with self.client(number) as client:
            health, told = client.health(), client.cluster()
            heard = {member.id.partition("#")[0]: (member.version, member.feature_level) for member in told.members}
            return {"version": health.version, "level": told.feature_level, "heard": heard, "leader": health.leader}

    def mark(self, number: int) -> str:
        """The command of the next release, at a node of it; "" when it was done, else the code of the refusal."""
        with (
            socket.create_connection(("127.0.0.1", self.cluster.tcp_port_of(number)), DEADLINE_S) as connection,
            connection.makefile("rwb") as lines,
        ):
            lines.write(b'{"cmd":"queue_mark","queue":"q"}\n')
            lines.flush()
            answer = json.loads(lines.readline())
        return "" if answer["ok"] else str(answer["error"]["code"])

    def states(self) -> set[tuple[int, str]]:
        """Applied index and state hash of every node, each as fresh as the last acknowledged write."""
        found = set()
        for number in self._running:
            with self.client(number) as client:
                backup = client.begin_backup()
                client.end_backup(backup.id)
                found.add((backup.manifest.index, backup.manifest.state_hash))
        return found

    def until(self, holds: Callable[[], bool]) -> None:
        ends_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                if holds():
                    return
            except RustQueueError:
                pass
            assert time.monotonic() < ends_s, "it did not come about in time"
            # The nodes are processes of their own: nothing here is told when they are ready.
            threading.Event().wait(0.1)


@contextmanager
def rollout(folder: Path) -> Iterator[Rollout]:
    nodes = Rollout(folder)
    try:
        yield nodes
    finally:
        nodes.stop_all()


def test_the_recipe_of_a_release_still_fits_the_sources(tmp_path: Path) -> None:
    assert (next_build.make(tmp_path) / "rustqueue" / "__main__.py").exists()


@pytest.mark.slow
def test_two_versions_side_by_side_and_the_way_back_until_all_are_new(tmp_path: Path) -> None:
    with rollout(tmp_path) as nodes:
        for number in range(3):
            nodes.start(number, "this")
        nodes.until(lambda: nodes.info(2)["heard"].keys() == {"n0", "n1", "n2"})
        this, new = ((rustqueue.__version__, next_build.LEVEL - 1), (next_build.VERSION, next_build.LEVEL))

        def push(number: int) -> None:
            with nodes.client(number) as client:
                client.push_batch("q", [{"name": "n", "data": number}] * 20)

        push(0)
        # One node of the next release: it serves, what is new is refused, and both versions have the same state
        nodes.restart(0, "next")
        nodes.until(lambda: nodes.info(0)["heard"] == {"n0": new, "n1": this, "n2": this})
        push(0)
        push(1)
        nodes.until(lambda: nodes.mark(0) == "FEATURE_NOT_ACTIVE")
        nodes.until(lambda: len(nodes.states()) == 1)
        # The way back is open
        nodes.restart(0, "this")
        push(0)
        # Then all three
        for number in range(3):
            nodes.restart(number, "next")
            push(number)
        nodes.until(lambda: [nodes.info(number)["level"] for number in range(3)] == [next_build.LEVEL] * 3)
        nodes.until(lambda: nodes.mark(1) == "")
        with nodes.client(2) as client:
            assert client.stats("q").mode == "hold"
            assert client.stats("q").counts.waiting == 140
        nodes.until(lambda: len(nodes.states()) == 1)
        # Now the way back is closed, and a node that is taken back says what it needs
        nodes.stop(2)
        nodes.start(2, "this")
        assert nodes.ended(2) != 0
        assert f"start RustQueue {next_build.VERSION} or newer" in nodes.said(2)
        nodes.start(2, "next")
        nodes.until(lambda: len(nodes.states()) == 1)
