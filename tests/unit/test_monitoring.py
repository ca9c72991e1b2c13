"""Alerts and dashboards ask for metrics that are there: a misspelt name would be silent for ever."""

import asyncio
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from rustqueue.client import Client
from rustqueue_operator.kube.access import Access
from rustqueue_operator.main import Operator
from rustqueue_operator.settings import Settings
from tests import metrics_page
from tests.unit.node_in_thread import node_in_thread, node_settings

FILES = Path(__file__).resolve().parent.parent.parent / "charts" / "rustqueue" / "files"
NAME = re.compile(r"\b(rustqueue_[a-z_]+)\b")
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")
BY = re.compile(r"\bby \(([a-z_, ]+)\)")
SELECTED = re.compile(r"[{,] ?([a-z_]+)=")
OF_A_SCRAPE = {"instance", "job", "namespace", "pod"}
ANY_LABELS = {"kind", "reason", "outcome", "cluster", "le", "method", "status"}
"""The operator's metrics have no samples before it has something to do."""


def expressions() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((FILES / "rules.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in sorted((FILES / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


@pytest.fixture(scope="module")
def of_leader(tmp_path_factory: pytest.TempPathFactory) -> str:
    return asyncio.run(metrics_page.text_of_a_leader(tmp_path_factory.mktemp("leader")))


@pytest.fixture(scope="module")
def known(of_leader: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names of all metrics and their labels: of a node and a cluster that have done something, and of the operator."""
    folder = tmp_path_factory.mktemp("nodes")
    with node_in_thread(node_settings(folder / "alone")) as ports, Client(ports.url("http")) as client:
        job = client.push("mail", "welcome", {})
        client.pull("mail")
        client.ack(job)
        with urllib.request.urlopen(f"{ports.url('http')}/api/v1/metrics/prometheus", timeout=10) as answer:
            of_node = answer.read().decode()
    found: dict[str, set[str]] = {}
    for text in (of_node, of_leader, asyncio.run(of_operator())):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                for name in {sample.name, SUFFIX.sub("", sample.name)}:
                    found.setdefault(name, set()).update(sample.labels)
            if not family.samples:
                found.setdefault(family.name, ANY_LABELS)
    return found


async def of_operator() -> str:
    access = Access(server="https://127.0.0.1:1", namespace="queues")
    return Operator(access, Settings(), lambda: None).metrics_text()


def test_every_metric_that_is_asked_for_is_there(known: dict[str, set[str]]) -> None:
    missing = {
        (where, name)
        for where, expression in expressions()
        for name in NAME.findall(expression)
        if SUFFIX.sub("", name) not in known
    }

    assert missing == set()


def test_every_label_that_is_asked_for_is_there(known: dict[str, set[str]]) -> None:
    missing = set()
    for where, expression in expressions():
        asked = {label for group in BY.findall(expression) for label in group.split(", ")}
        asked |= set(SELECTED.findall(expression))
        for name in NAME.findall(expression):
            missing |= {(where, name, label) for label in asked - known[SUFFIX.sub("", name)] - OF_A_SCRAPE}

    assert missing == set()


def test_every_alert_has_a_page() -> None:
    pages = FILES.parent.parent.parent / "docs" / "kubernetes" / "runbooks"
    alerts = {where for where, _ in expressions() if ":" not in where}

    assert {path.stem for path in pages.glob("*.md")} == alerts


def test_the_runbook_has_an_entry_for_every_alert() -> None:
    page = (FILES.parent.parent.parent / "docs" / "runbook.md").read_text()
    alerts = {where for where, _ in expressions() if ":" not in where}

    entries = re.findall(r"^\| \[(\w+)\]\(kubernetes/runbooks/\1\.md\) \| (.+) \| (.+) \| (.+) \|$", page, re.M)
    assert {name for name, *_ in entries} == alerts


def test_the_page_of_metrics_is_up_to_date(of_leader: str) -> None:
    page = metrics_page.PAGE.read_text(encoding="utf-8")

    assert metrics_page.page_with(page, of_leader) == page, "python -m tests.metrics_page"
