"""The chart's alerts and dashboards are read by a real Prometheus."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

from e2e.harness.debian import program
from e2e.harness.programs import Program
from e2e.harness.waiting import until
from rustqueue.demo.ports import free_port

FILES = Path(__file__).resolve().parent.parent.parent / "charts" / "rustqueue" / "files"
TESTS = Path(__file__).resolve().parent / "rules_test.yaml"
DEADLINE_S = 60


def test_each_alert_fires_when_it_has_to(tmp_path: Path) -> None:
    shutil.copy(FILES / "rules.yaml", tmp_path / "rules.yaml")
    shutil.copy(TESTS, tmp_path / "rules_test.yaml")
    promtool = program("prometheus", "usr/bin/promtool")

    for words in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run(
            [promtool, *words], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_every_query_of_the_dashboards(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    words: list[str | Path] = [program("prometheus", "usr/bin/prometheus"), "--log.level=warn"]
    words += [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/metrics"]
    running = Program("prometheus", [*words, f"--web.listen-address=127.0.0.1:{port}"], tmp_path / "log")
    running.start()
    try:
        until("Prometheus to answer", lambda: answers(port, "1"), DEADLINE_S)
        refused = [
            f"{path.stem}: {panel['title']}"
            for path in sorted((FILES / "dashboards").glob("*.json"))
            for panel in json.loads(path.read_text())["panels"]
            for target in panel["targets"]
            if not answers(port, target["expr"].replace("$queue", ".*"))
        ]
    finally:
        running.stop()

    assert refused == []


def answers(port: int, query: str) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
