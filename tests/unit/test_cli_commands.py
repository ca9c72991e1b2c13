"""Every command against a real node: what it prints, and its exit code."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustqueue.cli.parsing import EXIT_NO_CONNECTION
from rustqueue.cli.program import run
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings

MISSING = "01a20280-e4d1-7000-9c3f-13dcb3cc0287"


class Shell:
    """Runs commands as a person would and keeps what they print."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = url
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = run([*words, "--url", self._url])
        shown = self._capsys.readouterr()
        return code, shown.out, shown.err

    def json(self, *words: str) -> object:
        code, out, err = self(*words, "--output", "json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def push(self, *words: str) -> str:
        code, out, err = self("push", *words)
        assert (code, err) == (0, "")
        return out.strip()


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with node_in_thread(node_settings(tmp_path_factory.mktemp("data"))) as ports:
        yield ports


@pytest.fixture(params=["http", "tcp"])
def shell(ports: Ports, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(ports.url(request.param), capsys)


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of its own for every test."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


def test_a_job_is_pushed_pulled_acknowledged_and_inspected(shell: Shell, queue: str) -> None:
    # Given a job pushed from the command line
    job_id = shell.push("--queue", queue, "--name", "greet", "--data", '{"to": "ann"}', "--priority", "7", "--tag", "x")
    # When it is pulled
    pulled = shell.json("pull", "--queue", queue)
    assert isinstance(pulled, dict)
    [job] = pulled["jobs"]
    assert (job["id"], job["data"], job["priority"], job["tags"]) == (job_id, {"to": "ann"}, 7, ["x"])
    # And acknowledged
    acked = shell("ack", job_id, "--attempt-token", job["attempt_token"], "--result", "[1]")
    assert acked == (0, f"{job_id} completed\n", "")
    # Then it is completed with its result
    code, out, err = shell("inspect", job_id)
    shown = json.loads(out)
    assert (code, err, shown["state"], shown["result"]) == (0, "", "completed", [1])


def test_an_empty_pull_is_no_error(shell: Shell, queue: str) -> None:
    assert shell("pull", "--queue", queue) == (0, "", f"no job is ready in {queue}\n")


def test_a_failed_job_is_tried_again_then_dead_then_brought_back(shell: Shell, queue: str) -> None:
    job_id = shell.push("--queue", queue, "--name", "greet", "--max-attempts", "1")
    shell("pull", "--queue", queue)
    assert shell("fail", job_id, "--error", "mailbox full") == (0, f"{job_id} is in the dead letters now\n", "")
    code, out, err = shell("dlq", "list", queue)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["ID", "Queue", "Name", "State", "Attempt", "Last", "error"],
        [job_id, queue, "greet", "dlq", "1", "mailbox", "full"],
    ]
    assert shell("dlq", "retry", queue, "--dry-run") == (0, "0 jobs of 1 would be brought back\n", "")
    assert shell("dlq", "retry", queue) == (0, "1 job of 1 brought back\n", "")
    assert shell.json("stats", queue) == {
        "ok": True,
        "counts": {"waiting": 1, "active": 0, "delayed": 0, "completed": 0, "failed": 0, "dlq": 0, "blocked": 0},
        "mode": "normal",
    }


def test_a_file_of_jobs_is_pushed_in_order(shell: Shell, queue: str, tmp_path: Path) -> None:
    lines = [{"name": "a", "data": 1}, {"name": "b"}, {"name": "c", "options": {"priority": 3}}]
    file = tmp_path / "jobs.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    ids = shell.push("--queue", queue, "--file", str(file)).splitlines()
    jobs = [json.loads(shell("inspect", job_id)[1]) for job_id in ids]
    assert [(job["name"], job["data"], job["priority"]) for job in jobs] == [("a", 1, 0), ("b", {}, 0), ("c", {}, 3)]


def test_a_wrong_line_of_a_file_is_named(shell: Shell, queue: str, tmp_path: Path) -> None:
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"name":"a"}\n{"nam":"b"}\n')
    code, out, err = shell("push", "--queue", queue, "--file", str(file))
    assert (code, out) == (2, "")
    assert err.startswith("rustqueue: line 2: ")


def test_a_queue_is_paused_and_resumed(shell: Shell, queue: str) -> None:
    assert shell("queues", "pause", queue, "--mode", "hold") == (0, f"{queue} is paused: nothing is handed out\n", "")
    shell.push("--queue", queue, "--name", "greet")
    assert shell("pull", "--queue", queue)[0:2] == (0, "")
    assert "paused (mode hold)" in shell("queues", "stats", queue)[1]
    assert shell("queues", "resume", queue) == (0, f"{queue} runs again\n", "")
    assert len(shell("pull", "--queue", queue)[1].splitlines()) == 2


