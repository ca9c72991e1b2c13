"""The original's configuration file on a running node: what its keys do (contract A19, decisions A15, A33)."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rustqueue.settings import load_settings
from tests.unit.node_in_thread import Ports, node_in_thread

FILE = """
[server]
host = "127.0.0.1"
http_port = 0
tcp_port = 0
[storage]
backend = "redb"
path = "{folder}/data"
durability = "batched"
redb_durability = "none"
write_coalescing_interval_ms = 2
[auth]
enabled = true
tokens = ["first", "second"]
[jobs]
default_max_attempts = 1
default_backoff = "linear"
default_backoff_delay_ms = 7
default_timeout_ms = 123456
stall_timeout_ms = 400
max_dag_depth = 2
[retention]
completed_ttl = "1h"
dlq_ttl = "2h"
[dashboard]
enabled = true
path_prefix = "/ui"
[metrics]
prometheus_enabled = true
prometheus_path = "/numbers"
[webhooks]
enabled = true
max_retries = 2
[queues.slow]
rate_limit_per_second = 0.01
rate_limit_burst = 2
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder: Path = tmp_path_factory.mktemp("original")
    (folder / "rustqueue.toml").write_text(FILE.format(folder=folder))
    with node_in_thread(load_settings(str(folder / "rustqueue.toml"), {}, {})) as ports:
        yield ports


def ask(node: Ports, method: str, path: str, body: Any = None, token: str = "second") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text) if answer.getheader("Content-Type") == "application/json" else text


def push(node: Ports, queue: str, **options: Any) -> tuple[int, Any]:
    return ask(node, "POST", f"/api/v1/queues/{queue}/jobs", {"name": "n", "data": 1, **options})


def test_tokens_open_the_door(node: Ports) -> None:
    statuses = [ask(node, "GET", "/api/v1/queues", token=token)[0] for token in ("first", "second", "third")]
    assert statuses == [200, 200, 401]


def test_pages_and_metrics_stand_where_the_file_says(node: Ports) -> None:
    paths = ("/ui", "/dashboard", "/numbers", "/api/v1/metrics/prometheus")
    assert [ask(node, "GET", path)[0] for path in paths] == [200, 404, 200, 404]


def test_jobs_have_the_defaults_of_the_file(node: Ports) -> None:
    job_id = push(node, "defaults")[1]["id"]
    job = ask(node, "GET", f"/api/v1/jobs/{job_id}")[1]["job"]
    told = {name: job[name] for name in ("max_attempts", "backoff", "backoff_delay_ms", "timeout_ms")}
    assert told == {"max_attempts": 1, "backoff": "linear", "backoff_delay_ms": 7, "timeout_ms": 123_456}


def test_a_job_without_heartbeats_stalls_when_the_file_says(node: Ports) -> None:
    push(node, "stalls")
    leased = ask(node, "GET", "/api/v1/queues/stalls/jobs")[1]["job"]
    deadline_s = time.monotonic() + 60
    while (job := ask(node, "GET", f"/api/v1/jobs/{leased['id']}")[1]["job"])["state"] == "active":
        assert time.monotonic() < deadline_s
    assert (job["state"], job["last_error"]) == ("dlq", "job stalled (no heartbeat)")


def test_a_chain_is_as_deep_as_the_file_allows(node: Ports) -> None:
    parents: list[str] = []
    statuses = []
    for _ in range(4):
        status, body = push(node, "chain", depends_on=parents)
        statuses.append(status)
        parents = [body["id"]] if status == 201 else parents
    assert statuses == [201, 201, 201, 400]


def test_a_queue_has_the_rate_of_the_file_and_others_have_none(node: Ports) -> None:
    assert [push(node, queue)[0] for queue in ("slow", "slow", "slow", "fast")] == [201, 201, 429, 201]


def test_webhooks_are_there(node: Ports) -> None:
    assert ask(node, "GET", "/api/v1/webhooks") == (200, {"ok": True, "webhooks": []})


def test_pages_and_metrics_go_where_the_file_wants_none(tmp_path: Path) -> None:
    text = FILE.format(folder=tmp_path)
    text = text.replace("[dashboard]\nenabled = true", "[dashboard]\nenabled = false")
    text = text.replace("prometheus_enabled = true", "prometheus_enabled = false")
    (tmp_path / "rustqueue.toml").write_text(text.replace("[webhooks]\nenabled = true", "[webhooks]\nenabled = false"))
    with node_in_thread(load_settings(str(tmp_path / "rustqueue.toml"), {}, {})) as node:
        paths = ("/ui", "/numbers", "/api/v1/webhooks", "/api/v1/docs")
        assert [ask(node, "GET", path)[0] for path in paths] == [404, 404, 503, 200]
