"""The kubectl plugin: a program that answers as kubectl does stands in for it, the node behind it is a real one."""

import base64
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustqueue.client import Client
from rustqueue_operator import kubectl_rq
from tests.unit.node_in_thread import Ports, node_in_thread, node_settings

TOKEN = "secret"

# Answers from a file by the words that it was called with; forwards nothing, since the node listens here anyway.
KUBECTL = """\
#!{python}
import json, sys, time
answers, port = json.load(open({answers!r})), {port}
words = [word for word in sys.argv[1:] if not word.startswith("-")]
if words[0] == "port-forward":
    if words[1] != "service/rq":
        sys.exit("Error from server (NotFound): services not found")
    print(f"Forwarding from 127.0.0.1:{{port}} -> 6790", flush=True)
    time.sleep(60)
answer = answers.get(" ".join(words[1:]))
if answer is None:
    sys.exit("Error from server (Forbidden): " + " ".join(words))
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder: Path = tmp_path_factory.mktemp("node")
    with node_in_thread(node_settings(folder, token=TOKEN)) as serving:
        with Client(serving.url("http"), token=TOKEN) as client:
            client.push("mail", "welcome", {})
        yield serving


@pytest.fixture
def answers(ports: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with what the stand-in answers; it is the kubectl of this test."""
    kept, program = tmp_path / "answers.json", tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable, answers=str(kept), port=ports.http))
    program.chmod(0o755)
    monkeypatch.setenv("KUBECTL", str(program))
    write(kept)
    return kept


def write(kept: Path, *names: str, **data: str) -> None:
    items = [
        {
            "metadata": {"namespace": "queues", "name": name},
            "data": {"address": "http://rq.queues.svc:6790", "tokenSecret": "rq-admin", **data},
        }
        for name in names or ("rq",)
    ]
    secret = {"data": {"token": base64.b64encode(TOKEN.encode()).decode()}}
    kept.write_text(json.dumps({"configmaps": {"items": items}, "secret rq-admin": secret}))


def put(ports: Ports, path: str, body: dict[str, object]) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    url = f"{ports.url('http')}/api/v1/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201


def test_a_command_runs_against_the_cluster(answers: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert kubectl_rq.run(["-n", "queues", "stats", "mail", "--output", "json"]) == 0

    assert json.loads(capfd.readouterr().out)["counts"]["waiting"] == 1


def test_a_running_cluster_is_exported_as_objects(
    answers: Path, ports: Ports, capfd: pytest.CaptureFixture[str]
) -> None:
    with Client(ports.url("http"), token=TOKEN) as client:
        client.put_queue("Mail_Out", lease_ms=60_000)
        client.put_queue("odd", lease_ms=1_500)
    declared: tuple[tuple[str, dict[str, object]], ...] = (
        ("schedules/Daily", {"queue": "mail", "job_name": "digest", "cron_expr": "0 6 * * *", "missed": "all"}),
        ("webhooks/audit", {"url": "https://hooks.example.org/in", "secret": "a-secret-of-some-length"}),
        ("webhooks/plain", {"url": "https://hooks.example.org/in", "events": ["job.dlq"], "timeout_ms": 5_000}),
        ("webhooks/shy", {"url": "https://hooks.example.org/in", "headers": {"X-Team": "a"}}),
    )
    for path, body in declared:
        put(ports, path, body)

    assert kubectl_rq.run(["export"]) == 1

    told = capfd.readouterr()
    objects = {item["metadata"]["name"]: item["spec"] for item in json.loads(told.out)["items"]}
    assert objects == {
        "mail": {"adopt": "IfIdentical"},
        "mail-out": {"name": "Mail_Out", "leaseSeconds": 60, "adopt": "IfIdentical"},
        "daily": {
            "name": "Daily",
            "queue": "mail",
            "cron": "0 6 * * *",
            "missedRunPolicy": "All",
            "jobTemplate": {"name": "digest"},
            "adopt": "IfIdentical",
        },
        "audit": {
            "url": "https://hooks.example.org/in",
            "secretKeyRef": {"name": "audit", "key": "secret"},
            "adopt": "IfIdentical",
        },
        "plain": {
            "url": "https://hooks.example.org/in",
            "events": ["job.dlq"],
            "timeoutSeconds": 5,
            "adopt": "IfIdentical",
        },
    }
    assert "webhook shy is left out: shy: headers x-team" in told.err.lower()
    assert "webhook audit: its secret is not told" in told.err
    assert "queue odd is left out: lease_ms is 1500" in told.err


def test_short_forms_do_what_they_stand_for(answers: Path, ports: Ports, capfd: pytest.CaptureFixture[str]) -> None:
    put(ports, "schedules/nightly", {"queue": "reports", "job_name": "sums", "cron_expr": "0 3 29 2 *"})
    json_form = ["--output", "json"]

    def told(*words: str) -> dict[str, object]:
        assert kubectl_rq.run([*words, *json_form]) == 0
        answer: dict[str, object] = json.loads(capfd.readouterr().out)
        return answer

    with Client(ports.url("http"), token=TOKEN) as client:
        client.push("shelf", "welcome", {})
        assert told("pause", "shelf")["ok"]
        assert told("queue", "settings", "shelf")["mode"] == "reject"
        assert told("resume", "shelf")["ok"]
        assert told("queue", "settings", "shelf")["mode"] == "normal"
        assert [job["queue"] for job in told("peek", "shelf")["jobs"]] == ["shelf"]  # type: ignore[attr-defined]
        assert told("schedule", "run-now", "nightly")["ok"]
        assert [job["name"] for job in told("peek", "reports")["jobs"]] == ["sums"]  # type: ignore[attr-defined]
    assert kubectl_rq.run(["webhook", "test", "none"]) == 1
    assert "WEBHOOK_NOT_FOUND: Webhook 'none' not found" in capfd.readouterr().err


def test_its_exit_code_is_that_of_the_command(answers: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert kubectl_rq.run(["inspect", "0193e7a0-1111-7000-8000-000000000000"]) == 1
    assert "JOB_NOT_FOUND" in capfd.readouterr().err


def test_of_several_clusters_one_is_named(answers: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(answers, "a", "b")

    assert kubectl_rq.run(["status"]) == 2
    assert "(there: a, b)" in capfd.readouterr().err
    assert kubectl_rq.run(["--cluster", "a", "status"]) == 0


@pytest.mark.parametrize("words", [[], ["serve"]])
def test_what_is_no_question_to_a_cluster_is_refused(
    words: list[str], answers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert kubectl_rq.run(words) == 2
    assert "say what to do" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"tokenSecret": "hidden"}, "Forbidden"),
        ({"tokenKey": "other"}, "has no key other"),
        ({"address": "http://gone.queues.svc:6790"}, "services not found"),
    ],
)
def test_no_way_to_the_cluster_is_told_in_a_sentence(
    data: dict[str, str], message: str, answers: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(answers, **data)

    assert kubectl_rq.run(["status"]) == 3
    assert message in capfd.readouterr().err
