"""Schedules of a real node: over a restart, in its metrics, against a schema, and from the command line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from rustqueue.model import times
from rustqueue.node import Node
from rustqueue.settings import StorageSettings
from tests.unit.tcp_client import RawClient, a_node, connected
from tests.unit.test_cli_commands import Shell, ports, queue, shell  # noqa: F401 - fixtures
from tests.unit.test_metrics import samples_of


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Node, RawClient]]:
    storage = StorageSettings(backend="rocks", path=str(folder))
    async with a_node(storage=storage) as node, connected(node) as client:
        yield node, client


async def runs_of(client: RawClient, name: str, at_least: int) -> list[dict[str, Any]]:
    """The history when it has so many lines."""
    async with asyncio.timeout(60):
        while True:
            found: list[dict[str, Any]] = (await client.ask("schedule_runs", name=name, limit=100))["runs"]
            if len(found) >= at_least:
                return found[::-1]


async def test_a_restart_loses_no_tick_and_doubles_none(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, client):
        await client.ask("schedule_create", name="s", queue="q", job_name="n", every_ms=100, missed="skip")
        before = await runs_of(client, "s", 3)
    async with serving(tmp_path) as (_, client):
        runs = await runs_of(client, "s", len(before) + 4)
        counts = (await client.ask("stats", queue="q"))["counts"]
    ticks = [times.from_text(run["scheduled_at"]) or 0 for run in runs]
    assert {later - earlier for earlier, later in pairwise(ticks)} == {100}
    assert {run["outcome"] for run in runs} == {"pushed"}
    assert len({run["job_id"] for run in runs}) == len(runs)
    assert counts["waiting"] >= len(runs)


async def test_outcomes_are_counted() -> None:
    async with a_node() as node, connected(node) as client:
        options = {"unique_key": "one"}
        await client.ask("schedule_create", name="s", queue="q", job_name="n", every_ms=100, job_options=options)
        await runs_of(client, "s", 3)
        samples = samples_of(node.metrics.text())
    counted = {outcome: samples[("rustqueue_schedule_ticks_total", (("outcome", outcome),))] for outcome in OUTCOMES}
    assert (counted["pushed"], counted["overlapped"], counted["missed"]) == (1, 0, 0)
    assert counted["refused"] >= 2
    assert samples[("rustqueue_schedules", ())] == 1
    assert samples[("rustqueue_schedule_lag_seconds", ())] < 60


OUTCOMES = ("pushed", "refused", "overlapped", "missed")


async def test_the_job_of_a_schedule_meets_the_schema_of_its_queue() -> None:
    async with a_node() as node, connected(node) as client:
        await client.ask("queue_settings", queue="q", payload_schema={"type": "object"})
        await client.ask("schedule_create", name="bad", queue="q", job_name="n", job_data=1, every_ms=3_600_000)
        (run,) = await runs_of(client, "bad", 1)
        refused = await client.ask("schedule_run", name="bad")
        await client.ask("schedule_create", name="good", queue="q", job_name="n", job_data={}, every_ms=3_600_000)
        (other,) = await runs_of(client, "good", 1)
    assert (run["outcome"], run["error"].partition(":")[0]) == ("refused", "VALIDATION_ERROR")
    assert (refused["error"]["code"], refused["error"]["details"]["field"]) == ("VALIDATION_ERROR", "data")
    assert other["outcome"] == "pushed"


def test_the_commands_of_schedules(shell: Shell, queue: str) -> None:  # noqa: F811 - fixtures
    name = queue
    words = [
        "--queue",
        queue,
        "--job-name",
        "n",
        "--cron",
        "0 3 1 1 *",
        "--timezone",
        "Europe/Paris",
        "--data",
        '{"a": 1}',
    ]
    made = shell.json("schedules", "create", name, *words, "--options", '{"priority": 3}', "--max-executions", "9")
    assert isinstance(made, dict)
    shown = made["schedule"]
    assert (shown["job_data"], shown["job_options"], len(shown["next_runs"])) == ({"a": 1}, {"priority": 3}, 5)

    code, out, err = shell("schedules", "get", name)
    assert (code, err) == (0, "")
    assert ["when", "0", "3", "1", "1", "*", "(Europe/Paris)"] in [line.split() for line in out.splitlines()]
    assert shell("schedules", "pause", name)[0] == 0
    assert any(
        line.split()[0] == name and line.endswith("paused") for line in shell("schedules", "list")[1].splitlines()
    )
    assert shell("schedules", "resume", name)[1].startswith("state")

    code, out, _ = shell("schedules", "run", name)
    job_id = out.split()[-1]
    assert (code, out) == (0, f"pushed job {job_id}\n")
    assert shell("schedules", "runs", name)[1].splitlines()[1].split()[-2:] == ["pushed", job_id]
    assert shell("schedules", "delete", name) == (0, f"{name} is gone\n", "")
    assert shell("schedules", "get", name)[0] == 1


def test_wrong_words_about_schedules(shell: Shell, queue: str) -> None:  # noqa: F811 - fixtures
    words = ("schedules", "create", "s", "--queue", queue, "--job-name", "n")
    assert shell(*words) == (2, "", "rustqueue: give either --cron or --every-ms\n")
    assert shell(*words, "--every-ms", "1", "--options", "[]") == (
        2,
        "",
        "rustqueue: --options must be a JSON object\n",
    )
    code, _, err = shell(*words, "--cron", "61 * * * *")
    assert (code, "Invalid cron expression" in err) == (1, True)
