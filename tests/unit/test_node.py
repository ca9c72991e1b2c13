"""The node as a process: it says its ports, keeps what it acknowledged, stops as it should, and fails loudly."""

import contextlib
import json
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rustqueue.demo.ports import free_port
from rustqueue.node import EXIT_CANNOT_START, EXIT_CLEAN, EXIT_FAULT, EXIT_FORCED, Node, NodeError
from rustqueue.settings import JobsSettings, ServerSettings, StorageSettings
from tests.unit.tcp_client import a_node, connected, settings_for_tests

PROGRAM = """
import sys
from rustqueue.node import run_node
from rustqueue.settings import load_settings
sys.exit(run_node(load_settings(sys.argv[1], {}, {})))
"""
CONFIG = """
[server]
host = "127.0.0.1"
http_port = 0
tcp_port = 0
[storage]
path = "{folder}"
[logging]
format = "json"
"""
FILE_SIZE_MAX = 32 * 1024 * 1024


class Process:
    """A node of its own process, whose log is read line by line."""

    def __init__(self, folder: Path, config: str = "", limit: tuple[int, int] | None = None) -> None:
        path = folder / "rustqueue.toml"
        path.write_text(CONFIG.format(folder=folder / "data") + config)

        def set_limit() -> None:
            if limit is not None:
                resource.setrlimit(limit[0], (limit[1], limit[1]))

        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)],
            stdout=subprocess.PIPE,
            preexec_fn=set_limit,
            text=True,
        )

    def event(self, name: str) -> dict[str, Any]:
        """Read the log up to this event."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            fields: dict[str, Any] = json.loads(line)
            if fields["event"] == name:
                return fields
        raise AssertionError(f"the log ended without {name!r}")

    def wait(self) -> int:
        return self.process.wait(timeout=120)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def a_process(folder: Path, config: str = "", limit: tuple[int, int] | None = None) -> Iterator[Process]:
    process = Process(folder, config, limit)
    try:
        yield process
    finally:
        process.close()


@contextmanager
def a_talk(port: int) -> Iterator["Talk"]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        yield Talk(connection)


class Talk:
    """A blocking client, a line at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")

    def send(self, cmd: str, **fields: object) -> None:
        self._connection.sendall(msgspec.json.encode({"cmd": cmd, **fields}) + b"\n")

    def answer(self) -> dict[str, Any] | None:
        line = self._lines.readline()
        return json.loads(line) if line else None

    def ask(self, cmd: str, **fields: object) -> dict[str, Any]:
        self.send(cmd, **fields)
        answer = self.answer()
        assert answer is not None, "the node closed the connection"
        return answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_answers_who_waits_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    # Given a node with a client that waits for a job
    with a_process(tmp_path) as node:
        with a_talk(node.event("ready")["tcp_port"]) as client:
            client.send("pull", queue="mail", wait_ms=60_000)
            assert client.ask("health", request_id=1)["ok"] is True
            # When it is told to stop
            node.process.send_signal(number)
            # Then the client has an empty answer and the end, and the process its clean one
            assert client.answer() == {"ok": True, "job": None}
            assert client.answer() is None
        assert node.event("stopping")["signal"] == number.name
        assert node.wait() == EXIT_CLEAN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_member_that_waits_for_its_cluster_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    # Given a member whose others are not there
    port = free_port()
    config = f"""
[cluster]
enabled = true
insecure = true
node_id = "n0"
listen = "127.0.0.1:{port}"
peers = ["n0=127.0.0.1:{port}", "n1=127.0.0.1:1"]
"""
    with a_process(tmp_path, config) as node:
        node.event("peer link")
        # When it is told to stop
        node.process.send_signal(number)
        # Then it does, and its folder can be used at once
        assert node.event("stopping")["signal"] == number.name
        node.event("stopped before it was ready")
        assert node.wait() == EXIT_CLEAN
    with a_process(tmp_path, config) as again:
        again.event("peer link")


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    # Given a node that acknowledged a push and an ack, and is killed
    with a_process(tmp_path) as node:
        with a_talk(node.event("ready")["tcp_port"]) as client:
            ids = client.ask("push_batch", queue="mail", jobs=[{"name": "n"}] * 3)["ids"]
            pulled = client.ask("pull", queue="mail")["job"]
            assert client.ask("ack", id=pulled["id"], result={"sum": 5})["ok"] is True
        node.process.kill()
        node.wait()
    # When it is started on the same folder
    with a_process(tmp_path) as node:
        assert node.event("log replayed")["replayed"] == 3
        with a_talk(node.event("ready")["tcp_port"]) as client:
            # Then all of it is there
            states = [client.ask("get", id=job_id)["job"]["state"] for job_id in ids]
            assert states == ["completed", "waiting", "waiting"]
            assert client.ask("get", id=ids[0])["job"]["result"] == {"sum": 5}
        node.process.terminate()
        assert node.wait() == EXIT_CLEAN
    # And after a clean stop there is nothing to replay
    with a_process(tmp_path) as node:
        assert node.event("log replayed")["replayed"] == 0


def test_the_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    # Given a node that is stopping and has a client that reads nothing of a large answer
    with a_process(tmp_path) as node, a_talk(node.event("ready")["tcp_port"]) as client:
        client.ask("push", queue="mail", name="n", data="x" * 1_000_000)
        client.ask("push_batch", queue="mail", jobs=[{"name": "n", "data": "x" * 1_000_000}] * 15)
        client.send("pull", queue="mail", count=16)
        client.send("pull", queue="mail", count=16, wait_ms=60_000)
        node.process.terminate()
        node.event("stopping")
        # When a second signal comes
        node.process.terminate()
        # Then nothing is waited for
        assert node.wait() == EXIT_FORCED


