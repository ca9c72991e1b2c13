"""Export and apply change nothing: the object made from a queue asks for what the queue has."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustqueue_operator.kinds.export import NotSayable, queue_object
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
