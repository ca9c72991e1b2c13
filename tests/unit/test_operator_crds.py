"""The CRDs are made from the types: the files are what the types say, and what Kubernetes demands of a schema holds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from rustqueue_operator.crds import render
from rustqueue_operator.kinds.fields import RULES
from rustqueue_operator.kinds.table import KINDS, Kind
from rustqueue_operator.planning.diff import differing

ROOT = Path(__file__).resolve().parent.parent.parent

FULL: dict[str, dict[str, Any]] = {
    "Queue": {
        "clusterRef": {"name": "main", "namespace": "queues"},
        "name": "mail.out",
        "labels": {"team": "mail"},
        "deletionPolicy": "Delete",
        "managementPolicy": "Manage",
        "adopt": "Always",
        "mode": "Hold",
        "defaults": {
            "priority": -1,
            "maxAttempts": 5,
            "backoff": {"type": "DecorrelatedJitter", "delaySeconds": 1, "maxDelaySeconds": 60},
            "timeoutSeconds": 30,
            "ttlSeconds": 600,
            "lastInFirstOut": True,
            "onParentFailure": "Ignore",
        },
        "limits": {
            "rate": {"count": 100, "perSeconds": 1},
            "concurrency": 10,
            "groupConcurrency": 1,
            "maxWaiting": 1000,
        },
        "retention": {"completed": {"ageSeconds": 60, "count": 10}, "dlq": {"count": 5}},
        "leaseSeconds": 60,
        "payloadSchema": {"type": "object", "required": []},
    },
    "Schedule": {
        "queue": "mail",
        "jobTemplate": {"name": "digest", "data": {"to": []}, "options": {"priority": 3}},
        "cron": "0 6 * * *",
        "timeZone": "Europe/Berlin",
        "suspend": True,
        "jitterSeconds": 30,
        "overlapPolicy": "Forbid",
        "missedRunPolicy": "All",
        "startTime": "2026-01-01T00:00:00Z",
        "maxRuns": 3,
    },
    "Webhook": {
        "serviceRef": {"name": "hooks", "port": 8080, "path": "/in"},
        "events": ["job.dlq", "job.completed"],
        "queues": ["mail"],
        "headers": {"x-team": "mail"},
        "secretKeyRef": {"name": "hook", "key": "secret"},
        "timeoutSeconds": 5,
        "retry": {"maxRetries": 3, "maxAgeSeconds": 60},
    },
}
BODIES: dict[str, dict[str, Any]] = {
    "Queue": {
        "defaults": {
            "priority": -1,
            "max_attempts": 5,
            "backoff": "decorrelated_jitter",
            "backoff_delay_ms": 1_000,
            "max_backoff_ms": 60_000,
            "timeout_ms": 30_000,
            "ttl_ms": 600_000,
            "lifo": True,
            "on_parent_failure": "ignore",
        },
        "limits": {
            "rate": {"count": 100, "per_ms": 1_000},
            "concurrency": 10,
            "group_concurrency": 1,
            "max_waiting": 1_000,
        },
        "retention": {"completed": {"age_ms": 60_000, "count": 10}, "dlq": {"count": 5}},
        "lease_ms": 60_000,
        "mode": "hold",
        "labels": {"team": "mail"},
        "payload_schema": {"type": "object", "required": []},
    },
    "Schedule": {
        "queue": "mail",
        "job_name": "digest",
        "job_data": {"to": []},
        "job_options": {"priority": 3},
        "cron_expr": "0 6 * * *",
        "timezone": "Europe/Berlin",
        "paused": True,
        "jitter_ms": 30_000,
        "overlap": "skip",
        "missed": "all",
        "starts_at": "2026-01-01T00:00:00.000000Z",
        "max_executions": 3,
    },
    "Webhook": {
        "url": "http://hooks.team.svc:8080/in",
        "events": ["job.completed", "job.dlq"],
        "queues": ["mail"],
        "headers": {"x-team": "mail"},
        "timeout_ms": 5_000,
        "retry": {"max_retries": 3, "max_age_ms": 60_000},
    },
}

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


def schema_of(kind: Kind) -> dict[str, Any]:
    (version,) = render.crd(kind)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


def test_the_files_are_what_the_types_say() -> None:
    """If this fails: python -m rustqueue_operator crds crds, and once more with --chart for the chart."""
    for folder, texts in (
        (ROOT / "crds", render.files()),
        (ROOT / "charts/rustqueue/templates/crds", render.chart_files()),
    ):
        assert {path.name: path.read_text() for path in folder.glob("*")} == texts


@each_kind
def test_a_crd_is_yaml_of_what_it_was_made_from(kind: Kind) -> None:
    assert yaml.safe_load(render.files()[f"{kind.plural}.yaml"]) == render.crd(kind)


@each_kind
def test_everything_has_a_bound_because_the_server_adds_up_what_rules_may_cost(kind: Kind) -> None:
    bounds = {"string": "maxLength", "array": "maxItems", "integer": "maximum"}
    unbounded = []
    for path, node in nodes(schema_of(kind)["properties"]["spec"]):
        bound = bounds.get(node.get("type", ""))
        if bound is not None and bound not in node and "enum" not in node:
            unbounded.append(path)
        if "additionalProperties" in node and "maxProperties" not in node:
            unbounded.append(path)
    assert unbounded == []


@each_kind
def test_nothing_is_defaulted_so_that_apply_never_sees_a_difference(kind: Kind) -> None:
    assert [path for path, node in nodes(schema_of(kind)) if "default" in node] == []


@each_kind
def test_kubectl_explain_describes_every_field(kind: Kind) -> None:
    schema = schema_of(kind)
    silent = [
        path
        for part in ("spec", "status")
        for path, node in nodes(schema["properties"][part], part)
        # Items of a list and of a map are described with the list.
        if "description" not in node and not path.endswith("[]")
    ]
    assert silent == []


@each_kind
def test_the_rules_speak_of_fields_that_are_there(kind: Kind) -> None:
    spec = schema_of(kind)["properties"]["spec"]
    for rule in spec[RULES]:
        words = rule["rule"].replace("(", " ").replace(")", " ").replace("!", " ").split()
        fields = {word.split(".")[1] for word in words if word.startswith(("self.", "oldSelf."))}
        assert fields <= set(spec["properties"]), rule


@each_kind
def test_the_whole_spec_reads_as_a_request_and_back(kind: Kind) -> None:
    """The request that a full spec makes, and the same out of an answer that shows it."""
    spec = msgspec.convert(FULL[kind.name], kind.spec)
    body = kind.request_body(spec, "team")
    assert body == BODIES[kind.name]

    shown = dict(body)
    if kind.record_key is None:
        answer = {"settings": shown, "mode": shown.pop("mode"), "labels": shown.pop("labels")}
    elif kind.name == "Webhook":
        hidden = {"headers": list(shown["headers"]), "has_secret": True, "has_previous_secret": False}
        answer = {kind.record_key: {**shown, **hidden, "suspended": False, "revision": 3}}
    else:
        answer = {kind.record_key: {**shown, "revision": 3, "created_at": "now"}}
    assert differing(kind.comparable(spec, "team"), kind.settings_of(answer)) == []


@each_kind
def test_a_full_spec_uses_every_field_of_its_crd_or_says_which_it_leaves_out(kind: Kind) -> None:
    left_out = {
        "Queue": set(),
        "Schedule": {
            "clusterRef",
            "name",
            "labels",
            "deletionPolicy",
            "managementPolicy",
            "adopt",
            "everySeconds",
            "endTime",
        },
        "Webhook": {
            "clusterRef",
            "name",
            "labels",
            "deletionPolicy",
            "managementPolicy",
            "adopt",
            "url",
            "previousSecretKeyRef",
            "suspend",
        },
    }
    assert set(schema_of(kind)["properties"]["spec"]["properties"]) - set(FULL[kind.name]) == left_out[kind.name]


def shown_objects() -> Iterator[dict[str, Any]]:
    """Objects of our kinds in the pages and the examples."""
    texts = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/kubernetes/resources.md").read_text(), re.S)
    for text in [*texts, (ROOT / "examples/kubernetes/objects.yaml").read_text()]:
        yield from (item for item in yaml.safe_load_all(text) if item.get("kind") in KINDS)


def test_what_the_pages_show_can_be_applied() -> None:
    shown = list(shown_objects())

    assert {item["kind"] for item in shown} == set(KINDS)
    for item in shown:
        kind = KINDS[item["kind"]]
        assert item["apiVersion"] == "rustqueue.io/v1alpha1"
        assert kind.request_body(msgspec.convert(item["spec"], kind.spec), "team")


def test_an_empty_payload_is_a_payload() -> None:
    spec = msgspec.convert(
        {"queue": "q", "everySeconds": 5, "jobTemplate": {"name": "n", "data": []}}, KINDS["Schedule"].spec
    )
    assert KINDS["Schedule"].request_body(spec, "ns") == {
        "queue": "q",
        "job_name": "n",
        "job_data": [],
        "every_ms": 5_000,
    }
