"""The chart's schema of `settings` is made from the sections; what they take, it takes."""

import json
import re
from typing import Any

import pytest

from rustqueue.settings.loading import setting_keys
from tests.chart_settings import SCHEMA, schema_of_settings


def test_the_schema_is_what_the_sections_make() -> None:
    written = json.loads(SCHEMA.read_text())["properties"]["settings"]
    assert written == schema_of_settings(), "run: python -m tests.chart_settings"


def test_every_key_of_the_configuration_is_in_it() -> None:
    sections = schema_of_settings()["properties"]
    keys = [f"{section}.{key}" for section, part in sections.items() for key in part["properties"]]
    assert sorted(keys) == sorted(setting_keys())


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("jobs.default_max_attempts", {"type": ["integer", "string"], "minimum": 1, "maximum": 1_000_000}),
        ("queues.auto_create", {"enum": [True, False, "true", "false"]}),
        ("raft.fsync", {"enum": ["majority", "none"]}),
        ("storage.write_coalescing_enabled", {"enum": [True, False, "true", "false"]}),
    ],
)
def test_bounds_and_words_are_those_of_the_section(key: str, part: dict[str, Any]) -> None:
    section, name = key.split(".")
    found = schema_of_settings()["properties"][section]["properties"][name]
    assert {each: found[each] for each in part} == part


def test_a_count_may_be_the_word_for_none() -> None:
    pattern = schema_of_settings()["properties"]["retention"]["properties"]["dlq_count"]["pattern"]
    assert [bool(re.match(pattern, text)) for text in ("unlimited", "5", "many")] == [True, True, False]
