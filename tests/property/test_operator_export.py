"""Export and apply change nothing: the object made from a queue asks for what the queue has."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustqueue_operator.kinds import schedule, webhook
from rustqueue_operator.kinds.export import NotSayable, queue_object, schedule_object, webhook_object
from rustqueue_operator.kinds.queue import QueueSpec, request_body

seconds = st.integers(1, 1_000).map(lambda value: value * 1_000)
kept = st.fixed_dictionaries({}, optional={"age_ms": seconds, "count": st.integers(0, 9)}).filter(bool)
options = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(-9, 9),
        "max_attempts": st.integers(0, 9),
        "backoff": st.sampled_from(["fixed", "linear", "exponential", "decorrelated_jitter"]),
        "backoff_delay_ms": seconds,
        "max_backoff_ms": seconds,
        "delay_ms": seconds,
        "timeout_ms": seconds,
        "ttl_ms": seconds,
        "lease_ms": seconds,
        "tags": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2),
        "group_id": st.just("g"),
        "lifo": st.booleans(),
        "remove_on_complete": st.booleans(),
        "remove_on_fail": st.booleans(),
        "on_parent_failure": st.sampled_from(["cascade", "ignore", "continue"]),
    },
).filter(bool)
limits = st.fixed_dictionaries(
    {},
    optional={
        "rate": st.fixed_dictionaries({"count": st.integers(1, 9), "per_ms": seconds}),
        "concurrency": st.integers(1, 9),
        "group_concurrency": st.integers(1, 9),
        "max_waiting": st.integers(0, 9),
    },
).filter(bool)
queues = st.fixed_dictionaries(
    {"mode": st.sampled_from(["normal", "hold"])},
    optional={
        "defaults": options,
        "limits": limits,
        "retention": st.dictionaries(st.sampled_from(["completed", "dlq", "cancelled"]), kept, min_size=1),
        "lease_ms": seconds,
        "labels": st.dictionaries(st.just("team"), st.just("a"), min_size=1),
        "payload_schema": st.just({"type": "object", "required": []}),
    },
)


@settings(max_examples=150, deadline=None)
@given(queues)
def test_what_is_exported_asks_for_what_is_there(there: dict[str, Any]) -> None:
    spec = msgspec.convert(queue_object("mail", there)["spec"], QueueSpec)

    assert request_body(spec) == {key: value for key, value in there.items() if key != "mode"}


@pytest.mark.parametrize(
    ("name", "metadata", "spec_name"),
    [("mail", "mail", None), ("Mail_Out", "mail-out", "Mail_Out"), ("a.b", "a.b", None)],
)
def test_names_that_kubernetes_does_not_take_stand_in_the_spec(name: str, metadata: str, spec_name: str | None) -> None:
    made = queue_object(name, {})

    assert (made["metadata"]["name"], made["spec"].get("name")) == (metadata, spec_name)


@pytest.mark.parametrize(
    ("there", "field"),
    [
        ({"lease_ms": 1_500}, "lease_ms is 1500"),
        ({"defaults": {"unique_key": "x"}}, r"defaults\.unique_key"),
        ({"limits": {"other": 1}}, r"limits\.other"),
        ({"new": 1}, "mail: new"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(there: dict[str, Any], field: str) -> None:
    with pytest.raises(NotSayable, match=field):
        queue_object("mail", there)


schedules = st.fixed_dictionaries(
    {"queue": st.just("mail"), "job_name": st.just("digest")},
    optional={
        "job_data": st.sampled_from([[], 0, {"kind": "daily"}]),
        "job_options": options,
        "cron_expr": st.just("0 6 * * *"),
        "every_ms": seconds,
        "timezone": st.just("Europe/Berlin"),
        "jitter_ms": seconds,
        "overlap": st.just("skip"),
        "missed": st.sampled_from(["skip", "all"]),
        "starts_at": st.just("2026-01-01T00:00:00.000000Z"),
        "ends_at": st.just("2027-01-01T00:00:00.000000Z"),
        "max_executions": st.integers(1, 9),
        "paused": st.booleans(),
        "labels": st.just({"team": "a"}),
    },
)
retries = st.fixed_dictionaries(
    {}, optional={"max_retries": st.integers(0, 9), "max_age_ms": seconds, "max_delay_ms": seconds}
).filter(bool)
webhooks = st.fixed_dictionaries(
    {"url": st.just("https://hooks.example.org/in")},
    optional={
        "events": st.lists(st.sampled_from(["job.dlq", "job.failed"]), min_size=1, unique=True).map(sorted),
        "queues": st.just(["mail*"]),
        "timeout_ms": seconds.filter(lambda value: value <= 60_000),
        "retry": retries,
        "suspended": st.booleans(),
        "labels": st.just({"team": "a"}),
        "has_secret": st.just(True),
    },
)


@settings(max_examples=100, deadline=None)
@given(schedules)
def test_an_exported_schedule_asks_for_what_is_there(there: dict[str, Any]) -> None:
    spec = msgspec.convert(schedule_object("daily", there)["spec"], schedule.ScheduleSpec)

    assert schedule.request_body(spec) == {key: value for key, value in there.items() if key != "paused"}


@settings(max_examples=100, deadline=None)
@given(webhooks)
def test_an_exported_webhook_is_what_the_cluster_shows(there: dict[str, Any]) -> None:
    spec = msgspec.convert(webhook_object("hook", there)["spec"], webhook.WebhookSpec)

    assert webhook.comparable(spec, "team") == {key: value for key, value in there.items() if key != "suspended"}


def test_what_an_object_cannot_say_of_schedules_and_webhooks_is_named() -> None:
    with pytest.raises(NotSayable, match="every_ms is 1500"):
        schedule_object("daily", {"queue": "mail", "every_ms": 1_500})
    with pytest.raises(NotSayable, match="job_options"):
        schedule_object("daily", {"job_options": {"unique_key": "x"}})
    with pytest.raises(NotSayable, match="headers X-Team"):
        webhook_object("hook", {"url": "https://a", "headers": ["X-Team"]})
    with pytest.raises(NotSayable, match="hook: new"):
        webhook_object("hook", {"new": 1})
