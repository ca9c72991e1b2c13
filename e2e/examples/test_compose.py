"""The files of `examples/compose/` are read by the programs that they are for."""

import http.client
import json
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.harness.debian import program
from e2e.harness.programs import Program
from e2e.harness.waiting import until
from rustqueue.demo.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE = ROOT / "examples" / "compose"
RULES = ROOT / "charts" / "rustqueue" / "files" / "rules.yaml"
DEADLINE_S = 60


def run(*words: str | Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environment or None
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    "files", [["compose.yaml"], ["compose.yaml", "monitoring.yaml"], ["three-nodes.yaml"]], ids=" ".join
)
def test_compose_takes_the_files(files: list[str]) -> None:
    """Debian's is an old version; what it takes, newer ones take."""
    words = [word for file in files for word in ("-f", str(COMPOSE / file))]

    loaded = run("docker-compose", *words, "config", PATH="/usr/bin:/bin", RUSTQUEUE_TOKEN="secret")

    assert "RUSTQUEUE_AUTH__TOKENS: secret" in loaded


def test_compose_refuses_to_run_without_a_token() -> None:
    words = ["docker-compose", "-f", str(COMPOSE / "compose.yaml"), "config"]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env={"PATH": "/usr/bin:/bin"}
    )

    assert done.returncode != 0
    assert "a token that clients have to show" in done.stderr


@pytest.fixture
def node(tmp_path: Path) -> Iterator[int]:
    """A node with the settings of the compose file; its HTTP port."""
    http, tcp = free_port(), free_port()
    words: list[str | Path] = [
        sys.executable,
        "-m",
        "rustqueue",
        "serve",
        "--data",
        tmp_path / "data",
        "--server-host",
        "127.0.0.1",
    ]
    words += ["--http-port", str(http), "--tcp-port", str(tcp)]
    settings = {"RUSTQUEUE_AUTH__ENABLED": "true", "RUSTQUEUE_AUTH__TOKENS": "a-token-of-some-length"}
    settings |= {"RUSTQUEUE_LOGGING__FORMAT": "json", "PYTHONPATH": str(ROOT)}
    running = Program("node", words, tmp_path / "node.log", settings)
    running.start()
    try:
        until("the node to be ready", lambda: alive(running) and is_ready(http), DEADLINE_S)
        yield http
    finally:
        running.stop()


def test_three_nodes_with_the_settings_of_their_file_agree_on_a_leader(tmp_path: Path) -> None:
    run("sh", COMPOSE / "certificates.sh", tmp_path)
    services = yaml.safe_load((COMPOSE / "three-nodes.yaml").read_text())["services"]
    peers = {name: f"127.0.0.1:{free_port()}" for name in services}
    ports = {name: free_port() for name in services}
    nodes = []
    for name, service in services.items():
        changed = {value: value.replace("/peers", str(tmp_path / name)) for value in service["environment"].values()}
        for peer, address in peers.items():
            changed = {value: text.replace(f"{peer}:6800", address) for value, text in changed.items()}
        settings = {key: changed[value] for key, value in service["environment"].items()}
        settings |= {"RUSTQUEUE_AUTH__TOKENS": "a-token-of-some-length", "PYTHONPATH": str(ROOT)}
        settings |= {
            "RUSTQUEUE_CLUSTER__LISTEN": peers[name],
            "RUSTQUEUE_STORAGE__PATH": str(tmp_path / f"{name}-data"),
        }
        words: list[str | Path] = [sys.executable, "-m", "rustqueue", "serve", "--server-host", "127.0.0.1"]
        words += ["--http-port", str(ports[name]), "--tcp-port", str(free_port())]
        nodes.append(Program(name, words, tmp_path / f"{name}.log", settings))
    try:
        for node in nodes:
            node.start()
        until(
            "all nodes to be ready", lambda: all(map(alive, nodes)) and all(map(is_ready, ports.values())), DEADLINE_S
        )
        leaders = {str(ask(port, "/api/v1/health")["leader"]) for port in ports.values()}
        hooks = [add_webhook(port) for port in ports.values()]
    finally:
        for node in nodes:
            node.stop()

    assert len(leaders) == 1
    assert leaders <= set(services)
    assert hooks == [201] * len(services)
    assert len({(tmp_path / name / "keys").read_text() for name in services}) == 1


def add_webhook(port: int) -> int:
    """The status of the answer to a webhook with a secret, which only who has the keys can take."""
    body = {"url": "https://hooks.example.org/in", "events": ["job.dlq"], "secret": "a-secret-of-some-length"}
    url = f"http://127.0.0.1:{port}/api/v1/webhooks/hook-{port}"
    asked = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT")
    asked.add_header("Authorization", "Bearer a-token-of-some-length")
    with urllib.request.urlopen(asked, timeout=10) as answer:
        status: int = answer.status
    return status


def test_prometheus_watches_a_node_with_the_alerts_of_the_chart(node: int, tmp_path: Path) -> None:
    settings = tmp_path / "prometheus.yml"
    settings.write_text((COMPOSE / "prometheus.yml").read_text().replace("node:6790", f"127.0.0.1:{node}"))
    shutil.copy(RULES, tmp_path / "rules.yaml")
    run(program("prometheus", "usr/bin/promtool"), "check", "config", settings)
    port = free_port()
    words: list[str | Path] = [
        program("prometheus", "usr/bin/prometheus"),
        f"--config.file={settings}",
        "--log.level=warn",
    ]
    words += [f"--storage.tsdb.path={tmp_path}/metrics", f"--web.listen-address=127.0.0.1:{port}"]
    running = Program("prometheus", words, tmp_path / "prometheus.log")
    running.start()
    try:
        until("Prometheus to see the node", lambda: alive(running) and sees(port, "up == 1"), DEADLINE_S)
        rules = ask(port, "/api/v1/rules")["data"]["groups"][0]["rules"]
    finally:
        running.stop(signal.SIGTERM)

    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    assert len(rules) > 3


def alive(running: Program) -> bool:
    """Whatever died is told at once, with its last words."""
    running.must_run()
    return True


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def sees(port: int, query: str) -> bool:
    try:
        return bool(ask(port, f"/api/v1/query?query={urllib.parse.quote(query)}")["data"]["result"])
    except OSError:
        return False


def ask(port: int, path: str) -> dict[str, dict[str, list[dict[str, list[dict[str, str]]]]]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        found: dict[str, dict[str, list[dict[str, list[dict[str, str]]]]]] = json.load(answer)
    return found