def test_a_log_that_cannot_be_written_ends_the_process_and_says_what_to_do(tmp_path: Path) -> None:
    # Given a node whose files may not grow beyond 32 MiB, which is no lack of room that it could wait for
    with a_process(tmp_path, limit=(resource.RLIMIT_FSIZE, FILE_SIZE_MAX)) as node:
        with a_talk(node.event("ready")["tcp_port"]) as client:
            # When it is given more than that
            answers = []
            for _ in range(40):
                answers.append(client.ask("push", queue="mail", name="n", data="x" * 1_000_000))
                if not answers[-1]["ok"]:
                    break
            # Then the push that was not stored has an unknown outcome, never a false ok
            assert answers[-1]["error"]["code"] == "OUTCOME_UNKNOWN"
        failed = node.event("node failed")
        assert "File too large" in failed["reason"]
        assert "start the node again" in failed["advice"]
        assert node.wait() == EXIT_FAULT
    # And everything that was acknowledged is there afterwards
    acknowledged = len(answers) - 1
    with a_process(tmp_path) as node, a_talk(node.event("ready")["tcp_port"]) as client:
        assert client.ask("stats", queue="mail")["counts"]["waiting"] in (acknowledged, acknowledged + 1)


def test_a_second_node_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with a_process(tmp_path) as node:
        node.event("ready")
        with a_process(tmp_path) as second:
            assert "in use by another process" in second.event("cannot start")["reason"]
            assert second.wait() == EXIT_CANNOT_START


async def test_a_port_in_use_is_refused_and_the_folder_let_go(tmp_path: Path) -> None:
    storage = StorageSettings(path=str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = ServerSettings(host="127.0.0.1", http_port=taken.getsockname()[1], tcp_port=0)
        with pytest.raises(NodeError, match="for HTTP: Address already in use: stop what listens there"):
            await Node(settings_for_tests(server=server, storage=storage)).start()
    async with a_node(storage=storage) as node:
        assert node.ready() == (True, "")


async def test_a_data_folder_that_cannot_be_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, reason in (
        (file, f"the data folder {file} is a file"),
        (file / "x", f"cannot make the data folder {file}/x"),
    ):
        with pytest.raises(NodeError) as refused:
            await Node(settings_for_tests(storage=StorageSettings(path=str(path)))).start()
        assert str(refused.value).startswith(reason)
        assert str(refused.value).endswith("give another one with --data (storage.path)")


def test_notes_about_settings_are_logged_and_secrets_are_not(tmp_path: Path) -> None:
    config = '[auth]\nenabled = true\ntokens = ["hush-hush"]\n[scheduler]\ntick_interval_ms = 500\n'
    with a_process(tmp_path, config) as node:
        assert "scheduler.tick_interval_ms" in node.event("setting without effect")["note"]
        ready = node.event("ready")
        with a_talk(ready["tcp_port"]) as client:
            assert client.ask("auth", token="wrong-guess")["error"]["code"] == "UNAUTHORIZED"
            assert client.ask("auth", token="hush-hush")["ok"] is True
        node.process.terminate()
        assert node.process.stdout is not None
        rest = node.process.stdout.read()
        assert "hush" not in rest + json.dumps(ready)
        assert "wrong-guess" not in rest
        assert node.wait() == EXIT_CLEAN


async def test_settings_reach_the_machine_as_a_command_and_only_when_they_differ() -> None:
    async with a_node(jobs=JobsSettings(default_max_attempts=7)) as node, connected(node) as client:
        assert node.machine.applied_index == 1
        pushed = await client.ask("push", queue="mail", name="n")
        assert (await client.ask("get", id=pushed["id"]))["job"]["max_attempts"] == 7
    async with a_node() as node:
        assert node.machine.applied_index == 0


async def test_a_memory_node_leaves_nothing_behind() -> None:
    async with a_node() as node:
        folder = Path(node.folder)
        assert [path.name for path in sorted(folder.iterdir())] == ["journal", "secret.key"]  # noqa: ASYNC240
    assert not folder.exists()  # noqa: ASYNC240


async def test_health_and_readiness_tell_what_the_node_is() -> None:
    async with a_node() as node:
        health = node.health()
        assert (health.status, health.role, health.leader, health.term, health.lag) == ("healthy", "leader", "n0", 1, 0)
        assert node.ready() == (True, "")
        await node.stop(5)
        assert node.ready() == (False, "the node is shutting down")


def test_a_process_serves_http_beside_tcp(tmp_path: Path) -> None:
    with a_process(tmp_path) as node:
        port = node.event("ready")["http_port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health", timeout=60) as answer:
            assert json.load(answer)["status"] == "healthy"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/metrics/prometheus", timeout=60) as answer:
            assert b"rustqueue_raft_applied_index 0.0" in answer.read()


def test_connections_are_bounded_by_the_open_files_that_the_system_allows(tmp_path: Path) -> None:
    with a_process(tmp_path, limit=(resource.RLIMIT_NOFILE, 300)) as node:
        said = node.event("fewer connections than set, for want of open files")
        assert (said["tcp_connections_max"], said["http_connections_max"]) == (83, 67)
        with contextlib.ExitStack() as stack:
            port = node.event("ready")["tcp_port"]
            clients = [stack.enter_context(a_talk(port)) for _ in range(84)]
            assert all(client.ask("health")["ok"] for client in clients[:83])
            refused = clients[83].answer()
            assert refused is not None
            assert refused["error"]["code"] == "OVERLOADED"
            assert clients[0].ask("push", queue="mail", name="n")["ok"] is True
        node.process.terminate()
        assert node.wait() == EXIT_CLEAN
