"""Logs: one event a line, for machines or for people."""

import io
import json
import logging

import pytest

from rustqueue.effects.logs import start_logging, stop_logging


def logged(line_format: str, level: str = "info") -> list[str]:
    stream = io.StringIO()
    handler = start_logging(level, line_format, stream)
    log = logging.getLogger("rustqueue.test")
    try:
        log.debug("not for everybody")
        log.warning("disk filling up", extra={"used_percent": 81, "folder": "/data", "odd": {1}})
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("failed")
    finally:
        stop_logging(handler)
    return stream.getvalue().splitlines()


def test_json_lines_have_time_level_event_and_fields() -> None:
    first, second = [json.loads(line) for line in logged("json")]
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warn",
        "logger": "rustqueue.test",
        "event": "disk filling up",
        "used_percent": 81,
        "folder": "/data",
        "odd": [1],
    }
    assert (second["level"], second["event"]) == ("error", "failed")
    assert second["exception"].endswith("ValueError: boom")


def test_pretty_lines_are_for_people() -> None:
    first, *rest = logged("pretty")
    assert first.endswith("WARN  rustqueue.test disk filling up used_percent=81 folder=/data odd={1}")
    assert rest[-1] == "ValueError: boom"


@pytest.mark.parametrize(("level", "count"), [("trace", 3), ("debug", 3), ("warn", 2), ("error", 1)])
def test_the_level_decides_what_is_shown(level: str, count: int) -> None:
    assert len([line for line in logged("json", level) if line]) == count


def test_what_was_started_leaves_no_trace() -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    logged("json", "error")
    assert (root.level, root.handlers) == before
