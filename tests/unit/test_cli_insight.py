"""Commands that look into things, and transactions, against a real node."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.node_in_thread import Ports, node_in_thread, node_settings
from tests.unit.test_cli_commands import Shell


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with node_in_thread(node_settings(tmp_path_factory.mktemp("data"))) as ports:
        yield ports


@pytest.fixture
def shell(ports: Ports, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(ports.url("http"), capsys)


def fields(shell: Shell, *words: str) -> dict[str, Any]:
    shown = shell.json(*words)
    assert isinstance(shown, dict)
    return shown


def test_a_job_that_fails_and_dies_is_looked_into(shell: Shell) -> None:
    job_id = shell.push("--queue", "q", "--name", "n", "--max-attempts", "1", "--metadata", '{"customer":"7"}')
    why = "waiting: It is ready and waits for a worker to pull it (READY)\nplace in the line: 1\n"
    assert shell("why", job_id) == (0, why, "")
    assert shell("scale", "q", "--per-worker", "2") == (0, "1 worker: 1 ready, 0 running, 0 due soon\n", "")
    assert shell("result", job_id) == (0, "", "the job is waiting\n")
    assert [job["id"] for job in fields(shell, "jobs", "--metadata", "customer=7")["jobs"]] == [job_id]
    shell("pull", "--queue", "q", "--worker-id", "pod-1")
    shell("fail", job_id, "--error", "mailbox 17 full")

    assert shell("result", job_id, "--wait-ms", "5000") == (0, "", "the job is dlq: mailbox 17 full\n")
    code, out, _ = shell("history", job_id)
    attempt, *events = [line.split() for line in out.splitlines() if line][1:]
    assert (code, attempt[0], attempt[1], attempt[3:]) == (0, "1", "pod-1", ["failed", "mailbox", "17", "full"])
    assert [line[1:] for line in events[1:]] == [
        ["pushed", "client"],
        ["started", "worker"],
        ["failed", "worker"],
        ["dlq", "node"],
    ]
    [group] = fields(shell, "dlq", "groups", "q")["groups"]
    assert (group["count"], group["error"]) == (1, "mailbox 17 full")
    assert shell("dlq", "groups", "q")[1].splitlines()[1].split()[:2] == [group["fingerprint"], "1"]
    assert shell("dlq", "retry", "q", "--fingerprint", "0" * 16) == (0, "0 jobs of 0 brought back\n", "")
    assert shell("dlq", "retry", "q", "--fingerprint", group["fingerprint"]) == (0, "1 job of 1 brought back\n", "")


def test_a_worker_is_listed_and_drained(shell: Shell) -> None:
    shell.push("--queue", "work", "--name", "n")
    shell("pull", "--queue", "work", "--worker-id", "pod-2")
    listed = [line.split() for line in shell("workers", "list")[1].splitlines()]
    assert ["pod-2", "work", "1"] in [line[:3] for line in listed]

    assert shell("workers", "drain", "pod-2") == (0, "pod-2 takes no more jobs\n", "")
    assert [one["draining"] for one in fields(shell, "workers", "list")["workers"] if one["worker_id"] == "pod-2"] == [
        True
    ]
    assert shell("workers", "drain", "pod-2", "--undo") == (0, "pod-2 takes jobs again\n", "")
    code, _, err = shell("workers", "drain", "nobody")
    assert (code, err.partition(":")[2].partition(":")[0].strip()) == (1, "WORKER_NOT_FOUND")


@pytest.mark.parametrize(
    "words",
    [["workers", "list"], ["schedules", "list"], ["jobs"], ["dlq", "groups", "q"], ["dlq", "list", "q"]],
    ids=" ".join,
)
def test_a_cursor_that_no_page_had_is_refused(shell: Shell, words: list[str]) -> None:
    reason = "VALIDATION_ERROR: 'cursor' must be the 'next_cursor' of the page before"
    assert shell(*words, "--cursor", "s15") == (1, "", f"rustqueue: {reason}\n")


def test_a_fingerprint_that_no_error_has_is_refused(shell: Shell) -> None:
    code, out, err = shell("dlq", "retry", "q", "--fingerprint", "timeout")
    assert (code, out) == (1, "")
    assert "'filter.fingerprint' must be 16 digits of 0-9 and a-f" in err


def test_who_has_no_token_is_told_how_to_give_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with node_in_thread(node_settings(tmp_path, token="t")) as ports:
        shell = Shell(ports.url("http"), capsys)
        reason = "UNAUTHORIZED: Missing Authorization header"
        advice = "a token is given by --token, --token-file or RUSTQUEUE_TOKEN"
        assert shell("stats") == (1, "", f"rustqueue: {reason}; {advice}\n")
        assert shell("stats", "--token", "t")[0] == 0


def test_several_things_are_done_or_none(shell: Shell) -> None:
    job_id = shell.push("--queue", "tx", "--name", "n")
    shell("pull", "--queue", "tx")
    operations = [{"cmd": "ack", "id": job_id, "result": 5}, {"cmd": "push", "queue": "tx", "name": "next"}]

    assert shell("tx", json.dumps(operations)) == (0, "2 operations done\n", "")
    assert shell("result", job_id) == (0, "5\n", "")
    code, _, err = shell("tx", json.dumps(operations))
    assert (code, "INVALID_STATE" in err) == (1, True)
    code, _, err = shell("tx", '[{"cmd":"stats"}]')
    words = "push, push_batch, ack, fail, cancel"
    assert (code, err) == (1, f"rustqueue: VALIDATION_ERROR: 'operations[0].cmd' must be one of {words}\n")
    assert fields(shell, "stats", "tx")["counts"]["waiting"] == 1
    assert shell("tx", "{}") == (2, "", "rustqueue: operations must be a list of objects\n")
    assert shell("tx", '[{"cmd":"pull","queue":"q"}]')[0] == 1


def test_declared_queues_are_changed_by_those_who_have_seen_them(shell: Shell) -> None:
    declared = '{"labels":{"team":"mail"},"owner":{"uid":"u1"}}'
    shown = fields(shell, "queues", "settings", "own", "--set", declared, "--if-match", "0")
    assert (shown["labels"], shown["owner"], shown["revision"]) == ({"team": "mail"}, {"uid": "u1", "ref": ""}, 1)

    code, _, err = shell("queues", "settings", "own", "--set", "{}", "--if-match", "7")
    assert (code, "PRECONDITION_FAILED" in err) == (1, True)
    assert shell("queues", "delete", "own", "--if-owner", "u2")[0] == 1
    assert shell("queues", "delete", "own", "--if-owner", "u1")[0] == 0


def test_a_filter_of_metadata_is_a_pair(shell: Shell) -> None:
    assert shell("jobs", "--metadata", "customer") == (2, "", "rustqueue: --metadata must be KEY=VALUE\n")
