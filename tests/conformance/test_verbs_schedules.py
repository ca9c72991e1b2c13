"""Verbs about schedules, each asked in every way that a client can ask it; what runs is in tests/unit."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.conformance.bodies import Step, ask, declared, leased, ok, pull, refused
from tests.conformance.protocols import WAYS, Json, asking, play
from tests.fuzz.shell import Wire
from tests.unit.tcp_client import a_node

YEARLY = "0 0 1 1 *"


def schedule(**fields: Any) -> Json:
    """The whole schedule object of contract A13 with what decisions A19 add."""
    return {
        "name": "s",
        "queue": "q",
        "job_name": "n",
        "job_data": 1,
        "job_options": None,
        "cron_expr": YEARLY,
        "every_ms": None,
        "timezone": None,
        "jitter_ms": 0,
        "missed": "once",
        "overlap": "allow",
        "starts_at": None,
        "ends_at": None,
        "max_executions": None,
        "execution_count": 0,
        "paused": False,
        "last_run_at": None,
        "last_job_id": None,
        "next_run_at": "T",
        "next_runs": ["T"] * 5,
        "counted_from": "T",
        "decided_until": "T",
        "created_at": "T",
        "updated_at": "T",
        **declared(1),
        **fields,
    }


def create(verb: str = "schedule_create", **fields: Any) -> Any:
    return ask(verb, **{"name": "s", "queue": "q", "job_name": "n", "job_data": 1, "cron_expr": YEARLY, **fields})


NONE = refused("SCHEDULE_NOT_FOUND", "Schedule not found: none")
TRICE: Json = {"max_executions": 3, "timezone": "Europe/Paris"}
STOPPED: Json = {"paused": True, "next_run_at": None, "next_runs": []}

CASES: dict[str, list[Step]] = {
    "schedules": [
        (ask("schedule_list"), 200, ok(schedules=[], next_cursor=None)),
        (create(), 201, ok(schedule=schedule())),
        (create(job_options={"priority": 3}), 201, ok(schedule=schedule(job_options={"priority": 3}, revision=2))),
        (ask("schedule_get", name="s"), 200, ok(schedule=schedule(job_options={"priority": 3}, revision=2))),
        (create(name="a b/ü"), 201, ok(schedule=schedule(name="a b/ü"))),
        (ask("schedule_get", name="a b/ü"), 200, ok(schedule=schedule(name="a b/ü"))),
        (
            ask("schedule_list"),
            200,
            ok(
                schedules=[
                    schedule(name="a b/ü"),
                    schedule(job_options={"priority": 3}, revision=2),
                ],
                next_cursor=None,
            ),
        ),
        (
            ask("schedule_list", limit=1),
            200,
            ok(schedules=[schedule(name="a b/ü")], next_cursor="a b/ü".encode().hex()),
        ),
        (ask("schedule_delete", name="s"), 200, ok()),
        (ask("schedule_delete", name="s"), 200, ok()),
        (ask("schedule_list", cursor="a b/ü".encode().hex()), 200, ok(schedules=[], next_cursor=None)),
    ],
    "a declared schedule": [
        (
            create("schedule_put", labels={"team": "a"}, owner={"uid": "u"}, if_match=0),
            201,
            ok(schedule=schedule(**declared(1, {"uid": "u", "ref": ""}, team="a")), created=True),
        ),
        (
            create("schedule_put", if_match=1, if_owner="u", paused=True),
            200,
            ok(schedule=schedule(**STOPPED, **declared(2, {"uid": "u", "ref": ""}, team="a")), created=False),
        ),
        (
            create("schedule_put", if_match=1),
            412,
            refused("PRECONDITION_FAILED", "The record has revision 2, not 1", field="if_match", revision=2),
        ),
        (
            create("schedule_put"),
            200,
            ok(schedule=schedule(**STOPPED, **declared(2, {"uid": "u", "ref": ""}, team="a")), created=False),
        ),
        (
            ask("schedule_delete", name="s", if_owner="v"),
            412,
            refused("PRECONDITION_FAILED", "The record belongs to another owner", field="if_owner", owner="u"),
        ),
        (ask("schedule_delete", name="s", if_match=2, if_owner="u"), 200, ok()),
    ],
    "a schedule by hand": [
        (create(max_executions=3, timezone="Europe/Paris"), 201, ok(schedule=schedule(**TRICE, next_runs=["T"] * 3))),
        (ask("schedule_pause", name="s"), 200, ok(schedule=schedule(**TRICE, **STOPPED, revision=2))),
        (
            ask("schedule_run", name="s"),
            200,
            ok(
                run={
                    "number": 1,
                    "scheduled_at": None,
                    "at": "T",
                    "outcome": "pushed",
                    "job_id": "#1",
                    "error": None,
                    "ticks": 1,
                }
            ),
        ),
        (pull(), 200, ok(job=leased("#1", "~1"))),
        (
            ask("schedule_resume", name="s"),
            200,
            ok(
                schedule=schedule(
                    **TRICE, execution_count=1, last_run_at="T", last_job_id="#1", next_runs=["T"] * 2, revision=3
                )
            ),
        ),
        (
            ask("schedule_runs", name="s", limit=5),
            200,
            ok(
                runs=[
                    {
                        "number": 1,
                        "scheduled_at": None,
                        "at": "T",
                        "outcome": "pushed",
                        "job_id": "#1",
                        "error": None,
                        "ticks": 1,
                    }
                ]
            ),
        ),
    ],
    "a schedule that is not there": [
        (ask("schedule_pause", name="none"), 404, NONE),
        (ask("schedule_resume", name="none"), 404, NONE),
        (ask("schedule_run", name="none"), 404, NONE),
        (ask("schedule_runs", name="none"), 404, NONE),
    ],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
async def test_the_answer_is_the_same_however_it_is_asked(name: str, way: str) -> None:
    assert await play(CASES[name], way) == [(status, body) for _, status, body in CASES[name]]


async def test_data_left_out_is_null_over_http_and_an_object_over_tcp() -> None:
    """Contract A13."""
    found = {}
    async with a_node() as node:
        for way in ("http", "tcp"):
            async with asking(way, node) as client:
                fields = {"name": way, "queue": "q", "job_name": "n", "every_ms": 1_000_000}
                found[way] = (await client.ask("schedule_create", fields)).body["schedule"]["job_data"]
    assert found == {"http": None, "tcp": {}}


async def test_a_missing_schedule_has_the_code_that_the_published_clients_need() -> None:
    """Contract A7."""
    told = {}
    async with a_node() as node:
        for way in ("http", "tcp"):
            async with asking(way, node) as client:
                told[way] = (await client.ask("schedule_get", {"name": "none"})).body
    assert told == {"http": NONE, "tcp": refused("NOT_FOUND", "Schedule 'none' not found")}


async def test_reset_is_a_query_key_too() -> None:
    fields = {"queue": "q", "job_name": "n", "cron_expr": YEARLY}
    counts = []
    async with a_node() as node, asking("tcp", node) as client:
        await client.ask("schedule_create", {"name": "s", **fields})
        await client.ask("schedule_run", {"name": "s"})
        wire = Wire(*await asyncio.open_connection("127.0.0.1", node.http.port))
        for query in ("", "?reset=true"):
            answer = await wire.ask("PUT", f"/api/v1/schedules/s{query}", msgspec.json.encode(fields))
            counts.append((answer.status, answer.json["schedule"]["execution_count"]))
        await wire.close()
    assert counts == [(200, 1), (200, 0)]
