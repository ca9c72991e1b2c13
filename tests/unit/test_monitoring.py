"""Alerts and dashboards ask for metrics that are there: a misspelt name would be silent for ever."""

import asyncio
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rustqueue.client import Client
from rustqueue_operator.kube.access import Access
from rustqueue_operator.main import Operator
from rustqueue_operator.settings import Settings
from tests.unit.node_in_thread import node_in_thread, node_settings

FILES = Path(__file__).resolve().parent.parent.parent / "charts" / "rustqueue" / "files"
NAME = re.compile(r"\b(rustqueue_[a-z_]+)\b")
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")
SAMPLE = re.compile(r"^# TYPE (\S+) ", re.M)


def expressions() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((FILES / "rules.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in sorted((FILES / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all metrics of a node that has done something, and of the operator."""
    with node_in_thread(node_settings(tmp_path_factory.mktemp("node"))) as ports, Client(ports.url("http")) as client:
        job = client.push("mail", "welcome", {})
        client.pull("mail")
        client.ack(job)
        with urllib.request.urlopen(f"{ports.url('http')}/api/v1/metrics/prometheus", timeout=10) as answer:
            of_node = answer.read().decode()
    return {SUFFIX.sub("", name) for name in SAMPLE.findall(of_node + asyncio.run(of_operator()))}


async def of_operator() -> str:
    access = Access(server="https://127.0.0.1:1", namespace="queues")
    return Operator(access, Settings(), lambda: None).metrics_text()


def test_every_metric_that_is_asked_for_is_there(known: set[str]) -> None:
    missing = {
        (where, name)
        for where, expression in expressions()
        for name in NAME.findall(expression)
        if SUFFIX.sub("", name) not in known
    }

    assert missing == set()


def test_every_alert_has_a_page() -> None:
    pages = FILES.parent.parent.parent / "docs" / "kubernetes" / "runbooks"
    alerts = {where for where, _ in expressions() if ":" not in where}

    assert {path.stem for path in pages.glob("*.md")} == alerts