def test_settings_of_a_queue_are_replaced_and_shown(shell: Shell, queue: str) -> None:
    code, out, err = shell("queues", "settings", queue, "--set", '{"lease_ms": 60000, "limits": {"max_waiting": 1}}')
    assert (code, json.loads(out), err) == (0, {"limits": {"max_waiting": 1}, "lease_ms": 60000}, "")
    assert json.loads(shell("queues", "settings", queue)[1]) == json.loads(out)
    shell.push("--queue", queue, "--name", "greet")
    pushing = ("push", "--queue", queue, "--name", "greet", "--timeout-s")
    code, out, err = shell(*pushing, "3")
    if code == EXIT_NO_CONNECTION:
        # It is asked again until the time is up, and a stall of the machine has eaten the time of the last question.
        code, out, err = shell(*pushing, "30")
    assert (code, out) == (1, "")
    assert err == f"rustqueue: RATE_LIMITED: Queue '{queue}' holds 1 waiting jobs, its limit\n"


def test_bulk_commands_say_how_many(shell: Shell, queue: str) -> None:
    for name in ("a", "b"):
        shell.push("--queue", queue, "--name", name)
    assert shell("queues", "drain", queue) == (0, "2 jobs of 2 removed\n", "")
    assert shell("dlq", "purge", queue) == (0, "0 jobs of 0 deleted\n", "")
    assert shell("queues", "delete", queue)[0] == 0


def test_one_job_is_cancelled_promoted_and_removed(shell: Shell, queue: str) -> None:
    job_id = shell.push("--queue", queue, "--name", "greet", "--delay-ms", "3600000")
    assert shell("promote", job_id) == (0, f"{job_id} is ready\n", "")
    assert shell("cancel", job_id) == (0, f"{job_id} cancelled\n", "")
    assert shell("remove", job_id) == (0, f"{job_id} removed\n", "")
    assert shell("inspect", job_id) == (1, "", f"rustqueue: JOB_NOT_FOUND: Job '{job_id}' not found\n")


def test_refusals_are_one_line_and_code_1(shell: Shell, queue: str) -> None:
    refused = [
        shell("inspect", MISSING),
        shell("ack", MISSING),
        shell("cancel", "no-id"),
        shell("push", "--queue", "bad queue", "--name", "x"),
    ]
    assert [(code, out, err.count("\n")) for code, out, err in refused] == [(1, "", 1)] * 4
    assert [err.split(":")[1].strip() for _, _, err in refused] == [
        "JOB_NOT_FOUND",
        "JOB_NOT_FOUND",
        "VALIDATION_ERROR",
        "VALIDATION_ERROR",
    ]


def test_queues_are_listed(shell: Shell, queue: str) -> None:
    shell.push("--queue", queue, "--name", "greet")
    listed = [line.split() for line in shell("queues", "list")[1].splitlines()]
    status = [line.split() for line in shell("status")[1].splitlines()]
    assert listed[0] == ["Queue", "Waiting", "Active", "Delayed", "Blocked", "Completed", "DLQ", "Mode"]
    assert [queue, "1", "0", "0", "0", "0", "0", "normal"] in listed
    assert status[0] == ["Queue", "Waiting", "Active", "Delayed", "Done", "Failed", "DLQ"]
    assert [queue, "1", "0", "0", "0", "0", "0"] in status
    assert "jobs" in shell("stats")[1]


def test_jobs_are_listed_page_by_page(shell: Shell, queue: str) -> None:
    ids = [shell.push("--queue", queue, "--name", name) for name in ("a", "b")]
    code, out, err = shell("jobs", "--queue", queue, "--limit", "1")
    assert (code, ids[1] in out, ids[0] in out) == (0, True, False)
    cursor = err.removeprefix("more: --cursor ").strip()
    code, out, err = shell("jobs", "--queue", queue, "--limit", "1", "--cursor", cursor)
    assert (code, ids[0] in out) == (0, True)


def test_bench_measures_and_leaves_nothing_to_do(shell: Shell, queue: str) -> None:
    result = shell.json("bench", "--jobs", "120", "--batch", "50", "--connections", "2", "--queue", queue)
    assert isinstance(result, dict)
    assert [(phase["name"], phase["jobs"]) for phase in result["phases"]] == [("push", 120), ("pull + ack", 120)]
    stats = shell.json("stats", queue)
    assert isinstance(stats, dict)
    assert (stats["counts"]["waiting"], stats["counts"]["completed"]) == (0, 120)


def test_a_token_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with node_in_thread(node_settings(tmp_path, token="right")) as ports:
        outcomes = [
            run(["status", "--url", ports.url(scheme), *words])
            for scheme in ("http", "tcp")
            for words in ([], ["--token", "wrong"], ["--token", "right"])
        ]
    assert outcomes == [1, 1, 0, 1, 1, 0]
    assert capsys.readouterr().err.count("\n") == 4
